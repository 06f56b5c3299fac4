//! Unwanted traffic, while visitors are served: floods from addresses that nobody has, a port scan, and attempts to reach what
//! is behind the load balancer.

use std::fmt;

use anyhow::{Context as _, Result};

use crate::{
    ask, health,
    instance::Instance,
    load::{Load, Served, Version},
    meanwhile::meanwhile,
    plan::{Host, open},
    run::{finish, on, output},
    scan,
};

/// Packets of each flood.
const FLOOD: u32 = 20_000;
/// Microseconds between two packets of a flood.
const GAP: &str = "u50";

/// Visitors come again and again until the attack is over.
const VISITORS: Load = Load { version: Version::Http1, connections: 4, rate: 5, seconds: 5 };

/// One attack and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub what: String,
    /// What it met with, in numbers.
    pub outcome: String,
    /// How much got through that should not have.
    pub through: u64,
}

/// All attempts, and what visitors got meanwhile.
#[derive(Clone, Debug)]
pub struct Report {
    /// One after the other.
    pub attempts: Vec<Attempt>,
    /// What visitors got.
    pub served: Served,
}

impl Report {
    /// How much got through.
    pub fn through(&self) -> u64 {
        self.attempts.iter().map(|attempt| attempt.through).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "got through: {}", self.through())?;
        write!(formatter, "visitors meanwhile: {}", self.served)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:52} {}", self.what, self.outcome)
    }
}

/// Attacks the site while visitors ask for pages, and tells of each attempt when it is over.
///
/// # Errors
/// If an attack cannot be made; one that succeeds is no error but is reported.
pub fn attack(instance: &Instance, tell: &dyn Fn(&Attempt)) -> Result<Report> {
    let visitors = || VISITORS.run(instance);
    let (served, attempts) = meanwhile(visitors, || attempts(instance, tell));
    let served = served.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Report { attempts: attempts?, served: Served::all(&served) })
}

fn attempts(instance: &Instance, tell: &dyn Fn(&Attempt)) -> Result<Vec<Attempt>> {
    let mut attempts = Vec::new();
    let mut done = |attempt: Attempt| {
        tell(&attempt);
        attempts.push(attempt);
    };
    done(syn_flood_at_open_port(instance)?);
    done(syn_flood_at_closed_port(instance, Host::Web1, "443")?);
    done(syn_flood_at_closed_port(instance, Host::Db, "3306")?);
    done(udp_flood(instance, Host::Lb, "443")?);
    done(udp_flood(instance, Host::Db, "3306")?);
    done(port_scan(instance)?);
    // Past the load balancer, straight at what is behind it, from the world and from the servers' own network.
    for from in [Host::Attacker, Host::Rogue] {
        for to in [Host::Web1, Host::Web2, Host::Db, Host::Monitor] {
            done(knock(instance, from, to)?);
        }
    }
    Ok(attempts)
}

/// SYNs for the port that is open to the world have to pass: the kernel answers them with cookies, and no connection comes of
/// it, since nobody answers from addresses that nobody has.
fn syn_flood_at_open_port(instance: &Instance) -> Result<Attempt> {
    let before = Counts::of(instance, Host::Lb, "443")?;
    flood(instance, Host::Lb, &["--syn", "--destport", "443"])?;
    let after = Counts::of(instance, Host::Lb, "443")?;
    Ok(Attempt {
        what: format!("{FLOOD} spoofed SYNs to lb:443, which is open"),
        outcome: format!(
            "{:.0} SYNs passed, {:.0} connections were made by the visitors, {:.0} are open",
            after.attempts - before.attempts,
            after.accepted - before.accepted,
            after.open
        ),
        // The visitors have few; a flood that got connections would have thousands.
        through: if after.open > 100.0 { after.open as u64 } else { 0 },
    })
}

