//! List files: one entry a line, `#` or `;` starts a comment.

use std::thread::{self, ScopedJoinHandle};

use super::{
    prefix::{Prefix, PrefixError},
    prefix_set::{Builder, PrefixSet},
};

/// Findings of one kind that are kept in full; further ones are only counted. A file of the wrong kind has a million.
pub const MAX_FINDINGS: usize = 20;

/// A text of so many bytes is read in two halves at the same time.
const LONG: usize = 1 << 20;

/// A list file, read.
#[derive(Clone, Debug, Default)]
pub struct TextList {
    /// The entries that could be read.
    pub set: PrefixSet,
    /// Lines that could not be read.
    pub errors: Findings,
    /// Lines that were read as something else than was written.
    pub notes: Findings,
}

/// The first findings, and the number of all.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// At most [`MAX_FINDINGS`].
    pub first: Vec<Finding>,
    /// Number of all, those in `first` included.
    pub total: usize,
}

/// What was found on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What it is.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Findings {
    fn push(&mut self, finding: impl FnOnce() -> Finding) {
        self.total += 1;
        if self.first.len() < MAX_FINDINGS {
            self.first.push(finding());
        }
    }

    /// Adds those of what stands so many lines further down.
    fn append(&mut self, rest: Findings, lines: usize) {
        self.total += rest.total;
        let rest = rest.first.into_iter().take(MAX_FINDINGS - self.first.len());
        self.first
            .extend(rest.map(|finding| Finding { line: finding.line + lines as u32, ..finding }));
    }
}

impl TextList {
    /// Adds what stands behind it, so many lines further down.
    fn append(&mut self, rest: TextList, lines: usize) {
        self.set.extend(&rest.set);
        self.errors.append(rest.errors, lines);
        self.notes.append(rest.notes, lines);
    }
}

/// Reads a list file. Never fails as a whole; see [`TextList::errors`].
pub fn parse(bytes: &[u8]) -> TextList {
    let mut list = TextList::default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line =
                1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            list.errors.push(|| Finding {
                line: line as u32,
                column: 1,
                message: "this is not UTF-8 text".into(),
                help: Some(
                    "a list file has one address or prefix a line; is it compressed?".into(),
                ),
            });
            return list;
        }
    };
    let (first, second) = halves(text);
    if second.is_empty() {
        return read(first);
    }
    thread::scope(|scope| {
        let reading = thread::Builder::new().spawn_scoped(scope, || read(second));
        let mut list = read(first);
        let rest = match reading.map(ScopedJoinHandle::join) {
            Ok(Ok(rest)) => rest,
            // Where no thread can be had, this one reads on.
            Ok(Err(_)) | Err(_) => read(second),
        };
        list.append(rest, lines(first));
        list
    })
}

/// Both halves of a long text, each of whole lines; a short one is not worth a thread.
fn halves(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let middle = bytes.len() / 2;
    let end = bytes[middle..].iter().position(|byte| *byte == b'\n');
    match end.filter(|_| bytes.len() >= LONG) {
        Some(end) => text.split_at(middle + end + 1),
        None => (text, ""),
    }
}

/// Reads lines, which are counted from 1.
fn read(text: &str) -> TextList {
    let mut list = TextList::default();
    let mut builder = Builder::default();
    reserve(&mut builder, text);
    for (line, content) in (1..).zip(text.split('\n')) {
        // Most lines are this and nothing else.
        if let Some(net) = Prefix::canonical4(content.as_bytes()) {
            builder.push(Prefix::V4(net));
            continue;
        }
        let entry =
            content.split_once(['#', ';']).map_or(content, |(entry, _comment)| entry).trim();
        if entry.is_empty() {
            continue;
        }
        let column = || {
            let offset = entry.as_ptr() as usize - content.as_ptr() as usize;
            1 + content[..offset].chars().count() as u32
        };
        match Prefix::parse(entry) {
            Ok(parsed) => {
                builder.push(parsed.prefix);
                if parsed.host_bits {
                    list.notes.push(|| Finding {
                        line,
                        column: column(),
                        message: host_bits(entry, &parsed.prefix),
                        help: None,
                    });
                }
            }
            Err(error) => list.errors.push(|| {
                let PrefixError { message, help } = explain(entry, error);
                Finding { line, column: column(), message, help: Some(help) }
            }),
        }
    }
    list.set = builder.build();
    list
}

