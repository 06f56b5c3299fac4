//! A policy comes into force: by a flip, by a new instance, from audit to enforce.

use std::net::{TcpListener, TcpStream};

use foobar_tests::harness::{Lan, Leaks};
use foobar_user::kernel::{Fit, How, Mode, detach};

use crate::host::{Host, QUICK, egress_mode, link_ids, listen, policy, reaches, shown};

#[test]
fn a_policy_acts_natively_on_the_next_packet_and_detach_leaves_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let (_web, _ssh) = (listen(&lan.server, 80), listen(&lan.server, 22));
    let mut host = Host::new(&lan.server);
    let closed = host.compile(&policy("enforce", &["192.0.2.200"]));
    let open = host.compile(&policy("enforce", &["192.0.2.200", "192.0.2.10"]));
    let mut engine = host.start(&["eth0"], &closed);

    let attachments = host.attachments(&engine);
    assert!(attachments.iter().all(|attachment| attachment.attached), "{attachments:?}");
    assert_eq!(
        attachments.iter().map(|attachment| attachment.mode).collect::<Vec<_>>(),
        [Mode::Native, egress_mode(), egress_mode()],
        "port 80 is observed"
    );
    assert_eq!(attachments[0].note, None);
    assert!(shown(&lan.server, "eth0").contains(" xdp "), "native, in the eyes of ip as well");

    assert!(reaches(&client, 80));
    for _ in 0..5 {
        assert!(!reaches(&client, 22));
        let installed = engine.install(&open, Fit::Superset).unwrap();
        assert_eq!(installed.how, How::Flip);
        assert!(reaches(&client, 22), "the very next packet");
        engine.install(&closed, Fit::Superset).unwrap();
    }
    assert!(host.packets(&engine) > 10);

    let done = lan.server.enter(|| engine.detach()).unwrap();
    assert_eq!(done.interfaces, ["eth0"]);
    assert!(!host.bpf_dir.exists());
    assert!(!shown(&lan.server, "eth0").contains("xdp"));
    assert!(reaches(&client, 22), "nothing filters any more");
    assert!(
        !lan.server.enter(|| detach(&host.bpf_dir)).unwrap().found,
        "a second time there is nothing"
    );
}

#[test]
fn a_policy_that_does_not_fit_gets_a_new_instance_under_the_same_links() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let _ssh = listen(&lan.server, 22);
    let mut host = Host::new(&lan.server);
    let small = host.compile(&policy("enforce", &["192.0.2.200"]));
    let mut many: Vec<String> = (0..20_000u32)
        .map(|n| format!("10.{}.{}.{}", n >> 14, n >> 6 & 255, (n & 63) * 4))
        .collect();
    many.push("192.0.2.10".into());
    let large =
        host.compile(&policy("enforce", &many.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut engine = host.start(&["eth0"], &small);
    let ids = link_ids(&host.attachments(&engine));
    assert!(!reaches(&client, 22));
    let before = host.packets(&engine);

    let installed = lan.server.enter(|| engine.install(&large, Fit::Superset)).unwrap();
    assert_eq!(installed.how, How::Reload);
    assert!(reaches(&client, 22));
    assert_eq!(link_ids(&host.attachments(&engine)), ids);
    assert!(host.attachments(&engine).iter().all(|attachment| attachment.attached));
    assert!(host.packets(&engine) >= before);

    assert_eq!(
        engine.install(&small, Fit::Superset).unwrap().how,
        How::Flip,
        "a single change does not reload"
    );
    assert!(!reaches(&client, 22));
    let without = host.compile(
        "interfaces = [\"eth0\"]\n[[rules]]\nname = \"ssh\"\nports = [22]\nfrom = \"any\"\n",
    );
    let installed = lan.server.enter(|| engine.install(&without, Fit::Exact)).unwrap();
    assert_eq!(
        installed.how,
        How::Reload,
        "a new configuration pays for nothing that it does not use"
    );
    assert!(reaches(&client, 22));
    drop(engine);
    host.detach();
}

#[test]
fn audit_drops_nothing_and_what_it_let_in_is_no_flow_of_ours_afterwards() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let listener = listen(&lan.server, 22);
    let mut host = Host::new(&lan.server);
    let audit = host.compile_epoch(&policy("audit", &["192.0.2.200"]), 1);
    let enforce = host.compile_epoch(&policy("enforce", &["192.0.2.200"]), 2);
    let outward = client.enter(|| TcpListener::bind(("0.0.0.0", 7000)).unwrap());

    // Open before the filter is: the server's own connection goes on.
    let own = lan.server.enter(|| TcpStream::connect("192.0.2.10:7000").unwrap());
    let (theirs, _) = outward.accept().unwrap();
    let mut engine = host.start(&["eth0"], &audit);
    let accepted = client.enter(|| TcpStream::connect((Lan::SERVER4, 22)).unwrap());
    let (in_server, _) = listener.accept().unwrap();
    assert!(
        engine
            .counters(host.labels.len())
            .unwrap()
            .ingress_audited
            .iter()
            .any(|counter| counter.packets > 0)
    );

    lan.server.enter(|| engine.install(&enforce, Fit::Superset)).unwrap();
    assert!(!reaches(&client, 22));
    assert!(echo(&theirs, &own), "a connection of the server's own");
    assert!(!echo(&accepted, &in_server), "let in by audit, served by no rule for this source");
    let flows = engine.flow_table().unwrap();
    assert!(flows.entries4 >= 1 && flows.max == 65536, "{flows:?}");
    drop(engine);
    host.detach();
}

/// Whether a byte gets from one end to the other.
fn echo(from: &TcpStream, to: &TcpStream) -> bool {
    use std::io::{Read as _, Write as _};
    let (mut from, mut to) = (from, to);
    to.set_read_timeout(Some(QUICK)).unwrap();
    from.write_all(b"x").unwrap();
    to.read_exact(&mut [0]).is_ok()
}
