//! What the kernel's verifier has to do with the programs when every feature is on: the most that any policy asks of it.

use foobar_common::tables::feature;
use foobar_tests::harness::{Leaks, Netns, Tag};
use foobar_user::{
    kernel::{
        Engine, EngineOptions, FileVersion, ProbeObject, Probes, ProgramFacts, Sandbox, Store,
        StoreOptions, Timeouts, detach, hz, select_interfaces,
    },
    policy::{Compiled, Config, Labels, Lists, Policy, Slots, compile},
    probing::{Plan, Server},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

/// Instructions that the verifier may walk through, for each program; the kernel itself allows a million.
const CEILING: u32 = 100_000;

/// Sources of both versions told apart, also within a /64; a blocklist, limits, egress rules.
const EVERYTHING: &str = r#"
mode = "audit"
[allowlists.friends]
entries = ["198.51.100.0/24", "2001:db8:ad::/48", "2001:db8:1::8000/113"]
[blocklists.abuse]
entries = ["203.0.113.0/24", "2001:db8:bad::/48"]
[limits]
packets_per_source = "10000/s"
[[rules]]
name = "web"
ports = [80, 443]
protocols = ["tcp", "udp"]
from = "any"
limit = { per_source = "20/s", burst = 40 }
[[rules]]
name = "ssh"
ports = [22]
from = ["friends"]
[[egress.rules]]
name = "no-abuse"
to = ["abuse"]
action = "deny"
"#;

fn everything() -> Compiled {
    let loaded =
        Config::parse(EVERYTHING, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
    let lists = Lists::from_config(&loaded.config);
    let policy = Policy::new(&loaded.config, lists, Vec::new(), 1, 1);
    let compiled = compile(&policy, &mut Labels::new(), &mut Slots::default(), hz());
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
    let every = [
        feature::SOURCES4,
        feature::SOURCES6,
        feature::DEEP6,
        feature::BLOCKED,
        feature::LIMITS,
        feature::EGRESS,
        feature::HTTP,
        feature::TLS,
    ];
    let every = every.iter().fold(0, |all, bit| all | bit);
    assert_eq!(compiled.features, every, "a feature is missing here, or in this list");
    compiled
}

/// Prints and checks the count of each program.
fn check(instance: &str, programs: &[ProgramFacts], expected: &[&str]) {
    let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, expected, "{instance}");
    for ProgramFacts { name, verified_instructions: count, translated_bytes, .. } in programs {
        println!("{instance}: {name}: {count} verified instructions, {translated_bytes} bytes");
        assert!((1..CEILING).contains(count), "{instance}: {name} has {count}");
    }
}

#[test]
fn every_feature_together_stays_below_the_ceiling() {
    let _leaks = Leaks::watch();
    let policy = everything();
    let sandbox = Sandbox::load(&policy, Timeouts::default(), 1024, 1024)
        .unwrap_or_else(|error| panic!("{error}"));
    check("replay", sandbox.programs(), &["ingress", "egress"]);

    let (server, tag) = (Netns::new(), Tag::unique());
    let engine = server.enter(|| {
        let interfaces = select_interfaces(&["lo".to_owned()])?;
        let store = Store::open(&StoreOptions::new(tag.bpf_dir()))?;
        let options = EngineOptions { interfaces, replace: false, timeouts: Timeouts::default() };
        Engine::start(store, options, &policy)
    });
    let engine = engine.unwrap_or_else(|error| panic!("{error}"));
    let facts = engine.programs().to_vec();
    drop(engine);
    server.enter(|| detach(&tag.bpf_dir())).unwrap_or_else(|error| panic!("{error}"));
    let programs = ["ingress", "egress_observing", "observe_ingress"];
    let tracing = ["sock_state", "tcp_retransmit", "tcp_receive_reset", "tcp_send_reset"];
    check("filter", &facts, &[&programs[..], &tracing].concat());
}

#[test]
fn probes_on_functions_stay_below_the_ceiling_and_are_taken_over() {
    probes(
        ProbeObject::of(Server::Nginx),
        &["apache_end", "nginx_begin", "nginx_end"],
        &[(Server::Nginx, "/usr/sbin/nginx", 80), (Server::Apache, "/usr/sbin/apache2", 443)],
    );
}

#[test]
fn probes_in_libssl_stay_below_the_ceiling_and_are_taken_over() {
    probes(
        ProbeObject::of(Server::Libssl),
        &[
            "libssl_begin",
            "libssl_free",
            "libssl_read",
            "libssl_shake",
            "libssl_socket",
            "libssl_unread",
            "libssl_written",
        ],
        &[(Server::Libssl, "/usr/lib/x86_64-linux-gnu/libssl.so.3", 443)],
    );
}

/// The probes of an object are loaded and placed in copies of these programs, each for a port, and the next process finds them as they are.
fn probes(object: &'static ProbeObject, names: &[&str], programs: &[(Server, &str, u16)]) {
    let _leaks = Leaks::watch();
    let tag = Tag::unique();
    let folder = tempfile::Builder::new().prefix("foobar-probes-").tempdir().expect("a folder");
    // It makes sure of the file system for the pins, and that nobody else uses them.
    let store = Store::open(&StoreOptions::new(tag.bpf_dir())).expect("a store");
    let open = || Probes::open(&tag.bpf_dir(), object).unwrap_or_else(|error| panic!("{error:?}"));
    let mut probes = open();
    let facts = probes.programs().unwrap_or_else(|error| panic!("{error}"));
    check("probes", &facts, names);
    for &(server, program, _) in programs {
        let copy = folder.path().join(server.to_string());
        fs::copy(program, &copy).expect("a copy");
        let plan = Plan::of(server, &fs::read(&copy).expect("read")).expect("a plan");
        assert!(plan.tells_classes());
        let file = File::open(&copy).expect("opened");
        let version = FileVersion::of(server, &copy, &file).expect("a version");
        probes.place(version, &file, &plan).unwrap_or_else(|error| panic!("{error:?}"));
        // Again: they take the place of those that are there.
        probes.place(version, &file, &plan).unwrap_or_else(|error| panic!("{error:?}"));
    }
    let ports: BTreeMap<_, _> = programs.iter().map(|&(server, _, port)| (port, server)).collect();
    let slots = probes.set_ports(&ports).expect("slots");
    let numbers = |probes: &Probes| {
        probes.placed().iter().map(|placed| (placed.number, placed.version)).collect::<Vec<_>>()
    };
    let before = numbers(&probes);
    assert_eq!(before.len(), programs.len());
    drop(probes);
    let again = open();
    assert_eq!(numbers(&again), before);
    assert!(again.placed().iter().all(|placed| !placed.stale && placed.tells_classes));
    assert_eq!(again.set_ports(&ports).expect("slots"), slots);
    drop(again);
    Probes::remove(&tag.bpf_dir(), object).expect("removed");
    drop(store);
    detach(&tag.bpf_dir()).unwrap_or_else(|error| panic!("{error}"));
}
