//! Random policies times random and mutated frames: the kernel's verdict has to be the model's, and the reason as well where
//! the frame passes.
//!
//! `FOOBAR_SEED` repeats a run, `FOOBAR_FRAMES` changes how many frames are tried.

use std::env;

use foobar_common::reason::Verdict;
use foobar_tests::{
    frames::Moment,
    generate::{self, Traffic},
    model::{Model, Opinion, Policy},
    programs::{CompiledPolicy, Programs},
};

/// Frames that are tried by default.
const FRAMES: usize = 20_000;
/// Frames that are tried with one policy.
const FRAMES_PER_POLICY: usize = 400;

fn setting(name: &str) -> Option<u64> {
    env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// The first frame of which the kernel and the model have another opinion: its position, and both opinions.
fn disagreement(
    policy: &Policy,
    programs: &mut Programs,
    moments: &[Moment],
) -> Option<(usize, String)> {
    programs.forget();
    let mut model = Model::new(policy.clone());
    moments.iter().enumerate().find_map(|(position, moment)| {
        let finding = programs.run(&moment.step, moment.time);
        let opinion = model.judge(moment.step.direction, &moment.step.frame, moment.time);
        let agrees = match opinion {
            Opinion::Pass(reason) => {
                finding.verdict == Verdict::Pass && finding.reason.name() == reason
            }
            // A packet may be wrong in several ways; which one is told is not the model's business.
            Opinion::Drop(_) => finding.verdict == Verdict::Drop,
            Opinion::Either(_) => true,
        };
        let both = || {
            format!(
                "kernel: {} ({}); model: {opinion:?}",
                finding.verdict.name(),
                finding.reason.name()
            )
        };
        (!agrees).then(|| (position, both()))
    })
}

/// Leaves out every frame without which they still disagree about the last one.
fn shrink(policy: &Policy, programs: &mut Programs, mut moments: Vec<Moment>) -> Vec<Moment> {
    let mut at = 0;
    while at + 1 < moments.len() {
        let mut fewer = moments.clone();
        fewer.remove(at);
        match disagreement(policy, programs, &fewer) {
            Some((position, _)) if position + 1 == fewer.len() => moments = fewer,
            _ => at += 1,
        }
    }
    moments
}

#[test]
fn the_kernel_agrees_with_the_model() {
    let seed = setting("FOOBAR_SEED").unwrap_or_else(|| fastrand::u64(..));
    let frames = setting("FOOBAR_FRAMES")
        .map_or(FRAMES, |frames| usize::try_from(frames).expect("a number of frames"));
    println!("FOOBAR_SEED={seed} repeats this run");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..frames.div_ceil(FRAMES_PER_POLICY) {
        let policy = generate::policy(&mut random);
        let mut programs = CompiledPolicy::of(&policy.to_toml()).load();
        let moments: Vec<Moment> =
            Traffic::new(&policy, random.fork()).take(FRAMES_PER_POLICY).collect();
        let Some((position, _)) = disagreement(&policy, &mut programs, &moments) else { continue };
        let shortest = shrink(&policy, &mut programs, moments[..=position].to_vec());
        let (_, opinions) = disagreement(&policy, &mut programs, &shortest)
            .expect("it was kept while they disagreed");
        let steps: Vec<String> = shortest
            .iter()
            .map(|moment| {
                format!(
                    "{:?} at {} s: {}",
                    moment.step.direction,
                    moment.time,
                    hex(&moment.step.frame)
                )
            })
            .collect();
        panic!(
            "FOOBAR_SEED={seed}, policy {round}, {opinions}\n{}\nunder:\n{}",
            steps.join("\n"),
            policy.to_toml()
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
