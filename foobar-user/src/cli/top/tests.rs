//! Frames as people see them.

use ratatui::{Terminal, backend::TestBackend};

use super::{
    cells::Palette,
    picture,
    screen::{Screen, Wish},
    terminal::draw,
};
use crate::live::{
    AttachmentStatus, Facts, ListStatus, Live,
    blocked::BlockedSource,
    view::{PacketView, PortView, QuantileHistory, Quantiles, ReasonView, Span, Windows},
};

fn windows(rate: f64) -> Windows {
    Windows { one: rate, ten: rate * 2.0, sixty: rate * 3.0 }
}

fn port(name: &str, rate: f64, requests: Option<f64>) -> PortView {
    PortView {
        port: name.to_owned(),
        connections: windows(rate),
        requests: requests.map(windows),
        open: 812,
        dropped: rate / 100.0,
        response: requests.map(|rate| Quantiles { p50: Some(1.8), p95: Some(rate / 10.0) }),
        connections_history: vec![rate; 60],
        requests_history: requests
            .map(|rate| (0..60).map(|second| rate * f64::from(second)).collect()),
        response_history: requests
            .map(|_| QuantileHistory { p50: vec![Some(1.8); 60], p95: vec![Some(14.0); 60] }),
        ..PortView::default()
    }
}

fn live(ports: Vec<PortView>) -> Live {
    let reasons =
        ["blocklist", "no_rule", "source_not_allowed", "invalid_flags", "martian", "unsolicited"];
    Live {
        history: Span { id: 1, last: 60, points: 60 },
        facts: Facts {
            version: "0.1.0".to_owned(),
            mode: "enforce".to_owned(),
            generation: 42,
            attachments: ["native", "tcx", "tcx"]
                .map(|mode| AttachmentStatus {
                    interface: "eth0".to_owned(),
                    index: 2,
                    program: String::new(),
                    mode: mode.to_owned(),
                    attached: true,
                    missing: false,
                    note: None,
                })
                .to_vec(),
            lists: vec![ListStatus {
                kind: "block".to_owned(),
                name: "abuse".to_owned(),
                ipv4: 184_000,
                ipv6: 9_000,
                changed: false,
            }],
            ..Facts::default()
        },
        packets: PacketView { passed: 18_200.0, dropped: 812.0, ..PacketView::default() },
        ports,
        reasons: reasons
            .iter()
            .map(|reason| ReasonView {
                reason: (*reason).to_owned(),
                rate: 400.0,
                total: 123_456,
                rate_history: vec![400.0; 60],
                ..ReasonView::default()
            })
            .collect(),
        blocked: Some(
            (0..20)
                .map(|number| BlockedSource {
                    source: format!("2001:db8:1111:2222:3333:4444:5555:{:x}", 0x6660 + number),
                    rate: f64::from(100 - number),
                    packets: f64::from(1000 + number),
                    reason: "source_not_allowed".to_owned(),
                    port: Some(65_535),
                })
                .collect(),
        ),
        ..Live::default()
    }
}

fn three_ports() -> Vec<PortView> {
    vec![port("443", 120.0, Some(2400.0)), port("22", 0.5, None), port("other", 3.0, None)]
}

fn screen(ports: Vec<PortView>) -> Screen {
    let mut screen = Screen::default();
    screen.take(live(ports));
    screen
}

/// The frame of a terminal of this size, a line each.
fn frame(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen, Palette::plain())).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |row| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
    (0..height).map(|row| line(row).trim_end().to_owned()).collect()
}

