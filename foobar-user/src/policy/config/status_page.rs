//! `status`: where a server tells its own counts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use hyper::Uri;
use serde::Serialize;

use super::{
    observed::Requests,
    section::{Section, Value},
    values,
};

/// What an address looks like.
const HELP: &str = "write a page on loopback, such as \"http://127.0.0.1:8081/stub_status\", or \"unix:/run/haproxy/admin.sock\"";

/// The server's own statistics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct StatusPage {
    /// Where to ask.
    pub address: StatusAddress,
    /// The frontend of HAProxy whose requests count; all of them that speak HTTP where it is `None`.
    pub frontend: Option<String>,
}

/// Where a server is asked for its statistics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusAddress {
    /// By HTTP, on loopback.
    Http {
        /// The listener.
        address: SocketAddr,
        /// As the header `Host` has it.
        host: String,
        /// Path and query.
        path: String,
    },
    /// HAProxy's command line on a socket.
    Unix(PathBuf),
}

impl fmt::Display for StatusAddress {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatusAddress::Http { host, path, .. } => write!(f, "http://{host}{path}"),
            StatusAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl StatusPage {
    /// How the key is written for a source.
    pub(super) const fn example(source: Requests) -> &'static str {
        match source {
            Requests::ApacheStatus => "status = \"http://127.0.0.1:8081/server-status?auto\"",
            Requests::HaproxyStatus => "status = \"unix:/run/haproxy/admin.sock\"",
            _ => "status = \"http://127.0.0.1:8081/stub_status\"",
        }
    }

    /// Whether a request may be counted by both.
    pub(super) fn shares_counts_with(&self, other: &StatusPage) -> bool {
        self.address == other.address
            && (self.frontend == other.frontend
                || self.frontend.is_none()
                || other.frontend.is_none())
    }

    /// Beside the source that counts.
    pub(super) fn read(
        section: &Section<'_, '_>,
        status: &Value<'_>,
        frontend: Option<&Value<'_>>,
        source: Requests,
    ) -> Option<Self> {
        let text = values::string(section, status, "`status`", HELP)?;
        let address = match parse(text) {
            Ok(address) => address,
            Err((message, help)) => {
                section.error(status.span(), format!("\"{text}\" {message}"), help);
                return None;
            }
        };
        let is_haproxy = match source {
            Requests::HaproxyStatus => true,
            Requests::NginxStatus | Requests::ApacheStatus => false,
            // Compared with only: the page itself says whose it is.
            _ => true,
        };
        if matches!(address, StatusAddress::Unix(_)) && !is_haproxy {
            section.error(
                status.span(),
                "a socket is asked in the language of HAProxy",
                format!("write {}", StatusPage::example(source)),
            );
            return None;
        }
        let frontend = match frontend {
            Some(value) if !is_haproxy => {
                section.error(
                    value.span(),
                    format!("`frontend` belongs to HAProxy, not to requests = \"{source}\""),
                    "leave it out",
                );
                return None;
            }
            Some(value) => Some(frontend_name(section, value)?),
            None => None,
        };
        Some(StatusPage { address, frontend })
    }
}

fn frontend_name(section: &Section<'_, '_>, value: &Value<'_>) -> Option<String> {
    const HELP: &str =
        "write the name behind the word \"frontend\" in haproxy.cfg: frontend = \"www\"";
    let name = values::string(section, value, "`frontend`", HELP)?;
    // HAProxy itself allows no others (configuration manual, section 4).
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if name.is_empty() || !name.chars().all(plain) {
        section.error(value.span(), format!("\"{name}\" cannot be the name of a frontend"), HELP);
        return None;
    }
    Some(name.to_owned())
}

/// What is wrong with an address, and what to write instead.
type Wrong = (&'static str, &'static str);

fn parse(text: &str) -> Result<StatusAddress, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        // struct sockaddr_un holds 107 bytes of a path and a zero.
        if !path.starts_with('/') || path.len() > 107 {
            return Err(("is no absolute path of a socket", HELP));
        }
        return Ok(StatusAddress::Unix(path.into()));
    }
    let uri: Uri = text.parse().map_err(|_| ("is no address of a status page", HELP))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err((
                "asks for TLS, which a page on this server needs not",
                "let the server answer in clear on loopback: \"http://127.0.0.1:8081/stub_status\"",
            ));
        }
        _ => return Err(("is no address of a status page", HELP)),
    }
    let authority = uri.authority().ok_or(("is no address of a status page", HELP))?;
    if authority.as_str().contains('@') {
        return Err((
            "holds a password, which does not belong in this file",
            "let the server answer on loopback without one, or ask HAProxy by its socket",
        ));
    }
    let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
    let ip = if bare.eq_ignore_ascii_case("localhost") {
        Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        bare.parse().ok()
    };
    let Some(ip) = ip.filter(IpAddr::is_loopback) else {
        return Err((
            "is not on this server's loopback",
            "write an address in 127.0.0.0/8 or [::1], such as \"http://127.0.0.1:8081/stub_status\"",
        ));
    };
    Ok(StatusAddress::Http {
        address: SocketAddr::new(ip, uri.port_u16().unwrap_or(80)),
        host: authority.as_str().to_owned(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let http = |text: &str| match parse(text) {
            Ok(StatusAddress::Http { address, host, path }) => format!("{address} {host} {path}"),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(http("http://127.0.0.1:8081/s"), "127.0.0.1:8081 127.0.0.1:8081 /s");
        assert_eq!(
            http("http://localhost/server-status?auto"),
            "127.0.0.1:80 localhost /server-status?auto"
        );
        assert_eq!(http("http://[::1]:81"), "[::1]:81 [::1]:81 /");
        assert_eq!(parse("unix:/a b"), Ok(StatusAddress::Unix("/a b".into())));
        for text in ["http://127.0.0.1:8081/s", "unix:/run/x.sock"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }
}
