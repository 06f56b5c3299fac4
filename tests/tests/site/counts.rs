//! foobar's counts against the servers' own logs and the load generator's own report.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use foobar_site::{
    ask,
    load::{Load, Version, together},
    logs::{self, Logged},
    plan::{Host, NAME, WEB_NAME},
    services::mariadb,
};

use crate::up::Up;

/// Visitors of all kinds.
const LOADS: [Load; 3] = [
    Load { version: Version::Http1, connections: 8, rate: 8, seconds: 10 },
    Load { version: Version::Http2, connections: 4, rate: 8, seconds: 10 },
    Load { version: Version::Plain, connections: 4, rate: 8, seconds: 10 },
];

/// How far a rate over three seconds may be off the load generator's over all, on a machine with much else to do.
const TOLERANCE: f64 = 0.1;

/// Where requests are counted and logged.
const PLACES: [(Host, u16); 4] =
    [(Host::Lb, 80), (Host::Lb, 443), (Host::Web1, 443), (Host::Web2, 443)];

/// Connections and requests are counted exactly on every server; what Prometheus makes of them is what the load generator says.
pub fn agree(up: &Up) {
    certificates_are_read(up);
    // What the servers themselves count is read from them once a second: visitors of before are in by now.
    thread::sleep(Duration::from_secs(3));
    let before = PLACES.map(|place| up.eventually("a quiet moment", || moment(up, place)));
    let stored = [443, 80].map(|port| up.eventually("a count", || stored(up, port)));
    let served = together(up.instance(), &LOADS).expect("visitors");
    let end = now();
    for (load, served) in LOADS.iter().zip(&served) {
        println!("  {:?}: {served}", load.version);
        assert_eq!(served.failed, 0, "{load:?}: {served}");
        assert_eq!(served.succeeded, u64::from(load.requests()), "{load:?}");
    }
    // Two of them ask on port 443.
    let both = (LOADS[0].requests() + LOADS[1].requests(), served[0].rate + served[1].rate);
    rate_is(up, 443, stored[0], end, both);
    rate_is(up, 80, stored[1], end, (LOADS[2].requests(), served[2].rate));
    for (place, before) in PLACES.into_iter().zip(before) {
        up.eventually("counts to be those of the log", || agree_since(up, place, &before));
    }
    open_to_the_database(up);
}

/// What foobar counted and what the server logged at one moment.
struct Moment {
    connections: f64,
    requests: f64,
    good: f64,
    logged: Logged,
}

/// Health checks come every second and are logged as well, so both are read in a moment without one.
fn moment(up: &Up, (host, port): (Host, u16)) -> Result<Moment> {
    let logged = || match host {
        Host::Lb => logs::load_balancer(up.instance(), port),
        _ => logs::web_server(up.instance(), host),
    };
    let before = logged()?;
    let page = ask::metrics(up.instance(), host)?;
    ensure!(before == logged()?, "the log grows");
    let port = port.to_string();
    let count = |name: &str, labels: &[(&str, &str)]| {
        let labels = [labels, &[("port", port.as_str())]].concat();
        ask::sum(&page, name, &labels).with_context(|| format!("no {name} {labels:?}"))
    };
    Ok(Moment {
        connections: count("foobar_connections_accepted_total", &[])?,
        requests: count("foobar_http_requests_total", &[])?,
        good: count("foobar_http_requests_total", &[("code_class", "2xx")]).unwrap_or_default(),
        logged: before,
    })
}

fn agree_since(up: &Up, place: (Host, u16), before: &Moment) -> Result<()> {
    let now = moment(up, place)?;
    let logged = |of: fn(&Logged) -> u64| (of(&now.logged) - of(&before.logged)) as f64;
    let requests = logged(|log| log.requests);
    let connections = match place {
        // A client may have got the port of an earlier one.
        (Host::Lb, port) => {
            let since = before.logged.requests;
            logs::load_balancer_since(up.instance(), port, since)?.connections as f64
        }
        _ => logged(|log| log.connections),
    };
    let name = format!("{}:{}", place.0.name(), place.1);
    let counted = now.connections - before.connections;
    ensure!(counted == connections, "{name}: {counted} connections, the log has {connections}");
    let counted = now.requests - before.requests;
    // Health checks of the last second may be logged and not yet read from nginx, before and after.
    let late = if place.0 == Host::Lb { 0.0 } else { 2.0 };
    ensure!(
        (counted - requests).abs() <= late,
        "{name}: {counted} requests, the log has {requests}"
    );
    // nginx does not tell the status of its answers; HAProxy does.
    if place == (Host::Lb, 443) {
        let (counted, good) = (now.good - before.good, logged(|log| log.statuses[2]));
        ensure!(counted == good, "{name}: {counted} answered 2xx, the log has {good}");
    }
    ensure!(requests > 0.0, "{name}: nothing was logged");
    println!(
        "  {name}: connections {connections}, requests {counted}; logged {connections}, {requests}"
    );
    Ok(())
}

/// What Prometheus knows of a port of the load balancer: requests that were answered well.
fn stored(up: &Up, port: u16) -> Result<f64> {
    let labels = format!("instance=\"lb\", port=\"{port}\", code_class=~\"2xx|3xx\"");
    ask::value(up.instance(), &format!("sum(foobar_http_requests_total{{{labels}}})"))
}

/// Prometheus has every request that was made, and the QPS of dashboards is what the load generator says.
fn rate_is(up: &Up, port: u16, before: f64, end: f64, made: (u32, f64)) {
    let (requests, generated) = made;
    up.eventually("all requests in Prometheus", || {
        let stored = stored(up, port)? - before;
        ensure!(stored == f64::from(requests), "port {port}: {stored} of {requests}");
        Ok(())
    });
    // Half a second before the end, all that the rule's windows saw in the last seconds was load.
    let rule = format!("site_port:foobar_http_requests:rate1m{{port=\"{port}\"}}");
    let median = format!("quantile_over_time(0.5, {rule}[5s] @ {:.3})", end - 0.5);
    let rate = ask::value(up.instance(), &median).expect("a rate");
    println!(
        "  port {port}: {requests} requests in Prometheus, {rate:.1} a second; {generated:.1} by h2load"
    );
    assert!((rate / generated - 1.0).abs() < TOLERANCE, "{rate}, generated were {generated}");
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs_f64()
}

/// Each server has read its certificate, which takes a connection of foobar's own, and it ends as openssl says.
fn certificates_are_read(up: &Up) {
    let web = ("web.pem", WEB_NAME);
    let all = [(Host::Lb, ("www.pem", NAME)), (Host::Web1, web), (Host::Web2, web)];
    for (host, (file, server_name)) in all {
        let path = up.instance().host_folder(host).join(file).display().to_string();
        let dates = ["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", &path];
        let end = up.site.run(host, "openssl", &dates).expect("the end of a certificate");
        let end = end.trim().trim_start_matches("notAfter=").to_owned();
        let seconds = up.site.run(host, "date", &["--date", &end, "+%s"]).expect("a date");
        let seconds: f64 = seconds.trim().parse().expect("seconds");
        up.eventually("the certificate's end", || {
            let page = ask::metrics(up.instance(), host)?;
            let name = "foobar_tls_certificate_expiry_timestamp_seconds";
            let read = ask::sum(&page, name, &[("port", "443"), ("server_name", server_name)]);
            ensure!(read == Some(seconds), "{}: {read:?}, openssl says {seconds}", host.name());
            Ok(())
        });
    }
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
