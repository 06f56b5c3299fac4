//! What goes wrong with the database, and what others see of it.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use foobar_site::{
    load::{Load, Version},
    meanwhile::meanwhile,
    plan::Host,
    run::enter,
};
use nix::sys::signal::Signal;

use super::firing;
use crate::up::Up;

/// Connections of each web server that the database does not take: together nine tenths of MariaDB's accept queue of 80.
const WAITING: usize = 36;
/// How long a connection may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

const VISITORS: Load = Load { version: Version::Http1, connections: 4, rate: 3, seconds: 4 };

/// It hangs: the kernel completes connections, and nobody takes them.
pub fn hangs(up: &Up) {
    up.site.signal(Host::Db, "mariadbd", Signal::SIGSTOP).expect("a database");
    let address = SocketAddr::from((Host::Db.ipv4(), 3306));
    let connect = |_| Ok(TcpStream::connect_timeout(&address, LIMIT)?);
    let waiting = Host::WEB.map(|host| {
        enter(&up.instance().namespace(host), || {
            (0..WAITING).map(connect).collect::<Result<Vec<_>, _>>()
        })
    });
    let waiting = waiting.map(|streams| streams.expect("connections to a database that hangs"));
    firing(up, "FoobarAcceptQueueFull", "db");
    up.site.signal(Host::Db, "mariadbd", Signal::SIGCONT).expect("a database");
    drop(waiting);
    up.eventually("the page, with the database", || up.site.page());
}

/// It is down, while the line to the visitors is bad: they get errors, and the load balancer sends many a segment again.
pub fn is_down(up: &Up) {
    let visitors = || VISITORS.run(up.instance()).expect("a report of h2load");
    let (served, ()) = meanwhile(visitors, || {
        up.site.stop(Host::Db, "mariadbd").expect("a database");
        firing(up, "FoobarErrorRate", "lb");
        up.site.restart_database().expect("a database");
        firing(up, "FoobarRetransmits", "lb");
    });
    let failed: u64 = served.iter().map(|one| one.failed).sum();
    println!("  visitors: {failed} requests failed");
    assert!(failed > 0, "{served:?}");
    up.eventually("the page, with the database", || up.site.page());
}
