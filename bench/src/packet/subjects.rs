//! Programs that are measured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use foobar_tests::{
    frames::{
        hosts::{REMOTE, SERVER},
        packet::v4,
    },
    harness::Netns,
};
use foobar_user::kernel::{
    Direction, Sandbox, TraceRequest,
    measure::{Action, Subject},
};
use ipnet::IpNet;

use super::FLOOR;
use crate::{attempt::or_missing, peers, policies::Measured, prefixes};

/// The local port of the server's own connection.
pub const OWN_PORT: u16 = 40_000;

/// What kind of subject it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Does nothing.
    Floor,
    /// foobar under some policy.
    Foobar,
    /// What else there is.
    Peer,
}

/// A program with its name.
pub struct Named {
    pub name: String,
    pub kind: Kind,
    pub program: Subject,
    /// What keeps it loaded.
    _namespace: Option<Netns>,
}

/// Who is on the allowlist.
pub struct Lists {
    v4: Vec<IpNet>,
    v6: Vec<IpNet>,
    /// One who is, whatever the length.
    pub member4: Ipv4Addr,
    pub member6: Ipv6Addr,
}

const MILLION: usize = 1_000_000;
/// Prefixes of a longer list of IPv4, and of any list of IPv6.
const TEN_THOUSAND: usize = 10_000;

impl Lists {
    pub fn new() -> Self {
        let (v4, v6) = (prefixes::v4(MILLION), prefixes::v6(TEN_THOUSAND));
        let (IpAddr::V4(member4), IpAddr::V6(member6)) =
            (prefixes::member(&v4[..3]), prefixes::member(&v6[..3]))
        else {
            unreachable!("each list is of its own family")
        };
        Lists { v4, v6, member4, member6 }
    }

    /// The first ten thousand of each family.
    pub fn ten_thousand(&self) -> Vec<IpNet> {
        self.first(TEN_THOUSAND)
    }

    /// The first so many of each family.
    pub fn first(&self, count: usize) -> Vec<IpNet> {
        [&self.v4[..count.min(self.v4.len())], &self.v6[..count.min(self.v6.len())]].concat()
    }
}

/// All subjects; what is missing is told.
pub fn all(lists: &Lists, missing: &mut Vec<String>) -> Result<Vec<Named>> {
    let mut subjects = vec![
        named(FLOOR, Kind::Floor, Subject::constant(Action::Drop)?),
        named("XDP_PASS", Kind::Floor, Subject::constant(Action::Pass)?),
        foobar("foobar, 6 prefixes", &Measured::with_customers(&lists.first(3))?)?,
        foobar("foobar, 10k", &Measured::with_customers(&lists.first(TEN_THOUSAND))?)?,
        foobar("foobar, 1M", &Measured::with_customers(&lists.first(MILLION))?)?,
        foobar(
            "foobar, 10k, all features",
            &Measured::with_everything(&lists.first(TEN_THOUSAND))?,
        )?,
    ];
    let peer = or_missing(missing, "xdp-filter", || {
        let namespace = Netns::new();
        namespace.ip("link add veth0 type veth peer name veth1");
        namespace.ip("link set veth0 up");
        namespace.ip("link set veth1 up");
        let program = peers::xdp_filter(&namespace, "veth0", &lists.first(TEN_THOUSAND))?;
        Ok((namespace, program))
    });
    subjects.extend(peer.map(|(namespace, program)| Named {
        name: "xdp-filter, 10k".into(),
        kind: Kind::Peer,
        program,
        _namespace: Some(namespace),
    }));
    Ok(subjects)
}

/// A program under a name.
pub fn named(name: &str, kind: Kind, program: Subject) -> Named {
    Named { name: name.into(), kind, program, _namespace: None }
}

/// foobar under a policy; the server has opened a connection.
pub fn foobar(name: &str, policy: &Measured) -> Result<Named> {
    let sandbox = policy.load().with_context(|| name.to_owned())?;
    open_connection(&sandbox)?;
    Ok(named(name, Kind::Foobar, Subject::ingress(&sandbox)?))
}

/// The server opens a connection, so that the answer to it can be measured.
fn open_connection(sandbox: &Sandbox) -> Result<()> {
    let frame = v4(SERVER.v4, REMOTE.v4).tcp(OWN_PORT, 443, "S").sent().bytes();
    let request =
        TraceRequest { direction: Direction::Egress, frame: &frame, read_only: false, jiffies: 0 };
    let traced = sandbox.trace(&request)?;
    ensure!(traced.passed, "the server's own SYN does not leave");
    Ok(())
}
