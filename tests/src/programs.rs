//! The real kernel programs under a policy, attached to nothing, and what they say of a frame.

use std::{net::IpAddr, path::Path};

use foobar_common::reason::{Reason, Verdict};
use foobar_user::{
    kernel::{
        Direction as Hook, Sandbox, Timeouts, TraceRequest, hz,
        measure::{Action, Subject},
    },
    policy::{Config, Labels, Lists, Loaded, Policy, Slots, compile},
};

use crate::frames::{Direction, Step, hosts::SERVER};

/// Flows that a sandbox remembers at most.
const FLOWS: u32 = 4096;
/// Counters of a sandbox.
const COUNTERS: u32 = 2048;
/// The time at which a test begins, in seconds: far from 0, which stands for "never" and for "now".
const BEGINNING: u64 = 100_000;

/// After this time, in seconds, every flow, fragment and token bucket is forgotten or full again.
const FORGETTING: u64 = 6 * 24 * 3600;

/// A policy, ready to be compiled for the kernel.
#[derive(Debug)]
pub struct CompiledPolicy {
    policy: Policy,
}

/// What the programs say of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the frame went on.
    pub verdict: Verdict,
    /// The reason that was counted.
    pub reason: Reason,
    /// The rule that was counted, if one was.
    pub rule: Option<String>,
    /// Whether it went on only because the mode is `audit`.
    pub audited: bool,
}

impl CompiledPolicy {
    /// Compiles a configuration, for a server with the addresses of [`SERVER`].
    ///
    /// # Panics
    /// If it is refused, with the diagnostics.
    pub fn of(text: &str) -> Self {
        let own = vec![IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)];
        let Loaded { config, .. } = Config::parse(text, Path::new("test.toml"))
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        CompiledPolicy { policy: Policy::new(&config, Lists::from_config(&config), own, 1, 1) }
    }

    /// Loads the programs afresh with this policy. They remember nothing yet.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn load(&self) -> Programs {
        let (mut labels, mut slots) = (Labels::new(), Slots::default());
        let compiled =
            compile(&self.policy, &mut labels, &mut slots, hz()).expect("the policy compiles");
        let sandbox = Sandbox::load(&compiled, Timeouts::default(), FLOWS, COUNTERS)
            .unwrap_or_else(|error| panic!("cannot load the programs: {error:#}"));
        Programs { policy: self.policy.clone(), labels, slots, sandbox, beginning: BEGINNING }
    }
}

/// Loaded programs.
pub struct Programs {
    policy: Policy,
    labels: Labels,
    slots: Slots,
    sandbox: Sandbox,
    /// The time that is second 0 of [`Programs::run`].
    beginning: u64,
}

