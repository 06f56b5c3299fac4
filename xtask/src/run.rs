//! Building foobar and running it from the source tree.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{build, command, workspace};

/// What `foobar` listens on if its configuration names nothing else.
const DEFAULT_LISTEN: &str = "127.0.0.1:9898";

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub struct Args {
    /// Arguments for `foobar run`; without --config: deploy/foobar.example.toml in audit mode, on
    /// the interface with the default route
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Replaces this process by `foobar run`.
pub fn run(args: &Args) -> Result<()> {
    let arguments = arguments(&args.args);
    let foobar = build::release()?;
    if !command::is_root() {
        let words = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
        bail!(
            "foobar is built, but only root may load programs into the kernel; start it with\n  \
             sudo {} run {}",
            foobar.display(),
            words.join(" ")
        );
    }
    if let Some(listen) = value_of(&arguments, "--config").and_then(|file| listen(Path::new(file)))
    {
        eprintln!("metrics: http://{listen}/metrics");
    }
    let error = Command::new(&foobar).arg("run").args(&arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", foobar.display()))
}

/// The arguments for `foobar run`: those given, and the example in audit mode for what is not, so
/// that nobody locks himself out by trying.
fn arguments(given: &[OsString]) -> Vec<OsString> {
    let mut arguments = given.to_vec();
    if value_of(given, "--config").is_none() {
        arguments.push("--config".into());
        arguments.push(workspace::root().join("deploy/foobar.example.toml").into());
        if value_of(given, "--mode").is_none() {
            arguments.extend(["--mode".into(), "audit".into()]);
        }
    }
    arguments
}

/// The value of a flag, given as `--flag value` or `--flag=value`.
fn value_of<'a>(arguments: &'a [OsString], flag: &str) -> Option<&'a OsStr> {
    arguments.iter().enumerate().find_map(|(index, word)| {
        if word == flag {
            return arguments.get(index + 1).map(OsString::as_os_str);
        }
        word.to_str()?.strip_prefix(flag)?.strip_prefix('=').map(OsStr::new)
    })
}

/// Where the configuration says that metrics are. A broken one is for `foobar` to report, which
/// knows line and column.
fn listen(config: &Path) -> Option<String> {
    let config: toml::Table = fs::read_to_string(PathBuf::from(config)).ok()?.parse().ok()?;
    let listen = config.get("metrics").and_then(|metrics| metrics.get("listen"));
    Some(listen.map_or(Some(DEFAULT_LISTEN), toml::Value::as_str)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn without_arguments_nothing_is_enforced() {
        let arguments = arguments(&[]);
        assert!(
            value_of(&arguments, "--config").unwrap().to_str().unwrap().ends_with("example.toml")
        );
        assert_eq!(value_of(&arguments, "--mode"), Some(OsStr::new("audit")));
    }

    #[test]
    fn an_interface_alone_keeps_the_example_in_audit_mode() {
        let arguments = arguments(&words("--interface eth7"));
        assert_eq!(value_of(&arguments, "--interface"), Some(OsStr::new("eth7")));
        assert_eq!(value_of(&arguments, "--mode"), Some(OsStr::new("audit")));
    }

    #[test]
    fn an_own_configuration_keeps_its_own_mode() {
        for given in ["--config /etc/x.toml", "--config=/etc/x.toml"] {
            assert_eq!(arguments(&words(given)), words(given));
        }
    }

    #[test]
    fn an_own_mode_is_kept() {
        let arguments = arguments(&words("--mode=enforce"));
        assert_eq!(value_of(&arguments, "--mode"), Some(OsStr::new("enforce")));
        assert_eq!(arguments.iter().filter(|word| *word == "--mode").count(), 0);
    }
}
