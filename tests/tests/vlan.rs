//! VLAN tags on the wire: what arrives tagged is filtered and observed as if it were not.

use std::{net::UdpSocket, time::Duration};

use foobar_tests::harness::{
    CLASSIFIER, Daemon, Leaks, Netns, Nginx, Process, add_address, curl, eventually, try_run, veth,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Tags whatever leaves through eth0 with VLAN 0 (IEEE 802.1Q: priority only), which every stack takes: a classifier that calls
/// bpf_skb_vlan_push(skb, 0x8100 in network order, priority 3).
const TAG: &str = "
VLAN_PUSH = 18
# r2 = 0x8100 in network order; r3 = priority 3; call; r0 = TCX_NEXT; exit
program = load([(MOVE, 2, 0x0081), (MOVE, 3, 3 << 13), (CALL, 0, VLAN_PUSH), (MOVE, 0, TCX_NEXT), EXIT])
link = attach(program, TCX_EGRESS)
print('ready', flush=True)
time.sleep(600)
";

/// So many requests over each of both ports are answered, logged and counted.
fn requests_count(client: &Netns, address: &str, nginx: &Nginx, daemon: &Daemon<'_>) {
    const REQUESTS: usize = 10;
    let before = nginx.access_log().len();
    let at = daemon.scrape();
    let patient = || curl(client).within(Duration::from_secs(10));
    for _ in 0..REQUESTS {
        let clear = patient().get(&format!("http://{address}/"));
        assert_eq!(clear.expect("an answer").status, 200);
        let trusted = patient().trusting(&nginx.certificate());
        let encrypted =
            trusted.resolving("www.foobar.com:443", address).get("https://www.foobar.com/");
        assert_eq!(encrypted.expect("an answer").status, 200);
    }
    eventually("nginx to log", PATIENCE, || {
        let logged = nginx.access_log().len() - before;
        if logged == 2 * REQUESTS { Ok(()) } else { Err(logged) }
    });
    let now = daemon.scrape();
    let counted = |name, port| now.sum(name, &[("port", port)]) - at.sum(name, &[("port", port)]);
    let expected = REQUESTS as f64;
    for (name, port) in [
        ("foobar_connection_attempts_total", "80"),
        ("foobar_connections_accepted_total", "80"),
        ("foobar_http_requests_total", "80"),
        ("foobar_http_time_to_first_byte_seconds_count", "80"),
        ("foobar_connections_accepted_total", "443"),
        ("foobar_tls_client_hellos_total", "443"),
        ("foobar_tls_handshakes_total", "443"),
    ] {
        assert_eq!(counted(name, port), expected, "{name} of port {port}\n{}", now.text());
    }
    for name in ["foobar_http_unparsed_total", "foobar_tls_unparsed_connections_total"] {
        assert_eq!(now.sum(name, &[]), 0.0, "{name}");
    }
}

/// Length of the frame of a datagram with 100 bytes, as the filter counts it.
fn bytes_of_a_datagram(client: &Netns, daemon: &Daemon<'_>) -> f64 {
    let dropped = || {
        daemon
            .scrape()
            .sum("foobar_dropped_bytes_total", &[("reason", "no_rule"), ("transport", "udp")])
    };
    let before = dropped();
    let sent = client.enter(|| UdpSocket::bind("192.0.2.10:0")?.send_to(&[0; 100], "192.0.2.1:9"));
    assert_eq!(sent.expect("a datagram that leaves"), 100);
    eventually("the datagram to be dropped", PATIENCE, || {
        let bytes = dropped() - before;
        if bytes > 0.0 { Ok(bytes) } else { Err(bytes) }
    })
}

/// A server and a client on one cable, as no bridge between them should touch the tags.
fn cable() -> (Netns, Netns) {
    let (server, client) = (Netns::new(), Netns::new());
    veth(&server, "eth0", &client, "eth0");
    add_address(&server, "eth0", "192.0.2.1/24");
    add_address(&client, "eth0", "192.0.2.10/24");
    (server, client)
}

#[test]
fn requests_in_tagged_frames_count() {
    let _leaks = Leaks::watch();
    let (server, client) = cable();
    // The tag stands in the frame, not beside it as a card would have it.
    let plain = try_run(client.command("ethtool").args(["--offload", "eth0", "txvlan", "off"]));
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut python = client.command("python3");
    python.arg("-c").arg([CLASSIFIER, TAG].concat());
    let tagger = Process::start(python, &folder.path().join("tagger"));
    eventually("frames to be tagged", PATIENCE, || {
        if tagger.log().contains("ready") { Ok(()) } else { Err(tagger.log()) }
    });
    let nginx = Nginx::start(&server);
    let daemon = Daemon::start(&server, Daemon::WEB_FOR_ALL);
    assert_eq!(
        bytes_of_a_datagram(&client, &daemon),
        14.0 + 4.0 + 20.0 + 8.0 + 100.0,
        "with the tag"
    );
    requests_count(&client, "192.0.2.1", &nginx, &daemon);
}

/// Needs a kernel with the driver 8021q, which Debian's have as a module: `cargo xtask vm-test --test vlan`.
#[test]
fn requests_to_a_vlan_interface_count_on_the_interface_below_it() {
    let _leaks = Leaks::watch();
    let (server, client) = cable();
    for (namespace, address) in [(&server, "198.51.100.1/24"), (&client, "198.51.100.2/24")] {
        let add = ["link", "add", "link", "eth0", "name", "eth0.7", "type", "vlan", "id", "7"];
        let added = try_run(namespace.command("ip").args(add));
        if added.stderr.contains("Unknown device type") {
            eprintln!("this kernel has no VLAN interfaces");
            return;
        }
        assert_eq!(added.code, Some(0), "{added:?}");
        namespace.ip(&format!("address add {address} dev eth0.7"));
        namespace.ip("link set eth0.7 up");
    }
    let nginx = Nginx::start(&server);
    let daemon = Daemon::start(&server, Daemon::WEB_FOR_ALL);
    requests_count(&client, "198.51.100.1", &nginx, &daemon);
}
