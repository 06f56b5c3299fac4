//! What the command line asks for, laid over the configuration.

use std::{path::PathBuf, sync::Arc};

use tracing::info;

use crate::policy::{
    Config, ConfigError, Diagnostic, Loaded,
    config::{Interfaces, Sources},
    model::Mode,
};

/// What `foobar run` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Names, patterns or `default` instead of the configuration's interfaces.
    pub interfaces: Vec<String>,
    /// Instead of the configuration's mode.
    pub mode: Option<Mode>,
    /// Whether to take the place of another XDP program.
    pub replace: bool,
    /// Whether to start although it cuts SSH sessions.
    pub force: bool,
    /// Folder of the control socket.
    pub runtime_dir: PathBuf,
    /// Folder of what must survive a restart.
    pub state_dir: PathBuf,
    /// Folder of the pins.
    pub bpf_dir: PathBuf,
}

/// What the daemon starts with.
#[derive(Debug)]
pub struct Settings {
    /// What the command line said.
    pub options: Options,
    /// The configuration, with the command line's interfaces and mode.
    pub config: Arc<Config>,
    /// What it was read from; `None` if it is the last good one, from the state folder.
    pub sources: Option<Sources>,
    /// Why it is not that of the file.
    pub trouble: Option<String>,
}

impl Options {
    /// The configuration file as it is now, and what it was read from.
    ///
    /// # Errors
    /// Everything that is wrong with it, with line and column.
    pub fn read_config(&self) -> Result<(Arc<Config>, Sources), ConfigError> {
        let mut loaded = Config::load(&self.config)?;
        let sources = std::mem::take(&mut loaded.sources);
        Ok((self.lay_over(loaded), sources))
    }

    /// A configuration with the command line laid over it.
    pub fn lay_over(&self, mut loaded: Loaded) -> Arc<Config> {
        for note in &loaded.notes {
            // One line each; `foobar check` says more.
            let Diagnostic { file, line, column, message, .. } = note;
            info!("{}:{line}:{column}: {message}", file.display());
        }
        if !self.interfaces.is_empty() {
            loaded.config.interfaces = Interfaces::Patterns(self.interfaces.clone());
        }
        if let Some(mode) = self.mode {
            loaded.config.mode = mode;
        }
        Arc::new(loaded.config)
    }
}

/// The configuration's interfaces in the words of [`crate::kernel::select_interfaces`].
pub fn patterns(config: &Config) -> Vec<String> {
    match &config.interfaces {
        Interfaces::Default => vec!["default".to_owned()],
        Interfaces::Patterns(patterns) => patterns.clone(),
    }
}
