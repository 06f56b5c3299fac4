//! The configuration read again: everything is validated first, then put in force in one flip, or nothing changes.

use std::path::Path;

use anyhow::{Result, anyhow};
use tracing::{error, info, warn};

use super::{intent::Intent, keeper::Keeper, options::patterns, pipeline::Durability};
use crate::{
    kernel::Fit,
    policy::{ConfigError, Severity, diff},
};

impl Keeper {
    /// Reads the configuration and its list files again, on behalf of `who`.
    pub(super) fn reload(&mut self, who: &str) {
        let outcome = self.try_reload(who);
        match &outcome {
            Ok(()) => info!("configuration reloaded"),
            Err(problem) => {
                error!("the configuration is not reloaded, the policy in force stays: {problem:#}")
            }
        }
        self.shared.reloaded(outcome.as_ref().err());
    }

    fn try_reload(&mut self, who: &str) -> Result<()> {
        let options = &self.shared.origins.settings.options;
        let config =
            options.config().map_err(|error| anyhow!("{}", first(&error, &options.config)))?;
        let old = &self.current.config;
        if patterns(&config) != patterns(old)
            || config.metrics.listen != old.metrics.listen
            || config.flows != old.flows
        {
            warn!(
                "interfaces, the metrics address and the size of the flow tables change with the next start of the daemon"
            );
        }
        let mut intent = self.current.clone();
        let (lists, lost) = intent.lists.reconfigure(&config);
        for lost in lost {
            warn!(
                "the {} {} is no longer in the configuration; its runtime changes are dropped",
                lost.kind, lost.name
            );
        }
        intent.lists = lists;
        intent.flow_epoch = Intent::epoch_for(intent.flow_epoch, old.mode, config.mode);
        intent.config = config;
        intent.record(format!("{who}: configuration reloaded"));
        let difference = diff::diff(&self.current.policy(), &intent.policy());
        if difference.is_empty() {
            info!("the configuration means the same as before");
        } else {
            info!("{}", difference.to_string().trim_end().replace("\n", "; "));
        }
        self.put_in_force(intent, Fit::Exact, Durability::Required)
    }
}

/// The first error on one line, as the log and `status` show it.
fn first(error: &ConfigError, path: &Path) -> String {
    let mut errors = error.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let Some(first) = errors.next() else { return error.to_string() };
    let place = format!("{}:{}:{}", first.file.display(), first.line, first.column);
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{place}: {}{more}; `foobar check --config {}` says all", first.message, path.display())
}
