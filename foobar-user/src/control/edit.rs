//! A change of a list as it came, understood: all of it or nothing, with every mistake named at once.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Refusal, api::ListEdit, command::Edit};
use crate::policy::{
    Entry, Prefix, PrefixSet,
    lists::MAX_COMMENT,
    prefix::PrefixError,
    text_list::{self, Findings},
};

/// Mistakes that are told in full.
const TOLD: usize = 10;

/// Understands what `add`, `remove` or `replace` shall do; the second value is what the operator should know of it.
///
/// # Errors
/// The action or a part of the request makes no sense.
pub fn understand(action: &str, wanted: &ListEdit) -> Result<(Edit, Vec<String>), Refusal> {
    if !["add", "remove", "replace"].contains(&action) {
        return Err(Refusal::unknown(format!(
            "a list cannot be {action:?}; there are add, remove and replace"
        )));
    }
    if wanted.entries.is_empty() && wanted.text.is_none() {
        return Err(Refusal::invalid(format!(
            "nothing to {action}: there is no entry in the request"
        ))
        .help("name prefixes in \"entries\" or send a list file in \"text\""));
    }
    if action == "remove" && (wanted.ttl_seconds.is_some() || wanted.comment.is_some()) {
        return Err(Refusal::invalid("an entry that is removed has no comment and no lifetime"));
    }
    let comment = comment(wanted)?;
    let expires_at = wanted.ttl_seconds.map(expiry).transpose()?;
    let mut notes = Vec::new();
    let set = entries(wanted, &mut notes)?;
    let detailed = |set: PrefixSet| -> Vec<Entry> {
        set.iter().map(|prefix| Entry { prefix, comment: comment.clone(), expires_at }).collect()
    };
    let edit = match action {
        "add" => Edit::Add(detailed(set)),
        "remove" => Edit::Remove(set.iter().collect()),
        _ if comment.is_none() && expires_at.is_none() => Edit::ReplaceSet(Arc::new(set)),
        _ => Edit::Replace(detailed(set)),
    };
    Ok((edit, notes))
}

/// Reads one prefix.
///
/// # Errors
/// It is none.
pub fn one_prefix(text: &str) -> Result<Prefix, Refusal> {
    Prefix::parse(text)
        .map(|parsed| parsed.prefix)
        .map_err(|PrefixError { message, help }| Refusal::invalid(message).help(help))
}

/// What is in `entries` and in `text` together.
fn entries(wanted: &ListEdit, notes: &mut Vec<String>) -> Result<PrefixSet, Refusal> {
    let mut mistakes = Mistakes::default();
    let mut set = PrefixSet::default();
    if let Some(text) = &wanted.text {
        let name = wanted.text_name.as_deref().unwrap_or("list");
        let list = text_list::parse(text.as_bytes());
        mistakes.add_findings(name, &list.errors);
        notes.extend(
            list.notes.first.iter().map(|note| format!("{name}:{}: {}", note.line, note.message)),
        );
        let more = list.notes.total - list.notes.first.len();
        if more > 0 {
            notes.push(format!("{name}: {more} more lines had bits behind the prefix length"));
        }
        set = list.set;
    }
    let mut named = Vec::with_capacity(wanted.entries.len());
    for text in &wanted.entries {
        match Prefix::parse(text) {
            Ok(parsed) => {
                if parsed.host_bits {
                    notes.push(text_list::host_bits(text, &parsed.prefix));
                }
                named.push(parsed.prefix);
            }
            Err(PrefixError { message, help }) => mistakes.add(message, Some(help)),
        }
    }
    mistakes.into_result()?;
    if set.is_empty() {
        return Ok(named.into_iter().collect());
    }
    set.extend(&named.into_iter().collect());
    Ok(set)
}

fn comment(wanted: &ListEdit) -> Result<Option<String>, Refusal> {
    let Some(comment) =
        wanted.comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty())
    else {
        return Ok(None);
    };
    let length = comment.chars().count();
    if length > MAX_COMMENT {
        return Err(Refusal::invalid(format!(
            "the comment has {length} characters, more than {MAX_COMMENT}"
        )));
    }
    if comment.chars().any(char::is_control) {
        return Err(Refusal::invalid("the comment has a line break or another control character"));
    }
    Ok(Some(comment.to_owned()))
}

/// When a lifetime that starts now ends, in seconds since 1970. Up to a second later than asked for, never earlier.
fn expiry(ttl_seconds: u64) -> Result<u64, Refusal> {
    if ttl_seconds == 0 {
        return Err(Refusal::invalid("a lifetime of 0 seconds is over already")
            .help("give at least one second, or remove the entry"));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = since.as_secs() + u64::from(since.subsec_nanos() > 0);
    now.checked_add(ttl_seconds).filter(|&end| end <= i64::MAX.unsigned_abs()).ok_or_else(|| {
        Refusal::invalid(format!("a lifetime of {ttl_seconds} seconds is longer than time itself"))
    })
}

/// What is wrong with the entries, the first ones in full.
#[derive(Default)]
struct Mistakes {
    messages: Vec<String>,
    help: Option<String>,
    total: usize,
}

impl Mistakes {
    fn add(&mut self, message: String, help: Option<String>) {
        self.total += 1;
        if self.messages.len() < TOLD {
            self.messages.push(message);
            self.help = self.help.take().or(help);
        }
    }

    fn add_findings(&mut self, name: &str, findings: &Findings) {
        for finding in &findings.first {
            let message =
                format!("{name}:{}:{}: {}", finding.line, finding.column, finding.message);
            self.add(message, finding.help.clone());
        }
        self.total += findings.total - findings.first.len();
    }

    fn into_result(self) -> Result<(), Refusal> {
        if self.total == 0 {
            return Ok(());
        }
        let more = self.total - self.messages.len();
        let mut error = self.messages.join("\n");
        if more > 0 {
            error.push_str(&format!("\nand {more} more"));
        }
        let refusal = Refusal::invalid(error);
        Err(match self.help {
            Some(help) => refusal.help(help),
            None => refusal,
        })
    }
}
