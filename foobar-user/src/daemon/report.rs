//! `foobar status`: what runs, how, and with which policy.

use foobar_common::observe::PortStats;

use super::{
    accounting::{Rate, Tally},
    privileges,
    shared::{Published, Shared, lock},
};
use crate::{
    control::api::{
        ConfigLoaded, DaemonStatus, FlowStatus, PacketStatus, PolicyStatus, PortStatus, Status,
    },
    kernel::{self, Attachment, Direction, Failures, Mode as AttachMode},
    live::{AttachmentStatus, Facts, ListStatus, Warnings},
    metrics::web,
    policy::model::Mode,
};

/// Gathers everything; what the kernel does not tell is a warning.
pub fn status(shared: &Shared) -> Status {
    let published = shared.published();
    let mut warnings = of_the_start(shared);
    let mut told = |problem: anyhow::Error| {
        warnings.push(format!("the kernel does not tell everything: {problem:#}"));
    };
    let attached = shared.with_engine(|engine| engine.attachments()).unwrap_or_else(|problem| {
        told(problem);
        Vec::new()
    });
    let stats = shared.with_engine(|engine| engine.port_stats()).unwrap_or_else(|problem| {
        told(problem);
        Vec::new()
    });
    let flows = shared.flow_table().map_or_else(
        |problem| {
            told(problem);
            FlowStatus::default()
        },
        |table| FlowStatus { entries: table.entries4 + table.entries6, max_entries: 2 * table.max },
    );
    of_servers(shared, &mut warnings);
    let config_loaded = shared.config_loaded();
    warn(shared, &published, &attached, &config_loaded, &mut warnings);
    let rows = lock(&shared.history).rows();
    let reads_packets = kernel::reads_packets(&attached);
    Status {
        warnings: warnings.full(),
        mode: published.intent.config.mode.to_string(),
        daemon: daemon(shared, config_loaded),
        policy: PolicyStatus {
            generation: published.intent.generation,
            applied_at: published.intent.changed_at,
            change: published.intent.change.clone(),
            rules: published.intent.config.rules.len(),
            confirm_within_seconds: confirm_within(&published),
        },
        attachments: attachments(shared, attached),
        lists: lists(&published),
        packets: packets(&rows),
        ports: ports(shared, &published, &rows, &stats, reads_packets),
        flows,
    }
}

/// What stands for connections where completed handshakes are not seen.
pub const OPENINGS: &str = "completed handshakes are not seen: rates of connections are those of openings (SYN) that the filter let pass, others that nobody answered included";

/// Instead of how far counts can be relied on: no interface takes the programs that would read packets.
const NO_HOOK: &str = "no hook";

/// Servers that do not tell their statistics or have no probes; what is quoted is the configuration's address of them.
fn of_servers(shared: &Shared, warnings: &mut Warnings) {
    for port in shared.statistics.get().iter() {
        let Some(problem) = &port.problem else { continue };
        let number = port.number;
        let effect = match port.source {
            Some(_) => "its requests are not counted meanwhile",
            None => "its requests are compared with nothing",
        };
        let text = format!("the server's own statistics for port {number} are missing, {effect}");
        warnings.push_with(&text, problem.clone());
    }
    for port in shared.probing.read() {
        let Some(problem) = port.problem else { continue };
        let text = format!("port {} is not counted by probes as configured", port.number);
        warnings.push_with(&text, problem);
    }
}

/// What both live views show beside the counters, with warnings for each audience.
pub fn facts(shared: &Shared) -> (Facts, Warnings) {
    let published = shared.published();
    let mut warnings = of_the_start(shared);
    of_servers(shared, &mut warnings);
    let attached = shared.with_engine(|engine| engine.attachments()).unwrap_or_else(|problem| {
        warnings.push(format!("the kernel does not tell everything: {problem:#}"));
        Vec::new()
    });
    warn(shared, &published, &attached, &shared.config_loaded(), &mut warnings);
    let facts = Facts {
        version: crate::VERSION.to_owned(),
        started_at: shared.origins.started_at,
        problem: super::scrape::health(shared).err(),
        warnings: Vec::new(),
        mode: published.intent.config.mode.to_string(),
        generation: published.intent.generation,
        applied_at: published.intent.changed_at,
        rules: published.intent.config.rules.len(),
        attachments: attachments(shared, attached),
        lists: lists(&published),
    };
    (facts, warnings)
}