/// What is said of an entry that had host bits.
pub fn host_bits(written: &str, prefix: &Prefix) -> String {
    format!("\"{written}\" became {prefix}: the bits behind the prefix length do not count")
}

/// Room for as many entries as there are lines, of the kind that the first entry has, so that a million entries need no
/// second copy while the vector grows.
fn reserve(builder: &mut Builder, text: &str) {
    let lines = lines(text);
    let sample = text.lines().find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    match sample {
        Some(line) if line.contains(':') => builder.reserve6(lines),
        Some(_) => builder.reserve4(lines),
        None => {}
    }
}

/// Ends of lines in a text.
fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn explain(entry: &str, error: PrefixError) -> PrefixError {
    match entry.split_once([' ', '\t', ',']) {
        Some((first, _)) if Prefix::parse(first).is_ok() => PrefixError {
            message: format!("there is something behind \"{first}\""),
            help: "write one entry a line; a comment starts with #".into(),
        },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_line_ends_of_other_systems() {
        let list = parse("\u{feff}# head\r\n10.0.0.0/8 # ours\r\n\r\n  2001:db8::1\r\n1.10.16.0/20 ; SBL256894\r\n".as_bytes());
        assert_eq!(list.set.to_text(), "1.10.16.0/20\n10.0.0.0/8\n2001:db8::1/128\n");
        assert_eq!((list.errors.total, list.notes.total), (0, 0));
        assert!(parse(b"").set.is_empty());
        assert_eq!(parse(b"10.0.0.1").set.len(), 1, "a last line without an end");
    }

    #[test]
    fn findings_have_a_place_and_a_bound() {
        let list = parse(b"10.0.0.1\n  10.0.0.5/8\nexample.com\n10.0.0.1 10.0.0.2\n\xff");
        assert_eq!(list.errors.first[0].line, 5);
        let list = parse(b"10.0.0.1\n  10.0.0.5/8\n\texample.com\n10.0.0.1 10.0.0.2\n");
        let note = &list.notes.first[0];
        assert_eq!((note.line, note.column), (2, 3));
        assert!(note.message.contains("\"10.0.0.5/8\" became 10.0.0.0/8"));
        let places: Vec<_> =
            list.errors.first.iter().map(|error| (error.line, error.column)).collect();
        assert_eq!(places, [(3, 2), (4, 1)]);
        assert!(list.errors.first[1].message.contains("behind \"10.0.0.1\""));

        let list = parse("x\n".repeat(1000).as_bytes());
        assert_eq!((list.errors.first.len(), list.errors.total), (MAX_FINDINGS, 1000));
    }

    /// Lines of all kinds, in a long text: each half of it is read by itself.
    #[test]
    fn a_text_that_is_read_in_halves_says_the_same() {
        let line = |number: u32| {
            let address = std::net::Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1));
            match number % 19_000 {
                0 => format!("{address}/33"),
                1 => format!("{address}/8 # host bits"),
                2 => " # nothing".into(),
                3 => format!("2001:db8:{:x}::/48\r", number % 65_536),
                _ => format!("{address}/{}", if number.is_multiple_of(2) { 32 } else { 31 }),
            }
        };
        for (count, last) in [(90_000, ""), (90_001, "\n"), (30, "\n")] {
            let lines: Vec<_> = (0..count).map(line).collect();
            let text = lines.join("\n") + last;
            let (first, second) = halves(&text);
            assert_eq!(format!("{first}{second}"), text);
            assert_eq!(second.is_empty(), count < 100);
            let (list, whole) = (parse(text.as_bytes()), read(&text));
            assert_eq!(list.set, whole.set);
            for (found, expected) in [(list.errors, whole.errors), (list.notes, whole.notes)] {
                assert_eq!((found.total, found.first), (expected.total, expected.first));
            }
        }
        let endless = "1".repeat(LONG);
        let (first, second) = halves(&endless);
        assert_eq!((first.len(), second), (LONG, ""), "one endless line has no halves");
    }
}
