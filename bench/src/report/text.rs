//! Tables on the terminal.

use crate::{goals::Goal, results::Table};

/// Prints a table: a line for each case and subject.
pub fn print(table: &Table) {
    println!("\n{}", table.title);
    let (cases, subjects) = table.axes();
    let width = |names: &[&str]| names.iter().map(|name| name.len()).max().unwrap_or(0);
    let (case_width, subject_width) = (width(&cases), width(&subjects));
    for case in cases {
        let mut name = case;
        for row in table.rows.iter().filter(|row| row.case == case) {
            let (summary, subject) = (row.summary, &row.subject);
            print!(
                "{name:case_width$}  {subject:subject_width$}  {:10.2} {} ({:.2} to {:.2})",
                summary.median, table.unit, summary.low, summary.high
            );
            if let (Some(ratio), Some(floor)) = (row.ratio, &table.floor) {
                print!("  {:6.2} x {floor} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high);
            }
            println!();
            name = "";
        }
    }
    for missing in &table.missing {
        println!("not measured: {missing}");
    }
}

/// Prints the goals.
pub fn print_goals(goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    println!("\nGoals");
    for Goal { what, bound, measured, reached, .. } in goals {
        let reached = if *reached == Some(true) { "reached" } else { "missed" };
        println!("{reached:8} {what}: {:.2} ({bound})", measured.unwrap_or(f64::NAN));
    }
}
