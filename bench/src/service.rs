//! A web server while somebody floods it.

use anyhow::Result;
use foobar_tests::harness::Daemon;
use foobar_user::kernel::measure::{Action, Attached, Subject};
use ipnet::IpNet;

use crate::{
    attempt::or_missing,
    lane::Lane,
    peers::{self, Nftables},
    prefixes,
    results::Table,
    web::{INTERFACE, Load, Receivers, Scheme, Site},
};

const FLOOR: &str = "XDP_PASS, XDP_DROP";
const FOOBAR: &str = "foobar";
const NFTABLES: &str = "nftables, stateful";
/// The interface that the flood comes in by.
const FLOODED: &str = "flood0";
/// Packets a second.
const RATE: u32 = 1_000_000;
const PREFIXES: usize = 10_000;

const POLICY: &str = r#"
interfaces = ["web0", "flood0"]
[allowlists.customers]
file = "customers.txt"
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[rules]]
name = "app"
ports = [8443]
from = ["customers"]
[[observe]]
port = 80
protocol = "tcp"
"#;

/// Measures all subjects, idle and under flood.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    let mut cost = Table::new(
        "service",
        "Service: microseconds of the server's CPU a request, while SYNs to a closed list come in on another interface",
        "µs",
        Some(FLOOR),
    );
    let mut rate =
        Table::new("service-rate", "Service: requests a second", "requests/s", Some(FLOOR));
    let mut flood =
        Table::new("service-flood", "Service: packets a second of the flood", "packets/s", None);
    let list = prefixes::v4(PREFIXES);
    let mut sites = Vec::new();
    for name in [FLOOR, FOOBAR, NFTABLES] {
        let made = or_missing(&mut cost.missing, name, || {
            let site = Site::start()?;
            let lane = Lane::new(&site.server, FLOODED, 8443)?;
            Ok((site, lane, name))
        });
        sites.extend(made);
    }
    let mut kept = Vec::new();
    let mut turns = Vec::new();
    for (site, lane, name) in &sites {
        let made = or_missing(&mut cost.missing, name, || {
            kept.push(filter(site, name, &list)?);
            site.receive_by_thread()
        });
        turns.extend(made.map(|receivers| Turn {
            site,
            lane,
            name,
            receivers,
            idle: Vec::new(),
            flooded: Vec::new(),
            reached: Vec::new(),
        }));
    }
    let (rounds, seconds) = if quick { (2, 1) } else { (7, 1) };
    for round in 0..=rounds {
        for turn in &mut turns {
            let idle = turn.site.load(Scheme::Http, seconds, &turn.receivers)?;
            let (flooded, reached) = turn
                .lane
                .flood_while(RATE, || turn.site.load(Scheme::Http, seconds, &turn.receivers))?;
            if round > 0 {
                turn.idle.push(idle);
                turn.flooded.push(flooded);
                turn.reached.push(reached);
            }
        }
    }
    for (part, table) in [(|load: &Load| load.cost) as fn(&Load) -> f64, |load| load.rate]
        .iter()
        .zip([&mut cost, &mut rate])
    {
        let idle = |turn: &Turn<'_>| turn.idle.iter().map(part).collect::<Vec<f64>>();
        let flooded = |turn: &Turn<'_>| turn.flooded.iter().map(part).collect::<Vec<f64>>();
        let floor = turns.iter().find(|turn| turn.name == FLOOR).map(idle);
        for turn in &turns {
            table.add("idle", turn.name, idle(turn), floor.as_deref());
        }
        for turn in &turns {
            table.add("under flood", turn.name, flooded(turn), floor.as_deref());
        }
    }
    for turn in turns {
        flood.add("under flood", turn.name, turn.reached, None);
    }
    Ok(vec![cost, rate, flood])
}

struct Turn<'s> {
    site: &'s Site,
    lane: &'s Lane,
    name: &'s str,
    receivers: Receivers<'s>,
    idle: Vec<Load>,
    flooded: Vec<Load>,
    reached: Vec<f64>,
}

/// What keeps a site filtered.
enum Kept<'s> {
    Daemon { _daemon: Daemon<'s> },
    Programs { _attached: [Attached; 2] },
    Rules { _attached: Attached },
}

fn filter<'s>(site: &'s Site, name: &str, list: &[IpNet]) -> Result<Kept<'s>> {
    let attach = |action, interface| -> Result<Attached> {
        let index = Lane::index_of(&site.server, interface)?;
        let program = Subject::constant(action)?;
        Ok(site.server.enter(|| program.attach(index))?)
    };
    match name {
        FOOBAR => {
            let mut daemon = Daemon::prepare(&site.server, POLICY);
            peers::write_list(&daemon.folder().join("customers.txt"), list)?;
            daemon.launch();
            Ok(Kept::Daemon { _daemon: daemon })
        }
        NFTABLES => {
            peers::receive_by_napi(&site.server, FLOODED)?;
            peers::nftables(&site.server, Nftables::Stateful, list)?;
            // Only so that a thread can receive; the same for all.
            Ok(Kept::Rules { _attached: attach(Action::Pass, INTERFACE)? })
        }
        _ => Ok(Kept::Programs {
            _attached: [attach(Action::Pass, INTERFACE)?, attach(Action::Drop, FLOODED)?],
        }),
    }
}
