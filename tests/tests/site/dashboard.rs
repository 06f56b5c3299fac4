//! Every query of the dashboard, asked of the running Prometheus.

use std::{fs, path::Path};

use anyhow::ensure;
use foobar_site::{ask, plan::NAME};
use serde_json::Value;

use crate::{counts, up::Up};

/// Families that this version does not export yet; their queries have to parse all the same.
const TO_COME: [&str; 2] = ["foobar_http_time", "foobar_tls_handshake"];

/// Each parses, and has an answer on a site that was loaded a moment ago.
pub fn every_query_answers(up: &Up) {
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
    let mut silent = Vec::new();
    for (title, query) in &queries {
        let query = query
            .replace("$site", NAME)
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m");
        assert!(!query.contains('$'), "{title}: {query}");
        let answer = ask::samples(up.instance(), &query);
        let samples = answer.unwrap_or_else(|error| panic!("{title}: {query}: {error:?}"));
        let by_the_server = counts::by_the_server(up) || !query.contains("foobar_http_");
        let to_come = !by_the_server || TO_COME.iter().any(|family| query.contains(family));
        if !to_come && samples.iter().all(|(_, value)| value.is_nan()) {
            silent.push(format!("{title}: {query}"));
        }
    }
    println!("  {} queries", queries.len());
    assert!(silent.is_empty(), "no answer:\n{}", silent.join("\n"));
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
