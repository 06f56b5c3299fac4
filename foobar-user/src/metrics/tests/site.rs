//! A web server as the documentation describes it: 80 and 443 open, 443 over UDP too, SSH from a list, one blocklist.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use foobar_common::counters::{Counter, FIXED, Transport};
use foobar_common::http::stats::HttpStats;
use foobar_common::observe::PortStats;
use foobar_common::reason::Reason;

use crate::metrics::{
    Attachment, Build, ConfigReload, Connections, Counters, FlowTable, HttpPort, List, ListenQueue,
    Meaning, Meanings, Policy, Port, PortCertificates, PortStatistics, ProbedPort, Snapshot,
    TlsPort,
};

/// Counters that the maps hold.
pub const COUNTERS: usize = 512;

/// The site before the first packet.
pub fn three_ports() -> Snapshot {
    let rules = [
        ("web", 80, Transport::Tcp),
        ("web", 443, Transport::Tcp),
        ("http3", 443, Transport::Udp),
        ("ssh", 22, Transport::Tcp),
    ];
    let mut meanings = Vec::new();
    // As the policy compiler hands them out: for every named port and transport, and no matter who may reach it.
    for (rule, port, transport) in rules {
        meanings.extend(rule_cell(rule, Some(port), transport));
        let reasons = [Reason::Blocklist, Reason::Martian, Reason::SourceNotAllowed];
        meanings.extend(reasons.map(|reason| drops(reason, Some(port), transport)));
    }
    meanings.extend([80, 22].map(|port| drops(Reason::NoRule, Some(port), Transport::Udp)));
    let port = |number, udp| Port { number, tcp: true, udp, connections: Connections::default() };
    Snapshot {
        build: Build { version: "0.1.0".into(), revision: "0123456789ab".into() },
        policy: Policy {
            generation: 7,
            applied_at: Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)),
            enforcing: true,
            rules: vec!["web".into(), "http3".into(), "ssh".into()],
            ..Policy::default()
        },
        reload: ConfigReload {
            successful: true,
            succeeded_at: Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            confirmation_pending: false,
            state_written: true,
        },
        ports: vec![port(80, false), port(443, true), port(22, false)],
        http: vec![HttpPort { number: 80, source: "wire", stats: HttpStats::default() }],
        tls: vec![TlsPort {
            number: 443,
            server_names: vec![("www.example.org".to_owned(), 0)],
            turns: true,
            ..TlsPort::default()
        }],
        meanings: Arc::new(Meanings::new(meanings)),
        counters: empty_counters(),
        lists: ["admins", "app", "abuse"].map(list).to_vec(),
        attachments: attachments(),
        reads_packets: true,
        sees_handshakes: true,
        flows: FlowTable { entries: 12, max_entries: 131_072 },
        map_update_failures: ["policy", "labels", "slots", "flows", "sampling"]
            .map(|map| (map.to_owned(), 0))
            .to_vec(),
        events_lost: vec![("events".to_owned(), 0)],
        listen_queues: vec![
            ListenQueue { port: 80, length: 0, limit: 511 },
            ListenQueue { port: 443, length: 3, limit: 511 },
        ],
        statistics: Arc::new(vec![
            PortStatistics {
                number: 443,
                source: Some("nginx-status"),
                ..PortStatistics::default()
            },
            PortStatistics { number: 80, observed_ratio: Some(1.0), ..PortStatistics::default() },
        ]),
        probed: vec![ProbedPort {
            number: 22,
            source: "nginx-probe",
            tells_classes: true,
            tells_aborted: true,
            ..ProbedPort::default()
        }],
        certificates: Arc::new(vec![PortCertificates {
            number: 443,
            expiries: vec![(Some("www.foobar.com".into()), 1_800_000_000), (None, 1_800_000_000)],
            failures: 0,
        }]),
        ..Snapshot::default()
    }
}

/// The counters that belong to a rule's cell.
pub fn rule_cell(rule: &str, port: Option<u16>, transport: Transport) -> [Option<Meaning>; 3] {
    let meaning = |reason, attempt| {
        Some(Meaning { reason, transport, port, rule: Some(rule.into()), attempt })
    };
    [
        meaning(Reason::Rule, false),
        meaning(Reason::Rule, true),
        meaning(Reason::ConnectionLimit, false),
    ]
}

/// A counter of drops without a rule.
pub fn drops(reason: Reason, port: Option<u16>, transport: Transport) -> Option<Meaning> {
    Some(Meaning { reason, transport, port, rule: None, attempt: false })
}

/// Nothing counted.
pub fn empty_counters() -> Counters {
    let none = vec![Counter::default(); COUNTERS];
    Counters {
        ingress: none.clone(),
        ingress_audited: none.clone(),
        egress: none.clone(),
        egress_audited: none,
    }
}

/// The number of the counter that means this.
pub fn number(snapshot: &Snapshot, wanted: &Meaning) -> usize {
    let mut assigned = snapshot.meanings.assigned();
    assigned
        .find(|(_, meaning)| *meaning == wanted)
        .map(|(number, _)| number)
        .expect("it is assigned")
}

/// The number of the `n`th counter behind the fixed ones.
pub fn assigned(n: usize) -> usize {
    usize::from(FIXED) + n
}

/// So many packets of 100 bytes.
pub fn packets(packets: u64) -> Counter {
    Counter { packets, bytes: packets * 100 }
}

/// Connections of which so many were accepted and closed.
pub fn connections(accepted: u64, closed: u64) -> Connections {
    Connections { stats: PortStats { accepted, closed, ..PortStats::default() }, open_before: 0 }
}

fn list(name: &str) -> List {
    List {
        name: name.into(),
        entries_v4: 2,
        entries_v6: 1,
        capacity_v4: 1_000_000,
        capacity_v6: 1_000_000,
    }
}

fn attachments() -> Vec<Attachment> {
    let attached = |program: &str, interface: Option<&str>, mode: &str| Attachment {
        program: program.into(),
        interface: interface.map(str::to_owned),
        mode: mode.into(),
        attached: true,
    };
    let hooks = ["sock_state", "tcp_retransmit", "tcp_receive_reset", "tcp_send_reset"];
    let filter =
        [attached("ingress", Some("eth0"), "native"), attached("egress", Some("eth0"), "tcx")];
    filter.into_iter().chain(hooks.map(|hook| attached(hook, None, "tracepoint"))).collect()
}
