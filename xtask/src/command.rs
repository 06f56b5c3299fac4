//! Running other programs, with errors that name them.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs a command to its end, its output on ours. An exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output is above", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed on stdout; its stderr goes to ours.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// Where a program is. The folders for administrators count as well: Debian keeps nginx there,
/// and `su` leaves them out of PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The same for a program with a version in its name, such as `php-fpm8.2`: the last of those that start so.
pub fn find_by_start(start: &str) -> Option<PathBuf> {
    let path = search_path();
    let folders = env::split_paths(&path).filter_map(|folder| folder.read_dir().ok());
    let files = folders.flatten().flatten().map(|entry| entry.path());
    files
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
        })
        .max()
}

/// PATH and behind it the folders for administrators.
pub fn search_path() -> std::ffi::OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// Whether this process may load programs into the kernel and install packages.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