/// Warnings that hold until the next start. They may quote paths and what was read there.
fn of_the_start(shared: &Shared) -> Warnings {
    let mut warnings = Warnings::default();
    for warning in &shared.origins.warnings {
        warnings.push_with("the daemon did not start as usual", warning.clone());
    }
    warnings
}

/// What the kernel programs could not write; lost events are told by `foobar watch` and the metrics, and harm nobody.
fn failed_updates(failures: &Failures) -> impl Iterator<Item = String> + '_ {
    let failed = failures.map_updates.iter().filter(|(_, count)| *count > 0);
    failed.map(|(map, count)| {
        format!("{count} insertions into the kernel's table {map} failed since it was made")
    })
}

/// What an operator must not overlook.
fn warn(
    shared: &Shared,
    published: &Published,
    attached: &[Attachment],
    config: &ConfigLoaded,
    warnings: &mut Warnings,
) {
    match shared.with_engine(|engine| engine.failures()) {
        Ok(failures) => failed_updates(&failures).for_each(|failed| warnings.push(failed)),
        Err(problem) => {
            warnings.push(format!("the kernel does not tell everything: {problem:#}"));
        }
    }
    if published.intent.config.mode == Mode::Audit {
        warnings.push(
            "mode audit: nothing is dropped, what enforce would drop is counted as audited"
                .to_owned(),
        );
    }
    if attached.is_empty() {
        warnings.push("no interface is filtered".to_owned());
    }
    for interface in shared.absent_interfaces() {
        warnings.push(format!(
            "the interface {interface} is not filtered: it is not there, or it takes no program"
        ));
    }
    if let Some(remaining) = confirm_within(published) {
        warnings.push(format!(
            "the last change is taken back in {remaining} s unless it is confirmed: `foobar confirm`"
        ));
    }
    if let Ok(false) = shared.with_engine(|engine| Ok(engine.observer().counts_connections())) {
        warnings.push(OPENINGS.to_owned());
    }
    for Attachment { interface, program, mode, note, attached, missing, .. } in attached {
        if *missing {
            warnings.push(format!(
                "requests are not read off the packets on {interface}: {program} is missing: {}",
                note.as_deref().unwrap_or("the kernel does not say why")
            ));
        } else if !attached {
            warnings
                .push(format!("{program} is not attached to {interface}, which is not filtered"));
        } else if *mode == AttachMode::Generic {
            let why = note.as_deref().unwrap_or("the driver does not say why");
            warnings.push(format!(
                "{program} on {interface} runs in generic mode, which is slow: {why}"
            ));
        }
    }
    if let Some(error) = &config.error {
        warnings.push_with("the configuration in force is not that of the file", error.clone());
    }
    if let Some(error) = shared.gate.error() {
        let what = match shared.gate.current() {
            Some(_) => "is as it was before a file changed",
            None => "lets nobody in",
        };
        warnings.push_with(&format!("the listener for metrics {what}"), error);
    }
    if let Some(listen) = shared.origins.settings.config.metrics.listen
        && let Some(exposure) = web::exposure(listen, shared.gate.current().as_deref())
    {
        warnings.push(format!("{exposure}; {}", web::EXPOSURE_HELP));
    }
    if !shared.is_on_disk() {
        warnings.push(
            format!(
                "the state folder could not be written to: changes are refused until it can; make room for {}, or mend its disk",
                shared.origins.settings.options.state_dir.display()
            ),
        );
    }
}

fn daemon(shared: &Shared, config_loaded: ConfigLoaded) -> DaemonStatus {
    let settings = &shared.origins.settings;
    let has_tls = shared.gate.current().is_some_and(|web| web.tls.is_some());
    let url = |address| super::scrape::url(address, has_tls);
    let privileges = privileges::privileges().unwrap_or_default();
    DaemonStatus {
        version: crate::VERSION.to_owned(),
        pid: std::process::id(),
        started_at: shared.origins.started_at,
        config: settings.options.config.clone(),
        metrics: settings.config.metrics.listen.map_or("off".to_owned(), url),
        config_loaded,
        capabilities: privileges.capabilities,
        no_new_privileges: privileges.no_new_privileges,
    }
}

