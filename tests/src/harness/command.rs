//! Running commands to their end.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// What a command left: exit code and both streams.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code, `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Both streams, for messages.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started: a missing requirement is a failure, and the message says which.
pub fn try_run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        let program = command.get_program().display();
        panic!("this test needs the program `{program}`, which cannot be started: {error}")
    });
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command that has to succeed, and returns its standard output.
///
/// # Panics
/// If it fails, with all that it said.
pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    let output = try_run(command.args(arguments));
    assert_eq!(output.code, Some(0), "{command:?} failed:\n{}", output.text());
    output.stdout
}

/// The binary under test: `$FOOBAR_BIN`, or `foobar` of the profile that this test was built with.
///
/// # Panics
/// If it is not there, or older than its sources: cargo builds the tests of this package without it.
pub fn foobar_binary() -> PathBuf {
    if let Some(path) = env::var_os("FOOBAR_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("the path of this test");
    let profile = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(Path::parent);
    let binary = profile.expect("tests are built into target/PROFILE/deps").join("foobar");
    let built = fs::metadata(&binary).and_then(|metadata| metadata.modified());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let newest = ["foobar-common/src", "foobar-ebpf/src", "foobar-user/src"]
        .iter()
        .filter_map(|folder| newest_below(&root.join(folder)))
        .max();
    assert!(
        built.as_ref().is_ok_and(|built| newest.is_none_or(|newest| *built >= newest)),
        "{} is missing or older than its sources; run `cargo build -p foobar-user` with this profile, \
         or all tests with `cargo xtask test`",
        binary.display()
    );
    binary
}

/// When the newest file below this folder was changed.
fn newest_below(folder: &Path) -> Option<SystemTime> {
    fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => newest_below(&entry.path()),
            _ => entry.metadata().ok()?.modified().ok(),
        })
        .max()
}
