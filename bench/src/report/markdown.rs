//! Tables of docs/performance.md.

use std::fmt::Write as _;

use crate::{
    goals::Goal,
    machine::Machine,
    results::{Row, Table},
    statistics::Summary,
};

/// A table, with the picture above it.
pub fn table(table: &Table, picture: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(picture) = picture {
        let _ = writeln!(text, "![{}]({picture})\n", table.title);
    }
    let _ = writeln!(text, "{}.\n", table.title);
    if table.axis.is_some() {
        curve(table, &mut text);
    } else {
        list(table, &mut text);
    }
    for missing in &table.missing {
        let _ = writeln!(text, "\nNot measured: {missing}.");
    }
    text
}

/// A line for each case and subject.
fn list(table: &Table, text: &mut String) {
    let ratio = table.floor.as_ref().map(|floor| format!(" of {floor} |"));
    let rule = if ratio.is_some() { "---:|" } else { "" };
    let unit = if table.unit.is_empty() { "" } else { &format!(", {}", table.unit) };
    let _ = writeln!(
        text,
        "| case | subject | median (quarters){unit} |{}",
        ratio.as_deref().unwrap_or("")
    );
    let _ = writeln!(text, "|---|---|---:|{rule}");
    let mut last = "";
    for row in &table.rows {
        let case = if row.case == last { "" } else { &row.case };
        last = &row.case;
        let _ = write!(text, "| {case} | {} | {} |", row.subject, spread(&row.summary));
        if table.floor.is_some() {
            let ratio = row.ratio.map(|ratio| spread(&ratio)).unwrap_or_default();
            let _ = write!(text, " {ratio} |");
        }
        text.push('\n');
    }
}

/// A line for each number, a column for each subject.
fn curve(table: &Table, text: &mut String) {
    let (cases, subjects) = table.axes();
    let _ = write!(text, "| {} |", table.axis.unwrap_or_default());
    for subject in &subjects {
        let _ = write!(text, " {subject}, {} |", table.unit);
    }
    let _ = writeln!(text, "\n|---:|{}", "---:|".repeat(subjects.len()));
    for case in cases {
        let _ = write!(text, "| {} |", grouped(case));
        for subject in &subjects {
            let cell = table.row(case, subject).map(curve_cell).unwrap_or_default();
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
}

fn curve_cell(row: &Row) -> String {
    match row.ratio {
        Some(ratio) => format!("{} ({:.1} x)", spread(&row.summary), ratio.median),
        None => spread(&row.summary),
    }
}

/// A median, and its quarters where there was more than one sample.
fn spread(summary: &Summary) -> String {
    let Summary { median, low, high } = *summary;
    if low == high {
        return number(median);
    }
    format!("{} ({} to {})", number(median), number(low), number(high))
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    grouped(&format!("{value:.digits$}"))
}

/// Thousands set apart.
fn grouped(digits: &str) -> String {
    let (whole, part) =
        digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    part.map_or(text.clone(), |part| format!("{text}.{part}"))
}

/// The goals.
pub fn goals(goals: &[Goal]) -> String {
    let mut text =
        "| goal | bound | measured | | necessary parts alone |\n|---|---:|---:|---|---:|\n"
            .to_owned();
    for Goal { what, bound, measured, reached, parts } in goals {
        let measured = measured.map(number).unwrap_or_default();
        let reached = match reached {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        let parts = parts.map(number).unwrap_or_default();
        let _ = writeln!(text, "| {what} | {bound} | {measured} | {reached} | {parts} |");
    }
    text
}

/// What it ran on.
pub fn machine(machine: &Machine, quick: bool) -> String {
    let mut text = String::new();
    let kind = if machine.virtual_machine { " (a virtual machine)" } else { "" };
    let _ = writeln!(
        text,
        "- CPU: {}, {} in use{kind}\n- kernel: {}\n- processes that wanted to run when it began: {:.1}",
        machine.cpu, machine.cpus, machine.kernel, machine.load
    );
    if let Some(guards) = &machine.guards {
        let _ = writeln!(text, "- guards of the processor that cost time: {guards}");
    }
    let versions: Vec<String> =
        machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let _ = writeln!(text, "- {}", versions.join(", "));
    if quick {
        text.push_str("- with `--quick`: the figures are rough\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_count() {
        for (value, text) in [
            (0.123, "0.12"),
            (9.876, "9.88"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
