//! A fresh instance of the real programs that nothing is attached to: replay runs a capture through it.

use std::{
    os::fd::BorrowedFd,
    sync::{Mutex, PoisonError},
};

use super::{
    attach::Direction,
    bpffs,
    clock::{self, Timeouts},
    counters::{self, Counters},
    error::KernelError,
    instance::{Instance, ProgramFacts, Purpose},
    store,
    trace::{self, TraceRequest, Traced},
};
use crate::policy::compile::Compiled;

/// Its own programs, tables, flows and counters. Nothing stays pinned; dropping it frees everything.
pub struct Sandbox {
    instance: Instance,
    counters: u32,
    /// Reused between traces.
    buffer: Mutex<Vec<u8>>,
}

impl Sandbox {
    /// Loads the programs for a policy, with room for so many flows and counters.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load(
        policy: &Compiled,
        timeouts: Timeouts,
        flows: u32,
        counters: u32,
    ) -> Result<Sandbox, KernelError> {
        let purpose = Purpose {
            timeouts: timeouts.in_ticks(clock::hz()),
            sizes: store::sizes(counters, flows),
            pinned: Vec::new(),
            folder: bpffs::own_folder()?,
            counters,
            sandbox: true,
        };
        Ok(Sandbox {
            instance: Instance::load(&purpose, policy)?,
            counters,
            buffer: Mutex::default(),
        })
    }

    /// Runs a frame through one of the programs.
    ///
    /// # Errors
    /// For frames below 14 bytes; if the kernel refuses the run.
    pub fn trace(&self, request: &TraceRequest<'_>) -> Result<Traced, KernelError> {
        match request.direction {
            Direction::Ingress => {
                let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
                trace::ingress(self.instance.ingress(), request, &mut buffer)
            }
            Direction::Egress => trace::egress(self.instance.egress(), request),
        }
    }

    /// Flips another policy in, if it fits what was loaded. `false` if it does not.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn install(&mut self, policy: &Compiled) -> Result<bool, KernelError> {
        if !self.instance.can_serve(policy, false) {
            return Ok(false);
        }
        self.instance.flip(policy).map(|()| true)
    }

    /// Reads the counters `0..used`.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn counters(&self, used: u32) -> Result<Counters, KernelError> {
        counters::Tables {
            ingress: self.instance.map("COUNTERS")?,
            egress: self.instance.map("EGRESS_COUNTERS")?,
            half: self.counters,
        }
        .read(used)
    }

    /// The ingress program itself.
    pub(super) fn ingress(&self) -> BorrowedFd<'_> {
        self.instance.ingress()
    }

    /// Kernel memory of the policy's tables, in bytes, as the kernel accounts it.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn table_memory(&self) -> std::io::Result<u64> {
        self.instance.table_memory()
    }

    /// The programs as they were loaded.
    pub fn programs(&self) -> &[ProgramFacts] {
        &self.instance.facts
    }
}
