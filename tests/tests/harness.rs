//! The harness itself: what other tests lean on has to bear.

use std::{net::TcpListener, time::Duration};

use foobar_tests::harness::{
    Curl, Lan, Leaks, Netns, Nginx, Prometheus, curl, python, run, tcp_connects,
};

#[test]
fn a_namespace_is_gone_after_a_panic() {
    let _leaks = Leaks::watch();
    let mut path = None;
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let namespace = Netns::new();
        path = Some(namespace.path());
        assert!(namespace.path().exists());
        namespace.enter(|| panic!("as a failing assertion does"));
    }));
    assert!(outcome.is_err());
    assert!(!path.expect("the namespace was made").exists());
}

/// A check that finds nothing is worth something only if it can.
#[test]
fn the_leak_check_finds_what_is_left() {
    let left = format!("fbt-{}-4294967295", std::process::id());
    run("ip", &["netns", "add", &left]);
    let found = Leaks::found();
    run("ip", &["netns", "delete", &left]);
    assert!(found.contains(&format!("namespace {left}")), "{found:?}");
}

#[test]
fn a_namespace_has_its_own_network() {
    let _leaks = Leaks::watch();
    let (one, other) = (Netns::new(), Netns::new());
    let _listener = one
        .enter(|| TcpListener::bind("127.0.0.1:80"))
        .expect("port 80 is free in a new namespace");
    let limit = Duration::from_secs(1);
    tcp_connects(&one, "127.0.0.1:80", limit).expect("the listener of this namespace");
    let refused = tcp_connects(&other, "127.0.0.1:80", limit).expect_err("nobody listens there");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn clients_reach_a_real_nginx() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (client, nginx) = (lan.client(10), Nginx::start(&lan.server));
    let certificate = nginx.certificate();
    for url in [
        "http://192.0.2.1/a",
        "http://[2001:db8::1]/b",
        "https://192.0.2.1/c",
        "https://[2001:db8::1]/d",
    ] {
        let page = curl(&client).trusting(&certificate).get(url).expect(url);
        assert_eq!((page.status, page.body.as_str()), (200, "hello from nginx\n"), "{url}");
    }
    assert_eq!(
        nginx.access_log(),
        [
            "80 200 GET /a HTTP/1.1",
            "80 200 GET /b HTTP/1.1",
            "443 200 GET /c HTTP/1.1",
            "443 200 GET /d HTTP/1.1"
        ]
    );
    let nobody = curl(&client).within(Duration::from_millis(300)).get("http://192.0.2.77/");
    assert_eq!(nobody.expect_err("nobody has this address").0, Curl::TIMED_OUT);
    let said =
        python(&client, "import sys; print(sys.argv[1])", &["hello"], Duration::from_secs(5));
    assert_eq!(said.stdout, "hello\n", "{}", said.stderr);
}

#[test]
fn prometheus_answers_queries() {
    let _leaks = Leaks::watch();
    let namespace = Netns::new();
    let prometheus = Prometheus::start(&namespace, "127.0.0.1:1");
    assert_eq!(prometheus.query("vector(1) + 1"), Some(2.0));
    assert_eq!(prometheus.query("no_such_series"), None);
}
