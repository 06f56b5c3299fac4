//! From a screen to lines of text.

use std::time::{SystemTime, UNIX_EPOCH};

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    cells::{Palette, age, count, cut, rate},
    drops, ports,
    screen::Screen,
};
use crate::live::AttachmentStatus;

/// From this width on, reasons and sources stand side by side.
const SIDE_BY_SIDE: usize = 132;
/// Counters older than this (seconds) are told to be old.
const OLD: f64 = 5.0;

const HELP: &[&str] = &[
    "q  Esc    quit",
    "p  space  pause, and go on",
    "s         sort ports: as the rules name them, by qps, by p95, by drops",
    "b         sort blocked sources: by rate, by packets",
    "w         rates over 1, 10 or 60 seconds",
    "up  down  more ports",
    "?  h      this help",
    "",
    "CONN/S    connections accepted",
    "REQ/S     requests answered; - where requests are not observed",
    "P50 P95   time to the first byte of the answer, over 10 seconds: half, and",
    "          95 of 100, were not slower. RESPONSE is the last minute of P95",
    "DROP/S    packets to the port dropped (mode audit: that would have been)",
    "RTT       round-trip time of handshakes, the median; from 100 columns on",
    "PACKETS   since you look. The kernel tells of 1,000 drops a second at most,",
    "          so sources are estimated; foobar keeps and exports none of them",
];

/// All lines of a frame. With a `height` the frame fits into it and its last line names the keys; without one, nothing is left
/// out.
pub fn lines(
    screen: &Screen,
    width: u16,
    height: Option<u16>,
    palette: Palette,
) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let mut lines = head(screen, width, palette);
    if screen.help {
        lines.push(Line::default());
        lines.extend(HELP.iter().map(|&line| Line::from(format!(" {line}"))));
    } else {
        let live = screen.live();
        let wanted = Rows {
            ports: live.ports.len(),
            reasons: live.reasons.len().max(1),
            sources: live.blocked.as_ref().map_or(0, Vec::len).max(1),
        };
        let is_wide = width >= SIDE_BY_SIDE;
        let rows = match height {
            // The headings, a blank before each part, and the keys.
            Some(height) => {
                let fixed = lines.len() + 2 + 2 + if is_wide { 0 } else { 2 } + 1;
                wanted.within(usize::from(height).saturating_sub(fixed), is_wide)
            }
            None => wanted,
        };
        lines.push(Line::default());
        lines.extend(ports::lines(screen, width, rows.ports, palette));
        lines.push(Line::default());
        if is_wide {
            let half = width / 2 - 2;
            let reasons = drops::reasons(screen, half, rows.reasons, palette);
            let sources = drops::sources(screen, width - half - 2, rows.sources, palette);
            lines.extend(beside(reasons, half + 2, sources));
        } else {
            lines.extend(drops::reasons(screen, width, rows.reasons, palette));
            lines.push(Line::default());
            lines.extend(drops::sources(screen, width, rows.sources, palette));
        }
    }
    if let Some(height) = height {
        lines.truncate(usize::from(height).saturating_sub(1));
        lines.resize(usize::from(height).saturating_sub(1), Line::default());
        lines.push(keys(screen, palette));
    }
    lines
}

/// Rows of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    ports: usize,
    reasons: usize,
    sources: usize,
}

impl Rows {
    /// As many as fit into `rows`: each part gets a third, and what one does not need goes to the others.
    fn within(self, rows: usize, is_wide: bool) -> Self {
        let lower = |ports: usize| rows.saturating_sub(ports);
        if is_wide {
            let ports =
                self.ports.min(rows.saturating_sub(self.reasons.max(self.sources).min(rows / 2)));
            return Self { ports, reasons: lower(ports), sources: lower(ports) };
        }
        let third = rows / 3;
        let needed = self.reasons.min(third) + self.sources.min(third);
        let ports = self.ports.min(rows.saturating_sub(needed));
        let reasons = self.reasons.min(lower(ports).saturating_sub(self.sources.min(third)));
        let sources = self.sources.min(lower(ports).saturating_sub(reasons));
        Self { ports, reasons, sources }
    }
}

