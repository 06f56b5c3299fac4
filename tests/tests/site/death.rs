//! A daemon is killed under load.

use foobar_site::{
    ask,
    load::{Load, Version},
    plan::{Host, open},
    scan,
};

use crate::up::Up;

const VISITORS: Load = Load { version: Version::Http1, connections: 4, rate: 5, seconds: 8 };

/// kill -9 loses no request and opens nothing, Prometheus tells of it, and the next daemon goes on where the last one ended.
pub fn of_a_daemon(up: &Up) {
    let web1 = up.site.foobar(Host::Web1);
    let before = accepted(up);
    let down = ("FoobarTargetDown".to_owned(), "web1".to_owned());
    let (served, ()) = up.under_load(VISITORS, || {
        web1.kill().expect("a daemon");
        for from in [Host::Rogue, Host::Client, Host::Db, Host::Admin] {
            let [address, _] = Host::Web1.addresses();
            let answers = scan::tcp(up.instance(), from, address, 1..=u16::MAX).expect("a scan");
            let found: Vec<u16> = answers.into_keys().collect();
            assert_eq!(found, open(from, Host::Web1), "from {}", from.name());
        }
    });
    println!("  visitors: {served}");
    assert_eq!(served.failed, 0, "{served}");
    assert!(web1.process().is_err(), "the daemon runs again by itself");
    up.eventually("the alert that foobar does not answer", || {
        let alerts = ask::alerts(up.instance())?;
        anyhow::ensure!(alerts.contains(&down), "{alerts:?}");
        Ok(())
    });

    web1.start().expect("a new daemon");
    web1.wait().expect("an answer of the new daemon");
    // Health checks and visitors of the time without a daemon are in the count.
    assert!(accepted(up) > before, "{before} connections before, {} now", accepted(up));
    up.eventually("that alert to be resolved", || {
        let alerts = ask::alerts(up.instance())?;
        anyhow::ensure!(!alerts.contains(&down), "{alerts:?}");
        Ok(())
    });
}

fn accepted(up: &Up) -> f64 {
    let page = ask::metrics(up.instance(), Host::Web1).expect("metrics");
    ask::sum(&page, "foobar_connections_accepted_total", &[("port", "443")]).expect("a count")
}
