//! The compiler for the kernel programs. foobar-user/build.rs includes this file, so that set-up
//! and build choose alike.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// A rustup toolchain that can compile for the BPF target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// `bpf`: a stable compiler with a prebuilt `core` for the target.
    Prebuilt,
    /// `nightly` with rust-src: compiles `core` from its source.
    Nightly,
}

impl Toolchain {
    /// rustup's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prebuilt => "bpf",
            Self::Nightly => "nightly",
        }
    }

    /// The one to use, the prebuilt one first, and its root folder. Looks at files only: starting
    /// rustup would take longer than all else that set-up checks.
    pub fn find() -> Option<(Self, PathBuf)> {
        let toolchains = rustup_home()?.join("toolchains");
        let prebuilt = toolchains.join(Self::Prebuilt.name());
        if prebuilt.join("lib/rustlib").join(target()).join("lib").is_dir() {
            return Some((Self::Prebuilt, prebuilt));
        }
        // `nightly-2026-05-20-x86_64-...` is not what rustup runs as `nightly`.
        let host = format!("nightly-{}-", env::consts::ARCH);
        let nightly = fs::read_dir(toolchains).ok()?.flatten().map(|entry| entry.path()).find(
            |toolchain| {
                let name = toolchain.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&host)
                    && toolchain.join("lib/rustlib/src/rust/library/core").is_dir()
            },
        )?;
        Some((Self::Nightly, nightly))
    }
}

/// The BPF target of this machine's byte order.
pub fn target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

fn rustup_home() -> Option<PathBuf> {
    match env::var_os("RUSTUP_HOME") {
        Some(home) => Some(home.into()),
        None => Some(Path::new(&env::var_os("HOME")?).join(".rustup")),
    }
}
