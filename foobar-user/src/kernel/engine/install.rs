//! Another policy: flipped in where the instance in force can serve it, else by a new instance under the same links.

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use super::{Engine, start::Placed};
use crate::{
    kernel::{
        attach::{Existing, Held, Switch},
        error::{ErrorKind, KernelError},
        folders,
        instance::Instance,
        learn::Flows,
        observer::{self, Observer},
        store::PERSISTENT,
    },
    policy::compile::Compiled,
};

/// How well the programs must fit the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They have no code and not much memory that the policy has no use for: for a new configuration.
    Exact,
    /// They are able to serve it: for a single change, which should be quick.
    Superset,
}

/// How a policy came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By one store.
    Flip,
    /// By a new instance of the programs.
    Reload,
}

impl How {
    /// The word used in logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            How::Flip => "flip",
            How::Reload => "reload",
        }
    }
}

/// A policy is in force.
#[derive(Clone, Debug)]
pub struct Installed {
    /// How it came into force.
    pub how: How,
    /// Time that it took, from the compiled policy to the moment when every packet that arrives is judged by it.
    pub total: Duration,
    /// What is worth telling.
    pub notes: Vec<String>,
}

impl Engine {
    /// Puts another policy in force. When this returns, every packet that arrives is judged by it.
    ///
    /// A flip itself takes a few milliseconds at most, but tables are not written as long as a packet can be in the middle of them: 8 to 20 ms
    /// after the flip before, which run while the next change is compiled and written to disk.
    ///
    /// # Errors
    /// If the kernel refuses; the old policy is in force then.
    pub fn install(&mut self, policy: &Compiled, fit: Fit) -> Result<Installed, KernelError> {
        let start = Instant::now();
        self.clear_slots(&policy.reused_slots)?;
        let new_epoch = policy.generation.flow_epoch != self.instance.flow_epoch();
        if new_epoch {
            self.learn(policy)?;
        }
        let (how, notes) = if self.instance.can_serve(policy, fit == Fit::Exact) {
            self.instance.flip(policy)?;
            (How::Flip, Vec::new())
        } else {
            (How::Reload, self.reload(policy)?)
        };
        if new_epoch {
            // Again, because the old policy may have written over some in between.
            self.instance.settle()?;
            self.learn(policy)?;
        }
        Ok(Installed { how, total: start.elapsed(), notes })
    }

    /// Enters the open connections under the epoch of a policy.
    fn learn(&self, policy: &Compiled) -> Result<(), KernelError> {
        Flows::of_store(&self.store)?.learn(&policy.ports, policy.generation.flow_epoch).map(drop)
    }

    /// Puts a new instance under all links.
    fn reload(&mut self, policy: &Compiled) -> Result<Vec<String>, KernelError> {
        let existing = Existing::read(&self.store.folders)?;
        self.store.fit(policy.features)?;
        let mut instance = Instance::load(&self.purpose(), policy)?;
        let number = existing.instances.iter().max().map_or(1, |last| last + 1);
        let mut place = Placed { store: &self.store, number, keep: false };
        instance.pin(&self.store.folders, number, &PERSISTENT)?;
        instance.set_sampled(self.instance.sampled());

        let mut switch = Switch::new(&self.store.folders, &instance, &existing.programs, false);
        let mut gone = Vec::new();
        let mut added = Vec::new();
        for guarded in self.guarded.values() {
            for role in instance.roles() {
                let there = match guarded.held.get(&role) {
                    Some(Held { link: Some(link), .. }) => {
                        switch.take_over(role, link.as_fd(), &guarded.interface.name)?
                    }
                    Some(Held { link: None, .. }) => {
                        switch.take_over_filter(role, &guarded.interface)?
                    }
                    // Nothing was observed before.
                    None => match switch.attach(role, &guarded.interface) {
                        Err(error) if error.kind() == ErrorKind::NoSuchInterface => false,
                        Err(error) if !role.observes() => return Err(error),
                        attached => {
                            added.push((guarded.interface.index, role, attached));
                            true
                        }
                    },
                };
                if !there {
                    gone.push(guarded.interface.clone());
                    break;
                }
            }
        }
        let mut notes = switch.commit();
        place.keep = true;
        drop(place);
        for (ifindex, role, attached) in added {
            if let Some(guarded) = self.guarded.get_mut(&ifindex) {
                guarded.hold(role, attached)?;
            }
        }
        self.release_unused(&instance)?;

        for interface in gone {
            self.forget(interface.index)?;
            notes.push(format!("the interface {} is gone", interface.name));
        }
        self.store.adopt(|name| instance.take_map(name))?;
        let roots = observer::roots(&self.store.folders, &existing.instances);
        self.observer = Observer::attach(&self.store.folders, &instance, &roots);
        for old in existing.instances {
            let folder = self.store.folders.instance(old);
            folders::remove(&folder).map_err(|error| {
                KernelError::call(format!("cannot remove {}", folder.display()), error)
            })?;
        }
        self.number = number;
        self.instance = instance;
        Ok(notes)
    }
}
