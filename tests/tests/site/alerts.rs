//! Alerts, provoked for real, seen in Alertmanager, and gone when the reason is.

use std::fs;

use anyhow::ensure;
use foobar_site::{
    ask,
    load::{Load, Version},
    plan::Host,
};

use crate::{counts, up::Up};

/// Several at once, since each waits for itself.
pub fn fire_and_resolve(up: &Up) {
    let (lb, db) = (up.site.foobar(Host::Lb), up.site.foobar(Host::Db));
    nothing_fires(up);

    // A change of the load balancer's policy on trial.
    let good = fs::read_to_string(lb.configuration()).expect("the configuration");
    let blocked = good.replace("entries = []", "entries = [\"198.51.100.66\"]");
    assert_ne!(blocked, good);
    fs::write(lb.configuration(), &blocked).expect("a changed configuration");
    lb.ask(&["reload", "--confirm", "10m"]).expect("a reload on trial");

    // A mistake in the database's configuration.
    let database = fs::read_to_string(db.configuration()).expect("the configuration");
    fs::write(db.configuration(), database.replace("3306", "33060606")).expect("a mistake");
    let refused = db.ask(&["reload"]).expect_err("a mistake is refused").to_string();
    assert!(refused.contains("33060606"), "{refused}");

    firing(up, "FoobarPolicyNotConfirmed", "lb");
    firing(up, "FoobarConfigurationBroken", "db");

    lb.ask(&["confirm"]).expect("a confirmation");
    fs::write(db.configuration(), database).expect("no mistake");
    db.ask(&["reload"]).expect("a reload");
    nothing_fires(up);
    if counts::by_the_server(up) {
        errors(up);
    }
    assert!(lb.ask(&["block", "list", "abuse"]).expect("a list").contains("198.51.100.66"));
    fs::write(lb.configuration(), good).expect("the configuration as it was");
    lb.ask(&["reload"]).expect("a reload");
}

/// Visitors get errors while the database is down.
fn errors(up: &Up) {
    let visitors = Load { version: Version::Http1, connections: 4, rate: 3, seconds: 30 };
    let (served, ()) = up.under_load(visitors, || {
        up.site.stop(Host::Db, "mariadbd").expect("a database");
        firing(up, "FoobarErrorRate", "lb");
        up.site.restart_database().expect("a database");
    });
    println!("  visitors: {served}");
    assert!(served.failed > 0, "{served}");
    nothing_fires(up);
    up.site.page().expect("the page, with the database");
}

/// Waits for an alert of a server.
fn firing(up: &Up, name: &str, server: &str) {
    let wanted = (name.to_owned(), server.to_owned());
    up.eventually(&format!("the alert {name}"), || {
        let alerts = ask::alerts(up.instance())?;
        ensure!(alerts.contains(&wanted), "{alerts:?}");
        Ok(())
    });
    println!("  {name} fires for {server}");
}

/// Waits until nothing fires.
fn nothing_fires(up: &Up) {
    up.eventually("all alerts to be resolved", || {
        let alerts = ask::alerts(up.instance())?;
        ensure!(alerts.is_empty(), "{alerts:?}");
        Ok(())
    });
}
