//! What a scrape shows, as plain data: the daemon gathers it, the sections turn it into metric families.
//!
//! Nothing here knows of maps, sockets or configuration files. Counts are absolute, as the kernel keeps them, so a page is
//! a pure function of its snapshot and a counter can only go back when the kernel's maps are made anew.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::SystemTime;

use foobar_common::counters::{self, Counter, Transport};
use foobar_common::http::stats::HttpStats;
use foobar_common::observe::PortStats;
use foobar_common::probes::ProbeStats;
use foobar_common::reason::Reason;
use foobar_common::tls::stats::TlsStats;

use crate::rates::Rates;

/// Everything that one page shows.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which foobar this is.
    pub build: Build,
    /// The policy in force.
    pub policy: Policy,
    /// Whether the configuration file was last read without errors, and what came of it is on disk.
    pub reload: ConfigReload,
    /// The ports that are told apart, in the order of their rules. Those behind the 16th count as `other`.
    pub ports: Vec<Port>,
    /// TCP connections of all ports that are not in `ports`: slot 0 of the map `PORT_STATS`.
    pub other: Connections,
    /// The servers' own statistics by port, where they are asked; at most 16.
    pub statistics: Arc<Vec<PortStatistics>>,
    /// Requests by port, of those ports where probes count them; at most 16.
    pub probed: Vec<ProbedPort>,
    /// Certificates by port, of the ports that speak TLS; at most 16.
    pub certificates: Arc<Vec<PortCertificates>>,
    /// Requests by port, of those ports where they are counted; at most 16.
    pub http: Vec<HttpPort>,
    /// Ports that are observed as `https`.
    pub tls: Vec<TlsPort>,
    /// What each counter number stands for.
    pub meanings: Arc<Meanings>,
    /// The filter's counters.
    pub counters: Counters,
    /// Allowlists and blocklists; a list with entries of both IP versions is one element.
    pub lists: Vec<List>,
    /// Where each program is attached.
    pub attachments: Vec<Attachment>,
    /// Whether requests can be read off the packets of some interface.
    pub reads_packets: bool,
    /// Whether completed handshakes are seen; if not, openings stand for connections in rates.
    pub sees_handshakes: bool,
    /// Flows that the server opened.
    pub flows: FlowTable,
    /// Failed updates by map. Name every map that is written at run time, also while its count is 0.
    pub map_update_failures: Vec<(String, u64)>,
    /// Events lost by ring buffer. Name every buffer, also while its count is 0.
    pub events_lost: Vec<(String, u64)>,
    /// The accept queue of every listening TCP socket.
    pub listen_queues: Vec<ListenQueue>,
    /// What listening sockets had no room for, by port.
    pub listen_overflows: BTreeMap<u16, u64>,
    /// Rates over the last seconds: [`crate::rates::Sampler::rates`].
    pub rates: Arc<Rates>,
}

/// Which foobar this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Version of the package.
    pub version: String,
    /// Revision of the source, `unknown` if it was not built from a repository.
    pub revision: String,
}

/// The policy in force, as far as it decides which series can exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// [`foobar_common::tables::Generation::number`].
    pub generation: u64,
    /// When it was put in force; `None` if none ever was.
    pub applied_at: Option<SystemTime>,
    /// Whether the mode is `enforce`; `audit` otherwise.
    pub enforcing: bool,
    /// [`foobar_common::tables::Generation::choices`].
    pub choices: u32,
    /// [`foobar_common::tables::Generation::packet_limit`] is set.
    pub limits_packets: bool,
    /// A rule limits connections a source.
    pub limits_connections: bool,
    /// Names of the rules for incoming packets, in the order of the file. Those behind the 64th count as `other`.
    pub rules: Vec<String>,
    /// Names of the egress rules, in the order of the file. Those behind the 64th count as `other`.
    pub egress_rules: Vec<String>,
    /// Whether outgoing packets can be dropped: there is an egress rule, or the egress default is to drop.
    pub filters_egress: bool,
}

