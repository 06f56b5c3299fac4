//! `foobar manual`: the manual pages, from the definitions that parse the command line.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

/// Commands of administrators (man-pages(7)).
const SECTION: &str = "8";

/// Writes a manual page for each command into a folder.
///
/// For those who make packages.
#[derive(Debug, Args)]
#[command(hide = true, after_help = "Example:\n  foobar manual /usr/local/share/man/man8")]
pub struct Manual {
    /// The folder
    folder: PathBuf,
}

impl Manual {
    pub fn run(&self) -> Result<ExitCode> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        for (name, page) in pages() {
            let path = self.folder.join(name);
            fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Name and content of each page: one for the program, one for each command and those inside of it.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut program = super::Cli::command();
    // Gives each command its full name, such as `foobar allow add`, and the options of every command.
    program.build();
    let mut pages = Vec::new();
    add(&program, "foobar", &mut pages);
    pages
}

fn add(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut page = Vec::new();
    Man::new(command.clone())
        .section(SECTION)
        .manual("System Administration")
        .render(&mut page)
        .expect("a vector takes everything");
    pages.push((format!("{name}.{SECTION}"), page));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        add(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages();
        let text = |name: &str| {
            let page = pages.iter().find(|(found, _)| found == name);
            String::from_utf8(page.unwrap_or_else(|| panic!("no page {name}")).1.clone()).unwrap()
        };
        for name in ["foobar.8", "foobar-run.8", "foobar-reload.8", "foobar-detach.8"] {
            assert!(text(name).contains("foobar"), "{name}");
        }
        let add = text("foobar-allow-add.8");
        assert!(add.contains("foobar allow add") && add.contains("\\-\\-ttl"), "{add}");
        assert!(add.contains("\\-\\-bpf\\-dir"), "the options of every command: {add}");
        assert!(text("foobar.8").contains("foobar\\-status(8)"), "it leads to the others");
        assert!(
            !pages.iter().any(|(name, _)| name.contains("manual")),
            "hidden commands have none"
        );
    }
}
