//! `[[observe]]`: what a port speaks, and where the counts of its requests come from.

use std::path::PathBuf;

use foobar_common::tables::{PORT_HTTP, PORT_TLS};
use serde::Serialize;

use super::{
    choices::words,
    named_ports::MAX_NAMED_PORTS,
    probed,
    section::{Section, Value},
    status_page::StatusPage,
    values,
};
use crate::{
    policy::{model::Rule, protocol::Protocol},
    probing::Server,
};

/// Most server names that are told apart in metrics, those of all ports together.
pub const MAX_SERVER_NAMES: usize = 16;

words! {
    /// What a port speaks.
    ObservedProtocol {
        /// HTTP in clear, HTTP/1.x or h2c.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// Anything else: connections only.
        Tcp = "tcp",
    }
}

words! {
    /// Where the counts of a port's requests come from. One source a port; sources are never summed.
    Requests {
        /// Read off the wire, exact: HTTP in clear.
        Wire = "wire",
        /// Turns of the encrypted conversation: an estimate.
        Turns = "turns",
        /// nginx's own page (`stub_status`).
        NginxStatus = "nginx-status",
        /// Apache's own page (`mod_status`).
        ApacheStatus = "apache-status",
        /// HAProxy's own statistics (`show stat`).
        HaproxyStatus = "haproxy-status",
        /// Probes on nginx's own functions.
        NginxProbe = "nginx-probe",
        /// Probes on Apache's own functions.
        ApacheProbe = "apache-probe",
        /// Probes in OpenSSL's libssl.
        LibsslProbe = "libssl-probe",
        /// Not counted.
        Off = "off",
    }
}

impl Requests {
    /// What counts where the configuration does not say.
    pub const fn default_for(protocol: ObservedProtocol) -> Self {
        match protocol {
            ObservedProtocol::Http => Requests::Wire,
            ObservedProtocol::Https => Requests::Turns,
            ObservedProtocol::Tcp => Requests::Off,
        }
    }

    /// How far its counts can be relied on; `None` where nothing is counted.
    pub const fn tier(self) -> Option<&'static str> {
        match self {
            Requests::Off => None,
            Requests::Turns => Some("estimate"),
            Requests::Wire
            | Requests::NginxStatus
            | Requests::ApacheStatus
            | Requests::HaproxyStatus
            | Requests::NginxProbe
            | Requests::ApacheProbe
            | Requests::LibsslProbe => Some("exact"),
        }
    }

    /// Whether it is read off the packets, by the programs that observe.
    pub const fn reads_packets(self) -> bool {
        matches!(self, Requests::Wire | Requests::Turns)
    }

    /// Whether it needs a page to ask.
    pub const fn is_status_page(self) -> bool {
        matches!(self, Requests::NginxStatus | Requests::ApacheStatus | Requests::HaproxyStatus)
    }

    /// Whose functions have the probes that count.
    pub const fn probed(self) -> Option<Server> {
        match self {
            Requests::NginxProbe => Some(Server::Nginx),
            Requests::ApacheProbe => Some(Server::Apache),
            Requests::LibsslProbe => Some(Server::Libssl),
            _ => None,
        }
    }

    /// Why it cannot count what this protocol carries, and what could.
    const fn misfit(self, protocol: ObservedProtocol) -> Option<(&'static str, &'static str)> {
        match (protocol, self) {
            (ObservedProtocol::Tcp, Requests::Off) => None,
            (ObservedProtocol::Tcp, _) => Some((
                "a port that speaks \"tcp\" has no requests",
                "leave `requests` out, or write protocol = \"http\" or \"https\"",
            )),
            (ObservedProtocol::Https, Requests::Wire) => Some((
                "requests of a port that speaks \"https\" are encrypted on the wire",
                "write \"turns\" for an estimate, or ask the server itself, such as requests = \"nginx-status\"",
            )),
            (ObservedProtocol::Http, Requests::LibsslProbe) => Some((
                "what a port that speaks \"http\" carries never comes by libssl",
                "leave `requests` out, and it is read off the wire",
            )),
            (ObservedProtocol::Http, Requests::Turns) => Some((
                "turns are an estimate for encrypted connections; a port that speaks \"http\" is counted exactly",
                "leave `requests` out",
            )),
            _ => None,
        }
    }
}

