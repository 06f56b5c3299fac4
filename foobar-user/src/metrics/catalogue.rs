//! Every metric that foobar exports, defined once: the sections fill these rows, and a test holds `docs/metrics.md` to them.
//!
//! Names follow "Metric and label naming" of the Prometheus documentation: base units, `_total` for counters, success and
//! failure apart. A row is never renamed; labels stay bounded ([`Label::bound`]).

/// What kind of metric a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, except when the kernel's maps are made anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What a row is about: a heading of the documentation, and a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Verdicts of the packet filter.
    Filter,
    /// TCP connections, as the kernel's own TCP sees them.
    Connections,
    /// Requests and their responses.
    Http,
    /// TLS handshakes, certificates and QUIC connections.
    Tls,
    /// Lists and the table of flows.
    Tables,
    /// Kernel programs, policy, configuration and foobar itself.
    Program,
}

impl Section {
    /// All sections, in the order of the documentation.
    pub const ALL: [Section; 6] = [
        Section::Filter,
        Section::Connections,
        Section::Http,
        Section::Tls,
        Section::Tables,
        Section::Program,
    ];

    /// The heading in the documentation.
    pub const fn title(self) -> &'static str {
        match self {
            Section::Filter => "Packet filter",
            Section::Connections => "Connections",
            Section::Http => "HTTP",
            Section::Tls => "TLS and QUIC",
            Section::Tables => "Lists and flows",
            Section::Program => "Programs, policy and configuration",
        }
    }
}

/// A label and its bound.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// Name of the label.
    pub name: &'static str,
    /// Which values it takes, and how many at most.
    pub bound: &'static str,
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Full name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The `# HELP` text: one sentence.
    pub help: &'static str,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static Label],
    /// Where it belongs.
    pub section: Section,
}

macro_rules! labels {
    ($($constant:ident = $name:literal, $bound:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $bound)]
            pub static $constant: Label = Label { name: $name, bound: $bound };
        )+

        /// All labels.
        pub static LABELS: &[&Label] = &[$(&$constant),+];
    };
}

labels! {
    PORT = "port", "A port that rules name (16 at most, the first of the file or those of `[metrics] ports`), or `other`.";
    TRANSPORT = "transport", "`tcp`, `udp`, `icmp` (ICMPv6 too) or `other`.";
    REASON = "reason", "Why: the words of `foobar explain`, listed in docs/policy.md. Only combinations that can occur are exported.";
    RULE = "rule", "Name of a rule of the configuration; those behind the 64th count as `other`.";
    LIST = "list", "Name of a list of the configuration; those behind the 64th count as `other`.";
    IP_VERSION = "ip_version", "`4` or `6`.";
    KIND = "kind", "`connections`, and `requests` on ports where they are counted.";
    HTTP_VERSION = "http_version", "`1.0`, `1.1` or `2`; `unknown` where a server's own count does not say.";
    CODE_CLASS = "code_class", "`1xx` (101 alone is final) to `5xx`, or `unknown` where the status could not be read.";
    SOURCE = "source", "Where the counts come from: `wire`, read off the packets; `nginx-status`, `apache-status`, `haproxy-status`, from the server itself; `nginx-probe`, `apache-probe`, by probes on its functions; `libssl-probe`, read where it is handed to OpenSSL; `turns`, an estimate (`foobar_https_request_turns_total`); `none`, where no interface takes the programs that read packets.";
    CONNECTION_SOURCE = "source", "`handshakes`, completed ones; or `openings`, SYN segments that passed, where the kernel shows no handshakes.";
    TLS_VERSION = "tls_version", "`1.3`, `1.2`, `older` or `unknown` where a part of the hello was lost.";
    ALPN = "alpn", "`h2` (HTTP/2, among others), `http/1.1` (without HTTP/2), `other`, `none`, or `unknown` where a part of the hello was lost.";
    SERVER_NAME = "server_name", "A name of `server_names` (16 at most). Of hellos also `other` and `none`; of certificates `default`, for clients that ask for none.";
    RESUMED = "resumed", "`true` or `false`.";
    FAILURE = "reason", "Why a handshake failed, in 8 words: docs/observing.md.";
    WINDOW = "window", "`1s`, `10s` or `60s`.";
    MAP = "map", "Name of a kernel map that is written while foobar runs.";
    BUFFER = "buffer", "Name of a ring buffer.";
    PROGRAM = "program", "Name of a kernel program: `ingress`, `egress`, and those that observe connections.";
    INTERFACE = "interface", "A filtered network interface; empty for programs that belong to none.";
    ATTACH_MODE = "attach_mode", "`native`, `generic`, `tcx`, `clsact` or `tracepoint`.";
    VERSION = "version", "Version of foobar.";
    REVISION = "revision", "Revision of the source that it was built from.";
}

