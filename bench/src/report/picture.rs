//! Pictures of tables, as SVG: bars for cases and subjects, lines for curves.
//!
//! Drawn by hand: text, rectangles and lines are all that is needed, and the files stay small and readable in a diff.

use std::fmt::Write as _;

use super::markdown::number;
use crate::results::{Row, Table};

const WIDTH: f64 = 820.0;
const FONT: &str = "font-family=\"system-ui,sans-serif\"";
/// Readable on white and on black, and told apart by those who see few colours (Okabe and Ito, 2008).
const COLOURS: [&str; 7] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"];

/// The picture of a table; nothing for an empty one.
pub fn of(table: &Table) -> Option<String> {
    if table.rows.is_empty() {
        return None;
    }
    Some(if table.axis.is_some() { curves(table) } else { bars(table) })
}

/// What is drawn of a row: its ratio, where it has one.
fn value(table: &Table, row: &Row) -> (f64, f64, f64) {
    let summary = match (&table.floor, row.ratio) {
        (Some(_), Some(ratio)) if table.axis.is_none() => ratio,
        _ => row.summary,
    };
    (summary.median, summary.low, summary.high)
}

fn bars(table: &Table) -> String {
    const LEFT: f64 = 300.0;
    const BAR: f64 = 14.0;
    const GAP: f64 = 10.0;
    let (cases, subjects) = table.axes();
    let most = table.rows.iter().map(|row| value(table, row).0).fold(0.0, f64::max);
    // A peer that is far behind would leave no room for the others.
    let smallest = table.rows.iter().map(|row| value(table, row).0).fold(f64::MAX, f64::min);
    let is_wide = smallest > 0.0 && most / smallest > 40.0;
    let share = |value: f64| match is_wide {
        true => ((value / smallest).ln() + 0.3) / ((most / smallest).ln() + 0.3),
        false => value / most,
    };
    let scale = |value: f64| share(value).clamp(0.0, 1.0) * (WIDTH - LEFT - 120.0);
    let height = 50.0 + table.rows.len() as f64 * (BAR + 3.0) + cases.len() as f64 * (GAP + 16.0);
    let unit = match &table.floor {
        Some(floor) => format!("multiples of {floor}"),
        None => table.unit.to_owned(),
    };
    let scaled = if is_wide { ", logarithmic" } else { "" };
    let mut svg = start(height, &format!("{} — {unit}{scaled}", short(&table.title)));
    let mut top = 42.0;
    for case in cases {
        let _ = write!(
            svg,
            "<text x=\"10\" y=\"{:.0}\" font-size=\"12\" font-weight=\"bold\">{}</text>",
            top + 10.0,
            escaped(case)
        );
        top += 16.0;
        for row in table.rows.iter().filter(|row| row.case == case) {
            let (median, low, high) = value(table, row);
            let colour = subjects.iter().position(|name| *name == row.subject).unwrap_or(0);
            let middle = top + BAR / 2.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"11\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\" stroke=\"#444\"/>\
                 <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"11\">{}</text>",
                LEFT - 6.0,
                top + 11.0,
                escaped(&row.subject),
                scale(median),
                COLOURS[colour % COLOURS.len()],
                LEFT + scale(low),
                LEFT + scale(high),
                LEFT + scale(high.max(median)) + 6.0,
                top + 11.0,
                number(median)
            );
            top += BAR + 3.0;
        }
        top += GAP;
    }
    svg + "</g></svg>\n"
}

fn curves(table: &Table) -> String {
    const LEFT: f64 = 60.0;
    const RIGHT: f64 = 170.0;
    const TOP: f64 = 45.0;
    const HEIGHT: f64 = 340.0;
    const BOTTOM: f64 = 45.0;
    let (cases, subjects) = table.axes();
    let position = |case: &str| case.parse::<f64>().unwrap_or(1.0).max(1.0).log10();
    let (first, last) = (
        cases.iter().map(|case| position(case)).fold(f64::MAX, f64::min),
        cases.iter().map(|case| position(case)).fold(f64::MIN, f64::max),
    );
    let most = table.rows.iter().map(|row| row.summary.high).fold(0.0, f64::max);
    let least = table.rows.iter().map(|row| row.summary.low).fold(f64::MAX, f64::min);
    let is_log = least > 0.0 && most / least > 30.0;
    let x = |case: &str| {
        LEFT + (position(case) - first) / (last - first).max(1e-9) * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| {
        let share =
            if is_log { (value / least).ln() / (most / least).ln() } else { value / (most * 1.05) };
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP)
    };
    let scaled = if is_log { ", logarithmic" } else { "" };
    let mut svg = start(HEIGHT, &format!("{} — {}{scaled}", short(&table.title), table.unit));
    let steps = 5;
    for step in 0..=steps {
        let share = f64::from(step) / f64::from(steps);
        let value = if is_log { least * (most / least).powf(share) } else { most * share };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(value) + 4.0,
            number(value),
            y = y(value)
        );
    }
    for case in &cases {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" font-size=\"11\" text-anchor=\"middle\">{case}</text>",
            x(case),
            HEIGHT - BOTTOM + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"12\" text-anchor=\"middle\">{}</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 8.0,
        escaped(table.axis.unwrap_or_default())
    );
    for (number, subject) in subjects.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<(f64, f64)> = cases
            .iter()
            .filter_map(|case| Some((x(case), y(table.row(case, subject)?.summary.median))))
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in &points {
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let top = TOP + 18.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.0}\" y=\"{top:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" font-size=\"12\">{}</text>",
            WIDTH - RIGHT + 14.0,
            WIDTH - RIGHT + 32.0,
            top + 10.0,
            escaped(subject)
        );
    }
    svg + "</g></svg>\n"
}

fn start(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{0}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <g {FONT} fill=\"#222\">\n<text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{0}</text>",
        escaped(title)
    )
}

/// A title without its details.
fn short(title: &str) -> &str {
    title.split_once(" (").map_or(title, |(short, _)| short)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_drawn_within_the_picture() {
        let mut table = Table::new("name", "Title (details)", "ns", Some("floor"));
        table.add("one & two", "floor", vec![1.0, 1.0], Some(&[1.0, 1.0]));
        table.add("one & two", "other", vec![90.0, 100.0], Some(&[1.0, 1.0]));
        let svg = of(&table).expect("a picture");
        assert_eq!(svg.matches("<rect x=").count(), 2);
        assert!(svg.contains("one &amp; two") && svg.ends_with("</svg>\n"));
        let mut table = Table::new("name", "Title", "ns", None).over("prefixes");
        for (case, value) in [("10", 1.0), ("1000", 200.0)] {
            table.add(case, "IPv4", vec![value], None);
        }
        let svg = of(&table).expect("a picture");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("logarithmic") && !svg.contains("NaN"));
        assert_eq!(of(&Table::new("name", "Title", "ns", None)), None);
    }
}
