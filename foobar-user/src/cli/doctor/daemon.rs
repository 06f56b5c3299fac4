//! The daemon, its rights, who can read the metrics.

use anyhow::Result;

use super::Finding;
use crate::{
    control::{api::Status, refusal},
    metrics::{Gate, web},
    policy::Config,
};

/// What a daemon keeps.
const KEPT: [&str; 3] = ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"];

/// The daemon and what it warns of.
pub fn of_daemon(status: &Result<Status>) -> Finding {
    const SUBJECT: &str = "daemon";
    match status {
        Ok(status) if status.warnings.is_empty() => {
            let generation = status.policy.generation;
            Finding::ok(SUBJECT, format!("generation {generation} is in force"))
        }
        Ok(status) => {
            Finding::warning(SUBJECT, status.warnings.join("; "), "`foobar status` says more")
        }
        Err(problem) => Finding::warning(
            SUBJECT,
            refusal::explain(problem),
            refusal::remedy(problem)
                .unwrap_or_else(|| "see its log: journalctl -u foobar".to_owned()),
        ),
    }
}

/// What the daemon may still do.
pub fn of_privileges(status: &Status) -> Finding {
    const SUBJECT: &str = "privileges";
    let held = &status.daemon.capabilities;
    let more: Vec<_> = held.iter().filter(|name| !KEPT.contains(&name.as_str())).cloned().collect();
    if held.is_empty() {
        return Finding::warning(
            SUBJECT,
            "the daemon does not tell",
            "restart it with this version: systemctl restart foobar",
        );
    }
    if !more.is_empty() || !status.daemon.no_new_privileges {
        return Finding::error(
            SUBJECT,
            format!("the daemon has more than it needs: {}", more.join(", ")),
            "restart it: systemctl restart foobar",
        );
    }
    Finding::ok(SUBJECT, format!("the daemon keeps {}", held.join(", ")))
}

/// What counts the requests of each port, and how far to rely on it; nothing if no port is observed.
pub fn of_requests(status: &Status) -> Option<Finding> {
    let counted = status.ports.iter().filter_map(|port| {
        let (source, tier) = (port.requests_source.as_ref()?, port.requests_tier.as_ref()?);
        Some(format!("port {} by {source} ({tier})", port.port))
    });
    let counted: Vec<_> = counted.collect();
    let told = format!("counted: {}", counted.join(", "));
    let missing = status.attachments.iter().find(|one| one.missing);
    match missing.and_then(|one| one.note.as_deref()) {
        _ if counted.is_empty() => None,
        Some(why) => Some(Finding::warning(
            "requests",
            format!("{told}; not every interface takes the programs that read packets: {why}"),
            "let the server itself count: `requests` of [[observe]] in docs/policy.md",
        )),
        None => Some(Finding::ok("requests", told)),
    }
}

/// Who can read the metrics; nothing if nobody can.
pub fn of_metrics(config: &Config) -> Option<Finding> {
    const SUBJECT: &str = "metrics";
    let listen = config.metrics.listen?;
    let web = match Gate::try_load(config.metrics.web_config.as_deref()) {
        Ok(web) => web,
        Err(error) => {
            return Some(Finding::error(
                SUBJECT,
                format!("nobody can be let in: {}", refusal::explain(&error)),
                "mend that file; a running daemon takes it as soon as it is good",
            ));
        }
    };
    Some(match web::exposure(listen, Some(&web)) {
        Some(exposure) => Finding::warning(SUBJECT, exposure, web::EXPOSURE_HELP),
        None => Finding::ok(SUBJECT, format!("served on {listen}")),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::cli::doctor::Grade;

    #[test]
    fn metrics_that_are_open_to_all_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foobar.toml");
        let find = |text: &str, path: &Path| of_metrics(&Config::parse(text, path).unwrap().config);
        assert_eq!(find("[metrics]\nlisten = \"off\"\n", &path), None);
        assert_eq!(find("[metrics]\n", &path).unwrap().grade, Grade::Ok);
        let open = find("[metrics]\nlisten = \"0.0.0.0:9898\"\n", &path).unwrap();
        assert!(open.grade == Grade::Warning && open.remedy.unwrap().contains("web_config"));
        let web = "[metrics]\nweb_config = \"web.yml\"\n";
        assert_eq!(find(web, &path).unwrap().grade, Grade::Error, "it is not there");
        fs::write(folder.path().join("web.yml"), "").unwrap();
        assert_eq!(find(web, &path).unwrap().grade, Grade::Ok);
    }
}
