//! Alerts, provoked for real, seen in Alertmanager, and gone when the reason is.

mod database;
mod firewall;
mod line;
mod visitors;

use anyhow::ensure;
use foobar_site::{ask, meanwhile::meanwhile, services::nginx::Certificate};

use crate::up::Up;

/// As many at a time as do not get into each other's way, since each waits for itself.
pub fn fire_and_resolve(up: &Up) {
    nothing_fires(up);
    let trial = firewall::Trial::begin(up);
    let mistake = firewall::Mistake::make(up);
    let spare = firewall::Spare::add(up);
    visitors::serve(up, Certificate::Expiring);
    meanwhile(
        || visitors::distrust(up),
        || {
            firing(up, "FoobarPolicyNotConfirmed", "lb");
            trial.confirm(up);
            firing(up, "FoobarConfigurationBroken", "db");
            mistake.mend(up);
            database::hangs(up);
            visitors::shut_out(up);
            firing(up, "FoobarTlsHandshakeFailures", "lb");
            firing(up, "FoobarCertificateExpires", "web1");
            firing(up, "FoobarGenericMode", "web1");
            spare.vanish(up);
            firing(up, "FoobarFilterNotAttached", "web1");
        },
    );
    spare.forget(up);
    visitors::serve(up, Certificate::Renewed);
    nothing_fires(up);
    line::loses(up);
    database::is_down(up);
    line::is_mended(up);
    visitors::wait(up);
    nothing_fires(up);
    trial.end(up);
}

/// Waits for an alert of a server, or of the site if no server is named.
fn firing(up: &Up, name: &str, server: &str) {
    let wanted = (name.to_owned(), server.to_owned());
    up.eventually(&format!("the alert {name}"), || {
        let alerts = ask::alerts(up.instance())?;
        ensure!(alerts.contains(&wanted), "{alerts:?}");
        Ok(())
    });
    let of = if server.is_empty() { "the site" } else { server };
    println!("  {name} fires for {of}");
}

/// Waits until nothing fires.
fn nothing_fires(up: &Up) {
    up.eventually("all alerts to be resolved", || {
        let alerts = ask::alerts(up.instance())?;
        ensure!(alerts.is_empty(), "{alerts:?}");
        Ok(())
    });
    println!("  nothing fires");
}