/// `[[observe]]`: what a port speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// The server's port.
    pub port: u16,
    /// What it speaks.
    pub protocol: ObservedProtocol,
    /// Names that are told apart in metrics and for which certificates are read: lower case, at most [`MAX_SERVER_NAMES`] of
    /// all ports together.
    pub server_names: Vec<String>,
    /// What counts its requests.
    pub requests: Requests,
    /// The server's own statistics: what counts, or what `http_observed_ratio` compares with.
    pub status: Option<StatusPage>,
    /// The executable whose functions have the probes that count, where such count.
    pub program: Option<PathBuf>,
}

impl Observed {
    /// A port with the defaults of its protocol.
    pub const fn new(port: u16, protocol: ObservedProtocol) -> Self {
        let requests = Requests::default_for(protocol);
        Observed { port, protocol, server_names: Vec::new(), requests, status: None, program: None }
    }

    /// Without any `[[observe]]`: 80 is http, 443 is https, where a rule lets TCP in there.
    pub fn defaults(rules: &[Rule]) -> Vec<Observed> {
        let served = |port: u16| {
            rules.iter().any(|rule| {
                rule.protocols.contains(&Protocol::TCP)
                    && rule.ports.iter().any(|range| range.contains(port))
            })
        };
        [(80, ObservedProtocol::Http), (443, ObservedProtocol::Https)]
            .into_iter()
            .filter(|(port, _)| served(*port))
            .map(|(port, protocol)| Observed::new(port, protocol))
            .collect()
    }

    /// Whether its requests are read off the packets.
    pub fn is_read(&self) -> bool {
        self.protocol == ObservedProtocol::Http && self.requests == Requests::Wire
    }

    /// In the kernel's port table: [`PORT_HTTP`], [`PORT_TLS`].
    pub fn flags(&self) -> u8 {
        match self.protocol {
            ObservedProtocol::Http if self.is_read() => PORT_HTTP,
            ObservedProtocol::Https => PORT_TLS,
            ObservedProtocol::Http | ObservedProtocol::Tcp => 0,
        }
    }

    pub(super) fn read_all(sections: Vec<Section<'_, '_>>) -> Vec<Observed> {
        let mut all: Vec<Observed> = Vec::new();
        for mut section in sections {
            let port = section.required("port", "the server's port, such as port = 8080");
            let protocol = section.required_word(
                "protocol",
                ObservedProtocol::WORDS,
                "protocol = \"http\", \"https\" or \"tcp\"",
            );
            let port = port.and_then(|value| one_port(&section, &value, &all));
            let named = all.iter().map(|observed| observed.server_names.len()).sum();
            let server_names = server_names(&mut section, protocol, named);
            let program = section.take("program");
            let sources = sources(&mut section, protocol, &all);
            if let (Some(port), Some(protocol), Some((requests, status))) =
                (port, protocol, sources)
                && let Some(program) = probed::program(&section, program.as_ref(), requests)
            {
                all.push(Observed { port, protocol, server_names, requests, status, program });
            }
            section.finish();
        }
        all
    }
}

fn one_port(section: &Section<'_, '_>, value: &Value<'_>, all: &[Observed]) -> Option<u16> {
    let port = values::port(section, value)?;
    if all.iter().any(|observed| observed.port == port) {
        section.error(
            value.span(),
            format!("port {port} is observed twice"),
            "keep one [[observe]] for each port",
        );
    } else if all.len() == MAX_NAMED_PORTS {
        section.error(
            value.span(),
            format!("more than {MAX_NAMED_PORTS} ports are observed"),
            "observe those that matter",
        );
    }
    Some(port)
}

