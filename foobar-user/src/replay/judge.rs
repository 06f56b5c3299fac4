//! A configuration in a fresh instance of the programs, which nothing is attached to: what it does with a frame.

use anyhow::{Context, Result};
use foobar_common::reason::{Reason, Verdict};

use super::capture::length;
use crate::{
    kernel::{self, Direction, Sandbox, Timeouts, TraceRequest, Traced},
    policy::{Config, Labels, Lists, Policy, Slots, compile, model::Mode},
};

/// The kernel's test run takes no shorter frame: an Ethernet header.
const LEAST: usize = 14;

/// What became of a frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'j> {
    /// What mode `enforce` does with it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, if one did.
    pub rule: Option<&'j str>,
}

/// The loaded programs with one policy, and what they remember of the frames so far.
pub struct Judge {
    sandbox: Sandbox,
    labels: Labels,
}

impl Judge {
    /// Loads the programs for a configuration, for a server with these addresses.
    ///
    /// The mode is `enforce` whatever the configuration says: in `audit` every frame passes, also one that a reply would depend on.
    ///
    /// # Errors
    /// The policy is larger than the kernel's tables; the kernel refuses, for example without root.
    pub fn load(config: &Config, own_addresses: Vec<std::net::IpAddr>) -> Result<Self> {
        let policy = Policy::new(config, Lists::from_config(config), own_addresses, 1, 1);
        Self::of(&Policy { mode: Mode::Enforce, ..policy }, config)
    }

    fn of(policy: &Policy, config: &Config) -> Result<Self> {
        let (mut labels, mut slots) = (Labels::new(), Slots::default());
        let compiled = compile(policy, &mut labels, &mut slots, kernel::hz())
            .context("the policy does not fit")?;
        let sandbox = Sandbox::load(
            &compiled,
            Timeouts::of(&config.flows),
            config.flows.max_entries,
            labels.len(),
        )
        .context("cannot load a fresh instance of the programs")?;
        Ok(Self { sandbox, labels })
    }

    /// Runs a frame through its program at this time; it is remembered. What is too short or
    /// too long for the kernel's test run gets another length.
    ///
    /// # Errors
    /// The kernel refuses the run.
    pub fn judge(
        &self,
        direction: Direction,
        frame: &mut Vec<u8>,
        jiffies: u64,
    ) -> Result<Finding<'_>> {
        if frame.len() < LEAST {
            return Ok(Finding { verdict: Verdict::Drop, reason: Reason::Truncated, rule: None });
        }
        match direction {
            Direction::Ingress => length::shorten(frame, length::INGRESS),
            Direction::Egress => {
                length::shorten(frame, length::EGRESS);
                length::lengthen(frame, length::EGRESS_LEAST);
            }
        }
        let request = TraceRequest { direction, frame, read_only: false, jiffies };
        self.meaning(&self.sandbox.trace(&request)?)
    }

    /// What a run found, in words.
    ///
    /// # Errors
    /// The programs name a counter that stands for nothing.
    fn meaning(&self, traced: &Traced) -> Result<Finding<'_>> {
        let meaning = self.labels.describe(traced.counter).with_context(|| {
            format!(
                "the programs counted under number {}, which stands for nothing",
                traced.counter
            )
        })?;
        Ok(Finding { verdict: meaning.verdict, reason: meaning.reason, rule: meaning.rule })
    }
}
