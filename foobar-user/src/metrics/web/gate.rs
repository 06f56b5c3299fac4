//! The web configuration that is in force. It is read again when one of its files changes (certificates are renewed by others);
//! as long as what is read is wrong, the one before stays.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use tracing::{info, warn};

use super::{Checks, Web};

/// Files are looked at when a connection comes, but not more often than this.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from the next: device, inode, size, times of change in nanoseconds.
type Stamp = Option<(u64, u64, u64, i128, i128)>;

/// Files, and the state that each was in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Stamp)>);

impl Stamps {
    /// Notes the state of a file.
    pub fn note(&mut self, path: &Path) {
        self.0.push((path.to_owned(), stamp(path).ok()));
    }

    /// Whether one of the files is in another state now.
    fn changed(&self) -> bool {
        self.0.iter().any(|(path, before)| stamp(path).ok() != *before)
    }
}

fn stamp(path: &Path) -> io::Result<(u64, u64, u64, i128, i128)> {
    let nanoseconds =
        |seconds: i64, more: i64| i128::from(seconds) * 1_000_000_000 + i128::from(more);
    fs::metadata(path).map(|found| {
        (
            found.dev(),
            found.ino(),
            found.len(),
            nanoseconds(found.mtime(), found.mtime_nsec()),
            nanoseconds(found.ctime(), found.ctime_nsec()),
        )
    })
}

/// Who is let in to the metrics, now.
#[derive(Debug)]
pub struct Gate {
    /// Passwords that are being checked.
    pub checks: Arc<Checks>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    path: Option<PathBuf>,
    /// `None`: a configuration is named that cannot be used, so nobody is let in.
    current: Option<Arc<Web>>,
    /// What is wrong with the file.
    error: Option<String>,
    /// The files as they were when they were read last, with success or without.
    stamps: Stamps,
    looked: Instant,
}

impl Gate {
    /// The configuration of this file; without one, everybody is let in, in clear. One that cannot be used lets nobody in until it
    /// can.
    pub fn new(path: Option<&Path>) -> Self {
        let (loaded, stamps) = load(path);
        let (current, error) = match loaded {
            Ok(web) => (Some(Arc::new(web)), None),
            Err(error) => {
                let error = format!("{error:#}");
                warn!("nobody is let in to the metrics: {error}");
                (None, Some(error))
            }
        };
        let state = State {
            path: path.map(Path::to_owned),
            current,
            error,
            stamps,
            looked: Instant::now(),
        };
        Self { checks: Arc::default(), state: Mutex::new(state) }
    }

    /// Reads a configuration without using it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn try_load(path: Option<&Path>) -> Result<Web> {
        load(path).0
    }

    /// Another configuration is in force.
    pub fn set(&self, path: Option<&Path>, web: Web) {
        let mut state = self.state();
        state.path = path.map(Path::to_owned);
        state.stamps = web.stamps.clone();
        state.current = Some(Arc::new(web));
        state.error = None;
        state.looked = Instant::now();
    }

    /// The configuration in force; `None` if nobody may be let in.
    pub fn current(&self) -> Option<Arc<Web>> {
        self.state().current.clone()
    }

    /// What is wrong with the file, if the one in force is not what it says.
    pub fn error(&self) -> Option<String> {
        self.state().error.clone()
    }

    /// The configuration in force, after a look at the files if the last one was some time ago.
    pub async fn fresh(self: &Arc<Self>) -> Option<Arc<Web>> {
        {
            let mut state = self.state();
            if state.path.is_none() || state.looked.elapsed() < LOOK {
                return state.current.clone();
            }
            // Others do not look meanwhile.
            state.looked = Instant::now();
        }
        let gate = Arc::clone(self);
        let look = tokio::task::spawn_blocking(move || gate.look());
        let _ = look.await.inspect_err(|panicked| warn!("web configuration: {panicked}"));
        self.current()
    }

    fn look(&self) {
        let (path, stamps) = {
            let state = self.state();
            (state.path.clone(), state.stamps.clone())
        };
        if !stamps.changed() {
            return;
        }
        let (loaded, stamps) = load(path.as_deref());
        let mut state = self.state();
        // A reload was faster.
        if state.path != path {
            return;
        }
        state.stamps = stamps;
        match loaded {
            Ok(web) => {
                info!("certificates, users and headers of the metrics were read again");
                state.current = Some(Arc::new(web));
                state.error = None;
            }
            Err(error) => {
                let error = format!("{error:#}");
                warn!("the listener for metrics stays as it is: {error}");
                state.error = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a configuration, and notes the states of its files also if it is wrong: it is read again when one changes.
fn load(path: Option<&Path>) -> (Result<Web>, Stamps) {
    let Some(path) = path else { return (Ok(Web::default()), Stamps::default()) };
    let mut files = Stamps::default();
    let loaded = Web::load(path, &mut files);
    (loaded, files)
}
