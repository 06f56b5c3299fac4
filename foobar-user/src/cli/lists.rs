//! `foobar allow` and `foobar block`: lists shown and changed while the filter runs.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    options::{Options, Output},
    print, session,
    table::Table,
};
use crate::{
    control::api::{ListEdit, ListEdited, ListEntry},
    live::ListStatus,
    policy::{ListKind, Prefix, prefix::PrefixError},
};

pub const ALLOW_EXAMPLES: &str = "\
Examples:
  foobar allow add admins 198.51.100.7 2001:db8:ad::/48 --ttl 8h --comment 'on call'
  foobar allow list admins
  foobar allow remove admins 198.51.100.7
  foobar allow replace cdn --file cdn-ranges.txt";

pub const BLOCK_EXAMPLES: &str = "\
Examples:
  foobar block add abuse 203.0.113.0/24 --comment 'scans'
  foobar block list
  foobar block replace abuse --file abuse.txt";

// No help text of its own: it would stand in the place of that of `allow` and `block`.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Adds entries; those that are there already take the new comment and lifetime
    #[command(
        after_help = "Example:\n  foobar allow add admins 198.51.100.7 --ttl 8h --comment 'on call'"
    )]
    Add(Add),
    /// Removes entries; what another entry still covers stays covered, and is named
    #[command(after_help = "Example:\n  foobar allow remove admins 198.51.100.7")]
    Remove(Remove),
    /// Puts these entries in the place of all others, those of the configuration included
    #[command(after_help = "Example:\n  foobar block replace abuse --file abuse.txt")]
    Replace(Add),
    /// Shows the entries of a list, or the lists there are
    #[command(
        after_help = "Examples:\n  foobar allow list\n  foobar allow list admins --output json"
    )]
    List(List),
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    entries: Entries,
    /// The entries cease to count after this time, such as 90s, 1h, 7d
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    ttl: Option<Duration>,
    /// A note for people
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    entries: Entries,
}

/// The entries of a change: all are taken, or none.
#[derive(Debug, Args)]
struct Entries {
    /// Name of the list in the configuration
    list: String,
    /// Prefixes or single addresses, IPv4 or IPv6
    #[arg(value_name = "CIDR", value_parser = prefix, required_unless_present = "file")]
    cidrs: Vec<String>,
    /// A file with one entry a line, `#` starts a comment; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only if the policy is still of this generation
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,
    /// Also if it cuts your SSH session
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// Name of the list; without it, the lists there are
    list: Option<String>,
}

impl Action {
    pub fn run(&self, options: &Options, kind: ListKind) -> Result<ExitCode> {
        match self {
            Action::Add(add) => {
                edit(options, kind, "add", &add.entries, add.ttl, add.comment.clone())?;
            }
            Action::Replace(add) => {
                edit(options, kind, "replace", &add.entries, add.ttl, add.comment.clone())?;
            }
            Action::Remove(remove) => edit(options, kind, "remove", &remove.entries, None, None)?,
            Action::List(List { list: Some(name) }) => show(options, kind, name)?,
            Action::List(List { list: None }) => show_all(options, kind)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn edit(
    options: &Options,
    kind: ListKind,
    action: &str,
    entries: &Entries,
    ttl: Option<Duration>,
    comment: Option<String>,
) -> Result<()> {
    let edit = ListEdit {
        entries: entries.cidrs.clone(),
        text: entries.file.as_deref().map(read).transpose()?,
        text_name: entries.file.as_ref().map(|file| file.display().to_string()),
        ttl_seconds: ttl.map(|ttl| ttl.as_secs()),
        comment,
        if_generation: entries.if_generation,
        force: entries.force,
        ssh_connection: session::ssh_connection(),
    };
    let edited =
        options.ask(async |client| client.edit(kind.word(), &entries.list, action, &edit).await)?;
    match options.output {
        Output::Json => print::json(&edited),
        Output::Text => print::text(&summary(kind, &edited)),
    }
}

fn summary(kind: ListKind, edited: &ListEdited) -> String {
    let ListEdited { name, generation, added, updated, removed, total, notes, .. } = edited;
    let counts = [(*added, "added"), (*updated, "updated"), (*removed, "removed")];
    let done: Vec<_> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let done = if done.is_empty() { "nothing to change".to_owned() } else { done.join(", ") };
    let entries = if *total == 1 { "entry" } else { "entries" };
    let mut text = format!("{kind} {name}: {done}, {total} {entries}, generation {generation}\n");
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

fn show(options: &Options, kind: ListKind, name: &str) -> Result<()> {
    let (generation, entries) = options.ask(async |client| client.list(kind.word(), name).await)?;
    match options.output {
        Output::Json => print::json(
            &json!({ "kind": kind.word(), "name": name, "generation": generation, "entries": entries }),
        ),
        Output::Text => print::text(&entries_text(&entries)),
    }
}

fn entries_text(entries: &[ListEntry]) -> String {
    let mut table = Table::new(&["ENTRY", "ORIGIN", "EXPIRES", "COMMENT"], &[]);
    for ListEntry { entry, origin, comment, expires_at } in entries {
        let expires = expires_at.map_or("-".to_owned(), time);
        table.row([entry.clone(), origin.clone(), expires, comment.clone().unwrap_or_default()]);
    }
    table.render()
}

fn show_all(options: &Options, kind: ListKind) -> Result<()> {
    let status = options.ask(async |client| client.status().await)?;
    let lists: Vec<_> = status.lists.into_iter().filter(|list| list.kind == kind.word()).collect();
    match options.output {
        Output::Json => print::json(&lists),
        Output::Text => print::text(&lists_text(&lists)),
    }
}

/// The table of lists, as `foobar status` shows it as well.
pub fn lists_text(lists: &[ListStatus]) -> String {
    let mut table = Table::new(&["LIST", "KIND", "IPV4", "IPV6", "CHANGED AT RUNTIME"], &[2, 3]);
    for ListStatus { kind, name, ipv4, ipv6, changed } in lists {
        let changed = if *changed { "yes" } else { "no" };
        table.row([
            name.clone(),
            kind.clone(),
            ipv4.to_string(),
            ipv6.to_string(),
            changed.to_owned(),
        ]);
    }
    table.render()
}

fn read(file: &Path) -> Result<String> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read.with_context(|| format!("cannot read the list file {}", file.display()))
}

/// A moment in the form of RFC 3339.
pub fn time(seconds: u64) -> String {
    let moment =
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(moment).to_string()
}

/// The text as it was written, once it is known to be a prefix; the daemon tells of host bits.
fn prefix(text: &str) -> Result<String, String> {
    match Prefix::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(PrefixError { message, help }) => Err(format!("{message}; {help}")),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl.as_secs() > 0 => Ok(ttl),
        Ok(_) => Err("it is shorter than a second".to_owned()),
        Err(error) => Err(format!("{error}; write for example 90s, 15m, 1h or 7d")),
    }
}