/// Whether the configuration file was last read without errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigReload {
    /// Whether the last attempt (the start counts as one) succeeded.
    pub successful: bool,
    /// When an attempt last succeeded; `None` if the daemon runs from its last good state.
    pub succeeded_at: Option<SystemTime>,
    /// Whether the last change is taken back unless it is confirmed.
    pub confirmation_pending: bool,
    /// Whether the state folder could last be written to.
    pub state_written: bool,
}

/// A port that is told apart from others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Port {
    /// The port, host byte order.
    pub number: u16,
    /// A rule names it for TCP.
    pub tcp: bool,
    /// A rule names it for UDP.
    pub udp: bool,
    /// Its TCP connections: its slot of the map `PORT_STATS`, summed over the CPUs.
    pub connections: Connections,
}

/// Requests to a port as its server counts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortStatistics {
    /// The port, host byte order.
    pub number: u16,
    /// The name of the source where these are the counts of the port; `None` where they are compared with only.
    pub source: Option<&'static str>,
    /// Requests since the server was asked first, by class of status as [`foobar_common::http::stats::CLASSES`] orders them.
    pub counted: [u64; 6],
    /// Whether the server tells classes apart; else all are in the first.
    pub tells_classes: bool,
    /// What another source counted over these; `None` while the server counted nothing.
    pub observed_ratio: Option<f64>,
    /// Why the last attempt to read them failed.
    pub problem: Option<String>,
}

/// Requests to a port as probes on its server's functions count them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbedPort {
    /// The port, host byte order.
    pub number: u16,
    /// `nginx-probe`, `apache-probe` or `libssl-probe`.
    pub source: &'static str,
    /// Whether probes read what the program reads and writes; else they see where the server begins and ends requests. Then the port
    /// is in [`Snapshot::http`] as well.
    pub reads: bool,
    /// What was counted.
    pub stats: ProbeStats,
    /// Whether classes of status are told apart; else all are in the first.
    pub tells_classes: bool,
    /// Whether requests that were never answered are told apart.
    pub tells_aborted: bool,
    /// Why there are no probes in what is now under the path of the program.
    pub problem: Option<String>,
}

/// TLS and QUIC connections of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPort {
    /// The port, host byte order.
    pub number: u16,
    /// What was counted.
    pub stats: TlsStats,
    /// First hellos by configured server name.
    pub server_names: Vec<(String, u64)>,
    /// Whether request turns are what counts this port's requests.
    pub turns: bool,
}

/// Requests to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpPort {
    /// The port, host byte order.
    pub number: u16,
    /// Where the counts come from: `wire` for what is read off the packets.
    pub source: &'static str,
    /// What was counted.
    pub stats: HttpStats,
}

/// The certificates that a port serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCertificates {
    /// The port, host byte order.
    pub number: u16,
    /// When they expire, in seconds since 1970, by server name (`None`: clients that ask for none); those that were read.
    pub expiries: Vec<(Option<String>, i64)>,
    /// Attempts to read one that failed.
    pub failures: u64,
}

/// TCP connections of a port, or of all ports without a name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connections {
    /// As counted by the kernel programs.
    pub stats: PortStats,
    /// What the statistics do not know of ([`Connections::open_before`]).
    pub open_before: i64,
}

impl AddAssign for Connections {
    fn add_assign(&mut self, more: Self) {
        let (sum, stats) = (&mut self.stats, &more.stats);
        sum.accepted += stats.accepted;
        sum.closed += stats.closed;
        sum.closed_earlier += stats.closed_earlier;
        sum.resets_received += stats.resets_received;
        sum.resets_sent += stats.resets_sent;
        sum.retransmitted_segments += stats.retransmitted_segments;
        for (sum, more) in
            [(&mut sum.duration, &stats.duration), (&mut sum.handshake, &stats.handshake)]
        {
            sum.sum_us += more.sum_us;
            for (sum, more) in sum.buckets.iter_mut().zip(&more.buckets) {
                *sum += more;
            }
        }
        self.open_before += more.open_before;
    }
}

