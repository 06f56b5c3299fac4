//! What the parts of a filter's work cost on this machine, each in a program that does no more: beside them stands what foobar takes, in the
//! same rounds. A goal below the sum of the parts that it cannot do without is beyond the machine.

use anyhow::Result;
use foobar_user::kernel::measure::{Action, Rung, Subject};

use super::{
    Effort, FLOOR,
    cases::{self, Case},
    fill,
    subjects::{self, Kind, Named},
};
use crate::{policies::Measured, results::Table};

/// Cases in which the parts are measured.
const CASES: [&str; 4] =
    ["SYN denied", "UDP closed port", "reply to own connection", "random IPv4 SYN"];

/// Measures the rungs and foobar.
pub fn measure(effort: Effort) -> Result<Table> {
    crate::clock::pin()?;
    let title = "Ladder: nanoseconds of CPU a packet, for parts of a filter's work";
    let mut table = Table::new("ladder", title, "ns", Some(FLOOR));
    let lists = subjects::Lists::new();
    let cases: Vec<Case> =
        cases::all(&lists).into_iter().filter(|case| CASES.contains(&case.name)).collect();
    let flow = cases.iter().find_map(|case| case.flow());
    let mut subjects = vec![subjects::named(FLOOR, Kind::Floor, Subject::constant(Action::Drop)?)];
    for rung in Rung::ALL {
        let program = Subject::rung(rung, flow.unwrap_or_default())?;
        subjects.push(subjects::named(rung.name(), Kind::Floor, program));
    }
    subjects
        .push(subjects::foobar("foobar, 10k", &Measured::with_customers(&lists.ten_thousand())?)?);
    fill(&mut table, effort, &cases, &subjects, needed)?;
    Ok(table)
}

/// Flows are looked up for replies alone, and a port that is shut for all needs no source.
fn needed(case: &Case, subject: &Named) -> bool {
    let flows = [Rung::Hash, Rung::LruHash].iter().any(|rung| rung.name() == subject.name);
    let sources = [Rung::Source, Rung::Range].iter().any(|rung| rung.name() == subject.name);
    match case.name {
        "reply to own connection" => !sources,
        "UDP closed port" => !sources && !flows,
        _ => !flows,
    }
}
