//! `foobar doctor`: what of this machine keeps foobar from working, or from working well, and what to do about it.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{
    options::{Options, Output},
    print,
};
use crate::{
    kernel::{self, Features},
    state,
};

/// Looks at the kernel, the folders and the daemon, and says what to do about each shortcoming; exit code 1 if one is serious.
///
/// Needs no running daemon and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  foobar doctor\n  foobar doctor --output json")]
pub struct Doctor {}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    subject: &'static str,
    grade: Grade,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Ok, found: found.into(), remedy: None }
    }

    fn warning(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { subject, grade: Grade::Warning, found: found.into(), remedy }
    }

    fn error(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Error, ..Self::warning(subject, found, remedy) }
    }
}

impl Doctor {
    pub fn run(&self, options: &Options) -> Result<ExitCode> {
        let mut findings = of_kernel(&kernel::probe());
        findings.push(of_state(&options.state_dir));
        findings.push(of_pins(&options.bpf_dir));
        findings.push(of_daemon(options));
        let serious = findings.iter().any(|finding| finding.grade == Grade::Error);
        match options.output {
            Output::Json => print::json(&findings)?,
            Output::Text => print::text(&text(&findings))?,
        }
        Ok(if serious { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { subject, grade, found, remedy } in findings {
        let grade = match grade {
            Grade::Ok => "ok",
            Grade::Warning => "WARNING",
            Grade::Error => "ERROR",
        };
        text.push_str(&format!("{grade:<8} {subject}: {found}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("         help: {remedy}\n"));
        }
    }
    text
}

/// What the kernel offers.
fn of_kernel(features: &Features) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Features { release, version, .. } = features;
    findings.push(match version {
        version if *version < (5, 18) => Finding::error(
            "kernel",
            format!("{release} has no XDP programs for frames of several buffers"),
            "use Linux 5.18 or later (6.1, as in Debian 12, or later is tested)",
        ),
        _ => Finding::ok("kernel", release.clone()),
    });
    findings.push(if features.missing_capabilities.is_empty() {
        Finding::ok("capabilities", "all that are needed")
    } else {
        Finding::error(
            "capabilities",
            format!("{} missing", features.missing_capabilities.join(", ")),
            "run as root: `sudo foobar doctor`",
        )
    });
    findings.push(match features.lockdown.as_deref() {
        Some(level @ "confidentiality") => Finding::error(
            "lockdown",
            format!("{level}: the kernel lets no program read its memory, so none can observe connections"),
            "boot with lockdown=integrity",
        ),
        Some(level) => Finding::ok("lockdown", level),
        None => Finding::ok("lockdown", "not in this kernel"),
    });
    let mut wants = |subject, there: bool, finding: fn(&'static str) -> Finding| {
        findings.push(if there { Finding::ok(subject, "there") } else { finding(subject) });
    };
    wants("bpf file system", features.bpffs, |subject| {
        Finding::warning(
            subject,
            "not mounted at /sys/fs/bpf",
            "mount -t bpf bpf /sys/fs/bpf; `foobar run` does so by itself as root",
        )
    });
    wants("ring buffers", features.ring_buffer, |subject| {
        Finding::error(subject, "the kernel makes none", "use Linux 5.8 or later, and run as root")
    });
    wants("type information (BTF)", features.btf, |subject| {
        Finding::warning(
            subject,
            "/sys/kernel/btf/vmlinux is missing: connections are not observed",
            "use a kernel with CONFIG_DEBUG_INFO_BTF=y; those of Debian have it",
        )
    });
    wants("TCX", features.tcx, |subject| {
        Finding::warning(
            subject,
            "outgoing packets are seen by a clsact filter, which other tools can remove",
            "use Linux 6.6 or later",
        )
    });
    wants("membarrier", features.membarrier, |subject| {
        Finding::warning(
            subject,
            "another way to wait for running programs is used, which takes longer",
            "boot without nohz_full, if changes of lists take too long",
        )
    });
    findings.push(match features.jit {
        Some(false) => Finding::error(
            "JIT",
            "programs are interpreted, which costs several times the time",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(true) => Finding::ok("JIT", "on"),
        None => Finding::warning("JIT", "it cannot be told", "run as root: `sudo foobar doctor`"),
    });
    findings
}

/// What the last daemon left on disk.
fn of_state(folder: &Path) -> Finding {
    const SUBJECT: &str = "state folder";
    if !state::Store::is_there(folder) {
        return Finding::ok(SUBJECT, format!("nothing in {} yet", folder.display()));
    }
    match state::Store::look(folder) {
        Ok(state) => Finding::ok(
            SUBJECT,
            format!("{} holds generation {}", folder.display(), state.generation),
        ),
        Err(problem) => Finding::error(
            SUBJECT,
            problem.to_string(),
            "bring back a good copy; or remove it, and with it all changes made at runtime",
        ),
    }
}

/// What is pinned.
fn of_pins(folder: &Path) -> Finding {
    let found = match folder.try_exists() {
        Ok(true) => format!("a filter is pinned in {}", folder.display()),
        Ok(false) => format!("nothing is pinned in {}", folder.display()),
        Err(error) => {
            let found = format!("cannot look into {}: {error}", folder.display());
            return Finding::warning("pins", found, "run as root: `sudo foobar doctor`");
        }
    };
    Finding::ok("pins", found)
}

/// The daemon and what it warns of.
fn of_daemon(options: &Options) -> Finding {
    const SUBJECT: &str = "daemon";
    match options.ask(async |client| client.status().await) {
        Ok(status) if status.warnings.is_empty() => {
            let generation = status.policy.generation;
            Finding::ok(SUBJECT, format!("generation {generation} is in force"))
        }
        Ok(status) => {
            Finding::warning(SUBJECT, status.warnings.join("; "), "`foobar status` says more")
        }
        Err(problem) => Finding::warning(
            SUBJECT,
            crate::control::refusal::explain(&problem),
            crate::control::refusal::remedy(&problem)
                .unwrap_or_else(|| "see its log: journalctl -u foobar".to_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Features {
        Features {
            release: "6.12.1".into(),
            version: (6, 12),
            btf: true,
            tcx: true,
            frags: true,
            ring_buffer: true,
            membarrier: true,
            bpffs: true,
            jit: Some(true),
            lockdown: Some("none".into()),
            missing_capabilities: Vec::new(),
        }
    }

    fn grade(findings: &[Finding], subject: &str) -> Grade {
        let finding = findings.iter().find(|finding| finding.subject == subject).expect(subject);
        assert_eq!(finding.grade == Grade::Ok, finding.remedy.is_none(), "{finding:?}");
        finding.grade
    }

    #[test]
    fn what_is_missing_comes_with_a_remedy() {
        let findings = of_kernel(&good());
        assert!(findings.iter().all(|finding| finding.grade == Grade::Ok), "{findings:?}");
        let findings = of_kernel(&Features {
            version: (5, 10),
            btf: false,
            tcx: false,
            ring_buffer: false,
            membarrier: false,
            bpffs: false,
            jit: Some(false),
            lockdown: Some("confidentiality".into()),
            missing_capabilities: vec!["CAP_BPF"],
            ..good()
        });
        for subject in ["kernel", "capabilities", "lockdown", "ring buffers", "JIT"] {
            assert_eq!(grade(&findings, subject), Grade::Error, "{subject}");
        }
        for subject in ["bpf file system", "type information (BTF)", "TCX", "membarrier"] {
            assert_eq!(grade(&findings, subject), Grade::Warning, "{subject}");
        }
        let text = text(&findings);
        assert!(text.contains("ERROR    JIT") && text.contains("help: sysctl -w"), "{text}");
    }

    #[test]
    fn a_damaged_state_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_state(folder.path()).grade, Grade::Ok);
        std::fs::write(folder.path().join("state.json"), "{}").unwrap();
        assert_eq!(of_state(folder.path()).grade, Grade::Error);
    }
}