#[test]
fn eighty_columns_and_24_rows_have_all_that_matters() {
    let lines = frame(&screen(three_ports()), 80, 24);
    let text = lines.join("\n");
    for part in [
        "foobar 0.1.0  enforce  generation 42",
        "healthy",
        "18.2k/s passed  812/s dropped  eth0 native+tcx",
        "block abuse 193k",
        "   443    120   2400 ",
        "1.8ms  240ms",
        "source_not_allowed",
        // In full: an address that is cut cannot be blocked.
        "2001:db8:1111:2222:3333:4444:5555:6660",
        "65535 source_not_allowed",
        " q  quit",
        " ?  help",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(lines.len(), 24);
    assert!(
        lines.last().unwrap().starts_with("  q  quit")
            || lines.last().unwrap().starts_with(" q  quit")
    );
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
    let rising = lines.iter().find(|line| line.contains("   443")).unwrap();
    assert!(rising.contains('█') && rising.contains('▂'), "the sparkline rises: {rising}");
}

#[test]
fn many_ports_leave_room_for_drops_and_can_be_scrolled() {
    let ports = (1..=16).map(|number| port(&(8000 + number).to_string(), 1.0, None)).collect();
    let mut screen = screen(ports);
    let text = frame(&screen, 80, 24).join("\n");
    assert!(text.contains("  8001") && !text.contains("  8016"), "{text}");
    assert!(text.contains("more: up and down keys"), "{text}");
    assert!(text.contains("blocklist") && text.contains("5555:6660"), "{text}");
    (0..30).for_each(|_| assert!(screen.wish(Wish::Down)));
    let text = frame(&screen, 80, 24).join("\n");
    assert!(!text.contains("  8001") && text.contains("  8016"), "{text}");
}

#[test]
fn keys_sort_pause_and_explain() {
    let mut screen = screen(three_ports());
    let first = |screen: &Screen| {
        let lines = frame(screen, 80, 24);
        let heading = lines.iter().position(|line| line.contains("CONN/S")).unwrap();
        lines[heading + 1].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(first(&screen), "443");
    screen.wish(Wish::SortPorts);
    assert_eq!(first(&screen), "443", "by qps");
    let quiet =
        vec![port("443", 1.0, Some(2.0)), port("22", 0.5, None), port("other", 300.0, None)];
    screen.take(live(quiet));
    assert_eq!(first(&screen), "other");
    screen.wish(Wish::SortPorts);
    assert_eq!(first(&screen), "443", "by response time");
    screen.wish(Wish::SortSources);
    assert_eq!(screen.sources()[0].packets, 1019.0);
    screen.wish(Wish::Over);
    assert!(frame(&screen, 80, 24).join("\n").contains("QPS 10s"));

    screen.wish(Wish::Pause);
    screen.take(live(vec![port("8080", 1.0, None)]));
    assert_eq!(first(&screen), "443");
    assert!(frame(&screen, 80, 24)[0].contains("PAUSED"));
    screen.wish(Wish::Pause);
    assert_eq!(first(&screen), "8080");
    screen.wish(Wish::Help);
    let help = frame(&screen, 80, 24).join("\n");
    assert!(
        help.contains("sort blocked sources") && help.contains("exports none of them"),
        "{help}"
    );
    assert!(!screen.wish(Wish::Quit));
}

#[test]
fn what_is_wrong_stands_out_and_ends_with_its_cause() {
    let mut screen = screen(three_ports());
    screen.lost = Some("the daemon stopped".to_owned());
    let lines = frame(&screen, 80, 24);
    assert!(lines[0].contains("NO ANSWER") && lines[3] == " ! the daemon stopped", "{lines:#?}");
    let mut wrong = live(three_ports());
    wrong.age = 9.0;
    wrong.facts.attachments[0].attached = false;
    wrong.facts.warnings = (0..4).map(|number| format!("warning {number}")).collect();
    screen.take(wrong);
    let text = frame(&screen, 80, 24).join("\n");
    assert!(!text.contains("NO ANSWER"), "it is back");
    for part in ["4 warnings", "read last 9 s ago", "and 4 more", "eth0 NOT ATTACHED+tcx"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn every_size_is_drawn() {
    let screen = screen(three_ports());
    for (width, height) in [(1, 1), (20, 5), (40, 10), (79, 23), (80, 24), (200, 60), (400, 100)] {
        frame(&screen, width, height);
    }
    let wide = frame(&screen, 160, 30);
    let beside = wide.iter().find(|line| line.contains("DROPPED BECAUSE")).unwrap();
    assert!(beside.contains("BLOCKED SOURCE"), "{beside}");
    assert!(wide.iter().any(|line| line.ends_with("DROP/S    RTT")), "{wide:#?}");
    frame(&Screen::default(), 80, 24);
}

#[test]
fn a_printed_frame_leaves_nothing_out() {
    let ports = (1..=30).map(|number| port(&(8000 + number).to_string(), 1.0, None)).collect();
    let lines = picture::lines(&screen(ports), 80, None, Palette::plain());
    let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for part in ["  8030", "unsolicited", "5555:6673"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("more:") && !text.contains("quit"), "{text}");
}

#[test]
fn history_goes_on_from_line_to_line() {
    let mut screen = screen(three_ports());
    let mut next =
        live(vec![port("443", 7.0, Some(9.0)), port("22", 0.5, None), port("other", 3.0, None)]);
    next.history = Span { id: 1, last: 61, points: 1 };
    for port in &mut next.ports {
        port.connections_history = vec![7.0];
        port.dropped_history = vec![7.0];
        port.requests_history = port.requests_history.take().map(|_| vec![9.0]);
    }
    next.reasons.truncate(1);
    next.reasons[0].rate_history = vec![9.0];
    screen.take(next);
    let port = &screen.live().ports[0];
    assert_eq!(port.connections_history.len(), 61);
    assert_eq!(port.connections_history[59..], [120.0, 7.0]);
    assert_eq!(port.requests_history.as_ref().unwrap().last(), Some(&9.0));
    assert_eq!(screen.live().reasons[0].rate_history.len(), 61);
    let mut other = live(three_ports());
    other.history.id = 2;
    screen.take(other);
    assert_eq!(screen.live().ports[0].connections_history.len(), 60, "another history");
}
