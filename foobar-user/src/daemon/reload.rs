//! The configuration read again: everything is validated first, then put in force in one flip, or nothing changes.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use tracing::{error, info, warn};

use super::{guard, intent::Intent, interfaces, keeper::Keeper, pipeline::Durability};
use crate::{
    control::{
        Refusal,
        command::Caution,
        refusal::explain,
        reload::{Confirmed, Reload, Reloaded},
    },
    kernel::Fit,
    metrics::Gate,
    policy::{Config, ConfigError, Severity, diff, lists::NamedOverlay},
    state::{Deadline, Pending, configuration::fingerprint},
};

impl Keeper {
    /// Reads the configuration and its list files again, on behalf of `who`.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn reload(&mut self, who: &str, wanted: &Reload) -> Result<Reloaded, Refusal> {
        self.may_reload(wanted).inspect_err(|refusal| warn!("no reload for {who}: {refusal}"))?;
        let outcome = self.try_reload(who, wanted);
        match &outcome {
            Ok(done) => {
                info!("configuration reloaded");
                done.notes.iter().for_each(|note| warn!("{note}"));
                self.shared.reloaded(None);
            }
            Err(refusal) => {
                error!("the configuration is not reloaded, the policy in force stays: {refusal}");
                self.shared.reloaded(Some(refusal.error.replace('\n', "; ")));
            }
        }
        outcome
    }

    /// Whether this is the moment for another configuration.
    fn may_reload(&self, wanted: &Reload) -> Result<(), Refusal> {
        let generation = self.current.generation;
        if let Some(other) = wanted.if_generation.filter(|&wanted| wanted != generation) {
            return Err(Refusal::conflict(format!(
                "the policy is of generation {generation}, not {other}"
            ))
            .help("someone else changed it; look at `foobar status` and decide again"));
        }
        if self.current.configured.pending.is_some() && wanted.confirm_seconds.is_none() {
            return Err(Refusal::conflict("an earlier change waits to be confirmed")
                .help("confirm it with `foobar confirm`, wait until it is taken back, or give this one a time as well with --confirm"));
        }
        Ok(())
    }

    fn try_reload(&mut self, who: &str, wanted: &Reload) -> Result<Reloaded, Refusal> {
        let pending = self.current.configured.pending.clone();
        let settings = self.shared.settings();
        let options = &settings.options;
        let (config, sources) = options
            .read_config()
            .map_err(|error| Refusal::invalid(first(&error, &options.config)))?;
        let web_config = config.metrics.web_config.clone();
        let web = Gate::try_load(web_config.as_deref()).map_err(|error| {
            Refusal::invalid(explain(&error))
                .help("mend that file; the listener for metrics stays as it is")
        })?;
        let mut notes = restart_notes(&settings.config, &config);
        let mut intent = self.current.clone();
        let lost = self.reconfigure(&mut intent, &config);
        for lost in &lost {
            notes.push(format!(
                "the {} {} is no longer in the configuration; its runtime changes are dropped",
                lost.kind, lost.name
            ));
        }
        intent.record(format!("{who}: configuration reloaded"));
        let caution =
            Caution { force: wanted.force, ssh_connection: wanted.ssh_connection.clone() };
        guard::check(Some(&self.current.policy()), &intent.policy(), &caution)?;

        let before = intent.configured.current.take();
        let kept = before.clone().filter(|kept| kept.fingerprint == fingerprint(&sources));
        let kept = kept.map_or_else(|| self.disk.keep(intent.generation, &sources), Ok);
        let kept = kept.map_err(|problem| {
            let problem =
                anyhow!(problem).context("the configuration cannot be kept, so it is not used");
            Refusal::from_error(&problem)
        })?;
        intent.configured.current = Some(kept);
        intent.configured.rejected = None;
        if let Some(seconds) = wanted.confirm_seconds {
            let (previous, mut all_lost) = match pending {
                Some(pending) => (Some(pending.previous), pending.lost),
                None => (before, Vec::new()),
            };
            let previous = previous.ok_or_else(|| {
                Refusal::failed(
                    "there is nothing to go back to: the configuration in force is not on disk",
                )
                .help("make room in the state folder, run `foobar reload`, then try again")
            })?;
            all_lost.extend(lost);
            let deadline = Deadline::after(Duration::from_secs(seconds));
            intent.configured.pending = Some(Pending { deadline, previous, lost: all_lost });
        }
        let changes = diff::diff(
            (&self.current.policy(), &self.current.config.observe),
            (&intent.policy(), &intent.config.observe),
        );
        if changes.is_empty() {
            info!("rules and lists are as before");
        } else {
            info!("{}", changes.to_string().trim_end().replace('\n', "; "));
        }
        let (attached, released) = self.switch_to(intent, Durability::Required)?;
        self.shared.gate.set(web_config.as_deref(), web);
        Ok(Reloaded {
            generation: self.current.generation,
            changes,
            attached,
            released,
            notes,
            confirm_within_seconds: wanted.confirm_seconds,
        })
    }

    /// Lays another configuration under an intent; gives back the runtime changes of lists that it does not have.
    fn reconfigure(&self, intent: &mut Intent, config: &Arc<Config>) -> Vec<NamedOverlay> {
        let (lists, lost) = intent.lists.reconfigure(config);
        intent.lists = lists;
        intent.flow_epoch = Intent::epoch_for(intent.flow_epoch, intent.config.mode, config.mode);
        intent.config = Arc::clone(config);
        lost
    }

    /// Attaches to the interfaces of another configuration, puts it in force, and lets go of those that it does not name.
    fn switch_to(
        &mut self,
        intent: Intent,
        durability: Durability,
    ) -> Result<(Vec<String>, Vec<String>), Refusal> {
        let failed = |problem: anyhow::Error| Refusal::from_error(&problem);
        let config = Arc::clone(&intent.config);
        let named = interfaces::named(&config).map_err(|error| failed(error.into()))?;
        // Nothing that is amiss with an interface may keep a change from being taken back.
        let is_strict = durability == Durability::Required;
        let known = self.shared.absent_interfaces();
        let is_new = is_strict && !named.absent.is_subset(&known);
        if let Some(refusal) = named.refusal.filter(|_| is_new) {
            return Err(failed(refusal.into()));
        }
        let outcome = self
            .shared
            .with_engine(|engine| interfaces::follow(engine, &config, false))
            .map_err(failed)?;
        let mut done = Ok(());
        let mut failures = outcome.failed.into_iter();
        if is_strict && let Some((name, problem)) = failures.next() {
            done = Err(anyhow!(problem).context(format!("cannot filter on {name}")));
        }
        if let Err(problem) = done.and_then(|()| self.put_in_force(intent, Fit::Exact, durability))
        {
            // What was attached for a policy that is not in force.
            let old = &self.current.config;
            if let Err(problem) =
                self.shared.with_engine(|engine| interfaces::follow(engine, old, true))
            {
                warn!("some interfaces may be filtered that need not be: {problem:#}");
            }
            return Err(failed(problem));
        }
        let attached = outcome.attached;
        let released = self
            .shared
            .with_engine(|engine| interfaces::follow(engine, &config, true))
            .context(
                "the policy is in force, but interfaces that it does not name are still filtered",
            )
            .map_err(failed)?
            .released;
        let unfiltered = failures.map(|(name, _)| name);
        self.shared.set_absent_interfaces(named.absent.into_iter().chain(unfiltered).collect());
        self.unattached = true;
        Ok((attached, released))
    }

    /// A change that waits to be confirmed stays.
    ///
    /// # Errors
    /// None waits, or the state cannot be written: then it is taken back when its time has passed.
    pub(super) fn confirm(&mut self, who: &str) -> Result<Confirmed, Refusal> {
        let mut intent = self.current.clone();
        if intent.configured.pending.take().is_none() {
            return Err(Refusal::conflict("no change waits to be confirmed").help(
                "`foobar status` says what was changed last, and whether it was taken back",
            ));
        }
        let saved = self.disk.save(intent.state());
        self.shared.persisted(saved.is_ok());
        saved.map_err(|problem| {
            let problem = anyhow!(problem).context("the change is not confirmed");
            Refusal::from_error(&problem)
        })?;
        info!(generation = intent.generation, "confirmed by {who}");
        self.current = intent;
        self.shared.publish(&self.current, &self.tables);
        Ok(Confirmed { generation: self.current.generation })
    }

    /// Time until a change is taken back that nobody confirmed.
    pub(super) fn until_revert(&self) -> Option<Duration> {
        self.current.configured.pending.as_ref().map(|pending| pending.deadline.remaining())
    }

    /// Takes a change back that nobody confirmed in time.
    pub(super) fn revert_overdue(&mut self) {
        if !self.until_revert().is_some_and(|remaining| remaining.is_zero()) {
            return;
        }
        let outcome = self.revert();
        self.revert_failed = outcome.is_err();
        match outcome {
            Ok(()) => self.shared.reloaded(Some(
                "the last change was not confirmed in time and was taken back; `foobar reload` reads the file again"
                    .to_owned(),
            )),
            Err(refusal) => error!("a change that was not confirmed is still in force: {refusal}"),
        }
    }

    fn revert(&mut self) -> Result<(), Refusal> {
        let mut intent = self.current.clone();
        let Some(pending) = intent.configured.pending.take() else { return Ok(()) };
        let read = || -> anyhow::Result<_> {
            let sources = self.disk.kept(&pending.previous)?;
            Ok(self.shared.settings().options.lay_over(Config::from_sources(&sources)?))
        };
        let config = read().map_err(|problem| Refusal::from_error(&problem))?;
        self.reconfigure(&mut intent, &config);
        let mut overlays = intent.lists.overlays();
        overlays.extend(pending.lost);
        intent.lists.set_overlays(overlays);
        let rejected = intent.configured.current.replace(pending.previous);
        intent.configured.rejected = rejected.map(|kept| kept.fingerprint);
        intent.record("a change that was not confirmed in time was taken back".to_owned());
        warn!("nobody confirmed the last change: it is taken back");
        self.switch_to(intent, Durability::BestEffort)?;
        let web_config = config.metrics.web_config.as_deref();
        match Gate::try_load(web_config) {
            Ok(web) => self.shared.gate.set(web_config, web),
            Err(error) => warn!("the listener for metrics stays as it is: {error:#}"),
        }
        Ok(())
    }
}

