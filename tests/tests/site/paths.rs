//! Every source, every port of every server: what is open is what is planned, and nothing else. And from every server, every
//! port of every other machine, which has no filter and answers on each: nothing gets out that the role does not need.

use std::{net::IpAddr, thread};

use foobar_site::{
    health,
    plan::{Host, open},
    scan,
};

use crate::up::Up;

/// All of them.
const PORTS: std::ops::RangeInclusive<u16> = 1..=u16::MAX;

/// All 65,535 TCP ports, over IPv4 and IPv6, and all UDP ports.
pub fn are_as_planned(up: &Up) {
    scan::prove(up.instance()).expect("a host without a filter answers on every port");
    let before = Host::ALL.map(|host| (host, datagrams(up, host)));
    // Sources side by side, so that both processors have something to do.
    let (some, others) = Host::ALL.split_at(Host::ALL.len() / 2);
    let wrong = thread::scope(|scope| {
        let others =
            scope.spawn(|| others.iter().flat_map(|from| from_one(up, *from)).collect::<Vec<_>>());
        let mut wrong: Vec<_> = some.iter().flat_map(|from| from_one(up, *from)).collect();
        wrong.extend(others.join().expect("scans"));
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // None reached a server, and none that a server sent reached anybody.
    assert_eq!(Host::ALL.map(|host| (host, datagrams(up, host))), before, "UDP datagrams");
    // The same datagrams do reach a host without a filter, and its kernel counts them. Some may be lost on a busy machine.
    let unfiltered = datagrams(up, Host::Admin);
    up.eventually("datagrams to be counted where no filter is", || {
        for to in Host::Admin.addresses() {
            scan::udp(up.instance(), Host::Client, to, 1000..=1999)?;
        }
        let counted = health::datagrams_received(up.instance(), Host::Admin)? - unfiltered;
        anyhow::ensure!(counted >= 2000, "{counted} of 2000");
        Ok(())
    });
}

/// What is not as planned, from one source to all servers, and from a server to all machines.
fn from_one(up: &Up, from: Host) -> Vec<String> {
    let held = |host: &Host| host.role().is_some();
    let all = Host::ALL.into_iter().filter(|to| *to != from && (held(&from) || held(to)));
    let paths = all.flat_map(|to| to.addresses().map(|address| (to, address)));
    paths.filter_map(|(to, address)| not_as_planned(up, from, to, address)).collect()
}

fn not_as_planned(up: &Up, from: Host, to: Host, address: IpAddr) -> Option<String> {
    let planned = open(from, to);
    let mut answers = scan::tcp(up.instance(), from, address, PORTS).expect("a scan");
    answers.extend(scan::tcp_again(up.instance(), from, address, planned).expect("a scan"));
    scan::udp(up.instance(), from, address, PORTS).expect("datagrams");
    let found: Vec<u16> = answers.keys().copied().collect();
    (found != planned).then(|| {
        format!(
            "{} to {} ({address}): {found:?} answer, planned are {planned:?}",
            from.name(),
            to.name()
        )
    })
}

/// UDP datagrams that reached a machine.
fn datagrams(up: &Up, host: Host) -> u64 {
    health::datagrams_received(up.instance(), host).expect("the kernel's counters")
}
