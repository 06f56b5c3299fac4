//! The objects with probes: which programs and maps each has, and whom it is for.

use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type};
use foobar_common::{
    http::stats::CLASSES,
    probes::{
        Call, PORTS, PORTS_ROW, ProbeSettings, ProbeStats, RequestKey, SLOTS, Session, SessionKey,
        TARGETS, Target,
    },
};

use crate::{kernel::sys::map::MapSpec, probing::Server};

const _: () = assert!(CLASSES.len() == 6, "the classes of status are part of the layout");

/// A kernel object with probes, that is loaded as a whole.
#[derive(Debug)]
pub struct ProbeObject {
    /// Its folder of pins.
    pub(super) folder: &'static str,
    pub(super) bytes: &'static [u8],
    /// Programs that are attached to functions.
    pub(super) programs: &'static [&'static str],
    /// A program that is attached to a tracepoint of the kernel as long as there are probes, and which one.
    pub(super) traced: Option<(&'static str, &'static str)>,
    /// Maps beside those that all objects have.
    more: fn() -> Vec<(&'static str, MapSpec)>,
}

/// Probes on functions of web servers.
pub static FUNCTIONS: ProbeObject = ProbeObject {
    folder: "probes",
    bytes: crate::PROBES_OBJECT,
    programs: &["nginx_begin", "nginx_end", "apache_end"],
    traced: None,
    more: || vec![("REQUESTS", lru::<RequestKey, u64>(16384))],
};

/// Probes in OpenSSL's libssl.
pub static LIBSSL: ProbeObject = ProbeObject {
    folder: "libssl",
    bytes: crate::LIBSSL_OBJECT,
    programs: &[
        "libssl_shake",
        "libssl_begin",
        "libssl_read",
        "libssl_written",
        "libssl_unread",
        "libssl_free",
    ],
    traced: Some(("libssl_socket", "tcp_rcv_space_adjust")),
    more: || {
        vec![
            ("CALLS", lru::<u64, Call>(4096)),
            ("SESSIONS", lru::<SessionKey, Session>(16384)),
            ("BLANK", MapSpec::array(size_of::<Session>(), 1, 0)),
        ]
    },
};

impl ProbeObject {
    /// All of them.
    pub const ALL: [&'static ProbeObject; 2] = [&FUNCTIONS, &LIBSSL];

    /// The one with the probes for a server.
    pub fn of(server: Server) -> &'static Self {
        match server {
            Server::Nginx | Server::Apache => &FUNCTIONS,
            Server::Libssl => &LIBSSL,
        }
    }

    /// What each map ought to be.
    pub(super) fn specs(&self) -> Vec<(&'static str, MapSpec)> {
        let stats = MapSpec {
            kind: bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
            ..MapSpec::array(size_of::<ProbeStats>(), SLOTS, 0)
        };
        let mut specs = vec![
            ("PROBED_PORTS", MapSpec::array(PORTS_ROW, (PORTS / PORTS_ROW) as u32, BPF_F_MMAPABLE)),
            ("PROBE_STATS", stats),
            ("PROBE_SETTINGS", MapSpec::array(size_of::<ProbeSettings>(), 1, BPF_F_MMAPABLE)),
            ("PROBE_TARGETS", MapSpec::array(size_of::<Target>(), TARGETS, BPF_F_MMAPABLE)),
        ];
        specs.extend((self.more)());
        specs
    }
}

fn lru<K, V>(entries: u32) -> MapSpec {
    MapSpec {
        kind: bpf_map_type::BPF_MAP_TYPE_LRU_HASH as u32,
        key: size_of::<K>() as u32,
        value: size_of::<V>() as u32,
        entries,
        flags: 0,
    }
}
