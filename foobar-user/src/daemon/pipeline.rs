//! The one way of a change: compile → persist → install → publish. What fails before the end leaves everything as it was.

use std::thread;

use anyhow::{Context, Result};
use foobar_common::observe::SLOTS;
use tracing::{debug, error, warn};

use super::{intent::Intent, keeper::Keeper};
use crate::{
    kernel::{self, Engine, Fit, KernelError, Store},
    policy::{Compiled, Compiler, Labels, Slots},
    state::{Problem, State},
};

/// What the compiler remembers from policy to policy.
pub struct Tables {
    compiler: Compiler,
    /// What each counter number stands for.
    pub labels: Labels,
    /// Which port has which slot.
    pub slots: Slots,
    /// Labels below this number are in the kernel's map.
    stored: u32,
}

/// Whether a change that cannot be written to disk is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What an operator changed is on disk before it is acknowledged.
    Required,
    /// What the daemon finds out by itself it will find out again.
    BestEffort,
}

impl Tables {
    /// Continues with the numbers that the last daemon handed out, so that counters keep their meaning.
    ///
    /// # Errors
    /// The maps cannot be read, or hold something else.
    pub fn read(store: &Store) -> Result<Self> {
        let records = store.labels()?;
        let labels = Labels::from_records((0u16..).zip(records))
            .context("the counter labels in the kernel are not those of foobar")?;
        let slots = Slots::from_ports(&store.slots()?);
        Ok(Self { compiler: Compiler::new(kernel::hz()), stored: labels.len(), labels, slots })
    }

    /// The kernel's tables of what shall be in force.
    ///
    /// # Errors
    /// It is more than the tables hold.
    pub fn compile(&mut self, intent: &Intent) -> Result<Compiled> {
        Ok(self.compiler.compile(&intent.policy(), &mut self.labels, &mut self.slots)?)
    }

    /// Writes new labels and slots to the kernel's maps, before a policy uses them: a counter without a meaning would be
    /// lost for a daemon that takes over.
    ///
    /// # Errors
    /// The maps cannot be written.
    pub fn store(&mut self, store: &Store) -> Result<(), KernelError> {
        let fresh = self.labels.records(self.stored);
        if let Some(&(first, _)) = fresh.first() {
            let records: Vec<_> = fresh.into_iter().map(|(_, record)| record).collect();
            store.store_labels(u32::from(first), &records)?;
            self.stored = self.labels.len();
        }
        let mut slots = [0u32; SLOTS as usize];
        for (slot, port) in slots.iter_mut().zip(self.slots.to_ports()) {
            *slot = port;
        }
        store.store_slots(&slots)
    }
}

impl Keeper {
    /// Puts a policy in force: when this returns, the next packet sees it, and a restarted daemon starts with it.
    ///
    /// # Errors
    /// The policy in force, the state on disk and what is published are as before.
    pub fn put_in_force(&mut self, intent: Intent, fit: Fit, durability: Durability) -> Result<()> {
        let slots = self.tables.slots.clone();
        let done = self.try_put_in_force(intent, fit, durability);
        if done.is_err() {
            // Else a slot that was to change its port would, with the next change, do so without being cleared.
            self.tables.slots = slots;
        }
        done
    }

    /// Compiles, while long lists that were replaced are written to files, which count for nothing before the state names them.
    fn compile(
        &mut self,
        intent: &Intent,
        state: &State,
    ) -> (Result<Compiled>, Result<(), Problem>) {
        let (tables, disk) = (&mut self.tables, &mut self.disk);
        if !disk.lacks(state) {
            return (tables.compile(intent), Ok(()));
        }
        thread::scope(|scope| {
            // Where no thread can be had, they are written with the state.
            let writing = thread::Builder::new().spawn_scoped(scope, || disk.write_ahead(state));
            let compiled = tables.compile(intent);
            let written = writing.map_or(Ok(()), |writing| {
                writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            (compiled, written)
        })
    }

    fn try_put_in_force(&mut self, intent: Intent, fit: Fit, durability: Durability) -> Result<()> {
        let state = intent.state();
        let (compiled, written) = self.compile(&intent, &state);
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(problem) => {
                self.disk.discard_ahead();
                return Err(problem).context("the policy does not fit");
            }
        };
        match written.and_then(|()| self.disk.save(state)) {
            Ok(()) => self.shared.persisted(true),
            Err(problem) => {
                self.shared.persisted(false);
                if durability == Durability::Required {
                    return Err(problem)
                        .context("the change cannot be made to last, so it is not made");
                }
                warn!("a change is in force that is not on disk: {problem}");
            }
        }
        let tables = &mut self.tables;
        let installed = self.shared.with_engine(|engine: &mut Engine| {
            tables.store(engine.store())?;
            engine.install(&compiled, fit)
        });
        match installed {
            Ok(installed) => debug!(?installed, "installed"),
            Err(problem) => {
                if let Err(problem) = self.disk.save(self.current.state()) {
                    error!(
                        "the state on disk is ahead of the policy in force, a restart would change it: {problem}"
                    );
                }
                return Err(problem).context("the kernel does not take the policy");
            }
        }
        self.current = intent;
        self.current.tell_news();
        self.shared.publish(&self.current, &self.tables);
        Ok(())
    }
}