macro_rules! rows {
    ($($section:ident {
        $($constant:ident = $name:literal, $kind:ident, [$($label:ident),*], $help:literal;)+
    })+) => {
        $($(
            #[doc = $help]
            pub static $constant: Row = Row {
                name: concat!("foobar_", $name),
                kind: Kind::$kind,
                help: $help,
                labels: &[$(&$label),*],
                section: Section::$section,
            };
        )+)+

        /// All metrics.
        pub static ROWS: &[&Row] = &[$($(&$constant),+),+];
    };
}

rows! {
    Filter {
        PASSED_PACKETS = "passed_packets_total", Counter, [PORT, TRANSPORT],
            "Incoming packets that passed.";
        PASSED_BYTES = "passed_bytes_total", Counter, [PORT, TRANSPORT],
            "Bytes of incoming packets that passed, from the Ethernet header on.";
        DROPPED_PACKETS = "dropped_packets_total", Counter, [PORT, TRANSPORT, REASON],
            "Incoming packets that were dropped.";
        DROPPED_BYTES = "dropped_bytes_total", Counter, [PORT, TRANSPORT, REASON],
            "Bytes of incoming packets that were dropped, from the Ethernet header on.";
        AUDITED_PACKETS = "audited_packets_total", Counter, [PORT, TRANSPORT, REASON],
            "Incoming packets that passed because the mode was audit and would have been dropped otherwise.";
        AUDITED_BYTES = "audited_bytes_total", Counter, [PORT, TRANSPORT, REASON],
            "Bytes of incoming packets that passed because the mode was audit and would have been dropped otherwise.";
        RULE_PACKETS = "rule_packets_total", Counter, [RULE],
            "Incoming packets that matched a rule, those over its limit included.";
        EGRESS_PASSED_PACKETS = "egress_passed_packets_total", Counter, [TRANSPORT],
            "Outgoing packets that passed.";
        EGRESS_PASSED_BYTES = "egress_passed_bytes_total", Counter, [TRANSPORT],
            "Bytes of outgoing packets that passed, from the Ethernet header on; before segmentation by the network card.";
        EGRESS_DROPPED_PACKETS = "egress_dropped_packets_total", Counter, [TRANSPORT, REASON],
            "Outgoing packets that were dropped.";
        EGRESS_AUDITED_PACKETS = "egress_audited_packets_total", Counter, [TRANSPORT, REASON],
            "Outgoing packets that passed because the mode was audit and would have been dropped otherwise.";
        EGRESS_RULE_PACKETS = "egress_rule_packets_total", Counter, [RULE],
            "Outgoing packets that matched an egress rule.";
    }
    Connections {
        CONNECTION_ATTEMPTS = "connection_attempts_total", Counter, [PORT],
            "TCP segments that open a connection and passed, retransmitted ones included.";
        CONNECTIONS_ACCEPTED = "connections_accepted_total", Counter, [PORT, TRANSPORT],
            "Connections of which the handshake was completed.";
        CONNECTIONS_OPEN = "connections_open", Gauge, [PORT],
            "Connections to this server that are established now.";
        CONNECTION_DURATION = "connection_duration_seconds", Histogram, [PORT],
            "Time from the handshake to the end of a connection.";
        RESETS_RECEIVED = "connection_resets_received_total", Counter, [PORT],
            "Resets received on a connection.";
        RESETS_SENT = "connection_resets_sent_total", Counter, [PORT],
            "Resets sent on a connection.";
        HANDSHAKE_RTT = "tcp_handshake_rtt_seconds", Histogram, [PORT],
            "Round-trip time of the handshake: from SYN+ACK to ACK.";
        RETRANSMITTED_SEGMENTS = "tcp_retransmitted_segments_total", Counter, [PORT],
            "TCP segments that this server sent again.";
        LISTEN_QUEUE_LENGTH = "listen_queue_length", Gauge, [PORT],
            "Connections that wait for the application to accept them, in the fullest queue of the port.";
        LISTEN_QUEUE_LIMIT = "listen_queue_limit", Gauge, [PORT],
            "How many connections may wait in the fullest accept queue of the port; 0 if nobody listens.";
        LISTEN_QUEUE_OVERFLOWS = "listen_queue_overflows_total", Counter, [PORT],
            "Openings and completed handshakes that a listening socket dropped, nearly always because its accept queue was full.";
        CONNECTION_SOURCE_INFO = "connection_source_info", Gauge, [CONNECTION_SOURCE],
            "What stands for connections in `foobar_qps`; always 1.";
        QPS = "qps", Gauge, [PORT, KIND, WINDOW],
            "Connections or requests per second over the window.";
    }
    Http {
        HTTP_REQUESTS = "http_requests_total", Counter, [PORT, HTTP_VERSION, CODE_CLASS],
            "Requests answered, counted when the final response begins.";
        HTTP_REQUESTS_ABORTED = "http_requests_aborted_total", Counter, [PORT],
            "Requests whose connection or stream ended before the response began.";
        HTTP_TIME_TO_FIRST_BYTE = "http_time_to_first_byte_seconds", Histogram, [PORT],
            "Time from the first byte of a request to the first byte of its final response, as seen on this server's interfaces, or in libssl where probes read there.";
        HTTP_REQUEST_DURATION = "http_request_duration_seconds", Histogram, [PORT],
            "Time from the server's own beginning of a request to its own end, when the response was handed to the kernel. On ports that probes count.";
        HTTP_UNPARSED = "http_unparsed_total", Counter, [PORT],
            "Times that one side of a connection could no longer be read as HTTP; what follows is not counted until it can be read again.";
        HTTP_CONNECTIONS_REFUSED = "http_connections_refused_total", Counter, [PORT],
            "Connections whose requests were not observed because the table of connections refused them.";
        HTTP_SOURCE_INFO = "http_source_info", Gauge, [PORT, SOURCE],
            "Where the counts of requests of a port come from; always 1.";
        HTTP_STATUS_PAGE_UP = "http_status_page_up", Gauge, [PORT],
            "1 if the server's own statistics were read at the last attempt, 0 if not; on ports with `status`.";
        HTTP_PROBES_PLACED = "http_probes_placed", Gauge, [PORT],
            "1 if the program that serves the port has its probes, 0 if not; on ports that probes count.";
        HTTP_OBSERVED_RATIO = "http_observed_ratio", Gauge, [PORT],
            "Requests that foobar counted over those that the server counted itself, in the last five minutes; NaN without any. On ports with `status` whose requests another source counts.";
    }
    Tls {
        TLS_CERTIFICATE_EXPIRY = "tls_certificate_expiry_timestamp_seconds", Gauge, [PORT, SERVER_NAME],
            "When the certificate expires that the port really serves for the name, in seconds since 1970; absent until it was read.";
        TLS_CERTIFICATE_READ_FAILURES = "tls_certificate_read_failures_total", Counter, [PORT],
            "Attempts to read a certificate of the port that failed; the log says why.";
        TLS_CLIENT_HELLOS = "tls_client_hellos_total", Counter, [PORT, TLS_VERSION],
            "TLS connections with a complete hello of the client, by the newest version that it offers.";
        TLS_ALPN_OFFERS = "tls_alpn_offers_total", Counter, [PORT, ALPN],
            "TLS connections with a complete hello of the client, by the application protocols that it offers.";
        TLS_SERVER_NAMES = "tls_server_name_hellos_total", Counter, [PORT, SERVER_NAME],
            "TLS connections with a complete hello of the client, by the server name that it asks for.";
        TLS_EARLY_DATA_OFFERS = "tls_early_data_offers_total", Counter, [PORT],
            "TLS connections whose client announces early data (0-RTT).";
        TLS_RETRIES = "tls_hello_retry_requests_total", Counter, [PORT],
            "TLS connections in which the server asked for another hello.";
        TLS_HANDSHAKES = "tls_handshakes_total", Counter, [PORT, TLS_VERSION, RESUMED],
            "TLS handshakes that were completed.";
        TLS_FAILURES = "tls_handshake_failures_total", Counter, [PORT, FAILURE],
            "TLS handshakes that failed, by the first thing that went wrong.";
        TLS_HANDSHAKE_DURATION = "tls_handshake_duration_seconds", Histogram, [PORT],
            "Time from the first byte of the client's hello to the end of the handshake, as seen on this server's interfaces.";
        TLS_UNPARSED = "tls_unparsed_connections_total", Counter, [PORT],
            "Connections to a TLS port that could not be followed: open before the start, bytes missing, or a hello that contradicts itself.";
        HTTPS_REQUEST_TURNS = "https_request_turns_total", Counter, [PORT],
            "Estimated requests on TLS connections that cannot speak HTTP/2: answers of the server that follow on data of the client.";
        QUIC_INITIALS = "quic_initials_total", Counter, [PORT],
            "QUIC connections that clients opened, whether or not an answer came; not verified, so whoever forges addresses counts as well.";
    }
    Tables {
        LIST_ENTRIES = "list_entries", Gauge, [LIST, IP_VERSION],
            "Prefixes in an allowlist or blocklist.";
        LIST_CAPACITY = "list_capacity", Gauge, [LIST, IP_VERSION],
            "Prefixes that an allowlist or blocklist can hold.";
        FLOW_TABLE_ENTRIES = "flow_table_entries", Gauge, [],
            "Flows opened by this server that are remembered, IPv4 and IPv6 together.";
        FLOW_TABLE_MAX_ENTRIES = "flow_table_max_entries", Gauge, [],
            "Flows that can be remembered, IPv4 and IPv6 together; then the longest silent one is forgotten.";
    }
    Program {
        BPF_MAP_UPDATE_FAILURES = "bpf_map_update_failures_total", Counter, [MAP],
            "Updates of a kernel map that failed.";
        EVENTS_LOST = "events_lost_total", Counter, [BUFFER],
            "Sampled events that were lost because nobody read them in time.";
        BPF_PROGRAM_INFO = "bpf_program_info", Gauge, [PROGRAM, INTERFACE, ATTACH_MODE],
            "How a kernel program is attached; always 1.";
        BPF_PROGRAM_ATTACHED = "bpf_program_attached", Gauge, [PROGRAM, INTERFACE],
            "1 if the kernel says that the program is attached, 0 if it ought to be and is not.";
        POLICY_GENERATION = "policy_generation", Gauge, [],
            "Number of the policy in force; counts up with each change.";
        POLICY_LAST_APPLY = "policy_last_apply_timestamp_seconds", Gauge, [],
            "When the policy in force was applied, in seconds since 1970; 0 if none was.";
        POLICY_ENFORCING = "policy_enforcing", Gauge, [],
            "1 if the mode is enforce, 0 if it is audit and nothing is dropped.";
        CONFIG_RELOAD_SUCCESSFUL = "config_last_reload_successful", Gauge, [],
            "1 if the configuration was last read without errors, 0 if not; the start counts as well.";
        CONFIG_RELOAD_SUCCESS_TIMESTAMP = "config_last_reload_success_timestamp_seconds", Gauge, [],
            "When the configuration was last read without errors, in seconds since 1970; 0 if it never was.";
        CONFIG_CONFIRMATION_PENDING = "config_confirmation_pending", Gauge, [],
            "1 while the last change of the configuration waits for `foobar confirm` and is taken back otherwise, else 0.";
        STATE_WRITE_SUCCESSFUL = "state_last_write_successful", Gauge, [],
            "1 if the state folder could last be written to; 0 if not, and changes are refused.";
        BUILD_INFO = "build_info", Gauge, [VERSION, REVISION],
            "Which foobar this is; always 1.";
    }
}
