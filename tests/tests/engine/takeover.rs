//! A restart takes over what is there; what is refused changes nothing.

use std::fs;

use foobar_tests::harness::{Lan, Leaks, Netns, veth};
use foobar_user::kernel::{Engine, ErrorKind, Mode, Store, StoreOptions, detach};

use crate::host::{Host, egress_mode, link_ids, listen, policy, reaches, shown};

#[test]
fn a_restart_takes_over_the_same_links_and_counters() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let second = Netns::new();
    veth(&lan.server, "eth1", &second, "peer");
    let _web = listen(&lan.server, 80);
    let mut host = Host::new(&lan.server);
    let first = host.compile(&policy("enforce", &["192.0.2.200"]));
    let engine = host.start(&["eth0", "eth1"], &first);
    assert!(reaches(&client, 80));
    let ids = link_ids(&host.attachments(&engine));
    assert_eq!(ids.len(), if egress_mode() == Mode::Tcx { 6 } else { 2 });
    let before = host.packets(&engine);
    let old = engine.programs()[0].id;
    drop(engine);

    assert!(!reaches(&client, 22), "the filter does not depend on the process");
    let other = host.compile(&policy("enforce", &["2001:db8::/32"]));
    let engine = host.start(&["eth0", "eth1"], &other);
    let attachments = host.attachments(&engine);
    assert_eq!(link_ids(&attachments), ids);
    assert!(attachments.iter().all(|attachment| attachment.attached));
    assert_ne!(engine.programs()[0].id, old);
    assert!(host.packets(&engine) > before, "what came while nobody was there was counted as well");
    assert!(engine.notes().iter().any(|note| note.contains("eth0, eth1")), "{:?}", engine.notes());
    let instances: Vec<_> = fs::read_dir(host.bpf_dir.join("v1/instances")).unwrap().collect();
    assert_eq!(instances.len(), 1, "the old instance's pins are gone");

    // One interface less in the configuration.
    drop(engine);
    let engine = host.start(&["eth0"], &other);
    assert!(!shown(&lan.server, "eth1").contains("xdp"));
    assert!(host.attachments(&engine).iter().all(|attachment| attachment.attached));
    drop(engine);
    host.detach();
}

#[test]
fn a_refused_start_changes_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let peer = Netns::new();
    veth(&lan.server, "eth1", &peer, "peer");
    let _web = listen(&lan.server, 80);
    let mut host = Host::new(&lan.server);
    let mut other = Host::new(&lan.server);
    let any = host.compile(&policy("enforce", &["192.0.2.200"]));
    let foreign = other.compile(&policy("audit", &["192.0.2.200"]));
    let holder = other.start(&["eth1"], &foreign);
    let engine = host.start(&["eth0"], &any);
    let ids = link_ids(&host.attachments(&engine));
    drop(engine);
    let error = host.try_start(&["eth0", "eth1"], false, &any).err().expect("eth1 is taken");
    assert_eq!(error.kind(), ErrorKind::ForeignProgram);
    assert!(reaches(&client, 80) && !reaches(&client, 22), "the old policy is in force");
    let engine = host.start(&["eth0"], &any);
    assert_eq!(link_ids(&host.attachments(&engine)), ids);
    let busy = Store::open(&host.options()).err().expect("it is in use");
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert_eq!(lan.server.enter(|| detach(&host.bpf_dir)).unwrap_err().kind(), ErrorKind::Busy);
    drop((engine, holder));
    other.detach();
    // From another network namespace these pins are somebody else's.
    let stranger = host.try_start_elsewhere(&peer, &any);
    assert_eq!(stranger.kind(), ErrorKind::Busy);
    assert!(stranger.to_string().contains("another network namespace"), "{stranger}");
    assert!(reaches(&client, 80) && !reaches(&client, 22));
    host.detach();
}

#[test]
fn tables_that_outlive_instances_can_be_resized() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let _web = listen(&lan.server, 80);
    let mut host = Host::new(&lan.server);
    let any = host.compile(&policy("audit", &["192.0.2.200"]));
    let engine = host.start(&["eth0"], &any);
    engine.store().store_labels(3, &[[7; 128]]).unwrap();
    assert!(reaches(&client, 80) && !reaches(&client, 22));
    let read = |engine: &Engine| engine.counters(host.labels.len()).unwrap();
    let before = read(&engine);
    assert!(before.ingress_audited.iter().any(|counter| counter.packets > 0));
    drop(engine);

    let larger = StoreOptions { counters: 8192, flows: 1024, ..host.options() };
    let engine = host.try_start_with(larger, &["eth0"], false, &any).unwrap();
    let after = read(&engine);
    for (before, after) in before
        .ingress
        .iter()
        .zip(&after.ingress)
        .chain(before.ingress_audited.iter().zip(&after.ingress_audited))
    {
        assert!(after.packets >= before.packets);
    }
    assert!(
        after.ingress_audited.iter().any(|counter| counter.packets > 0),
        "the second half moved along"
    );
    assert_eq!(engine.store().labels().unwrap()[3], [7; 128]);
    assert_eq!(engine.store().counters(), 8192);
    assert_eq!(engine.flow_table().unwrap().max, 1024);
    drop(engine);
    let engine = host.start(&["eth0"], &any);
    assert_eq!(engine.store().counters(), 8192, "it does not shrink");
    let left: Vec<_> = fs::read_dir(host.bpf_dir.join("v1/maps"))
        .unwrap()
        .map(|pin| pin.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        left.iter().all(|pin| !pin.contains('-')),
        "a successor was left beside a map: {left:?}"
    );
    drop(engine);
    host.detach();
}
