//! What is shown and how.

use crate::live::{
    Live,
    blocked::BlockedSource,
    track::POINTS,
    view::{PortView, Windows},
};

/// In which order ports stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortOrder {
    /// As the rules name them.
    #[default]
    Rules,
    /// Most requests (connections, where requests are not observed) first.
    Qps,
    /// Slowest first.
    Response,
    /// Most drops first.
    Drops,
}

impl PortOrder {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Qps => "qps",
            Self::Response => "p95",
            Self::Drops => "drops",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Rules => Self::Qps,
            Self::Qps => Self::Response,
            Self::Response => Self::Drops,
            Self::Drops => Self::Rules,
        }
    }
}

/// The time that rates are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    #[default]
    One,
    Ten,
    Sixty,
}

impl Over {
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "1s",
            Self::Ten => "10s",
            Self::Sixty => "60s",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::One => Self::Ten,
            Self::Ten => Self::Sixty,
            Self::Sixty => Self::One,
        }
    }

    /// The rate over that time.
    pub const fn of(self, windows: &Windows) -> f64 {
        match self {
            Self::One => windows.one,
            Self::Ten => windows.ten,
            Self::Sixty => windows.sixty,
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Quit,
    Pause,
    SortPorts,
    SortSources,
    Over,
    Help,
    Up,
    Down,
}

/// What is shown.
#[derive(Debug, Default)]
pub struct Screen {
    /// The newest numbers, with all of their history.
    newest: Live,
    /// The numbers that stand still.
    frozen: Option<Live>,
    pub order: PortOrder,
    pub over: Over,
    /// Blocked sources by all of their packets, not by their rate.
    pub by_packets: bool,
    pub help: bool,
    /// Ports above the first that is shown.
    pub scrolled: usize,
    /// Why there are no new numbers.
    pub lost: Option<String>,
}

impl Screen {
    /// New numbers, with what came to the history.
    pub fn take(&mut self, mut live: Live) {
        if live.history.id == self.newest.history.id {
            let before = std::mem::take(&mut self.newest);
            prepend(before.packets.passed_history, &mut live.packets.passed_history);
            prepend(before.packets.dropped_history, &mut live.packets.dropped_history);
            for (before, now) in before.ports.into_iter().zip(&mut live.ports) {
                join(before, now);
            }
            for now in &mut live.reasons {
                let before = before.reasons.iter().find(|before| before.reason == now.reason);
                let history = before.map(|before| before.rate_history.clone()).unwrap_or_default();
                prepend(history, &mut now.rate_history);
            }
            live.history.points = live.packets.dropped_history.len();
        }
        self.newest = live;
        self.lost = None;
    }

    /// The numbers to show.
    pub fn live(&self) -> &Live {
        self.frozen.as_ref().unwrap_or(&self.newest)
    }

    pub fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Does what a key asks for. Returns whether to go on.
    pub fn wish(&mut self, wish: Wish) -> bool {
        match wish {
            Wish::Quit => return false,
            Wish::Pause if self.is_paused() => self.frozen = None,
            Wish::Pause => self.frozen = Some(self.newest.clone()),
            Wish::SortPorts => self.order = self.order.next(),
            Wish::SortSources => self.by_packets = !self.by_packets,
            Wish::Over => self.over = self.over.next(),
            Wish::Help => self.help = !self.help,
            Wish::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Wish::Down => {
                self.scrolled = (self.scrolled + 1).min(self.live().ports.len().saturating_sub(1));
            }
        }
        true
    }

    /// Requests a second, or connections where requests are not observed.
    pub fn qps(&self, port: &PortView) -> f64 {
        self.over.of(port.requests.as_ref().unwrap_or(&port.connections))
    }

    /// The ports in their order.
    pub fn ports(&self) -> Vec<&PortView> {
        let mut ports: Vec<_> = self.live().ports.iter().collect();
        let p95 = |port: &PortView| port.response.and_then(|times| times.p95).unwrap_or(-1.0);
        match self.order {
            PortOrder::Rules => {}
            PortOrder::Qps => ports.sort_by(|a, b| self.qps(b).total_cmp(&self.qps(a))),
            PortOrder::Response => ports.sort_by(|a, b| p95(b).total_cmp(&p95(a))),
            PortOrder::Drops => ports.sort_by(|a, b| b.dropped.total_cmp(&a.dropped)),
        }
        ports
    }

    /// The blocked sources in their order.
    pub fn sources(&self) -> Vec<&BlockedSource> {
        let mut sources: Vec<_> = self.live().blocked.iter().flatten().collect();
        if self.by_packets {
            sources.sort_by(|a, b| b.packets.total_cmp(&a.packets));
        }
        sources
    }
}

/// Puts what was known before what came.
fn prepend<T>(mut before: Vec<T>, now: &mut Vec<T>) {
    before.append(now);
    before.drain(..before.len().saturating_sub(POINTS));
    *now = before;
}

fn join(before: PortView, now: &mut PortView) {
    prepend(before.connections_history, &mut now.connections_history);
    prepend(before.dropped_history, &mut now.dropped_history);
    if let (Some(before), Some(now)) = (before.requests_history, &mut now.requests_history) {
        prepend(before, now);
    }
    if let (Some(before), Some(now)) = (before.response_history, &mut now.response_history) {
        prepend(before.p50, &mut now.p50);
        prepend(before.p95, &mut now.p95);
    }
}
