//! What observing a web server costs it.

use anyhow::Result;
use foobar_tests::harness::Daemon;
use foobar_user::kernel::measure::{Action, Subject};

use crate::{
    attempt::or_missing,
    lane::Lane,
    policies::Measured,
    results::Table,
    web::{INTERFACE, Load, Scheme, Site},
};

const FLOOR: &str = "XDP_PASS";

/// A web server for everybody; `PROTOCOL` says what of it is observed.
const POLICY: &str = r#"
interfaces = ["web0"]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[observe]]
port = PORT
protocol = "PROTOCOL"
"#;

/// A way of asking, and how the sites are filtered and observed that are asked this way: by which protocol of the port.
struct Case {
    name: &'static str,
    scheme: Scheme,
    subjects: &'static [(&'static str, Option<&'static str>)],
}

const CASES: [Case; 2] = [
    Case {
        name: "small pages, keep-alive",
        scheme: Scheme::Http,
        subjects: &[
            (FLOOR, None),
            ("foobar, observer off", None),
            ("foobar, connections", Some("tcp")),
            ("foobar, connections and requests", Some("http")),
        ],
    },
    Case {
        name: "small pages over TLS, keep-alive",
        scheme: Scheme::Https,
        subjects: &[
            (FLOOR, None),
            ("foobar, connections", Some("tcp")),
            ("foobar, connections, TLS and turns", Some("https")),
        ],
    },
];

/// Measures all cases.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    let mut cost = Table::new(
        "observer",
        "Observer: microseconds of the server's CPU a request (nginx, one worker, wrk with 16 connections)",
        "µs",
        Some(FLOOR),
    );
    let mut rate =
        Table::new("observer-rate", "Observer: requests a second", "requests/s", Some(FLOOR));
    for case in &CASES {
        measure_case(case, quick, &mut cost, &mut rate)?;
    }
    Ok(vec![cost, rate])
}

fn measure_case(case: &Case, quick: bool, cost: &mut Table, rate: &mut Table) -> Result<()> {
    let sites: Vec<(Site, &str, Option<&str>)> = (case.subjects.iter())
        .filter_map(|&(name, observed)| {
            Some((or_missing(&mut cost.missing, name, Site::start)?, name, observed))
        })
        .collect();
    let mut kept = Vec::new();
    let mut turns = Vec::new();
    for (site, name, observed) in &sites {
        let made = or_missing(&mut cost.missing, name, || {
            kept.push(filter(site, name, case.scheme, *observed)?);
            site.receive_by_thread()
        });
        turns.extend(made.map(|threads| (site, *name, threads, Vec::<Load>::new())));
    }
    let (rounds, seconds) = if quick { (3, 1) } else { (9, 1) };
    for round in 0..=rounds {
        for (site, _, threads, loads) in &mut turns {
            let load = site.load(case.scheme, seconds, threads)?;
            if round > 0 {
                loads.push(load);
            }
        }
    }
    let floor = turns.iter().find(|(_, name, ..)| *name == FLOOR).map(|(.., loads)| loads.clone());
    for (part, table) in
        [(|load: &Load| load.cost) as fn(&Load) -> f64, |load| load.rate].iter().zip([cost, rate])
    {
        let floor: Option<Vec<f64>> = floor.as_ref().map(|loads| loads.iter().map(part).collect());
        for (_, name, _, loads) in &turns {
            table.add(case.name, name, loads.iter().map(part).collect(), floor.as_deref());
        }
    }
    Ok(())
}

/// What keeps a site filtered.
enum Kept<'s> {
    Daemon { _daemon: Daemon<'s> },
    Program { _attached: foobar_user::kernel::measure::Attached },
}

fn filter<'s>(
    site: &'s Site,
    name: &str,
    scheme: Scheme,
    observed: Option<&str>,
) -> Result<Kept<'s>> {
    if let Some(protocol) = observed {
        let port = if scheme == Scheme::Http { "80" } else { "443" };
        let policy = POLICY.replace("PROTOCOL", protocol).replace("PORT", port);
        return Ok(Kept::Daemon { _daemon: Daemon::start(&site.server, &policy) });
    }
    let program = if name == FLOOR {
        Subject::constant(Action::Pass)?
    } else {
        Subject::ingress(&Measured::with_customers(&[])?.load()?)?
    };
    let index = Lane::index_of(&site.server, INTERFACE)?;
    let attached = site.server.enter(|| program.attach(index))?;
    Ok(Kept::Program { _attached: attached })
}
