//! The Debian package: `cargo xtask dist`. What is in it stands in foobar-user/Cargo.toml, its scripts in deploy/debian.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{build, command, setup, workspace};

/// Packages that libc itself brings (Debian's libc6 depends on libgcc-s1).
const LIBC: [&str; 2] = ["libc6", "libgcc-s1"];

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Args {
    /// A binary that is built already, in a folder named like its profile (target/debug/foobar), instead of a release build
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The package's version; without it, that of the workspace
    #[arg(long)]
    version: Option<String>,
    /// Where the package goes: a folder
    #[arg(long)]
    output: Option<PathBuf>,
    /// Compresses little, for tests
    #[arg(long)]
    fast: bool,
}

/// Makes the package and returns its path.
pub fn dist(args: &Args) -> Result<PathBuf> {
    setup::package_tools()?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build::release()?,
    };
    let binary = binary
        .canonicalize()
        .with_context(|| format!("there is no binary {}", binary.display()))?;
    let profile = binary.parent().context("a file has a folder")?;
    generate(&binary, &profile.join("dist"))?;
    let output = match &args.output {
        Some(folder) => folder.clone(),
        None => workspace::scratch()?.join("dist"),
    };
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let package = pack(args, profile, &output)?;
    depends_on_libc_alone(&package)?;
    Ok(package)
}

/// What the binary itself prints: manual pages and completions.
fn generate(binary: &Path, folder: &Path) -> Result<()> {
    let manual = folder.join("man");
    // Pages of commands that there are no more would be packed as well.
    let _ = fs::remove_dir_all(&manual);
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)
        .with_context(|| format!("cannot create {}", completions.display()))?;
    command::run(Command::new(binary).arg("manual").arg(&manual))?;
    // Debian Policy 12.1: compressed, and the same from the same sources.
    let pages = fs::read_dir(&manual).context("the binary has written no manual pages")?;
    let pages = pages.flatten().map(|page| page.path());
    command::run(Command::new("gzip").args(["-9", "--no-name"]).args(pages))?;
    for shell in ["bash", "zsh", "fish"] {
        let path = completions.join(format!("foobar.{shell}"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        command::run(Command::new(binary).args(["completions", shell]).stdout(file))?;
    }
    Ok(())
}

fn pack(args: &Args, profile: &Path, output: &Path) -> Result<PathBuf> {
    let name = profile.file_name().unwrap_or_default().to_string_lossy();
    let mut cargo = workspace::cargo();
    cargo
        // Assets are looked for below it.
        .env("CARGO_TARGET_DIR", profile.parent().unwrap_or(profile))
        .env("PATH", command::search_path())
        .args(["deb", "--quiet", "--no-build", "--strip", "--package=foobar-user"])
        .arg(format!("--profile={}", if name == "debug" { "dev" } else { &name }))
        .arg("--output")
        .arg(output);
    if let Some(version) = &args.version {
        cargo.arg(format!("--deb-version={version}"));
    }
    if args.fast {
        cargo.arg("--fast");
    }
    let path = command::output(&mut cargo).context("cargo-deb cannot make the package")?;
    let path = PathBuf::from(path.trim());
    ensure!(path.is_file(), "cargo-deb has announced {}, which is not there", path.display());
    Ok(path)
}

/// The package must install on a server that has nothing but the base system.
fn depends_on_libc_alone(package: &Path) -> Result<()> {
    let field =
        command::output(Command::new("dpkg-deb").arg("--field").arg(package).arg("Depends"))?;
    let others = others(&field);
    if !others.is_empty() {
        bail!("{} depends on more than libc: {}", package.display(), others.join(", "));
    }
    Ok(())
}

/// The packages of a field `Depends` that are not part of libc.
fn others(depends: &str) -> Vec<&str> {
    let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.filter(|name| !LIBC.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libc_is_libc() {
        assert!(others("libc6 (>= 2.34), libgcc-s1 (>= 4.2)\n").is_empty());
        assert_eq!(others("libc6 (>= 2.34), libssl3 | libssl1.1"), ["libssl3", "libssl1.1"]);
    }

    #[test]
    fn the_changelog_begins_with_this_version() {
        let changelog = fs::read_to_string(workspace::root().join("deploy/debian/changelog"));
        let first = format!("foobar ({}-", env!("CARGO_PKG_VERSION"));
        assert!(changelog.unwrap().starts_with(&first), "deploy/debian/changelog lacks {first}");
    }
}
