//! Every query of the dashboard, asked of the running Prometheus.

use std::{fs, path::Path};

use anyhow::ensure;
use foobar_site::{
    ask,
    load::{Load, Version, together},
    meanwhile::meanwhile,
    plan::{Host, NAME},
};
use serde_json::Value;

use crate::up::Up;

/// Visitors of all kinds, for as long as the queries may take.
const VISITORS: [Load; 3] = [
    Load { version: Version::Http1, connections: 4, rate: 4, seconds: 2 },
    Load { version: Version::Http2, connections: 2, rate: 4, seconds: 2 },
    Load { version: Version::Plain, connections: 2, rate: 4, seconds: 2 },
];

/// Each parses, and has an answer on a site with visitors.
pub fn every_query_answers(up: &Up) {
    let visitors = || together(up.instance(), &VISITORS).expect("visitors");
    meanwhile(visitors, || {
        handshakes_are_everywhere(up);
        panels_answer(up);
    });
}

/// The load balancer speaks TLS with visitors, and with the web servers again.
fn handshakes_are_everywhere(up: &Up) {
    for host in [Host::Lb, Host::Web1, Host::Web2] {
        let series = format!("foobar_tls_handshakes_total{{instance=\"{}\"}}", host.name());
        let query = format!("sum(rate({series}[10s]))");
        let rate = up.eventually("TLS handshakes", || {
            let rate = ask::value(up.instance(), &query)?;
            ensure!(rate > 0.0, "{rate} handshakes a second on {}", host.name());
            Ok(rate)
        });
        println!("  {}: {rate:.1} TLS handshakes a second", host.name());
    }
}

fn panels_answer(up: &Up) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/site.json");
    let text = fs::read_to_string(&file).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().expect("a title");
            queries.push((title.to_owned(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    assert!(queries.len() > 30, "{queries:?}");
    for (title, query) in &queries {
        let query = query
            .replace("$site", NAME)
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m");
        assert!(!query.contains('$'), "{title}: {query}");
        up.eventually(&format!("an answer for \"{title}\": {query}"), || {
            let samples = ask::samples(up.instance(), &query)?;
            ensure!(samples.iter().any(|(_, value)| value.is_finite()), "{samples:?}");
            Ok(())
        });
    }
    println!("  {} queries", queries.len());
    annotations_parse(up, &dashboard);
}

/// Policy changes are marked; there may be none.
fn annotations_parse(up: &Up, dashboard: &Value) {
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        let query = annotation["expr"].as_str().expect("a query").replace("$site", NAME);
        let query = query.replace("$instance", ".*");
        up.eventually("an annotation's query", || {
            ensure!(ask::samples(up.instance(), &query).is_ok(), "{query}");
            Ok(())
        });
    }
}
