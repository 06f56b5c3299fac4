//! By which names a listener on loopback may be called.
//!
//! A browser on this host, or at the other end of `ssh -L`, lets a page read what comes from the page's own name. Whoever owns a
//! name can point it at 127.0.0.1 after his page was loaded (DNS rebinding), and the page could then read the metrics. Such a
//! request carries the name in `Host`, so names that are not this host's are turned away. Where the listener asks for credentials or
//! shows a certificate, a page has neither; and where it listens beyond this host, its operator gives it any name he likes.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
};

/// Whether a request calls this host by an address or by a name of its own.
pub fn is_own<T>(request: &Request<T>) -> bool {
    let in_target = request.uri().authority().map(|authority| is_own_name(authority.host()));
    let in_headers = request.headers().get_all(header::HOST).iter().map(|value| {
        // Empty: HTTP/1.1 of a client that knows no name (RFC 9112, 3.2).
        value.is_empty()
            || value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<Authority>().ok())
                .is_some_and(|authority| is_own_name(authority.host()))
    });
    in_target.into_iter().chain(in_headers).all(|is_own| is_own)
}

fn is_own_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    // No name server is asked for localhost and what is below it (RFC 6761, 6.3).
    address.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
        || is_hostname(&host)
}

/// The name that this host has itself.
fn is_hostname(host: &str) -> bool {
    let Ok(system) = nix::sys::utsname::uname() else { return false };
    let name = system.nodename().to_str().unwrap_or_default();
    !name.is_empty() && name.eq_ignore_ascii_case(host)
}

/// What is answered to others.
pub fn misdirected() -> Response {
    let hint = "this listener is on loopback and answers to localhost, addresses and the name of this host; \
                for another name, set `web_config` under [metrics] to a file with users\n";
    (StatusCode::MISDIRECTED_REQUEST, hint).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request<()> {
        let hosts = hosts.iter().fold(Request::builder().uri(target), |request, host| {
            request.header(header::HOST, *host)
        });
        hosts.body(()).unwrap()
    }

    #[test]
    fn names_of_others_are_turned_away() {
        for host in [
            "evil.example",
            "evil.example:9898",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "1.2.3",
            "a b",
            "@",
            "xlocalhost",
        ] {
            assert!(!is_own(&request("/metrics", &[host])), "{host}");
        }
        assert!(!is_own(&request("/metrics", &["localhost", "evil.example"])), "both count");
        assert!(
            !is_own(&request("http://evil.example/metrics", &["localhost"])),
            "the target counts"
        );
    }

    #[test]
    fn addresses_and_own_names_are_welcome() {
        let own = nix::sys::utsname::uname().unwrap().nodename().to_string_lossy().to_uppercase();
        for host in [
            "localhost:9898",
            "LOCALHOST",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "192.0.2.1:9898",
            "[::1]:9898",
            "[2001:db8::1]",
            "",
            &own,
        ] {
            assert!(is_own(&request("/metrics", &[host])), "{host}");
        }
        assert!(is_own(&request("/metrics", &[])), "HTTP/1.0");
    }
}
