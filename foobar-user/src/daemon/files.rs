//! `[reload] watch`: the configuration and its list files are read again when they change.
//!
//! Folders are watched, not files: editors and configuration management put another file in the place of the old one. What
//! happened is not asked, but whether the files say something else than before.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, time};
use tracing::{info, warn};

use super::{keeper::Keeper, options::Options};
use crate::{control::reload::Reload, policy::Config, state::configuration::fingerprint};

/// Files are read when nothing has happened for so long: several of them may belong together.
const SETTLE: Duration = Duration::from_millis(300);
/// But not later than this after the first change.
const LATEST: Duration = Duration::from_secs(3);

/// Watches the folders that the configuration in force says.
#[derive(Default)]
pub struct Files {
    watcher: Option<RecommendedWatcher>,
    /// Something happened in one of the folders.
    happened: Arc<Notify>,
    /// The configuration whose folders are watched.
    config: Option<Arc<Config>>,
}

impl Files {
    /// Watches what this configuration is read from, if it says so.
    pub fn follow(&mut self, options: &Options, config: &Arc<Config>) {
        if self.config.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, config)) {
            return;
        }
        self.config = Some(Arc::clone(config));
        if !config.reload.watch {
            self.watcher = None;
            return;
        }
        // The old one tells of what happens until there is a new one.
        match watch(&folders(&options.config, config), &self.happened) {
            Ok(watcher) => {
                if self.watcher.replace(watcher).is_none() {
                    info!("a change of {} or of a list file is a reload", options.config.display());
                }
            }
            Err(error) => {
                self.watcher = None;
                warn!("files are not watched, `foobar reload` reads them: {error}");
            }
        }
    }

    /// Waits until something happened and settled.
    pub async fn changed(&mut self) {
        self.happened.notified().await;
        let latest = time::sleep(LATEST);
        tokio::pin!(latest);
        loop {
            tokio::select! {
                () = &mut latest => break,
                () = time::sleep(SETTLE) => break,
                () = self.happened.notified() => {}
            }
        }
        // A folder may be another one under the same name now.
        self.config = None;
    }
}

/// Folders of the files, as they are named and as they are behind symbolic links.
fn folders(path: &Path, config: &Config) -> BTreeSet<PathBuf> {
    let lists = config.lists.iter().filter_map(|list| list.file.as_deref());
    let files = lists.chain([path]);
    let folder = |path: &Path| match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    files
        .flat_map(|file| [Some(folder(file)), file.canonicalize().ok().map(|file| folder(&file))])
        .flatten()
        .collect()
}

fn watch(
    folders: &BTreeSet<PathBuf>,
    happened: &Arc<Notify>,
) -> notify::Result<RecommendedWatcher> {
    let happened = Arc::clone(happened);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error is as good: what was missed is looked for.
        if event.as_ref().map_or(true, says_something) {
            happened.notify_one();
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Reading changes nothing, and is what follows a change: it must not be taken for the next one.
fn says_something(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

impl Keeper {
    /// Reads the configuration again, if its files say something else than what is in force.
    pub(super) fn files_changed(&mut self) {
        if !self.current.config.reload.watch {
            return;
        }
        let options = &self.shared.origins.settings.options;
        if let Ok((_, sources)) = options.read_config() {
            let found = fingerprint(&sources);
            let configured = &self.current.configured;
            let is_in_force =
                configured.current.as_ref().is_some_and(|kept| kept.fingerprint == found);
            let is_same = is_in_force && self.shared.config_loaded().successful;
            if is_same || configured.rejected.as_ref() == Some(&found) {
                return;
            }
        }
        // What is wrong with it is logged, counted and shown by that.
        drop(self.reload("file watch", &Reload::default()));
    }
}
