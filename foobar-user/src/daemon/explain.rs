//! `foobar explain`: the programs in force are asked about one packet, and nothing is counted or remembered.

use anyhow::{Context as _, Result};

use super::shared::Shared;
use crate::{
    control::Refusal,
    explain::{Answer, Question},
    kernel::{Direction, TraceRequest},
    replay::judge::Finding,
};

/// Asks the programs in force; called by the keeper, so that the policy that explains the verdict is the one that made it.
pub fn explain(shared: &Shared, question: &Question) -> Result<Answer, Refusal> {
    let published = shared.published();
    let policy = published.intent.policy();
    let packet = question.packet(&policy.own_addresses).map_err(|error| {
        let help = error.help.clone();
        Refusal::invalid(error.to_string()).help(help)
    })?;
    let ask = || -> Result<Answer> {
        let frame = packet.frame();
        let request = TraceRequest {
            direction: Direction::Ingress,
            frame: &frame,
            read_only: true,
            jiffies: 0,
        };
        let traced = shared.with_engine(|engine| engine.trace(&request))?;
        let meaning = published.legend.labels.describe(traced.counter).with_context(|| {
            format!(
                "the program in force counted under number {}, which stands for nothing",
                traced.counter
            )
        })?;
        let finding =
            Finding { verdict: meaning.verdict, reason: meaning.reason, rule: meaning.rule };
        Ok(Answer::new(&packet, &policy, &finding))
    };
    ask().map_err(|error| Refusal::from_error(&error))
}
