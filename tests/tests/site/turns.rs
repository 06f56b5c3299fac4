//! Requests that no server tells: estimated from the turns of TLS records, and held against the server's own log.

use std::{fs, thread, time::Duration};

use anyhow::ensure;
use foobar_site::{
    ask,
    load::{Load, Version},
    logs,
    plan::Host,
};

use crate::up::Up;

const VISITORS: Load = Load { version: Version::Http1, connections: 8, rate: 10, seconds: 5 };
/// How far an estimate may be off.
const TOLERANCE: f64 = 0.01;

/// The first web server's foobar is reloaded to look at the records of its connections, which the load balancer encrypts.
pub fn agree(up: &Up) {
    let web1 = up.site.foobar(Host::Web1);
    let before = fs::read_to_string(web1.configuration()).expect("the configuration");
    let wanted = before.replace("requests = \"nginx-status\"", "requests = \"turns\"");
    assert_ne!(wanted, before);
    fs::write(web1.configuration(), wanted).expect("a changed configuration");
    web1.ask(&["reload"]).expect("a reload");

    // Health checks are logged too, so all is read in a moment without one.
    let moment = || {
        let logged = logs::web_server(up.instance(), Host::Web1)?.requests;
        let page = ask::metrics(up.instance(), Host::Web1)?;
        let labels = [("port", "443")];
        let turns = ask::sum(&page, "foobar_https_request_turns_total", &labels);
        ensure!(logged == logs::web_server(up.instance(), Host::Web1)?.requests, "the log grows");
        ensure!(turns.is_some(), "no turns are exported");
        Ok((turns.unwrap_or_default(), logged as f64))
    };
    let (turns, logged) = up.eventually("a quiet moment", moment);
    let served = VISITORS.run(up.instance()).expect("a report of h2load");
    assert_eq!(served.failed, 0, "{served}");
    let (turns, logged) = up.eventually("turns to be the requests of the log", || {
        let now = moment()?;
        let (turns, logged) = (now.0 - turns, now.1 - logged);
        ensure!((turns / logged - 1.0).abs() <= TOLERANCE, "{turns} turns, {logged} requests");
        Ok((turns, logged))
    });
    assert!(logged >= f64::from(VISITORS.requests()) / 2.0, "{logged} requests");
    println!("  web1:443: {turns} turns, the log has {logged}");

    fs::write(web1.configuration(), before).expect("the configuration as it was");
    web1.ask(&["reload"]).expect("a reload");
    // nginx's own count goes on from its next reading.
    thread::sleep(Duration::from_secs(2));
}
