//! What is on disk and in the BPF file system, the clock, the configuration.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use nix::sys::statvfs::statvfs;

use super::{CONFIGURATION, Finding};
use crate::{
    kernel::Features,
    policy::{Config, diagnostic::Severity},
    state,
};

/// A state with lists of a million entries, written beside the old one.
const ROOM: u64 = 128 << 20;

/// The configuration, if there is one.
pub fn of_configuration(path: Option<&Path>) -> (Finding, Option<Config>) {
    const SUBJECT: &str = "configuration";
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(CONFIGURATION));
    if !named && !path.exists() {
        return (Finding::ok(SUBJECT, format!("none at {}", path.display())), None);
    }
    match Config::load(path) {
        Ok(loaded) => {
            let mode = loaded.config.mode;
            (Finding::ok(SUBJECT, format!("{}, mode {mode}", path.display())), Some(loaded.config))
        }
        Err(error) => {
            // Notes may stand before it.
            let first = error.diagnostics.iter().find(|found| found.severity == Severity::Error);
            let first = first
                .map_or(String::new(), |first| format!("{}: {}", first.place(), first.message));
            let remedy = format!("`foobar check --config {}` says all", path.display());
            let found = format!("it cannot be used: {first}");
            (Finding::error(SUBJECT, found, remedy), None)
        }
    }
}

/// What the last daemon left on disk, and whether there is room for more.
pub fn of_state(folder: &Path) -> Finding {
    const SUBJECT: &str = "state folder";
    if !state::Store::is_there(folder) {
        return Finding::ok(SUBJECT, format!("nothing in {} yet", folder.display()));
    }
    let state = match state::Store::look(folder) {
        Ok(state) => state,
        Err(problem) => {
            return Finding::error(
                SUBJECT,
                problem.to_string(),
                "bring back a good copy; or remove it, and with it all changes made at runtime",
            );
        }
    };
    let found = format!("{} holds generation {}", folder.display(), state.generation);
    let Ok(system) = statvfs(folder) else { return Finding::ok(SUBJECT, found) };
    if system.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
        return Finding::error(
            SUBJECT,
            format!("{found}, on a file system that is mounted read-only: changes are refused"),
            "find out why (dmesg), then: mount -o remount,rw PLACE",
        );
    }
    let free = system.blocks_available().saturating_mul(system.fragment_size());
    if free < ROOM {
        return Finding::warning(
            SUBJECT,
            format!(
                "{found}, and {} MiB are free: a change that does not fit is refused",
                free >> 20
            ),
            format!("make room where {} is", folder.display()),
        );
    }
    Finding::ok(SUBJECT, found)
}

/// What is pinned.
pub fn of_pins(folder: &Path) -> Finding {
    const SUBJECT: &str = "pins";
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::ok(SUBJECT, format!("nothing is pinned in {}", folder.display()));
        }
        Err(error) => {
            let found = format!("cannot look into {}: {error}", folder.display());
            return Finding::warning(SUBJECT, found, "run as root: `sudo foobar doctor`");
        }
    };
    if found.uid() != 0 || found.mode() & 0o077 != 0 {
        let (uid, mode) = (found.uid(), found.mode() & 0o7777);
        return Finding::error(
            SUBJECT,
            format!(
                "{} belongs to user {uid} with mode {mode:04o}: others can change the filter",
                folder.display()
            ),
            format!("chown root: {0} && chmod 0700 {0}", folder.display()),
        );
    }
    Finding::ok(SUBJECT, format!("a filter is pinned in {}", folder.display()))
}

/// The BPF file system.
pub fn of_bpffs(features: &Features, bpf_dir: &Path) -> Finding {
    const SUBJECT: &str = "bpf file system";
    if !features.bpffs {
        return Finding::warning(
            SUBJECT,
            "not mounted at /sys/fs/bpf",
            "mount -t bpf bpf /sys/fs/bpf; `foobar run` does so by itself as root",
        );
    }
    let Some(options) = &features.bpffs_options else {
        return Finding::ok(SUBJECT, "mounted at /sys/fs/bpf");
    };
    if options.split(',').any(|option| option == "ro") {
        return Finding::error(
            SUBJECT,
            format!(
                "mounted read-only ({options}): nothing can be pinned in {}",
                bpf_dir.display()
            ),
            "mount -o remount,rw /sys/fs/bpf",
        );
    }
    Finding::ok(SUBJECT, format!("mounted at /sys/fs/bpf ({options})"))
}

/// The clock: lifetimes of entries and certificates go by it.
pub fn of_clock(synchronised: Option<bool>) -> Finding {
    const SUBJECT: &str = "clock";
    match synchronised {
        Some(true) => Finding::ok(SUBJECT, "kept by a time service"),
        Some(false) => Finding::warning(
            SUBJECT,
            "no time service keeps it: lifetimes (--ttl), certificates and time stamps go by it",
            "apt install chrony, or timedatectl set-ntp true",
        ),
        None => Finding::warning(
            SUBJECT,
            "the kernel does not tell whether it is kept",
            "timedatectl status",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Grade;

    #[test]
    fn a_damaged_state_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_state(folder.path()).grade, Grade::Ok);
        fs::write(folder.path().join("state.json"), "{}").unwrap();
        assert_eq!(of_state(folder.path()).grade, Grade::Error);
    }

    #[test]
    fn a_broken_configuration_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foobar.toml");
        assert_eq!(of_configuration(Some(&path)).0.grade, Grade::Error, "it was named");
        fs::write(&path, "mode = \"audit\"\n").unwrap();
        let (finding, config) = of_configuration(Some(&path));
        assert!(finding.grade == Grade::Ok && config.is_some(), "{finding:?}");
        fs::write(&path, "mode = \"of\"\n").unwrap();
        let (finding, config) = of_configuration(Some(&path));
        assert!(finding.grade == Grade::Error && config.is_none(), "{finding:?}");
        assert!(finding.remedy.unwrap().contains("foobar check --config"));
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_told() {
        assert_eq!(of_clock(Some(true)).grade, Grade::Ok);
        assert!(of_clock(Some(false)).remedy.unwrap().contains("chrony"));
    }

    #[test]
    fn pins_that_others_can_reach_are_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let finding = of_pins(folder.path());
        assert_eq!(finding.grade, Grade::Error);
        assert!(finding.remedy.unwrap().contains("chmod 0700"));
        assert_eq!(of_pins(&folder.path().join("none")).grade, Grade::Ok);
    }
}