impl Connections {
    /// The correction that makes [`Connections::open`] agree with the `established` connections that the socket tables show,
    /// given what was counted up to the same moment: connections from before the programs were attached, less those whose
    /// end was not seen. To be computed when the programs were attached or taken over, and when ports get other slots.
    pub fn open_before(established: u64, stats: &PortStats) -> i64 {
        signed(established) - balance(stats)
    }

    /// Connections established now.
    pub fn open(&self) -> u64 {
        u64::try_from(balance(&self.stats) + self.open_before).unwrap_or(0)
    }
}

/// Connections that began less those that ended, as far as they were seen.
fn balance(stats: &PortStats) -> i64 {
    signed(stats.accepted) - signed(stats.closed) - signed(stats.closed_earlier)
}

/// A count of connections never comes near the limit.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX / 4)
}

/// What a counter stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Why, which also says whether the packet passes.
    pub reason: Reason,
    /// The transport of the packets.
    pub transport: Transport,
    /// The named port; `None` is every other.
    pub port: Option<u16>,
    /// The rule that matched.
    pub rule: Option<Arc<str>>,
    /// The packets open TCP connections ([`counters::RULE_ATTEMPTS`]).
    pub attempt: bool,
}

/// What each counter number stands for. The [`counters::FIXED`] ones are known; those behind them are handed out to rules
/// and ports, append-only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meanings {
    assigned: Vec<Option<Meaning>>,
}

impl Meanings {
    /// From the meanings of the counters behind the fixed ones: the first stands for the number [`counters::FIXED`];
    /// `None` is a number that stands for nothing.
    pub fn new(assigned: Vec<Option<Meaning>>) -> Self {
        Meanings { assigned }
    }

    /// The meanings behind the fixed ones, with their numbers.
    pub fn assigned(&self) -> impl Iterator<Item = (usize, &Meaning)> {
        let numbered = (usize::from(counters::FIXED)..).zip(&self.assigned);
        numbered.filter_map(|(number, meaning)| Some((number, meaning.as_ref()?)))
    }
}

/// The filter's counters, each element the sum over the CPUs, indexed by counter number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Incoming packets that passed or were dropped.
    pub ingress: Vec<Counter>,
    /// Incoming packets that passed in the mode `audit` and would have been dropped otherwise.
    pub ingress_audited: Vec<Counter>,
    /// Outgoing packets that passed or were dropped.
    pub egress: Vec<Counter>,
    /// Outgoing packets that passed in the mode `audit` and would have been dropped otherwise.
    pub egress_audited: Vec<Counter>,
}

/// A list as the policy in force uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Name of the list.
    pub name: String,
    /// IPv4 prefixes in it.
    pub entries_v4: u64,
    /// IPv6 prefixes in it.
    pub entries_v6: u64,
    /// IPv4 prefixes that a list can hold.
    pub capacity_v4: u64,
    /// IPv6 prefixes that a list can hold.
    pub capacity_v6: u64,
}

/// A place where a program is, or ought to be, attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the program: `ingress`, `egress`, `sock_state` and so on.
    pub program: String,
    /// The interface; `None` for programs that belong to none.
    pub interface: Option<String>,
    /// `native`, `generic`, `tcx`, `clsact` or `tracepoint`.
    pub mode: String,
    /// Whether the kernel says that it is attached now.
    pub attached: bool,
}

/// The table of flows that the server opened, both IP versions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTable {
    /// Flows remembered now.
    pub entries: u64,
    /// Flows that it can hold.
    pub max_entries: u64,
}

/// The accept queue of a listening TCP socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenQueue {
    /// Its port, host byte order.
    pub port: u16,
    /// Connections that wait to be accepted.
    pub length: u32,
    /// How many may wait (the backlog).
    pub limit: u32,
}
