//! Which configuration to start from: the file, or the last good one where the file is broken, missing, or was not confirmed.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tracing::error;

use super::options::{Options, Settings};
use crate::{
    policy::{Config, config::Sources},
    state::{self, Configured, Problem, State, configuration::fingerprint},
};

/// What the daemon starts from.
pub struct Boot {
    /// Command line and configuration.
    pub settings: Arc<Settings>,
    /// The state folder.
    pub disk: state::Store,
    /// What the last daemon left in it.
    pub state: Result<Option<State>, Problem>,
}

/// Chooses the configuration. Binds and attaches nothing.
///
/// # Errors
/// There is none that can be used, or the state folder is not ours.
pub fn choose(options: Options) -> Result<Boot> {
    let read = options.read_config().map_err(|error| {
        anyhow!(error)
            .context(format!("the configuration {} cannot be used", options.config.display()))
    });
    if read.is_err() && !state::Store::is_there(&options.state_dir) {
        return Err(read.expect_err("it was asked"));
    }
    let mut disk = state::Store::open(&options.state_dir)?;
    let mut state = disk.load();
    let configured = match &mut state {
        Ok(Some(state)) => {
            take_back(state);
            state.configured.clone()
        }
        _ => Configured::default(),
    };
    let (config, sources, trouble) = match read {
        Ok((_, sources)) if configured.rejected == Some(fingerprint(&sources)) => {
            let why = anyhow!(
                "the configuration {} was not confirmed in time, and is not used until `foobar reload`",
                options.config.display()
            );
            let (config, trouble) = last_good(&options, &disk, &configured, why)?;
            (config, None, Some(trouble))
        }
        Ok((config, sources)) => (config, Some(sources), None),
        Err(why) => {
            let (config, trouble) = last_good(&options, &disk, &configured, why)?;
            (config, None, Some(trouble))
        }
    };
    if let Some(trouble) = &trouble {
        error!("the last good configuration is used: {trouble}");
    }
    Ok(Boot { settings: Arc::new(Settings { options, config, sources, trouble }), disk, state })
}

/// Takes back a change whose time to be confirmed has passed while no daemon ran.
fn take_back(state: &mut State) {
    let overdue = |pending: &mut state::Pending| pending.deadline.remaining().is_zero();
    if let Some(pending) = state.configured.pending.take_if(overdue) {
        state.configured.rejected = state.configured.current.take().map(|kept| kept.fingerprint);
        state.configured.current = Some(pending.previous);
        state.overlays.extend(pending.lost);
        state.change = "a change that was not confirmed in time was taken back".to_owned();
    }
}

/// The configuration that was last in force, and why it is used, in one line.
fn last_good(
    options: &Options,
    disk: &state::Store,
    configured: &Configured,
    why: anyhow::Error,
) -> Result<(Arc<Config>, String)> {
    let Some(kept) = &configured.current else { return Err(why) };
    let read = || -> Result<Arc<Config>> {
        let sources: Sources = disk.kept(kept)?;
        Ok(options.lay_over(Config::from_sources(&sources)?))
    };
    match read() {
        Ok(config) => {
            let why = format!("{why:#}");
            Ok((config, why.lines().map(str::trim).collect::<Vec<_>>().join("; ")))
        }
        Err(problem) => Err(why).with_context(|| {
            format!("there is no configuration to start with (the last good one: {problem:#})")
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use super::*;
    use crate::{
        policy::model::Mode,
        state::{Deadline, Pending},
    };

    const GOOD: &str = "mode = \"audit\"\n[blocklists.abuse]\nfile = \"abuse.txt\"\n";

    fn options(folder: &Path) -> Options {
        Options {
            config: folder.join("foobar.toml"),
            interfaces: Vec::new(),
            mode: None,
            replace: false,
            force: false,
            runtime_dir: folder.join("run"),
            state_dir: folder.join("state"),
            bpf_dir: folder.join("bpf"),
        }
    }

    fn write(folder: &Path, text: &str) {
        fs::write(folder.join("foobar.toml"), text).unwrap();
        fs::write(folder.join("abuse.txt"), "192.0.2.0/24\n").unwrap();
    }

    fn state(configured: Configured) -> State {
        State {
            generation: 1,
            flow_epoch: 1,
            mode: Mode::Audit,
            change: String::new(),
            changed_at: 0,
            configured,
            overlays: Vec::new(),
        }
    }

    /// Keeps the configuration as it is in the folder now.
    fn keep(folder: &Path, generation: u64) -> state::configuration::Kept {
        let (_, sources) = options(folder).read_config().unwrap();
        state::Store::open(&folder.join("state")).unwrap().keep(generation, &sources).unwrap()
    }

    fn save(folder: &Path, configured: Configured) {
        state::Store::open(&folder.join("state")).unwrap().save(state(configured)).unwrap();
    }

    #[test]
    fn without_a_usable_file_the_last_good_one_serves_with_its_lists() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "mode = ");
        let error = choose(options(folder)).err().expect("there is nothing to start from");
        assert!(format!("{error:#}").contains("foobar.toml"), "{error:#}");
        assert!(!folder.join("state").exists());

        write(folder, GOOD);
        let current = Some(keep(folder, 1));
        save(folder, Configured { current, ..Configured::default() });
        write(folder, "mode = ");
        fs::remove_file(folder.join("abuse.txt")).unwrap();
        let boot = choose(options(folder)).unwrap();
        assert_eq!(boot.settings.config.lists[0].entries.len(), 1);
        let trouble = boot.settings.trouble.as_ref().expect("it says so");
        assert!(trouble.contains("foobar.toml:1") && !trouble.contains('\n'), "{trouble}");
        drop(boot);

        write(folder, GOOD);
        assert!(choose(options(folder)).unwrap().settings.trouble.is_none());
    }

    #[test]
    fn what_was_not_confirmed_in_time_is_taken_back_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, GOOD);
        let previous = keep(folder, 1);
        write(folder, "mode = \"enforce\"\n");
        let pending = |time| {
            let current = Some(keep(folder, 2));
            let deadline = Deadline::after(time);
            let pending = Pending { deadline, previous: previous.clone(), lost: Vec::new() };
            Configured { current, pending: Some(pending), rejected: None }
        };
        save(folder, pending(Duration::from_secs(600)));
        let boot = choose(options(folder)).unwrap();
        assert_eq!(boot.settings.config.mode, Mode::Enforce, "there is time left");
        drop(boot);
        save(folder, pending(Duration::ZERO));
        let boot = choose(options(folder)).unwrap();
        assert_eq!(boot.settings.config.mode, Mode::Audit);
        assert!(boot.settings.trouble.as_ref().unwrap().contains("not confirmed"));
        let state = boot.state.unwrap().unwrap();
        assert!(state.configured.pending.is_none());
        drop(boot.disk);
        save(folder, state.configured);
        assert_eq!(choose(options(folder)).unwrap().settings.config.mode, Mode::Audit);
        write(
            folder,
            "mode = \"enforce\"\n[[rules]]\nname = \"a\"\nports = [22]\nfrom = \"any\"\n",
        );
        let boot = choose(options(folder)).unwrap();
        assert_eq!(boot.settings.config.mode, Mode::Enforce, "that is another file");
    }
}
