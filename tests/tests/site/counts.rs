//! foobar's counts against the servers' own logs and the load generator's own report.

use std::{thread, time::Duration};

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
    Load { version: Version::Http1, connections: 8, rate: 4, seconds: 8 },
    Load { version: Version::Http2, connections: 4, rate: 4, seconds: 8 },
    Load { version: Version::Plain, connections: 4, rate: 4, seconds: 8 },
];

/// Where requests are counted and logged.
const PLACES: [(Host, u16); 4] =
    [(Host::Lb, 80), (Host::Lb, 443), (Host::Web1, 443), (Host::Web2, 443)];

/// Whether foobar counts requests of port 443 by what the servers themselves tell: then it says so, and they are exact.
pub fn by_the_server(up: &Up) -> bool {
    let page = ask::metrics(up.instance(), Host::Lb).expect("metrics");
    let labels = [("port", "443"), ("source", "haproxy-status")];
    ask::sum(&page, "foobar_http_source_info", &labels) == Some(1.0)
}

/// Connections and requests are counted exactly on every server; what Prometheus makes of them is what the load generator says.
pub fn agree(up: &Up) {
    certificates_are_read(up);
    // What the servers themselves count is read from them once a second: visitors of before are in by now.
    thread::sleep(Duration::from_secs(3));
    let before = PLACES.map(|place| up.eventually("a quiet moment", || moment(up, place)));
    let served = together(up.instance(), &LOADS).expect("visitors");
    for (load, served) in LOADS.iter().zip(&served) {
        println!("  {:?}: {served}", load.version);
        assert_eq!(served.failed, 0, "{load:?}: {served}");
        assert_eq!(served.succeeded, u64::from(load.requests()), "{load:?}");
    }
    // Of the two that ask on port 443.
    let (requests, rate) =
        (LOADS[0].requests() + LOADS[1].requests(), served[0].rate + served[1].rate);
    if by_the_server(up) {
        rate_is(up, 443, requests, rate);
    }
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
        requests: count("foobar_http_requests_total", &[]).unwrap_or_default(),
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
    let exact = place.1 == 443 && by_the_server(up);
    // Health checks of the last second may be logged and not yet read from nginx, before and after.
    let late = if place.0 == Host::Lb { 0.0 } else { 2.0 };
    ensure!(
        !exact || (counted - requests).abs() <= late,
        "{name}: {counted} requests, the log has {requests}"
    );
    // nginx does not tell the status of its answers; HAProxy does.
    if exact && place == (Host::Lb, 443) {
        let (counted, good) = (now.good - before.good, logged(|log| log.statuses[2]));
        ensure!(counted == good, "{name}: {counted} answered 2xx, the log has {good}");
    }
    ensure!(requests > 0.0, "{name}: nothing was logged");
    println!(
        "  {name}: connections {connections}, requests {counted}; logged {connections}, {requests}"
    );
    Ok(())
}

/// The area below the curve of requests a second is all requests, wherever its windows begin. Over the time that the load
/// generator took, it is the rate.
fn rate_is(up: &Up, port: u16, requests: u32, generated: f64) {
    let series = format!("foobar_http_requests_total{{instance=\"lb\",port=\"{port}\"}}");
    let area = format!("sum_over_time(sum(rate({series}[3s]))[30s:1s])");
    let rate = up.eventually("the rate of the load in Prometheus", || {
        let rate = ask::value(up.instance(), &area)? * generated / f64::from(requests);
        ensure!(rate > 0.9 * generated, "{rate} requests a second, {generated} generated");
        Ok(rate)
    });
    println!("  port {port}: {rate:.1} requests a second in Prometheus, {generated:.1} by h2load");
    assert!(rate < 1.1 * generated, "{rate} requests a second, {generated} generated");
}

/// Each server has read its certificate, which takes a connection that no log shows, and it ends as openssl says.
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