impl Programs {
    /// From now on the programs know no more than fresh ones: the same policy is put in force with a new flow epoch, so that
    /// all flows are forgotten, and the clock is set forward, so that fragments are forgotten and token buckets are full.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn forget(&mut self) {
        self.beginning += FORGETTING;
        self.policy.number += 1;
        self.policy.flow_epoch += 1;
        let compiled = compile(&self.policy, &mut self.labels, &mut self.slots, hz())
            .expect("the policy compiles");
        let fits = self
            .sandbox
            .install(&compiled)
            .unwrap_or_else(|error| panic!("cannot change the policy: {error:#}"));
        assert!(fits, "the same policy fits into its own tables");
    }

    /// Runs a frame through its program at this time, in seconds since some beginning. It is counted and remembered.
    ///
    /// # Panics
    /// If the kernel refuses to run it, or the verdict is not that of the reason.
    pub fn run(&self, step: &Step, seconds: u64) -> Finding {
        self.run_at_tick(step, seconds * hz())
    }

    /// The same at a tick of the kernel's clock, of which a second has [`hz`].
    ///
    /// # Panics
    /// As [`Programs::run`] does.
    pub fn run_at_tick(&self, step: &Step, tick: u64) -> Finding {
        self.trace(step, tick, false)
    }

    /// What the program says of a frame at this tick, without changing anything.
    ///
    /// # Panics
    /// As [`Programs::run`] does.
    pub fn peek_at_tick(&self, step: &Step, tick: u64) -> Finding {
        self.trace(step, tick, true)
    }

    fn trace(&self, step: &Step, tick: u64, read_only: bool) -> Finding {
        let request = TraceRequest {
            direction: match step.direction {
                Direction::Ingress => Hook::Ingress,
                Direction::Egress => Hook::Egress,
            },
            frame: &step.frame,
            read_only,
            jiffies: self.beginning * hz() + tick,
        };
        let traced = self
            .sandbox
            .trace(&request)
            .unwrap_or_else(|error| panic!("the frame does not run: {error:#}"));
        let meaning = self.labels.describe(traced.counter);
        let meaning =
            meaning.unwrap_or_else(|| panic!("counter {} has no meaning", traced.counter));
        let verdict = if traced.passed { Verdict::Pass } else { Verdict::Drop };
        let meant = if traced.audited { Verdict::Pass } else { meaning.verdict };
        assert_eq!(meant, verdict, "counted as {}", meaning.reason.name());
        Finding {
            verdict,
            reason: meaning.reason,
            rule: meaning.rule.map(str::to_owned),
            audited: traced.audited,
        }
    }

    /// What the program says of a frame that arrives as a driver hands it over, with no request to trace it, at the kernel's own time: whether it
    /// goes on, and the reason that was counted.
    ///
    /// # Panics
    /// If the kernel refuses to run it, or not exactly one counter counts one packet of this length.
    pub fn arrives_live(&self, frame: &[u8]) -> (Verdict, Reason) {
        let counters = || self.sandbox.counters(COUNTERS).expect("counters").ingress;
        let before = counters();
        let program = Subject::ingress(&self.sandbox).expect("the ingress program");
        let verdict = program.run(frame, 1).expect("a run").verdict;
        let after = counters();
        let counted: Vec<_> =
            (0..after.len()).filter(|&number| after[number] != before[number]).collect();
        let [number] = counted[..] else { panic!("{} counters changed", counted.len()) };
        assert_eq!(
            (after[number].packets, after[number].bytes),
            (before[number].packets + 1, before[number].bytes + frame.len() as u64)
        );
        let number = u16::try_from(number).expect("a counter's number");
        let meaning = self.labels.describe(number).expect("a counter with a meaning");
        let verdict = if verdict == Action::Pass as u32 { Verdict::Pass } else { Verdict::Drop };
        (verdict, meaning.reason)
    }

    /// How many frames were counted on their way in and out, by reason.
    ///
    /// # Panics
    /// If the counters cannot be read.
    pub fn counted(&self) -> Counted {
        let counters = self
            .sandbox
            .counters(COUNTERS)
            .unwrap_or_else(|error| panic!("no counters: {error:#}"));
        let audited = counters.ingress_audited.iter().chain(&counters.egress_audited);
        assert!(
            audited.into_iter().all(|counter| counter.packets == 0),
            "nothing is audited in mode `enforce`"
        );
        let sum = |counters: &[foobar_common::counters::Counter]| {
            counters.iter().fold((0, 0), |(packets, bytes), counter| {
                (packets + counter.packets, bytes + counter.bytes)
            })
        };
        Counted { ingress: sum(&counters.ingress), egress: sum(&counters.egress) }
    }

    /// Name and number of verified instructions of each program.
    pub fn verified_instructions(&self) -> Vec<(String, u32)> {
        let facts = self.sandbox.programs().iter();
        facts.map(|program| (program.name.clone(), program.verified_instructions)).collect()
    }
}

/// Packets and bytes that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// On their way in.
    pub ingress: (u64, u64),
    /// On their way out.
    pub egress: (u64, u64),
}
