//! A link whose one end makes packets and whose other end drops them.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use foobar_tests::{
    frames::{
        hosts::{SERVER, WORLD},
        packet::v4,
    },
    harness::{Netns, veth},
};
use foobar_user::kernel::measure::Flood;
use serde_json::Value;

/// The end that makes packets.
const SENDER: &str = "out0";

/// A sender and its link to some interface of another namespace.
pub struct Lane {
    sender: Netns,
    index: u32,
    flood: Flood,
}

impl Lane {
    /// Joins a new sender to a namespace; the new interface there has the server's address. The packets are SYNs to a port, from
    /// sources all over IPv4.
    pub fn new(target: &Netns, interface: &str, port: u16) -> Result<Self> {
        let sender = Netns::new();
        veth(&sender, SENDER, target, interface);
        // The address that the frames are sent to.
        target.ip(&format!("link set {interface} address 02:00:00:00:00:01"));
        target.ip(&format!("address add {}/24 dev {interface}", SERVER.v4));
        target.ip(&format!("route replace default dev {interface}"));
        let links: Value = serde_json::from_str(&sender.ip(&format!("-j link show {SENDER}")))?;
        let index = links[0]["ifindex"].as_u64().context("the interface has no number")?;
        let flood = Flood::of(&v4(WORLD.v4, SERVER.v4).tcp(51_000, port, "S").bytes())?;
        Ok(Lane { sender, index: u32::try_from(index)?, flood })
    }

    /// The number of an interface of a namespace.
    pub fn index_of(namespace: &Netns, interface: &str) -> Result<u32> {
        let links: Value =
            serde_json::from_str(&namespace.ip(&format!("-j link show {interface}")))?;
        Ok(u32::try_from(links[0]["ifindex"].as_u64().context("the interface has no number")?)?)
    }

    /// Does some work where packets can be sent.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.sender.enter(work)
    }

    /// Sends so many packets; only inside of [`Lane::enter`].
    pub fn send(&self, count: u32) -> Result<()> {
        Ok(self.flood.send(count, self.index)?)
    }

    /// Packets that the other end has received so far, dropped ones included.
    pub fn received(target: &Netns, interface: &str) -> Result<u64> {
        let links: Value =
            serde_json::from_str(&target.ip(&format!("-j -s link show {interface}")))?;
        links[0]["stats64"]["rx"]["packets"].as_u64().context("no statistics")
    }

    /// Sends about so many packets a second while some work is done; gives what was reached.
    pub fn flood_while<T>(&self, rate: u32, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        // One call costs 25 ms beside its packets.
        let burst = rate / 10;
        let done = AtomicBool::new(false);
        let sent = AtomicU64::new(0);
        thread::scope(|scope| {
            let flooding = scope.spawn(|| {
                self.enter(|| -> Result<f64> {
                    let begin = Instant::now();
                    while !done.load(Ordering::Relaxed) {
                        self.send(burst)?;
                        let so_far =
                            sent.fetch_add(u64::from(burst), Ordering::Relaxed) + u64::from(burst);
                        let due = Duration::from_secs_f64(so_far as f64 / f64::from(rate));
                        thread::sleep(due.saturating_sub(begin.elapsed()));
                    }
                    Ok(sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64())
                })
            });
            // The flood ends also if the work panics.
            let outcome = crate::attempt::attempt(|| {
                thread::sleep(Duration::from_millis(200));
                ensure!(sent.load(Ordering::Relaxed) > 0 || !flooding.is_finished(), "no flood");
                work()
            });
            done.store(true, Ordering::Relaxed);
            let reached = flooding.join().map_err(|_| anyhow::anyhow!("the flood panicked"))??;
            Ok((outcome?, reached))
        })
    }
}