/// What is attached, and what ought to be.
fn attachments(shared: &Shared, attached: Vec<Attachment>) -> Vec<AttachmentStatus> {
    let absent = shared.absent_interfaces().into_iter().map(absent);
    attached.into_iter().map(attachment).chain(absent).collect()
}

fn attachment(attachment: Attachment) -> AttachmentStatus {
    AttachmentStatus {
        interface: attachment.interface,
        index: attachment.ifindex,
        program: attachment.program.to_owned(),
        mode: attachment.mode.name().to_owned(),
        attached: attachment.attached,
        missing: attachment.missing,
        note: attachment.note,
    }
}

/// An interface that ought to be filtered and is not.
fn absent(interface: String) -> AttachmentStatus {
    AttachmentStatus {
        interface,
        index: 0,
        program: Direction::Ingress.name().to_owned(),
        mode: "none".to_owned(),
        attached: false,
        missing: false,
        note: None,
    }
}

/// Seconds until the last change is taken back.
fn confirm_within(published: &Published) -> Option<u64> {
    let pending = published.intent.configured.pending.as_ref()?;
    Some(pending.deadline.remaining().as_secs())
}

fn lists(published: &Published) -> Vec<ListStatus> {
    let lists = published.intent.lists.iter().map(|list| ListStatus {
        kind: list.kind.word().to_owned(),
        name: list.name.clone(),
        ipv4: list.len4(),
        ipv6: list.len6(),
        changed: list.is_changed(),
    });
    lists.collect()
}

fn packets(rows: &[(Tally, Rate)]) -> PacketStatus {
    rows.iter().fold(PacketStatus::default(), |sum, (tally, rate)| PacketStatus {
        passed: sum.passed + tally.passed + tally.audited,
        dropped: sum.dropped + tally.dropped,
        audited: sum.audited + tally.audited,
        passed_rate: sum.passed_rate + rate.passed + rate.audited,
        dropped_rate: sum.dropped_rate + rate.dropped,
        audited_rate: sum.audited_rate + rate.audited,
    })
}

fn ports(
    shared: &Shared,
    published: &Published,
    rows: &[(Tally, Rate)],
    stats: &[PortStats],
    reads_packets: bool,
) -> Vec<PortStatus> {
    let named = published.legend.ports.iter().map(|&(port, slot)| (Some(port), slot));
    let ports = named.chain([(None, 0)]).enumerate().map(|(row, (port, slot))| {
        let (_, rate) = rows.get(row).copied().unwrap_or_default();
        let stats = stats.get(usize::from(slot)).copied().unwrap_or_default();
        let observed = published.intent.config.observe.iter();
        let requests = observed.map(|seen| (Some(seen.port), seen.requests));
        let requests = requests.filter(|(observed, _)| *observed == port).map(|(_, source)| source);
        let mut counted = requests.filter_map(|source| {
            let (name, tier) = (source.to_string(), source.tier()?);
            let hooked = reads_packets || !source.reads_packets();
            Some(if hooked { (name, tier) } else { ("none".to_owned(), NO_HOOK) })
        });
        let counted = counted.next();
        let hooked = counted.as_ref().is_none_or(|(_, tier)| *tier != NO_HOOK);
        PortStatus {
            port: port.map_or("other".to_owned(), |port| port.to_string()),
            passed_rate: rate.passed,
            dropped_rate: rate.dropped + rate.audited,
            accepted: stats.accepted,
            accepted_rate: rate.accepted,
            open: shared.connections(port, stats).open(),
            requests_rate: rate.answered.filter(|_| hooked),
            requests_tier: counted.as_ref().map(|(_, tier)| (*tier).to_owned()),
            requests_source: counted.map(|(source, _)| source),
        }
    });
    ports.collect()
}