/// SYNs for a port that is open to a few servers only: none passes.
fn syn_flood_at_closed_port(instance: &Instance, to: Host, port: &str) -> Result<Attempt> {
    let before = Counts::of(instance, to, port)?;
    flood(instance, to, &["--syn", "--destport", port])?;
    let after = Counts::of(instance, to, port)?;
    // The servers' own openings become connections.
    let passed = (after.attempts - before.attempts) - (after.accepted - before.accepted);
    Ok(Attempt {
        what: format!("{FLOOD} spoofed SYNs to {}:{port}", to.name()),
        outcome: format!("{:.0} dropped there, {passed:.0} passed", after.dropped - before.dropped),
        through: passed.max(0.0) as u64,
    })
}

/// What foobar on a server counted of one port.
struct Counts {
    attempts: f64,
    accepted: f64,
    open: f64,
    dropped: f64,
}

impl Counts {
    fn of(instance: &Instance, host: Host, port: &str) -> Result<Self> {
        let page = ask::metrics(instance, host)?;
        let count = |name: &str| {
            ask::sum(&page, name, &[("port", port)])
                .with_context(|| format!("{} exports no {name} of port {port}", host.name()))
        };
        Ok(Counts {
            attempts: count("foobar_connection_attempts_total")?,
            accepted: count("foobar_connections_accepted_total")?,
            open: count("foobar_connections_open")?,
            dropped: count("foobar_dropped_packets_total")?,
        })
    }
}

fn udp_flood(instance: &Instance, to: Host, port: &str) -> Result<Attempt> {
    let before = health::datagrams_received(instance, to)?;
    flood(instance, to, &["--udp", "--destport", port, "--data", "64"])?;
    let through = health::datagrams_received(instance, to)? - before;
    Ok(Attempt {
        what: format!("{FLOOD} spoofed UDP datagrams to {}:{port}", to.name()),
        outcome: format!("{through} reached its UDP"),
        through,
    })
}

/// A flood from random addresses.
fn flood(instance: &Instance, to: Host, options: &[&str]) -> Result<()> {
    let mut hping = on(instance, Host::Attacker, "hping3");
    hping.args(["--quiet", "--rand-source", "--interval", GAP, "--count", &FLOOD.to_string()]);
    // It reports the loss of all answers as a failure, which is what is wanted.
    finish(hping.args(options).arg(to.ipv4().to_string())).map(drop)
}

/// nmap looks for open ports of every server.
fn port_scan(instance: &Instance) -> Result<Attempt> {
    let mut nmap = on(instance, Host::Attacker, "nmap");
    nmap.args(["-sS", "-Pn", "-n", "--top-ports", "200", "-T5", "--max-retries", "0"]);
    nmap.args(["--min-rate", "2000", "-oG", "-"]);
    let report = output(nmap.args(Host::SERVERS.map(|host| host.ipv4().to_string())))?;
    let mut found = Vec::new();
    for host in Host::SERVERS {
        let address = format!("Host: {} ", host.ipv4());
        let line =
            report.lines().find(|line| line.starts_with(&address) && line.contains("Ports:"));
        // Ports: 80/open/tcp//http///, 443/open/tcp//https///
        let ports = line.and_then(|line| line.split("Ports: ").nth(1)).unwrap_or_default();
        let states = ports.split(", ").filter_map(|port| {
            let mut fields = port.trim().split('/');
            let number: u16 = fields.next()?.parse().ok()?;
            // A closed port has answered as well.
            matches!(fields.next()?, "open" | "closed").then_some(number)
        });
        found.extend(states.map(|port| (host, port)));
    }
    let wrong = found.iter().filter(|(host, port)| !open(Host::Attacker, *host).contains(port));
    let through = wrong.count() as u64;
    let names: Vec<_> =
        found.iter().map(|(host, port)| format!("{}:{port}", host.name())).collect();
    Ok(Attempt {
        what: "nmap over 200 ports of five servers".into(),
        outcome: format!("answering: {}", names.join(", ")),
        through,
    })
}

/// Every TCP port of a server.
fn knock(instance: &Instance, from: Host, to: Host) -> Result<Attempt> {
    let [address, _] = to.addresses();
    let answers = scan::tcp(instance, from, address, 1..=u16::MAX)?;
    Ok(Attempt {
        what: format!("65535 ports of {}, from {}", to.name(), from.name()),
        outcome: format!("{} answer", answers.len()),
        through: answers.len() as u64,
    })
}
