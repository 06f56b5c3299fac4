//! Frames that came from outside, as hexadecimal digits in JSON: a second hand that wrote what the table says as well.

use std::{fs, path::Path};

use foobar_common::reason::Verdict;
use serde_json::Value;

use super::{Direction, Step};

/// A frame with its set-up and verdict; it has no reason.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its name in the file.
    pub name: String,
    /// Frames that run before.
    pub setup: Vec<Step>,
    /// The frame that is judged.
    pub step: Step,
    /// Whether it passes the reference policy.
    pub verdict: Verdict,
}

/// The samples of this repository, and those beside it if there are any.
///
/// # Panics
/// If a file does not read.
pub fn samples() -> Vec<Sample> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/packets/sample.json");
    let texts =
        [Some(include_str!("../../data/sample.json").to_owned()), fs::read_to_string(beside).ok()];
    texts.into_iter().flatten().flat_map(|text| read(&text)).collect()
}

fn read(text: &str) -> Vec<Sample> {
    let samples: Vec<Value> = serde_json::from_str(text).expect("an array of samples");
    samples
        .iter()
        .map(|sample| Sample {
            name: sample["name"].as_str().expect("a name").to_owned(),
            setup: sample["setup"].as_array().into_iter().flatten().map(step).collect(),
            step: Step { direction: Direction::Ingress, frame: bytes(&sample["hex"]) },
            verdict: match sample["verdict"].as_str() {
                Some("pass") => Verdict::Pass,
                Some("drop") => Verdict::Drop,
                other => panic!("verdict {other:?}"),
            },
        })
        .collect()
}

fn step(step: &Value) -> Step {
    let direction = match step["dir"].as_str() {
        Some("out") => Direction::Egress,
        Some("in") => Direction::Ingress,
        other => panic!("direction {other:?}"),
    };
    Step { direction, frame: bytes(&step["hex"]) }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().expect("hexadecimal digits").as_bytes();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a byte")
    };
    digits.chunks(2).map(byte).collect()
}
