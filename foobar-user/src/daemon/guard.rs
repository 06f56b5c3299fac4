//! Nobody saws off the branch that he sits on: a change that would cut an SSH session is refused unless it is forced.

use std::net::IpAddr;

use anyhow::Result;

use crate::{
    control::{Refusal, command::Caution},
    kernel,
    policy::{
        Policy, Prefix,
        guard::{self, Cut, Session, Why},
    },
};

/// Where sshd listens unless it was told otherwise.
const SSH: u16 = 22;

/// Refuses a change that would cut the SSH session it comes from. Where it comes from none that is known: any SSH session.
///
/// # Errors
/// [`Refusal::conflict`] with the peer and what to do about it; or the kernel does not tell who is connected.
pub fn check(before: Option<&Policy>, after: &Policy, caution: &Caution) -> Result<(), Refusal> {
    if caution.force {
        return Ok(());
    }
    let own = caution.ssh_connection.as_deref().and_then(session);
    let connected =
        kernel::established_peers().map_err(|error| Refusal::from_error(&error.into()))?;
    let port = own.map_or(SSH, |own| own.port);
    let mut sessions: Vec<_> = connected
        .into_iter()
        .filter(|(local, peer)| *local == port && !peer.is_loopback())
        .map(|(port, peer)| Session { peer, port })
        .collect();
    sessions.sort_unstable();
    sessions.dedup();
    if let Some(own) = own.filter(|own| sessions.contains(own)) {
        sessions = vec![own];
    }
    match &guard::cut(before, after, &sessions)[..] {
        [] => Ok(()),
        [first, more @ ..] => Err(refusal(first, more.len())),
    }
}

/// What `SSH_CONNECTION` says: "client address, client port, server address, server port".
fn session(variable: &str) -> Option<Session> {
    let mut words = variable.split_whitespace();
    let peer: IpAddr = words.next()?.parse().ok()?;
    let port = words.nth(2)?.parse().ok()?;
    Some(Session { peer: peer.to_canonical(), port })
}

fn refusal(cut: &Cut, more: usize) -> Refusal {
    let Session { peer, port } = cut.session;
    let others = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (why, remedy) = match &cut.why {
        Why::Blocked { list, entry } => (
            format!("the entry {entry} of the blocklist {list} holds it"),
            format!("leave {entry} out of {list}"),
        ),
        Why::NotAllowed { lists } => (
            format!("no allowlist that may reach port {port} holds it ({})", lists.join(", ")),
            format!(
                "add `{}` to `entries` of [allowlists.{1}], or run `foobar allow add {1} {2}`",
                format_args!("\"{}\"", Prefix::host(peer)),
                lists.first().map_or("NAME", String::as_str),
                peer
            ),
        ),
        Why::NoRule => (
            format!("no rule names port {port}"),
            format!(
                "add to the configuration: [[rules]] name = \"ssh\", ports = [{port}], from = \"any\" (or a list with {peer})"
            ),
        ),
    };
    Refusal::conflict(format!(
        "this would cut the SSH session of {peer}{others} to port {port}: {why}"
    ))
    .help(format!("{remedy}; or use --force"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_sshd_is_understood() {
        let found = session("192.0.2.10 53412 198.51.100.1 2222").unwrap();
        assert_eq!((found.peer, found.port), ("192.0.2.10".parse().unwrap(), 2222));
        let mapped = session("::ffff:192.0.2.10 53412 ::ffff:198.51.100.1 22").unwrap();
        assert_eq!(mapped.peer, found.peer, "the kernel's tables have the IPv4 address");
        for broken in ["", "192.0.2.10", "192.0.2.10 1 198.51.100.1", "a b c d", "::1 1 ::1 70000"]
        {
            assert_eq!(session(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_peer_and_the_remedy() {
        let cut = |why| Cut { session: session("192.0.2.10 1 192.0.2.1 22").unwrap(), why };
        let refused = refusal(&cut(Why::NotAllowed { lists: vec!["admins".into()] }), 2);
        assert_eq!(
            refused.error,
            "this would cut the SSH session of 192.0.2.10 and 2 more to port 22: no allowlist that may reach port 22 holds it (admins)"
        );
        let help = refused.help.unwrap();
        assert!(
            help.contains("\"192.0.2.10/32\"")
                && help.contains("foobar allow add admins 192.0.2.10")
                && help.ends_with("or use --force"),
            "{help}"
        );
        let refused = refusal(&cut(Why::NoRule), 0);
        assert!(refused.help.unwrap().contains("ports = [22]"));
    }
}
