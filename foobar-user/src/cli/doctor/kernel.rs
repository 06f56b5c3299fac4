//! What the kernel offers, and how it is set.

use super::Finding;
use crate::kernel::Features;

/// What the kernel offers.
pub(super) fn of_kernel(features: &Features) -> Vec<Finding> {
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
    findings.extend(features.jit_harden.filter(|harden| *harden >= 2).map(|_| {
        Finding::warning(
            "JIT hardening",
            "net.core.bpf_jit_harden is 2: the constants of foobar's programs are blinded as well, which costs time with each packet",
            "sysctl -w net.core.bpf_jit_harden=1 (and in /etc/sysctl.d), which blinds those of users without rights",
        )
    }));
    findings.extend(features.unprivileged_bpf.filter(|open| *open).map(|_| {
        Finding::warning(
            "unprivileged BPF",
            "users without rights may load programs, which has been a way to attack kernels",
            "sysctl -w kernel.unprivileged_bpf_disabled=1 (and in /etc/sysctl.d)",
        )
    }));
    findings.push(match features.memlock {
        _ if *version >= (5, 11) => {
            Finding::ok("locked memory", "not what this kernel counts maps under")
        }
        None => Finding::ok("locked memory", "no limit"),
        Some(limit) => Finding::warning(
            "locked memory",
            format!("{limit} bytes, under which this kernel counts maps"),
            "start foobar as root or with LimitMEMLOCK=infinity, which lifts the limit",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{Grade, text};

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
            jit_harden: Some(0),
            unprivileged_bpf: Some(false),
            bpffs_options: Some("rw,mode=700".into()),
            memlock: None,
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
            jit_harden: Some(2),
            unprivileged_bpf: Some(true),
            memlock: Some(65536),
            missing_capabilities: vec!["CAP_BPF"],
            ..good()
        });
        for subject in ["kernel", "capabilities", "lockdown", "ring buffers", "JIT"] {
            assert_eq!(grade(&findings, subject), Grade::Error, "{subject}");
        }
        for subject in [
            "type information (BTF)",
            "TCX",
            "membarrier",
            "JIT hardening",
            "unprivileged BPF",
            "locked memory",
        ] {
            assert_eq!(grade(&findings, subject), Grade::Warning, "{subject}");
        }
        let text = text(&findings);
        assert!(text.contains("ERROR    JIT") && text.contains("help: sysctl -w"), "{text}");
    }
}
