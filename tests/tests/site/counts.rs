//! foobar's counts against the servers' own logs and the load generator's own report.

use anyhow::{Result, ensure};
use foobar_site::{
    ask,
    load::{Load, Version, together},
    logs::{self, Logged},
    plan::Host,
    services::mariadb,
};

use crate::up::Up;

/// Visitors of all kinds.
const LOADS: [Load; 3] = [
    Load { version: Version::Http1, connections: 8, rate: 4, seconds: 8 },
    Load { version: Version::Http2, connections: 4, rate: 4, seconds: 8 },
    Load { version: Version::Plain, connections: 4, rate: 4, seconds: 8 },
];

/// Connections are counted exactly on every server, and so are requests where the counting is exact; what Prometheus makes of
/// them is what the load generator says.
pub fn agree(up: &Up) {
    let served = together(up.instance(), &LOADS).expect("visitors");
    for (load, served) in LOADS.iter().zip(&served) {
        println!("  {:?}: {served}", load.version);
        assert_eq!(served.failed, 0, "{load:?}: {served}");
        assert_eq!(served.succeeded, u64::from(load.requests()), "{load:?}");
    }
    for port in [80, 443] {
        let logged = || logs::load_balancer(up.instance(), port);
        up.eventually("the load balancer's connections to be those of its log", || {
            connections(up, Host::Lb, port, logged)
        });
    }
    for host in Host::WEB {
        let logged = || logs::web_server(up.instance(), host);
        up.eventually("a web server's connections to be those of its log", || {
            connections(up, host, 443, logged)
        });
    }
    open_to_the_database(up);
}

/// Connections that foobar counted since the start are exactly those that the server logged. Health checks come every second,
/// so both are read in a moment without one.
fn connections(up: &Up, host: Host, port: u16, logged: impl Fn() -> Result<Logged>) -> Result<()> {
    let before = logged()?.connections;
    let page = ask::metrics(up.instance(), host)?;
    ensure!(before == logged()?.connections, "the log grows");
    let labels = [("port", port.to_string())];
    let labels = labels.each_ref().map(|(key, value)| (*key, value.as_str()));
    let counted = ask::sum(&page, "foobar_connections_accepted_total", &labels);
    ensure!(
        counted == Some(before as f64),
        "{}:{port}: foobar counted {counted:?} connections, the log has {before}",
        host.name()
    );
    ensure!(before > 0, "nothing was logged");
    Ok(())
}

/// The connections of PHP to the database are as many as the database says.
fn open_to_the_database(up: &Up) {
    let query = "SELECT COUNT(*) FROM information_schema.processlist WHERE host LIKE '192.0.2.%'";
    up.eventually("open connections to be those of the database", || {
        let listed: f64 = mariadb::ask(up.instance(), query)?.trim().parse()?;
        let page = ask::metrics(up.instance(), Host::Db)?;
        let counted = ask::sum(&page, "foobar_connections_open", &[("port", "3306")]);
        ensure!(counted == Some(listed), "foobar: {counted:?}, MariaDB: {listed}");
        ensure!(listed > 0.0, "nobody is connected");
        Ok(())
    });
}
