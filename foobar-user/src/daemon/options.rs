//! What the command line asks for, laid over the configuration.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use tracing::info;

use crate::policy::{Config, ConfigError, Diagnostic, config::Interfaces, model::Mode};

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
    /// Folder of the control socket.
    pub runtime_dir: PathBuf,
    /// Folder of what must survive a restart.
    pub state_dir: PathBuf,
    /// Folder of the pins.
    pub bpf_dir: PathBuf,
}

/// The configuration with the command line laid over it.
#[derive(Debug)]
pub struct Settings {
    /// What the command line said.
    pub options: Options,
    /// The configuration as it was read, with the command line's interfaces and mode.
    pub config: Arc<Config>,
}

impl Options {
    /// Reads the configuration file; binds nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it, with line and column.
    pub fn read(self) -> Result<Arc<Settings>> {
        let unusable = || format!("the configuration {} cannot be used", self.config.display());
        let config = self.config().with_context(unusable)?;
        Ok(Arc::new(Settings { options: self, config }))
    }

    /// The configuration file as it is now.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn config(&self) -> Result<Arc<Config>, ConfigError> {
        let mut loaded = Config::load(&self.config)?;
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
        Ok(Arc::new(loaded.config))
    }
}

/// The configuration's interfaces in the words of [`crate::kernel::select_interfaces`].
pub fn patterns(config: &Config) -> Vec<String> {
    match &config.interfaces {
        Interfaces::Default => vec!["default".to_owned()],
        Interfaces::Patterns(patterns) => patterns.clone(),
    }
}
