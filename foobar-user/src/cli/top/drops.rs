//! Why packets are dropped, and whose.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    cells::{Palette, count, left, rate, right},
    screen::Screen,
    spark::spark,
};

/// Everything of a reason but its sparkline, with the blanks between.
const REASON: usize = 19 + 7 + 8;
/// An IPv6 address in full, and everything else of a source.
const ADDRESS: usize = 39;
/// Points in a history: more would not be drawn.
const WIDEST: usize = 300;

/// Drops by reason: a heading and at most `rows` reasons.
pub fn reasons(screen: &Screen, width: usize, rows: usize, palette: Palette) -> Vec<Line<'static>> {
    let live = screen.live();
    let quiet = palette.quiet();
    let wide = width.saturating_sub(REASON + 1).min(WIDEST);
    let title = if live.facts.mode == "audit" { "WOULD BE DROPPED" } else { "DROPPED BECAUSE" };
    let heading = vec![
        left(title, 18, quiet),
        right("PKT/S", 6, quiet),
        left("", wide, quiet),
        right("TOTAL", 7, quiet),
    ];
    let mut lines = vec![Line::from(heading)];
    for reason in live.reasons.iter().take(rows) {
        let points: Vec<_> = reason.rate_history.iter().copied().map(Some).collect();
        let style = if reason.rate > 0.0 { palette.drop() } else { quiet };
        lines.push(Line::from(vec![
            left(&reason.reason, 18, Style::new()),
            right(&rate(reason.rate), 6, style),
            left(&spark(&points, live.history.last, wide), wide, palette.drop()),
            right(&count(reason.total), 7, Style::new()),
        ]));
    }
    if live.reasons.is_empty() {
        lines.push(Line::from(Span::styled("nothing", quiet)));
    }
    lines
}

/// Blocked sources: a heading and at most `rows` of them.
pub fn sources(screen: &Screen, width: usize, rows: usize, palette: Palette) -> Vec<Line<'static>> {
    let quiet = palette.quiet();
    let reason = width.saturating_sub(ADDRESS + 1 + 6 + 1 + 7 + 1 + 5 + 1 + 1).min(18);
    let heading = vec![
        left("BLOCKED SOURCE (estimated from a sample)", ADDRESS + 1, quiet),
        right("PKT/S", 5, quiet),
        right("PACKETS", 7, quiet),
        right("PORT", 5, quiet),
        left("REASON", reason, quiet),
    ];
    let mut lines = vec![Line::from(heading)];
    let sources = screen.sources();
    for source in sources.iter().take(rows) {
        lines.push(Line::from(vec![
            left(&source.source, ADDRESS, palette.strong()),
            right(&rate(source.rate), 6, palette.drop()),
            right(&count(source.packets as u64), 7, Style::new()),
            right(&source.port.map_or("-".to_owned(), |port| port.to_string()), 5, Style::new()),
            left(&source.reason, reason, Style::new()),
        ]));
    }
    if sources.is_empty() {
        lines.push(Line::from(Span::styled("none since you look", quiet)));
    }
    lines
}
