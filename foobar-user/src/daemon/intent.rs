//! Everything that a policy follows from: a change makes a new one, and the pipeline puts it in force as a whole.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::info;

use crate::{
    policy::{Config, Lists, Policy, model::Mode},
    state::{Configured, State},
};

/// What shall be in force. Cheap to clone: the big parts are shared.
#[derive(Clone)]
pub struct Intent {
    /// The configuration with the command line laid over it.
    pub config: Arc<Config>,
    /// Its lists with the runtime changes laid over them.
    pub lists: Lists,
    /// Which configuration that is, on disk.
    pub configured: Configured,
    /// Addresses of this server, which no packet from outside may carry as its source.
    pub own_addresses: Vec<IpAddr>,
    /// Epoch of the flows that count.
    pub flow_epoch: u32,
    /// Number of the policy; each change counts it up.
    pub generation: u64,
    /// Who changed what last.
    pub change: String,
    /// When, in seconds since 1970.
    pub changed_at: u64,
    /// Changes that are not in force yet: their generation, and who changed what.
    pub news: Vec<(u64, String)>,
}

impl Intent {
    /// Counts up and notes who changed what.
    pub fn record(&mut self, change: String) {
        self.generation += 1;
        self.news.push((self.generation, change.clone()));
        self.change = change;
        self.changed_at = now();
    }

    /// Writes the log's lines about what is in force now.
    pub fn tell_news(&mut self) {
        for (generation, change) in self.news.drain(..) {
            info!(generation, mode = %self.config.mode, "in force: {change}");
        }
    }

    /// The policy that follows.
    pub fn policy(&self) -> Policy {
        Policy::new(
            &self.config,
            self.lists.clone(),
            self.own_addresses.clone(),
            self.flow_epoch,
            self.generation,
        )
    }

    /// What of it is kept on disk.
    pub fn state(&self) -> State {
        State {
            generation: self.generation,
            flow_epoch: self.flow_epoch,
            mode: self.config.mode,
            change: self.change.clone(),
            changed_at: self.changed_at,
            configured: self.configured.clone(),
            overlays: self.lists.overlays(),
        }
    }

    /// The epoch of flows under another mode: what audit let through is forgotten on the way to enforce.
    pub fn epoch_for(epoch: u32, before: Mode, after: Mode) -> u32 {
        match (before, after) {
            (Mode::Audit, Mode::Enforce) => epoch.wrapping_add(1),
            _ => epoch,
        }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
