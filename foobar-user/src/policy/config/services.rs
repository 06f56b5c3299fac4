//! What runs beside the filter: `[metrics]`, `[log]`, and the table of flows, `[flows]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use foobar_common::flow::{FlowTimeouts, TICK_SHIFT};
use serde::Serialize;

use super::{limits::Rate, named_ports::MAX_NAMED_PORTS, section::Section, values};
use crate::policy::config::limits::Period;

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where metrics are served; `None` if they are off.
    pub listen: Option<SocketAddr>,
    /// Ports that get series of their own, if the configuration names them.
    pub ports: Option<Vec<u16>>,
    /// TLS and authentication of the listener: a file in the format of Prometheus's exporter-toolkit.
    pub web_config: Option<PathBuf>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9898))),
            ports: None,
            web_config: None,
        }
    }
}

impl Metrics {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let listen = match section.take("listen") {
            Some(value) => values::listen(&section, &value),
            None => Metrics::default().listen,
        };
        let ports = section.take("ports").and_then(|value| {
            let ports = values::port_list(&section, &value);
            if ports.len() > MAX_NAMED_PORTS {
                section.error(
                    value.span(),
                    format!(
                        "{} ports are named here, at most {MAX_NAMED_PORTS} can be",
                        ports.len()
                    ),
                    "name the ports that matter; the others are counted together as \"other\"",
                );
                return None;
            }
            Some(ports)
        });
        let web_config = section.take("web_config").and_then(|value| {
            const HELP: &str = "write the path of a file, such as web_config = \"web.yml\"";
            let name = values::string(&section, &value, "`web_config`", HELP)?;
            if name.is_empty() {
                section.error(value.span(), "`web_config` names no file", HELP);
                return None;
            }
            // Relative to the configuration, as list files are.
            Some(section.reader().file().with_file_name(name))
        });
        section.finish();
        Metrics { listen, ports, web_config }
    }
}

/// `[flows]`: the table of flows that the server opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flows {
    /// Flows that are remembered at most, of IPv4 and IPv6 each; the least recently used one makes room.
    pub max_entries: u32,
    /// How long an established TCP connection may be silent.
    pub tcp_idle: Duration,
    /// How long a UDP flow may be silent.
    pub udp_idle: Duration,
}

impl Default for Flows {
    /// TCP as long as nf_conntrack's `tcp_timeout_established`; UDP as RFC 4787 (REQ-5) recommends.
    fn default() -> Self {
        Flows {
            max_entries: 65536,
            tcp_idle: Duration::from_secs(5 * 24 * 3600),
            udp_idle: Duration::from_secs(5 * 60),
        }
    }
}

impl Flows {
    /// Silence that ends an unanswered TCP connection: longer than the retries of a SYN last (nf_conntrack
    /// `tcp_timeout_syn_sent`).
    const TCP_OPENING: Duration = Duration::from_secs(120);
    /// Silence after a FIN or RST (nf_conntrack `tcp_timeout_time_wait`).
    const TCP_CLOSING: Duration = Duration::from_secs(120);
    /// Silence that ends an echo (nf_conntrack `icmp_timeout`).
    const ICMP: Duration = Duration::from_secs(30);
    /// How long a fragmented datagram may take to arrive (RFC 8200, section 4.5).
    const FRAGMENT: Duration = Duration::from_secs(60);

    /// In the kernel programs' ticks. `hz` is the number of jiffies in a second.
    pub fn timeouts(&self, hz: u64) -> FlowTimeouts {
        let ticks = |time: Duration| {
            let ticks = (time.as_secs() * hz) >> TICK_SHIFT;
            u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
        };
        FlowTimeouts {
            tcp_opening: ticks(Flows::TCP_OPENING),
            tcp_established: ticks(self.tcp_idle),
            tcp_closing: ticks(Flows::TCP_CLOSING),
            udp: ticks(self.udp_idle),
            icmp: ticks(Flows::ICMP),
            fragment: ticks(Flows::FRAGMENT),
        }
    }

    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let default = Flows::default();
        let flows = Flows {
            max_entries: section
                .integer("max_entries", 1024..=16_777_216)
                .map_or(default.max_entries, |n| n as u32),
            tcp_idle: section.duration("tcp_idle").unwrap_or(default.tcp_idle),
            udp_idle: section.duration("udp_idle").unwrap_or(default.udp_idle),
        };
        section.finish();
        flows
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How many dropped packets are logged at most; `None` if none are.
    pub drops: Option<Rate>,
}

impl Default for Log {
    fn default() -> Self {
        Log { drops: Some(Rate { count: 10, period: Period::Second }) }
    }
}

impl Log {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let log = match section.take("drops") {
            Some(value) => Log { drops: values::rate_or_off(&section, &value, "drops") },
            None => Log::default(),
        };
        section.finish();
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_in_ticks() {
        let timeouts = Flows::default().timeouts(250);
        assert_eq!(timeouts.udp, 300 * 250 / 64);
        assert_eq!(timeouts.tcp_established, 432_000 * 250 / 64);
        assert_eq!(Flows { udp_idle: Duration::ZERO, ..Flows::default() }.timeouts(100).udp, 1);
        let forever = Flows { tcp_idle: Duration::from_secs(1 << 40), ..Flows::default() };
        assert_eq!(forever.timeouts(1000).tcp_established, u32::MAX);
    }
}