/// `named` server names belong to ports before this one.
fn server_names(
    section: &mut Section<'_, '_>,
    protocol: Option<ObservedProtocol>,
    named: usize,
) -> Vec<String> {
    const HELP: &str = "write server_names = [\"www.example.com\"]";
    let Some(value) = section.take("server_names") else { return Vec::new() };
    if protocol.is_some_and(|protocol| protocol != ObservedProtocol::Https) {
        section.error(
            value.span(),
            "server names are told apart by TLS, which this port does not speak",
            "leave `server_names` out, or write protocol = \"https\"",
        );
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    for item in values::array(section, &value, "`server_names`", HELP).unwrap_or_default() {
        let Some(name) = values::string(section, item, "a server name", HELP) else { continue };
        let name = name.to_ascii_lowercase();
        if let Some(help) = no_host_name(&name) {
            section.error(item.span(), format!("\"{name}\" is no server name"), help);
        } else if names.contains(&name) {
            section.error(item.span(), format!("\"{name}\" is named twice"), "name it once");
        } else if named + names.len() == MAX_SERVER_NAMES {
            section.error(
                item.span(),
                format!("more than {MAX_SERVER_NAMES} server names are told apart"),
                "name those that matter; the others are counted together as \"other\"",
            );
            break;
        } else {
            names.push(name);
        }
    }
    names
}

/// What is wrong with a name that TLS clients cannot ask for (RFC 6066, section 3: a DNS host name in ASCII, no address).
fn no_host_name(name: &str) -> Option<&'static str> {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.contains('*') {
        Some("patterns cannot be asked for; write the names that clients use")
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        Some("clients that use an address send no name, which is read anyway; write host names")
    } else if !name.is_ascii() {
        Some("write it as it goes over the wire, in ASCII: \"xn--...\"")
    } else if name.len() > 253 || !name.split('.').all(is_label) {
        Some("write a host name, such as \"www.example.com\", without a port or a dot at its end")
    } else {
        None
    }
}

/// What counts requests, and the server's own statistics.
fn sources(
    section: &mut Section<'_, '_>,
    protocol: Option<ObservedProtocol>,
    all: &[Observed],
) -> Option<(Requests, Option<StatusPage>)> {
    let requests = section.take("requests");
    let status = section.take("status");
    let frontend = section.take("frontend");
    let protocol = protocol?;
    let (source, span) = match &requests {
        Some(value) => {
            (values::word(section, value, "requests", Requests::WORDS)?, Some(value.span()))
        }
        None => (Requests::default_for(protocol), None),
    };
    if let (Some(span), Some((message, help))) = (&span, source.misfit(protocol)) {
        section.error(span.clone(), message, help);
        return None;
    }
    let Some(status) = status else {
        if let Some(frontend) = frontend {
            section.error(
                frontend.span(),
                "`frontend` says which counts of HAProxy's statistics to take, and there are none",
                "add status = \"unix:/run/haproxy/admin.sock\", or leave `frontend` out",
            );
            return None;
        }
        if let Some(span) = span.filter(|_| source.is_status_page()) {
            section.error(
                span,
                format!("requests = \"{source}\" needs to know where to ask"),
                format!("add {}", StatusPage::example(source)),
            );
            return None;
        }
        return Some((source, None));
    };
    if source == Requests::Off {
        section.error(
            status.span(),
            "requests of this port are not counted, so the server's own count is of no use",
            format!("leave `status` out, or write requests = \"{}\"", Requests::NginxStatus),
        );
        return None;
    }
    let page = StatusPage::read(section, &status, frontend.as_ref(), source)?;
    let taken = |other: &&Observed| {
        other.requests.is_status_page()
            && other.status.as_ref().is_some_and(|other| page.shares_counts_with(other))
    };
    if source.is_status_page()
        && let Some(other) = all.iter().find(taken)
    {
        section.error(
            status.span(),
            format!("port {} has its counts from there already", other.port),
            "a count belongs to one port: let HAProxy tell them apart by `frontend`, or let another source count one of them",
        );
        return None;
    }
    Some((source, Some(page)))
}
