//! What Prometheus scrapes: the engine's counters with what they mean.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;

use super::shared::{Published, Shared};
use crate::{
    kernel::{self, Direction, Engine},
    live::{Audience, Live, Since},
    metrics::{
        Attachment, Build, ConfigReload, Counters, FlowTable, HttpPort, List, ListenQueue, Policy,
        Port, Snapshot, Source, TlsPort,
    },
    policy::{
        lists::MAX_ENTRIES,
        model::{Mode, Rule},
        protocol::Protocol,
    },
};

/// The source of the metrics page.
pub struct Scrape {
    shared: Arc<Shared>,
}

impl Scrape {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Where Prometheus finds the page.
pub fn url(address: SocketAddr, has_tls: bool) -> String {
    format!("{}://{address}/metrics", if has_tls { "https" } else { "http" })
}

impl Source for Scrape {
    fn snapshot(&self) -> Result<Snapshot> {
        let shared = &self.shared;
        let published = shared.published();
        let legend = &published.legend;
        let (counters, stats, http, tls, observing, failures) = shared.with_engine(|engine| {
            Ok((
                engine.counters(legend.used())?,
                engine.port_stats()?,
                engine.http_stats()?,
                engine.tls_counts()?,
                observing(engine)?,
                engine.failures()?,
            ))
        })?;
        let of_slot = |slot: u8| stats.get(usize::from(slot)).copied().unwrap_or_default();
        let flows = shared.flow_table()?;
        let (queues, listen_overflows) = shared.overflows.read()?;
        let ports = legend.ports.iter().map(|&(number, slot)| Port {
            number,
            tcp: names(&published.intent.config.rules, number, Protocol::TCP),
            udp: names(&published.intent.config.rules, number, Protocol::UDP),
            connections: shared.connections(Some(number), of_slot(slot)),
        });
        let wire = legend.http.iter().map(|&(number, slot)| HttpPort {
            number,
            source: if observing.reads_packets { "wire" } else { "none" },
            stats: http.get(usize::from(slot)).copied().unwrap_or_default(),
        });
        let probed = shared.probing.read();
        let handed = probed.iter().filter(|port| port.reads).map(|port| HttpPort {
            number: port.number,
            source: port.source,
            stats: port.stats.read,
        });
        let loaded = shared.config_loaded();
        Ok(Snapshot {
            build: Build {
                version: crate::VERSION.to_owned(),
                revision: crate::REVISION.to_owned(),
            },
            policy: policy(&published),
            reload: ConfigReload {
                successful: loaded.successful,
                succeeded_at: Some(moment(loaded.at)),
                confirmation_pending: published.intent.configured.pending.is_some(),
                state_written: shared.is_on_disk(),
            },
            ports: ports.collect(),
            other: shared.connections(None, of_slot(0)),
            http: wire.chain(handed).collect(),
            certificates: shared.certificates.get(),
            statistics: shared.statistics.get(),
            probed,
            tls: legend
                .tls
                .iter()
                .map(|port| TlsPort {
                    number: port.port,
                    stats: tls.of_slot(port.slot),
                    server_names: (port.names.iter())
                        .map(|name| (name.clone(), tls.of_name(port.slot, name)))
                        .collect(),
                    turns: port.turns,
                })
                .collect(),
            meanings: Arc::clone(&legend.meanings),
            counters: Counters {
                ingress: counters.ingress,
                ingress_audited: counters.ingress_audited,
                egress: counters.egress,
                egress_audited: counters.egress_audited,
            },
            lists: lists(&published),
            attachments: observing.attachments.into_iter().chain(absent(shared)).collect(),
            reads_packets: observing.reads_packets,
            sees_handshakes: observing.sees_handshakes,
            flows: FlowTable {
                entries: flows.entries4 + flows.entries6,
                max_entries: 2 * flows.max,
            },
            map_update_failures: failures
                .map_updates
                .into_iter()
                .map(|(map, count)| (map.to_owned(), count))
                .collect(),
            events_lost: vec![("events".to_owned(), failures.events_lost)],
            listen_overflows,
            listen_queues: queues
                .into_iter()
                .map(|queue| ListenQueue {
                    port: queue.port,
                    length: queue.length,
                    limit: queue.limit,
                })
                .collect(),
            rates: shared.sampler.rates(),
        })
    }

    fn health(&self) -> Result<(), String> {
        health(&self.shared)
    }

    fn live(&self, since: Since) -> Live {
        self.shared.board.view(since, Audience::Public)
    }
}

/// Whether foobar does its work; if not, what is wrong.
pub fn health(shared: &Shared) -> Result<(), String> {
    if shared.is_detached() { Err("the filter was detached".to_owned()) } else { Ok(()) }
}

/// Interfaces that ought to be filtered and are not.
fn absent(shared: &Shared) -> impl Iterator<Item = Attachment> {
    shared.absent_interfaces().into_iter().map(|interface| Attachment {
        program: Direction::Ingress.name().to_owned(),
        interface: Some(interface),
        mode: "none".to_owned(),
        attached: false,
    })
}

/// What is attached, and what can be observed with it.
struct Observing {
    attachments: Vec<Attachment>,
    reads_packets: bool,
    sees_handshakes: bool,
}

/// Programs on interfaces, and those that observe connections everywhere.
fn observing(engine: &Engine) -> Result<Observing, kernel::KernelError> {
    let attached = engine.attachments()?;
    let reads_packets = kernel::reads_packets(&attached);
    let on_interfaces = attached.into_iter().map(|attachment| Attachment {
        program: attachment.program.to_owned(),
        interface: Some(attachment.interface),
        mode: attachment.mode.name().to_owned(),
        attached: attachment.attached,
    });
    let hooks = engine.observer().hooks.iter().map(|hook| Attachment {
        program: hook.program.to_owned(),
        interface: None,
        mode: "tracepoint".to_owned(),
        attached: hook.attached,
    });
    Ok(Observing {
        attachments: on_interfaces.chain(hooks).collect(),
        reads_packets,
        sees_handshakes: engine.observer().counts_connections(),
    })
}

fn policy(published: &Published) -> Policy {
    let intent = &published.intent;
    let config = &intent.config;
    Policy {
        generation: intent.generation,
        applied_at: Some(moment(intent.changed_at)),
        enforcing: config.mode == Mode::Enforce,
        choices: config.choices.bits(),
        limits_packets: config.limits.packets_per_source.is_some(),
        limits_connections: config.rules.iter().any(|rule| rule.limit.is_some()),
        rules: config.rules.iter().map(|rule| rule.name.clone()).collect(),
        egress_rules: config.egress.rules.iter().map(|rule| rule.name.clone()).collect(),
        filters_egress: config.egress.is_active(),
    }
}

fn lists(published: &Published) -> Vec<List> {
    let lists = published.intent.lists.iter().map(|list| List {
        name: list.name.clone(),
        entries_v4: list.len4() as u64,
        entries_v6: list.len6() as u64,
        capacity_v4: MAX_ENTRIES as u64,
        capacity_v6: MAX_ENTRIES as u64,
    });
    lists.collect()
}

/// Whether a rule names this port for this protocol.
fn names(rules: &[Rule], port: u16, protocol: Protocol) -> bool {
    rules.iter().any(|rule| {
        rule.protocols.contains(&protocol)
            && rule.ports.iter().any(|range| (range.first..=range.last).contains(&port))
    })
}

fn moment(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
