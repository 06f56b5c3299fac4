//! An allowlist is changed on a running server while visitors are served.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use foobar_site::{
    load::{Load, Version},
    plan::Host,
    run::enter,
    scan,
};

use crate::up::Up;

const VISITORS: Load = Load { version: Version::Http1, connections: 4, rate: 5, seconds: 6 };
/// Within what a change opens or closes a path.
const SOON: Duration = Duration::from_secs(1);
/// How long a connection may take that is allowed; one that is not allowed gets no answer at all.
const LIMIT: Duration = Duration::from_secs(20);

/// The very first attempt after the change is acknowledged meets the new policy, and no visitor notices.
pub fn open_and_close(up: &Up) {
    let web1 = up.site.foobar(Host::Web1);
    let stranger = Host::Rogue.ipv4().to_string();
    let (served, ()) = up.under_load(VISITORS, || {
        assert!(silent(up), "the path is open before the change");
        let round = || {
            let start = Instant::now();
            web1.ask(&["allow", "add", "load-balancers", &stranger]).expect("an entry");
            connect(up);
            let opened = start.elapsed();
            let start = Instant::now();
            web1.ask(&["allow", "remove", "load-balancers", &stranger]).expect("no entry");
            let closed = start.elapsed();
            assert!(silent(up), "the path is open after the change");
            println!("  opened within {opened:.0?}, closed within {closed:.0?}, commands included");
            opened.max(closed)
        };
        // A machine with much else to do may be late, but not every time.
        let quickest = (0..3).map(|_| round()).min().expect("three rounds");
        assert!(quickest < SOON, "three changes, and each took longer: {quickest:.0?} at best");
    });
    println!("  visitors: {served}");
    assert_eq!(served.failed, 0, "{served}");
}

fn connect(up: &Up) {
    let address = SocketAddr::from((Host::Web1.ipv4(), 443));
    let namespace = up.instance().namespace(Host::Rogue);
    let connected = enter(&namespace, || Ok(TcpStream::connect_timeout(&address, LIMIT)?));
    connected.expect("a connection to a port that was opened");
}

fn silent(up: &Up) -> bool {
    let [address, _] = Host::Web1.addresses();
    let answers = scan::tcp(up.instance(), Host::Rogue, address, 1..=1024).expect("a scan");
    answers.is_empty()
}
