//! What observing a web server costs it.

use anyhow::Result;
use foobar_tests::harness::Daemon;
use foobar_user::kernel::measure::{self, Action};

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

/// How a site is filtered, and by which protocol of its port it is observed.
type Subject = (&'static str, Option<&'static str>);

/// A way of asking, and the subjects that are asked this way.
struct Case {
    name: &'static str,
    scheme: Scheme,
    subjects: &'static [Subject],
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

/// All subjects take turns at one site: two of them would differ by how they happen to lie in memory and on the processor.
fn measure_case(case: &Case, quick: bool, cost: &mut Table, rate: &mut Table) -> Result<()> {
    let Some(site) = or_missing(&mut cost.missing, case.name, Site::start) else { return Ok(()) };
    let mut subjects: Vec<(&Subject, Vec<Load>)> =
        case.subjects.iter().map(|subject| (subject, Vec::new())).collect();
    let (rounds, seconds) = if quick { (3, 1) } else { (15, 1) };
    // One more, which is not counted. A subject that fails is left out from then on.
    for round in 0..=rounds {
        subjects.retain_mut(|(subject, loads)| {
            let load = or_missing(&mut cost.missing, subject.0, || {
                let _kept = filter(&site, subject.0, case.scheme, subject.1)?;
                site.load(case.scheme, seconds, &site.receive_by_thread()?)
            });
            loads.extend(load.filter(|_| round > 0));
            load.is_some()
        });
    }
    let floor =
        subjects.iter().find(|(subject, _)| subject.0 == FLOOR).map(|(_, loads)| loads.clone());
    for (part, table) in
        [(|load: &Load| load.cost) as fn(&Load) -> f64, |load| load.rate].iter().zip([cost, rate])
    {
        let floor: Option<Vec<f64>> = floor.as_ref().map(|loads| loads.iter().map(part).collect());
        for (subject, loads) in &subjects {
            table.add(case.name, subject.0, loads.iter().map(part).collect(), floor.as_deref());
        }
    }
    Ok(())
}

/// What keeps a site filtered.
enum Kept<'s> {
    Daemon { _daemon: Daemon<'s> },
    Program { _attached: measure::Attached },
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
        measure::Subject::constant(Action::Pass)?
    } else {
        measure::Subject::ingress(&Measured::with_customers(&[])?.load()?)?
    };
    let index = Lane::index_of(&site.server, INTERFACE)?;
    let attached = site.server.enter(|| program.attach(index))?;
    Ok(Kept::Program { _attached: attached })
}
