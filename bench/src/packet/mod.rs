//! The packet path: what one packet costs, from the driver's hand to the verdict.
//!
//! The kernel runs each program on a frame some hundred thousand times in one call (BPF_PROG_TEST_RUN); the CPU time of this
//! thread over that number is the sample. Subjects take turns in each round, and ratios are taken within a round.

mod cases;
mod ladder;
mod subjects;

use anyhow::{Context as _, Result, ensure};
use foobar_user::kernel::measure::{RandomSources, Subject};

use crate::{clock, results::Table};
use cases::Case;
pub use ladder::measure as ladder;
use subjects::Named;

/// The subject that all ratios refer to.
const FLOOR: &str = "XDP_DROP";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds, in each of which every subject has its turn with every case.
    pub rounds: usize,
    /// Runs of a program in a turn.
    pub repeat: u32,
}

impl Effort {
    /// As much as makes figures stand.
    pub const FULL: Effort = Effort { rounds: 15, repeat: 1_000_000 };
    /// As much as shows whether a change is worth more.
    pub const QUICK: Effort = Effort { rounds: 9, repeat: 100_000 };
}

/// A subject in front of which a case's frames arrive.
struct Turn<'s> {
    case: &'static str,
    subject: &'s str,
    frame: &'s [u8],
    program: Chosen<'s>,
    samples: Vec<f64>,
}

enum Chosen<'s> {
    Alone(&'s Subject),
    WithRandomSources(Subject),
}

impl Turn<'_> {
    /// Nanoseconds of CPU a run.
    fn sample(&self, repeat: u32) -> Result<f64> {
        let subject = match &self.program {
            Chosen::Alone(subject) => subject,
            Chosen::WithRandomSources(subject) => subject,
        };
        let before = clock::thread_time()?;
        subject
            .run(self.frame, repeat)
            .with_context(|| format!("{} with {}", self.case, self.subject))?;
        Ok((clock::thread_time()? - before).as_nanos() as f64 / f64::from(repeat))
    }
}

/// Measures all cases with all subjects.
pub fn measure(effort: Effort, only: &[String]) -> Result<Table> {
    clock::pin()?;
    let title = "Packet path: nanoseconds of CPU a packet";
    let mut table = Table::new("packet", title, "ns", Some(FLOOR));
    let lists = subjects::Lists::new();
    let subjects = subjects::all(&lists, &mut table.missing)?;
    let cases = cases::all(&lists);
    let wanted = |case: &Case, subject: &Named| {
        let is_in = |part: &String| {
            case.name.contains(part.as_str()) || subject.name.contains(part.as_str())
        };
        subject.name == FLOOR || only.iter().all(is_in)
    };
    fill(&mut table, effort, &cases, &subjects, wanted)?;
    Ok(table)
}

/// Lets the subjects take turns with the cases that are wanted, and adds the rows to the table.
fn fill(
    table: &mut Table,
    effort: Effort,
    cases: &[Case],
    subjects: &[Named],
    wanted: impl Fn(&Case, &Named) -> bool,
) -> Result<()> {
    let mut turns = Vec::new();
    for case in cases {
        for subject in subjects.iter().filter(|subject| wanted(case, subject)) {
            turns.extend(turn(case, subject)?);
        }
    }
    // The first round fills caches and is not counted.
    for round in 0..=effort.rounds {
        for turn in &mut turns {
            let sample =
                turn.sample(if round == 0 { effort.repeat / 10 } else { effort.repeat })?;
            if round > 0 {
                turn.samples.push(sample);
            }
        }
    }
    summarise(table, cases, &turns);
    Ok(())
}

/// The case with the subject, if the subject knows the case, after a look at whether the verdict is the expected one: what is
/// fast because it does something else is no result.
fn turn<'s>(case: &'s Case, subject: &'s Named) -> Result<Option<Turn<'s>>> {
    let Some(frame) = case.frame_for(subject.kind) else {
        return Ok(None);
    };
    let verdict = subject.program.run(frame, 1)?.verdict;
    if let Some(expected) = case.expected(subject.kind) {
        let (name, case) = (&subject.name, case.name);
        ensure!(
            verdict == expected as u32,
            "{case} with {name}: the verdict is {verdict} instead of {expected:?}"
        );
    }
    let program = match case.random {
        None => Chosen::Alone(&subject.program),
        Some(version) => Chosen::WithRandomSources(random(version, subject)?),
    };
    Ok(Some(Turn { case: case.name, subject: &subject.name, frame, program, samples: Vec::new() }))
}

fn random(version: RandomSources, subject: &Named) -> Result<Subject> {
    version
        .in_front_of(&subject.program)
        .with_context(|| format!("random sources for {}", subject.name))
}

/// Rows of the table. With random sources, the cost of making them is taken off: what a bare drop behind them costs more than one
/// without.
fn summarise(table: &mut Table, cases: &[Case], turns: &[Turn<'_>]) {
    let samples = |case: &str, subject: &str| {
        turns
            .iter()
            .find(|turn| turn.case == case && turn.subject == subject)
            .map(|turn| turn.samples.as_slice())
    };
    for case in cases {
        let Some(behind) = samples(case.name, FLOOR) else { continue };
        let bare = case.plain.and_then(|plain| samples(plain, FLOOR)).unwrap_or(behind);
        for turn in turns.iter().filter(|turn| turn.case == case.name) {
            let net = turn
                .samples
                .iter()
                .zip(behind)
                .zip(bare)
                .map(|((sample, behind), bare)| sample - behind + bare);
            let net: Vec<f64> =
                if case.random.is_some() { net.collect() } else { turn.samples.clone() };
            table.add(case.name, turn.subject, net, Some(bare));
        }
    }
}
