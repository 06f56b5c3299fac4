//! Reads a page strictly, as the format is specified (Prometheus, "Exposition formats", text format 0.0.4).

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::{Snapshot, render};

/// A page, read.
#[derive(Debug, Default)]
pub struct Page {
    /// Kind by name of the family.
    pub kinds: BTreeMap<String, String>,
    /// Help by name of the family.
    pub help: BTreeMap<String, String>,
    /// Values by name and labels of the sample.
    pub samples: BTreeMap<(String, Labels), f64>,
}

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// The page of a snapshot.
pub fn page(snapshot: &Snapshot) -> Page {
    parse(&render(snapshot.clone()).expect("the page is made"))
}

impl Page {
    /// The value of a sample; `labels` as `[("port", "80")]`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// All samples of one name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        let of_name = self.samples.iter().filter(move |((sample, _), _)| sample == name);
        of_name.map(|((_, labels), value)| (labels, *value))
    }

    /// The sum over all samples of one name.
    pub fn sum(&self, name: &str) -> f64 {
        self.all(name).map(|(_, value)| value).sum()
    }

    /// The values that a label takes on the whole page.
    pub fn values_of(&self, label: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|(_, labels)| Some(labels.get(label)?.as_str())).collect()
    }

    /// The family that a sample belongs to: a histogram has three kinds of samples.
    pub fn family_of<'a>(&self, sample: &'a str) -> &'a str {
        let of_histogram =
            ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| sample.strip_suffix(suffix));
        let is_histogram =
            |name: &&str| self.kinds.get(*name).is_some_and(|kind| kind == "histogram");
        of_histogram.into_iter().find(is_histogram).unwrap_or(sample)
    }
}

/// Reads a page.
///
/// # Panics
/// If it is not what the format allows, with the line.
pub fn parse(text: &str) -> Page {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut page = Page::default();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(page.help.insert(name.into(), help.into()).is_none(), "help twice: {line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert_eq!(name, family, "the type follows its help");
            assert!(page.kinds.insert(name.into(), kind.into()).is_none(), "type twice: {line}");
        } else {
            let (name, labels, value) =
                sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            assert_eq!(page.family_of(&name), family, "samples stand under their family: {line}");
            assert!(page.samples.insert((name, labels), value).is_none(), "sample twice: {line}");
        }
    }
    page
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let name = &line[..name_end];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || !name.chars().all(is_name)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mut labels = Labels::new();
    let mut rest = &line[name_end..];
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, value, behind) = label(inside)?;
            if !label.chars().all(is_name) || labels.insert(label.into(), value).is_some() {
                return None;
            }
            match behind.strip_prefix(',') {
                Some(next) => inside = next,
                None => {
                    rest = behind.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?;
    Some((name.to_owned(), labels, value.parse().ok()?))
}

/// One `name="value"`, and what stands behind it.
fn label(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once("=\"")?;
    let mut value = String::new();
    let mut characters = rest.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, &rest[position + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            _ => value.push(character),
        }
    }
    None
}