/// What runs, with which policy, where; then what an operator must not overlook.
fn head(screen: &Screen, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let live = screen.live();
    let facts = &live.facts;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let since = |moment: u64| age(now.saturating_sub(moment));
    let mode = if facts.mode == "enforce" { palette.good() } else { palette.warn() };
    let state = match (&screen.lost, screen.is_paused(), facts.warnings.len()) {
        (Some(_), ..) => Span::styled("NO ANSWER", palette.bad()),
        (_, true, _) => Span::styled("PAUSED", palette.warn()),
        (.., 0) if facts.problem.is_none() => Span::styled("healthy", palette.good()),
        (.., 1) => Span::styled("1 warning", palette.warn()),
        (.., count) => Span::styled(format!("{count} warnings"), palette.warn()),
    };
    let dropped = if facts.mode == "audit" { "would be dropped" } else { "dropped" };
    let title = vec![
        Span::styled(format!(" foobar {}", facts.version), palette.strong()),
        Span::raw("  "),
        Span::styled(facts.mode.clone(), mode),
        Span::raw(format!("  generation {} for {}", facts.generation, since(facts.applied_at))),
        Span::styled(format!("  up {}", since(facts.started_at)), palette.quiet()),
        Span::raw("  "),
        state,
    ];
    let packets = format!(
        " {}/s passed  {}/s {dropped}  {}",
        rate(live.packets.passed),
        rate(live.packets.dropped),
        interfaces(&facts.attachments),
    );
    let mut lines = vec![Line::from(title), Line::from(cut(&packets, width))];
    let lists: Vec<_> = facts
        .lists
        .iter()
        .map(|list| {
            format!("{} {} {}", list.kind, list.name, count((list.ipv4 + list.ipv6) as u64))
        })
        .collect();
    if !lists.is_empty() {
        let lists = format!(" lists: {}", lists.join(", "));
        lines.push(Line::from(Span::styled(cut(&lists, width), palette.quiet())));
    }
    let old =
        (live.age > OLD).then(|| format!("the counters were read last {:.0} s ago", live.age));
    let bad = screen.lost.iter().chain(&facts.problem).chain(&old);
    let mut notices: Vec<_> = bad.map(|text| (text, palette.bad())).collect();
    notices.extend(facts.warnings.iter().map(|text| (text, palette.warn())));
    let shown = if notices.len() > 2 { 1 } else { 2 };
    for (text, style) in notices.iter().take(shown) {
        lines.push(Line::from(Span::styled(cut(&format!(" ! {text}"), width), *style)));
    }
    if notices.len() > shown {
        let more = format!(" ! and {} more: `foobar status`", notices.len() - shown);
        lines.push(Line::from(Span::styled(more, palette.warn())));
    }
    lines
}

/// Where the programs are, in few words: `eth0 native+tcx`.
fn interfaces(attachments: &[AttachmentStatus]) -> String {
    let mut words: Vec<(&str, String)> = Vec::new();
    for AttachmentStatus { interface, mode, attached, .. } in attachments {
        let mode = if *attached { mode.as_str() } else { "NOT ATTACHED" };
        match words.iter_mut().find(|(known, _)| known == interface) {
            Some((_, modes)) if modes.split('+').any(|known| known == mode) => {}
            Some((_, modes)) => *modes = format!("{modes}+{mode}"),
            None => words.push((interface, mode.to_owned())),
        }
    }
    let words: Vec<_> =
        words.iter().map(|(interface, modes)| format!("{interface} {modes}")).collect();
    if words.is_empty() { "no interface is filtered".to_owned() } else { words.join(", ") }
}

/// The line of keys.
fn keys(screen: &Screen, palette: Palette) -> Line<'static> {
    let keys = [
        ("q", "quit".to_owned()),
        ("p", if screen.is_paused() { "go on" } else { "pause" }.to_owned()),
        ("s", format!("sort: {}", screen.order.name())),
        ("b", format!("sources: {}", if screen.by_packets { "packets" } else { "rate" })),
        ("w", format!("over {}", screen.over.name())),
        ("?", "help".to_owned()),
    ];
    let spans = keys.into_iter().flat_map(|(key, what)| {
        let key = Span::styled(format!(" {key} "), Style::new().reversed());
        [key, Span::styled(format!(" {what}  "), palette.quiet())]
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// Two columns, the second of which begins at `start`.
fn beside(
    first: Vec<Line<'static>>,
    start: usize,
    second: Vec<Line<'static>>,
) -> Vec<Line<'static>> {
    let rows = first.len().max(second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    (0..rows)
        .map(|_| {
            let mut line = first.next().unwrap_or_default();
            line.push_span(" ".repeat(start.saturating_sub(line.width())));
            line.spans.extend(second.next().unwrap_or_default().spans);
            line
        })
        .collect()
}
