//! What goes wrong between visitors, load balancer and web servers.

use std::{iter::repeat_n, thread, time::Duration};

use anyhow::ensure;
use foobar_site::{
    ask::fetch,
    load::{Load, Version},
    meanwhile::meanwhile,
    plan::{Host, NAME},
    scan,
    services::{
        haproxy,
        nginx::{self, Certificate},
    },
};

use nix::sys::signal::Signal;

use super::firing;
use crate::up::Up;

const VISITORS: Load = Load { version: Version::Http1, connections: 4, rate: 5, seconds: 5 };
/// Of port 80, where foobar sees how long an answer takes.
const PATIENT: Load = Load { version: Version::Plain, connections: 4, rate: 4, seconds: 4 };
/// SYNs with which the load balancer tries a second time and a third.
const ATTEMPTS: usize = 20;

/// A visitor who does not know the site's authority, and ends the handshake.
pub fn distrust(up: &Up) {
    let resolve = format!("{NAME}:443:{}", Host::Lb.ipv4());
    let url = format!("https://{NAME}/");
    let refused = fetch(up.instance(), Host::Client, &url, &["--resolve", &resolve]);
    assert!(refused.is_err(), "curl trusts an authority that it does not know");
    thread::sleep(Duration::from_millis(300));
}

/// The first web server serves this certificate, and foobar is asked to look. nginx is told by a signal, and its old workers go on accepting
/// until the new ones are there: foobar, which looks once, must not meet one of those.
pub fn serve(up: &Up, certificate: Certificate) {
    let before = served(up).expect("a certificate");
    nginx::serve(up.instance(), Host::Web1, certificate).expect("another certificate");
    up.eventually("nginx to serve it", || {
        for _ in 0..5 {
            ensure!(served(up)? != before, "nginx serves the one before");
        }
        Ok(())
    });
    up.site.foobar(Host::Web1).ask(&["reload"]).expect("a reload");
}

/// The certificate that the first web server serves, as text.
fn served(up: &Up) -> anyhow::Result<String> {
    let resolve = format!("{NAME}:443:127.0.0.1");
    let url = format!("https://{NAME}/");
    let look = ["--insecure", "--output", "/dev/null", "--write-out", "%{certs}"];
    let text =
        fetch(up.instance(), Host::Web1, &url, &[&look[..], &["--resolve", &resolve]].concat())?;
    ensure!(text.contains("BEGIN CERTIFICATE"), "no certificate: {text}");
    Ok(text)
}

/// The load balancer is taken off the second web server's list by mistake: that server drops it, the other one gets all
/// requests, and no visitor notices.
pub fn shut_out(up: &Up) {
    let web2 = up.site.foobar(Host::Web2);
    let entries = Host::Lb.addresses().map(|address| address.to_string());
    let change = |verb| {
        web2.ask(&["allow", verb, "load-balancers", &entries[0], &entries[1]]).expect("a change");
    };
    change("remove");
    seen(up, Host::Web2, "DOWN");
    let [address, _] = Host::Web2.addresses();
    let attempts = || {
        let ports = repeat_n(443, ATTEMPTS);
        let answers = scan::tcp(up.instance(), Host::Lb, address, ports).expect("SYNs");
        assert!(answers.is_empty(), "who is on no list gets an answer");
        thread::sleep(Duration::from_millis(500));
    };
    let visitors = || VISITORS.run(up.instance()).expect("a report of h2load");
    let (served, _) = meanwhile(visitors, || {
        meanwhile(attempts, || {
            firing(up, "FoobarAllowlistMistake", "web2");
            firing(up, "FoobarQpsSkew", "");
        })
    });
    for served in &served {
        assert_eq!(served.failed, 0, "{served}");
    }
    println!(
        "  visitors: {} requests, 0 failed",
        served.iter().map(|one| one.requests).sum::<u64>()
    );
    change("add");
    seen(up, Host::Web2, "UP");
}

/// The load balancer stutters: again and again it stands still for longer than a second.
pub fn wait(up: &Up) {
    let signal = |signal, then| {
        up.site.signal(Host::Lb, "haproxy", signal).expect("a load balancer");
        thread::sleep(Duration::from_millis(then));
    };
    // Shorter than two scrapes are apart, so that each rate over three of them has slow answers in it.
    let stutter = || {
        signal(Signal::SIGSTOP, 1500);
        signal(Signal::SIGCONT, 200);
    };
    let visitors = || PATIENT.run(up.instance()).expect("a report of h2load");
    let (served, _) = meanwhile(visitors, || {
        meanwhile(stutter, || firing(up, "FoobarSlowResponses", "lb"));
    });
    for served in &served {
        assert_eq!(served.failed, 0, "{served}");
    }
    for host in Host::WEB {
        seen(up, host, "UP");
    }
}

/// Waits until HAProxy says this of a web server.
fn seen(up: &Up, host: Host, state: &str) {
    up.eventually("the load balancer to notice", || {
        let found = haproxy::state(up.instance(), host)?;
        ensure!(found.starts_with(state), "it says {found}");
        Ok(())
    });
}
