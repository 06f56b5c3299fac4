//! Changes that no operator makes: a lifetime that ends, an interface or an address that comes or goes.

use std::time::Duration;

use anyhow::Result;
use tokio::time;
use tracing::{error, info};

use super::{edits, intent::now, keeper::Keeper, pipeline::Durability};
use crate::kernel::{self, ChangeStream, Fit};

/// Addresses come in bursts (an interface with its IPv4 and IPv6 addresses), so one change follows a burst.
const SETTLE: Duration = Duration::from_millis(100);

/// Told by the kernel when interfaces or addresses change.
pub struct Surroundings(ChangeStream);

impl Surroundings {
    /// Starts to listen; what changed before is not told.
    ///
    /// # Errors
    /// No netlink socket can be had.
    pub fn watch() -> Result<Self> {
        Ok(Self(ChangeStream::open()?))
    }

    /// Waits until something changed and settled.
    pub async fn changed(&mut self) {
        self.0.changed().await;
        time::sleep(SETTLE).await;
        self.0.drain();
    }
}

impl Keeper {
    /// Takes entries out whose lifetime is over.
    pub(super) fn expire(&mut self) {
        let mut intent = self.current.clone();
        let gone = intent.lists.expire(now());
        if gone.is_empty() {
            self.expiry_failed = false;
            return;
        }
        let words =
            gone.iter().map(|gone| format!("{} {} {}", gone.kind, gone.list, gone.entry.prefix));
        intent.record(format!("lifetime over: {}", edits::named(gone.len(), words)));
        let outcome = self.put_in_force(intent, Fit::Superset, Durability::BestEffort);
        self.expiry_failed = outcome.is_err();
        if let Err(problem) = outcome {
            error!("entries whose lifetime is over are still in force: {problem:#}");
        }
    }

    /// Follows the interfaces and addresses of this server.
    pub(super) fn follow_surroundings(&mut self) {
        self.follow_interfaces();
        let addresses = match kernel::own_addresses() {
            Ok(addresses) => addresses,
            Err(problem) => return error!("cannot tell the addresses of this server: {problem:#}"),
        };
        if addresses == self.current.own_addresses {
            return;
        }
        let mut intent = self.current.clone();
        intent.own_addresses = addresses;
        intent.record("addresses of this server changed".to_owned());
        match self.put_in_force(intent, Fit::Superset, Durability::BestEffort) {
            Ok(()) => info!("own addresses: {:?}", self.current.own_addresses),
            Err(problem) => {
                error!("the policy does not know the new addresses of this server: {problem:#}");
            }
        }
    }
}
