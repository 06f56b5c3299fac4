//! What came out of a run, as it is written to JSON.

use serde::Serialize;

use crate::{goals::Goal, machine::Machine, statistics::Summary};

/// A run of the benchmark.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Seconds since 1970 at its start.
    pub started: u64,
    /// Fewer repetitions: the figures are rough.
    pub quick: bool,
    /// What it ran on.
    pub machine: Machine,
    /// One for each table.
    pub tables: Vec<Table>,
    /// What was to be reached, and what came of it.
    pub goals: Vec<Goal>,
    /// Parts that could not be measured, and why.
    pub failed: Vec<String>,
}

/// Cases and subjects, measured in the same unit.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Short name, as on the command line.
    pub name: String,
    /// What was measured, for people.
    pub title: String,
    /// Unit of the samples.
    pub unit: &'static str,
    /// The subject that ratios refer to.
    pub floor: Option<String>,
    /// What the cases count, where they are numbers: the table is a curve.
    pub axis: Option<&'static str>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// A case with one subject.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub case: String,
    /// With what.
    pub subject: String,
    /// One sample each round.
    pub samples: Vec<f64>,
    /// What they say.
    pub summary: Summary,
    /// As a multiple of the floor in the same round.
    pub ratio: Option<Summary>,
}

impl Table {
    /// An empty table.
    pub fn new(name: &str, title: &str, unit: &'static str, floor: Option<&str>) -> Self {
        Table {
            name: name.to_owned(),
            title: title.to_owned(),
            unit,
            floor: floor.map(str::to_owned),
            axis: None,
            rows: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The same as a curve over what the cases count.
    pub fn over(self, axis: &'static str) -> Self {
        Table { axis: Some(axis), ..self }
    }

    /// The row of a case and a subject.
    pub fn row(&self, case: &str, subject: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.subject == subject)
    }

    /// Adds a row; `floor` are the floor's samples of the same rounds.
    pub fn add(&mut self, case: &str, subject: &str, samples: Vec<f64>, floor: Option<&[f64]>) {
        self.rows.push(Row {
            case: case.to_owned(),
            subject: subject.to_owned(),
            summary: Summary::of(&samples),
            ratio: floor.map(|floor| Summary::of_ratios(&samples, floor)),
            samples,
        });
    }

    /// Cases and subjects in the order of their first row.
    pub fn axes(&self) -> (Vec<&str>, Vec<&str>) {
        let (mut cases, mut subjects) = (Vec::new(), Vec::new());
        for row in &self.rows {
            if !cases.contains(&row.case.as_str()) {
                cases.push(row.case.as_str());
            }
            if !subjects.contains(&row.subject.as_str()) {
                subjects.push(row.subject.as_str());
            }
        }
        (cases, subjects)
    }
}
