//! Interfaces and modes.

use std::fs;

use foobar_tests::harness::{Lan, Leaks, Netns, veth};
use foobar_user::kernel::{Engine, ErrorKind, Fit, How, Interface, Mode, select_interfaces};

use crate::host::{Host, egress_mode, policy};

#[test]
fn a_driver_that_refuses_gets_the_generic_mode_with_its_reason() {
    let _leaks = Leaks::watch();
    let server = Netns::new();
    // A bridge runs no XDP programs itself, and neither does loopback.
    server.ip("link add br0 type bridge");
    let mut host = Host::new(&server);
    let any = host.compile(&policy("audit", &["192.0.2.200"]));
    let engine = host.start(&["lo", "br0"], &any);
    for attachment in
        host.attachments(&engine).iter().filter(|attachment| attachment.program == "ingress")
    {
        assert_eq!((attachment.mode, attachment.attached), (Mode::Generic, true));
        let note = attachment.note.as_deref().expect("a reason");
        assert!(
            note.starts_with(&format!(
                "the driver of {} refuses native mode: ",
                attachment.interface
            )),
            "{note}"
        );
    }
    drop(engine);
    let engine = host.start(&["lo"], &any);
    assert_eq!(host.attachments(&engine)[0].mode, Mode::Generic, "taken over as it is");
    drop(engine);
    host.detach();
}

#[test]
fn a_deleted_interface_is_not_attached_and_its_pin_is_removed() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let peer = Netns::new();
    veth(&lan.server, "eth1", &peer, "peer");
    let mut host = Host::new(&lan.server);
    let any = host.compile(&policy("audit", &["192.0.2.200"]));
    let without = host.compile(
        "interfaces = [\"eth0\"]\n[[rules]]\nname = \"ssh\"\nports = [22]\nfrom = \"any\"\n",
    );
    let mut engine = host.start(&["eth0", "eth1"], &any);
    lan.server.ip("link delete eth1");
    let attached = |engine: &Engine, interface: &str| {
        let all = host.attachments(engine);
        all.iter()
            .filter(|attachment| attachment.interface == interface)
            .map(|attachment| attachment.attached)
            .collect::<Vec<_>>()
    };
    assert_eq!(attached(&engine, "eth0"), [true; 3]);
    assert_eq!(attached(&engine, "eth1"), [false; 3]);

    // A new instance does not stumble over it.
    let installed = lan.server.enter(|| engine.install(&without, Fit::Exact)).unwrap();
    assert_eq!(installed.how, How::Reload);
    assert_eq!(attached(&engine, "eth1"), [] as [bool; 0]);

    // It comes back, with another index.
    veth(&lan.server, "eth1", &peer, "peer");
    let back = lan.server.enter(|| select_interfaces(&["eth1".into()])).unwrap();
    let done = lan.server.enter(|| engine.attach(&back[0])).unwrap();
    assert_eq!(
        done.iter().map(|attachment| (attachment.mode, attachment.attached)).collect::<Vec<_>>(),
        [(Mode::Native, true), (egress_mode(), true)],
        "this policy has no port that is observed"
    );
    drop(engine);

    lan.server.ip("link delete eth1");
    let engine = host.start(&["eth0"], &any);
    assert!(
        engine.notes().iter().any(|note| note.contains("its interface is gone")),
        "{:?}",
        engine.notes()
    );
    let pins: Vec<_> = fs::read_dir(host.bpf_dir.join("v1/links"))
        .unwrap()
        .map(|pin| pin.unwrap().file_name().into_string().unwrap())
        .collect();
    // Filters both ways, and who observes what arrives; clsact has no links to pin.
    let links = if egress_mode() == Mode::Tcx { 3 } else { 1 };
    assert_eq!(pins.iter().filter(|pin| pin.contains('-')).count(), links, "{pins:?}");
    drop(engine);
    host.detach();
}

#[test]
fn an_interface_can_be_named_only_if_it_exists() {
    let server = Netns::new();
    let error = server.enter(|| select_interfaces(&["default".into()])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchInterface);
    server.ip("link add br0 type bridge");
    server.ip("address add 192.0.2.1/24 dev br0");
    server.ip("link set br0 up");
    server.ip("route add default via 192.0.2.254");
    let found: Vec<Interface> =
        server.enter(|| select_interfaces(&["default".into(), "br*".into()])).unwrap();
    assert_eq!(found.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>(), ["br0"]);
}
