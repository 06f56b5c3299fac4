//! What Prometheus's own checker says.

use std::io::Write;
use std::process::{Command, Stdio};

use super::site;
use crate::metrics::{Snapshot, render};

/// Runs `promtool check metrics`, which reads the page and complains about names that break the conventions.
fn check(snapshot: Snapshot) {
    let text = render(snapshot).expect("the page is made");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: install the Debian package `prometheus`");
    promtool
        .stdin
        .take()
        .expect("it was piped")
        .write_all(text.as_bytes())
        .expect("promtool reads the page");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_accepts_the_page() {
    let mut snapshot = site::three_ports();
    snapshot.policy.filters_egress = true;
    snapshot.policy.egress_rules = vec!["dns".into()];
    for (number, counter) in snapshot.counters.ingress.iter_mut().enumerate() {
        *counter = site::packets(number as u64);
    }
    snapshot.counters.egress = snapshot.counters.ingress.clone();
    check(snapshot);
}

#[test]
fn promtool_accepts_odd_names() {
    let mut snapshot = site::three_ports();
    snapshot.policy.rules =
        vec!["a\"b\\c\nd".into(), "größe".into(), "other".into(), String::new()];
    snapshot.lists[0].name = "}\n# TYPE x counter".into();
    check(snapshot);
}
