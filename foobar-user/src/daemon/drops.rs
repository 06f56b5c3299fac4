//! Dropped packets in the log: a sample at the configured rate, and how many more there were.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use foobar_common::{
    event::{PacketEvent, Sampling},
    reason::{Reason, Verdict},
};
use tracing::info;

use super::shared::Legend;
use crate::{
    kernel::{self, Counters, Engine, Events, KernelError},
    policy::{config::Rate, protocol::Protocol},
};

/// How often the log says how many dropped packets it does not show.
const SUMMARY: Duration = Duration::from_secs(10);

/// The sampled log of dropped packets.
#[derive(Default)]
pub struct DropLog {
    events: Option<Events>,
    /// What may still be told of, in packets.
    allowance: f64,
    refilled: Option<Instant>,
    /// What was told since the last summary, by reason.
    told: BTreeMap<Reason, u64>,
    /// What had been dropped at the last summary, by reason.
    counted: Option<(Instant, BTreeMap<Reason, u64>)>,
    interfaces: HashMap<u32, String>,
}

impl DropLog {
    /// Lets the kernel tell of as many packets as the rate allows since the last call; `None` turns the log off.
    ///
    /// # Errors
    /// The ring buffer cannot be opened, or the map not be written.
    pub fn refill(&mut self, engine: &Engine, rate: Option<&Rate>) -> Result<(), KernelError> {
        let Some(rate) = rate.map(|rate| rate.per_second()) else {
            if self.events.take().is_some() {
                engine.set_sampling(Sampling::default())?;
            }
            self.refilled = None;
            return Ok(());
        };
        if self.events.is_none() {
            self.events = Some(engine.events()?);
        }
        let now = Instant::now();
        let elapsed = self.refilled.map_or(1.0, |last| now.duration_since(last).as_secs_f64());
        self.refilled = Some(now);
        // What a quiet time leaves over is lost, or a burst would follow it.
        self.allowance = (self.allowance + rate * elapsed).min(rate.max(1.0) * 2.0);
        let whole = self.allowance.floor();
        if whole >= 1.0 {
            self.allowance -= whole;
            engine.set_sampling(Sampling { drops: whole as u32, ..Sampling::default() })?;
        }
        Ok(())
    }

    /// Writes what came, and from time to time how much more was dropped.
    pub fn tell(&mut self, legend: &Legend, counters: &Counters) {
        while let Some(event) = self.events.as_mut().and_then(Events::next) {
            self.one(legend, &event);
        }
        if self.events.is_none() {
            self.counted = None;
            return;
        }
        let now = Instant::now();
        match &self.counted {
            Some((since, _)) if now.duration_since(*since) < SUMMARY => {}
            last => {
                let refused = legend.accounting.refused(counters);
                if let Some((since, before)) = last {
                    self.summary(now.duration_since(*since), before, &refused);
                }
                self.told.clear();
                self.counted = Some((now, refused));
            }
        }
    }

    fn one(&mut self, legend: &Legend, event: &PacketEvent) {
        let Some(meaning) = legend.labels.describe(event.counter) else { return };
        if meaning.reason.verdict() == Verdict::Pass {
            return;
        }
        *self.told.entry(meaning.reason).or_default() += 1;
        info!(
            interface = self.interface(event.interface),
            direction = if event.direction == 0 { "in" } else { "out" },
            protocol = protocol(event),
            from = endpoint(event, &event.source, event.source_port),
            to = endpoint(event, &event.destination, event.destination_port),
            length = event.length,
            reason = meaning.reason.name(),
            rule = meaning.rule,
            "{}",
            if event.audited == 1 { "would be dropped" } else { "dropped" },
        );
    }

    fn summary(&self, time: Duration, before: &BTreeMap<Reason, u64>, now: &BTreeMap<Reason, u64>) {
        let mut more: Vec<(u64, &str)> = now
            .iter()
            .map(|(reason, count)| {
                let known = before.get(reason).copied().unwrap_or(0) + self.told.get(reason).copied().unwrap_or(0);
                (count.saturating_sub(known), reason.name())
            })
            .filter(|&(count, _)| count > 0)
            .collect();
        if more.is_empty() {
            return;
        }
        more.sort_by(|a, b| b.cmp(a));
        let total: u64 = more.iter().map(|&(count, _)| count).sum();
        let reasons: Vec<_> = more.iter().map(|(count, reason)| format!("{reason} {count}")).collect();
        info!("{total} more packets dropped in {:.0} s, not logged: {}", time.as_secs_f64(), reasons.join(", "));
    }

    fn interface(&mut self, index: u32) -> String {
        if !self.interfaces.contains_key(&index) {
            self.interfaces = kernel::interfaces()
                .map(|found| found.into_iter().map(|interface| (interface.index, interface.name)).collect())
                .unwrap_or_default();
        }
        self.interfaces.get(&index).cloned().unwrap_or_else(|| index.to_string())
    }
}

fn protocol(event: &PacketEvent) -> String {
    match event.ip_version {
        0 => "not IP".to_owned(),
        _ => Protocol(event.protocol).to_string(),
    }
}

/// An address with its port, as in `192.0.2.1:22` or `[2001:db8::1]:22`; ports are in network byte order.
fn endpoint(event: &PacketEvent, address: &[u8; 16], port: u16) -> String {
    let address = match event.ip_version {
        4 => IpAddr::from(Ipv4Addr::new(address[0], address[1], address[2], address[3])),
        6 => IpAddr::from(Ipv6Addr::from(*address)),
        _ => return "-".to_owned(),
    };
    match (u16::from_be(port), address) {
        (0, address) => address.to_string(),
        (port, IpAddr::V4(address)) => format!("{address}:{port}"),
        (port, IpAddr::V6(address)) => format!("[{address}]:{port}"),
    }
}
