//! The tables of true against counted, in docs/accuracy.md.

use std::{fmt::Write as _, fs};

use super::site::Tally;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accuracy.md");
const BEGIN: &str =
    "<!-- servers: written by `UPDATE_DOCS=1 cargo xtask test accuracy_servers` -->\n";
const END: &str = "<!-- end of servers -->\n";

/// Writes them if the environment has `UPDATE_DOCS`, else checks that every case is listed.
pub fn write(rows: &[(String, Tally, Tally)], times: &str) {
    let text = |tally: &Tally| {
        let words = tally.iter().map(|(key, count)| {
            let (port, what) = key.split_once(' ').expect("a port");
            format!("{count} x {what} ({port})")
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let mut table = "\n| case | true | foobar |\n|---|---|---|\n".to_owned();
    for (name, truth, counted) in rows {
        writeln!(table, "| {name} | {} | {} |", text(truth), text(counted)).expect("a string");
    }
    table += "\nTime to the first byte: requests to a backend that waits 0, 50 or 250 ms, how many of them took up to 25, 100 and 500 ms, and \
              the mean.\n\n| server | logged | foobar |\n|---|---|---|\n";
    table += times;
    table.push('\n');
    let document = fs::read_to_string(DOCUMENT).expect(DOCUMENT);
    let (before, rest) = document.split_once(BEGIN).expect(BEGIN);
    let (listed, after) = rest.split_once(END).expect(END);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}")).expect(DOCUMENT);
        return;
    }
    for (name, ..) in rows {
        assert!(listed.contains(&format!("| {name} |")), "docs/accuracy.md has no row for {name}");
    }
}
