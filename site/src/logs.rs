//! What the servers' own logs say: the truth that foobar's counts are held against.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    instance::Instance,
    plan::Host,
    services::{haproxy, nginx},
};

/// What a log tells of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// Requests answered.
    pub requests: u64,
    /// Of them, those with this first digit of the status: `statuses[2]` are 2xx.
    pub statuses: [u64; 6],
    /// Connections on which something was asked.
    pub connections: u64,
}

/// What HAProxy logged of its port 80 or 443.
///
/// # Errors
/// If the log cannot be read.
pub fn load_balancer(instance: &Instance, port: u16) -> Result<Logged> {
    load_balancer_since(instance, port, 0)
}

/// The same behind the first so many requests. Connections are told apart by the client's port, which a later client may get again.
///
/// # Errors
/// If the log cannot be read.
pub fn load_balancer_since(instance: &Instance, port: u16, requests: u64) -> Result<Logged> {
    // source address, source port, own port, status, server, time
    let log = read(&instance.host_folder(Host::Lb).join(haproxy::LOG))?;
    let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_port = lines.filter_map(|words| match words.as_slice() {
        [address, source, own, status, _, _] if own.parse() == Ok(port) => {
            Some((format!("{address} {source}"), status.parse().ok()?))
        }
        _ => None,
    });
    Ok(count(of_port.skip(usize::try_from(requests)?)))
}

/// What nginx logged on a web server.
///
/// # Errors
/// If the log cannot be read.
pub fn web_server(instance: &Instance, host: Host) -> Result<Logged> {
    // own port, status, connection, seconds
    let log = read(&instance.host_folder(host).join(nginx::LOG))?;
    let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(count(lines.filter_map(|words| match words.as_slice() {
        ["443", status, connection, _] => Some(((*connection).to_owned(), status.parse().ok()?)),
        _ => None,
    })))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn count(requests: impl Iterator<Item = (String, u16)>) -> Logged {
    let mut logged = Logged::default();
    let mut connections = BTreeSet::new();
    for (connection, status) in requests {
        logged.requests += 1;
        if let Some(count) = logged.statuses.get_mut(usize::from(status / 100)) {
            *count += 1;
        }
        connections.insert(connection);
    }
    logged.connections = connections.len() as u64;
    logged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_connection_are_one_connection() {
        let logged = count([("a".into(), 200), ("a".into(), 301), ("b".into(), 503)].into_iter());
        assert_eq!(logged.requests, 3);
        assert_eq!(logged.connections, 2);
        assert_eq!(logged.statuses, [0, 0, 1, 1, 0, 1]);
    }
}
