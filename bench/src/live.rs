//! Live packets, dropped: what a flood costs the machine.
//!
//! The kernel itself makes the packets (BPF_F_TEST_XDP_LIVE_FRAMES) and hands them to one end of a veth pair; the other end has the
//! filter. All of it happens on one CPU, on behalf of the thread that sends, or of that CPU's softirq thread.

use std::time::Duration;

use anyhow::{Result, ensure};
use foobar_tests::harness::Netns;
use foobar_user::kernel::{
    Sandbox,
    measure::{Action, Attached, Rung, Subject},
};
use ipnet::IpNet;

use crate::{
    attempt::or_missing,
    clock,
    lane::Lane,
    peers::{self, Nftables},
    policies::Measured,
    prefixes, processes,
    results::Table,
};

const FLOOR: &str = "XDP_DROP";
const INTERFACE: &str = "eth0";
/// The port of those on the list.
const LISTED: u16 = 8443;
/// Prefixes on the list.
const PREFIXES: usize = 10_000;

/// A filter at the end of a link of its own.
struct Filtered {
    name: &'static str,
    target: Netns,
    lane: Lane,
    /// Packets in a turn: about as many as take a tenth of a second.
    packets: u32,
    samples: Vec<f64>,
    _attached: Option<Attached>,
    _sandbox: Option<Sandbox>,
}

/// What a filter needs to stay.
type Kept = (Option<Attached>, Option<Sandbox>);

/// Measures all subjects.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    let cpu = clock::pin()?;
    let mut table = Table::new(
        "live",
        "Live drop over veth: nanoseconds of CPU a packet, making it included (SYN to a port that its source may not reach, random sources, 10,000 prefixes)",
        "ns",
        Some(FLOOR),
    );
    let list = prefixes::v4(PREFIXES);
    let scale = if quick { 4 } else { 1 };
    let mut subjects = Vec::new();
    let mut add = |name, packets: u32, set_up: &dyn Fn(&Netns) -> Result<Kept>| {
        let made = or_missing(&mut table.missing, name, || subject(name, packets / scale, set_up));
        subjects.extend(made);
    };
    add(FLOOR, 800_000, &|target| attach(target, &Subject::constant(Action::Drop)?));
    for rung in [Rung::Counted, Rung::Source, Rung::Range] {
        // The frame matters to flows alone.
        add(rung.name(), 800_000, &|target| attach(target, &Subject::rung(rung, &[])?));
    }
    add("foobar", 800_000, &|target| foobar(target, &list, false));
    add("foobar, all features", 800_000, &|target| foobar(target, &list, true));
    add("xdp-filter", 600_000, &|target| {
        peers::xdp_filter(target, INTERFACE, &list)?;
        Ok((None, None))
    });
    add("nftables, ingress", 200_000, &|target| {
        peers::receive_by_napi(target, INTERFACE)?;
        peers::nftables(target, Nftables::Ingress(INTERFACE), &list)?;
        Ok((None, None))
    });
    add("iptables raw, ipset", 200_000, &|target| {
        peers::receive_by_napi(target, INTERFACE)?;
        peers::iptables(target, &list)?;
        Ok((None, None))
    });
    add("nftables, stateful", 100_000, &|target| {
        peers::receive_by_napi(target, INTERFACE)?;
        peers::nftables(target, Nftables::Stateful, &list)?;
        Ok((None, None))
    });
    let rounds = if quick { 5 } else { 15 };
    // The first round fills caches and is not counted.
    for round in 0..=rounds {
        for subject in &mut subjects {
            let sample = subject.turn(cpu)?;
            if round > 0 {
                subject.samples.push(sample);
            }
        }
    }
    let floor = subjects.iter().find(|subject| subject.name == FLOOR);
    let floor = floor.map(|subject| subject.samples.clone());
    for subject in subjects {
        table.add("SYN dropped", subject.name, subject.samples, floor.as_deref());
    }
    Ok(vec![table])
}

fn subject(
    name: &'static str,
    packets: u32,
    set_up: &dyn Fn(&Netns) -> Result<Kept>,
) -> Result<Filtered> {
    let target = Netns::new();
    let lane = Lane::new(&target, INTERFACE, LISTED)?;
    let (attached, sandbox) = set_up(&target)?;
    let subject = Filtered {
        name,
        target,
        lane,
        packets,
        samples: Vec::new(),
        _attached: attached,
        _sandbox: sandbox,
    };
    subject.try_out()?;
    Ok(subject)
}

impl Filtered {
    /// Whether the packets arrive at all: what is lost on the way is cheap to drop.
    fn try_out(&self) -> Result<()> {
        const PACKETS: u32 = 10_000;
        let before = Lane::received(&self.target, INTERFACE)?;
        self.lane.enter(|| self.lane.send(PACKETS))?;
        let arrived = Lane::received(&self.target, INTERFACE)? - before;
        ensure!(
            arrived >= u64::from(PACKETS) * 99 / 100,
            "only {arrived} of {PACKETS} packets arrive at the filter"
        );
        Ok(())
    }

    /// Nanoseconds of CPU a packet.
    fn turn(&self, cpu: usize) -> Result<f64> {
        let spent = self.lane.enter(|| -> Result<Duration> {
            clock::pin()?;
            let before = all_time(cpu)?;
            self.lane.send(self.packets)?;
            Ok(all_time(cpu)? - before)
        })?;
        Ok(spent.as_nanos() as f64 / f64::from(self.packets))
    }
}

/// CPU time of this thread, and of the thread that takes over when a CPU has too many packets.
fn all_time(cpu: usize) -> Result<Duration> {
    let helpers = processes::kernel_threads(&format!("ksoftirqd/{cpu}"));
    let mut time = clock::thread_time()?;
    for helper in helpers {
        time += processes::cpu_time(helper)?;
    }
    Ok(time)
}

fn attach(target: &Netns, program: &Subject) -> Result<Kept> {
    let index = Lane::index_of(target, INTERFACE)?;
    Ok((Some(target.enter(|| program.attach(index))?), None))
}

fn foobar(target: &Netns, list: &[IpNet], everything: bool) -> Result<Kept> {
    let policy =
        if everything { Measured::with_everything(list)? } else { Measured::with_customers(list)? };
    let sandbox = policy.load()?;
    let (attached, _) = attach(target, &Subject::ingress(&sandbox)?)?;
    Ok((attached, Some(sandbox)))
}