/// What of a configuration only a start of the daemon puts in force.
fn restart_notes(started: &Config, now: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if now.metrics.listen != started.metrics.listen {
        notes.push("[metrics] listen changes with the next start of the daemon".to_owned());
    }
    if now.control != started.control {
        notes.push("[control] group changes with the next start of the daemon".to_owned());
    }
    if now.flows != started.flows {
        notes.push(
            "[flows] (size and idle times of the flow tables) changes with the next start of the daemon"
                .to_owned(),
        );
    }
    notes
}

/// The first error on one line, as the log and `status` show it.
fn first(error: &ConfigError, path: &Path) -> String {
    let mut errors = error.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let Some(first) = errors.next() else { return error.to_string() };
    let place = first.place();
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{place}: {}{more}; `foobar check --config {}` says all", first.message, path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let config = |text: &str| Config::parse(text, Path::new("foobar.toml")).unwrap().config;
        let started = config("[metrics]\nlisten = \"127.0.0.1:9898\"\n");
        assert!(restart_notes(&started, &started).is_empty());
        let other = config("[metrics]\nlisten = \"127.0.0.1:9899\"\n[flows]\nmax_entries = 2048\n");
        let notes = restart_notes(&started, &other);
        assert!(notes[0].contains("[metrics] listen") && notes[1].contains("[flows]"), "{notes:?}");
    }
}
