//! The table of ports: a row each, with what happened there in the last minute.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    cells::{Palette, left, rate, right, time},
    screen::Screen,
    spark::spark,
};
use crate::live::view::PortView;

/// Everything but the two sparklines, with the blanks between.
const FIXED: usize = 52;
/// From this width on, there is room for the round-trip time as well.
const WITH_NETWORK: usize = 100;
/// Points in a history: more would not be drawn.
const WIDEST: usize = 300;

/// What a terminal of some width has room for.
#[derive(Clone, Copy)]
struct Columns {
    qps: usize,
    response: usize,
    network: bool,
}

impl Columns {
    fn of(width: usize) -> Self {
        let network = width >= WITH_NETWORK;
        let rest = width.saturating_sub(FIXED + if network { 7 } else { 0 });
        let qps = (rest * 6 / 10).min(WIDEST);
        Self { qps, response: (rest - qps).min(WIDEST), network }
    }
}

/// The heading and at most `rows` ports; the last row says how many there are beyond them.
pub fn lines(screen: &Screen, width: usize, rows: usize, palette: Palette) -> Vec<Line<'static>> {
    let columns = Columns::of(width);
    let quiet = palette.quiet();
    let over = screen.over.name();
    let mut heading = vec![
        right("PORT", 6, quiet),
        right("CONN/S", 6, quiet),
        right("REQ/S", 6, quiet),
        left(&format!("QPS {over}"), columns.qps, quiet),
        right("P50", 6, quiet),
        right("P95", 6, quiet),
        left("RESPONSE", columns.response, quiet),
        right("OPEN", 6, quiet),
        right("DROP/S", 6, quiet),
    ];
    if columns.network {
        heading.push(right("RTT", 6, quiet));
    }
    let ports = screen.ports();
    let is_cut = ports.len() > rows;
    let visible = if is_cut { rows.saturating_sub(1) } else { ports.len() };
    let start = screen.scrolled.min(ports.len() - visible);
    let rest = ports.len() - visible;
    let mut lines = vec![Line::from(heading)];
    lines.extend(
        ports[start..].iter().take(visible).map(|port| row(screen, port, columns, palette)),
    );
    if is_cut {
        let text = format!(" {rest} more: up and down keys");
        lines.push(Line::from(Span::styled(text, quiet)));
    }
    lines
}

fn row(screen: &Screen, port: &PortView, columns: Columns, palette: Palette) -> Line<'static> {
    let last = screen.live().history.last;
    let rates = port.requests_history.as_ref().unwrap_or(&port.connections_history);
    let rates: Vec<_> = rates.iter().copied().map(Some).collect();
    let times = port.response_history.as_ref().map_or(&[][..], |history| &history.p95);
    let requests = port.requests.map(|windows| rate(screen.over.of(&windows)));
    let response = port.response.unwrap_or_default();
    let drops = if port.dropped > 0.0 { palette.drop() } else { palette.quiet() };
    let mut cells = vec![
        right(&port.port, 6, palette.strong()),
        right(&rate(screen.over.of(&port.connections)), 6, Style::new()),
        right(requests.as_deref().unwrap_or("-"), 6, Style::new()),
        left(&spark(&rates, last, columns.qps), columns.qps, palette.rate()),
        right(&time(response.p50), 6, Style::new()),
        right(&time(response.p95), 6, Style::new()),
        left(&spark(times, last, columns.response), columns.response, palette.time()),
        right(&port.open.to_string(), 6, Style::new()),
        right(&rate(port.dropped), 6, drops),
    ];
    if columns.network {
        cells.push(right(&time(port.handshake.p50), 6, Style::new()));
    }
    Line::from(cells)
}
