//! Configurations that someone's cat walked over: no panic, and every mistake has a place in the file.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

const EXAMPLE: &str = include_str!("../../../../../deploy/foobar.example.toml");

/// Characters that matter to TOML, and some that matter to nothing.
fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\[\\]{}=\"',.#0-9/:\n -]{1,3}",
        proptest::sample::select(vec![
            "any",
            "[[rules]]\n",
            "ports",
            "\"65535-1\"",
            "::/0",
            "é",
            "99999999999999999999",
            "-1",
            "0x10",
            "1e9",
            "true"
        ])
        .prop_map(str::to_owned),
    ]
}

/// Configurations in a test run; `FOOBAR_CONFIGURATIONS` chooses another number, as `cargo xtask fuzz --control` does.
fn cases() -> u32 {
    std::env::var("FOOBAR_CONFIGURATIONS").map_or(512, |number| number.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(edits in vec((any::<Index>(), 0usize..12, scrap()), 1..6)) {
        // Without the comments, most of which an edit would change in vain.
        let mut text: Vec<char> =
            EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|line| line.contains(['=', '['])).unwrap_or(line)).collect::<Vec<_>>().join("\n").chars().collect();
        for (at, removed, scrap) in edits {
            let at = at.index(text.len());
            text.splice(at..(at + removed).min(text.len()), scrap.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text) {
            prop_assert!(error.errors() > 0);
            let lines: Vec<&str> = text.split('\n').collect();
            for found in &error.diagnostics {
                prop_assert!(found.line as usize <= lines.len(), "{found}");
                let line = (found.line as usize).checked_sub(1).map_or("", |line| lines[line]);
                prop_assert!(found.column as usize <= line.chars().count() + 1, "{found} in {line:?}");
            }
        }
    }
}
