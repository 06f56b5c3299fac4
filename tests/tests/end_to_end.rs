//! Real servers and clients in network namespaces, with the filter between them: who gets through, and what is counted.

use std::time::Duration;

use foobar_tests::harness::{
    Curl, Daemon, Lan, Leaks, Netns, Nginx, Process, Prometheus, curl, eventually, ping, python,
    run, tcp_connects,
};

/// Web for friends alone, everything else closed.
const FRIENDS_ONLY: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.10", "2001:db8::10"]
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80, 443]
from = ["friends"]
"#;

/// Web for everybody.
const OPEN: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
"#;

/// Host parts of the addresses on the [`Lan`].
const FRIEND: u8 = 10;
const STRANGER: u8 = 66;

const PAGES: [&str; 4] =
    ["http://192.0.2.1/", "http://[2001:db8::1]/", "https://192.0.2.1/", "https://[2001:db8::1]/"];

/// Long enough for a SYN that passes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to see that a SYN is lost.
const LOST: Duration = Duration::from_millis(400);

/// The client gets the page.
fn reaches(client: &Netns, nginx: &Nginx, url: &str) {
    let page = curl(client).within(PATIENCE).trusting(&nginx.certificate()).get(url);
    let page = page.unwrap_or_else(|(code, error)| {
        panic!("{url} should be reached: curl says {code}, {error}")
    });
    assert_eq!((page.status, page.body.as_str()), (200, "hello from nginx\n"), "{url}");
}

/// The client hears nothing at all: no refusal, no error.
fn hears_nothing(client: &Netns, nginx: &Nginx, url: &str) {
    let page = curl(client).within(LOST).trusting(&nginx.certificate()).get(url);
    let (code, error) = page.expect_err(url);
    assert_eq!(code, Curl::TIMED_OUT, "{url}: {error}");
}

#[test]
fn allowed_reach_the_server_and_others_hear_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(FRIEND), lan.client(STRANGER));
    let nginx = Nginx::start(&lan.server);
    for url in PAGES {
        reaches(&stranger, &nginx, url);
    }
    let _daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    for url in PAGES {
        reaches(&friend, &nginx, url);
        hears_nothing(&stranger, &nginx, url);
    }
    // A closed port is silent as well, for friends, too.
    let closed = tcp_connects(&friend, "192.0.2.1:9100", LOST).expect_err("9100 is closed");
    assert_eq!(closed.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn allowlist_changes_act_at_once() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    for (entry, url) in
        [("192.0.2.66", PAGES[0]), ("2001:db8::66", PAGES[1]), ("192.0.2.64/28", PAGES[2])]
    {
        for _ in 0..3 {
            hears_nothing(&stranger, &nginx, url);
            daemon.ok(&["allow", "add", "friends", entry]);
            reaches(&stranger, &nginx, url);
            daemon.ok(&["allow", "remove", "friends", entry]);
        }
        hears_nothing(&stranger, &nginx, url);
    }
}

#[test]
fn removing_an_entry_leaves_what_another_one_grants() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    daemon.ok(&["allow", "add", "friends", "192.0.2.0/24", "192.0.2.64/26", "192.0.2.66"]);
    daemon.ok(&["allow", "remove", "friends", "192.0.2.66"]);
    reaches(&stranger, &nginx, PAGES[0]);
    daemon.ok(&["allow", "remove", "friends", "192.0.2.0/24"]);
    reaches(&stranger, &nginx, PAGES[0]);
    daemon.ok(&["allow", "remove", "friends", "192.0.2.64/26"]);
    hears_nothing(&stranger, &nginx, PAGES[0]);
}

#[test]
fn an_entry_with_a_lifetime_ends() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "--ttl", "2s"]);
    reaches(&stranger, &nginx, PAGES[0]);
    eventually("the entry to end", PATIENCE, || match curl(&stranger).within(LOST).get(PAGES[0]) {
        Err((Curl::TIMED_OUT, _)) => Ok(()),
        other => Err(other),
    });
}

#[test]
fn the_blocklist_wins_and_cuts_running_sessions() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, OPEN);
    reaches(&client, &nginx, PAGES[0]);
    let folder = tempfile::tempdir().expect("a folder");
    // Asks for a page each 20 ms over one connection, and writes a line for each answer.
    let script = "import http.client, time\n\
                  connection = http.client.HTTPConnection('192.0.2.1', timeout=30)\n\
                  while True:\n connection.request('GET', '/')\n connection.getresponse().read()\n print('page', flush=True)\n time.sleep(0.02)";
    let mut command = client.command("python3");
    command.args(["-c", script]);
    let session = Process::start(command, &folder.path().join("session.log"));
    let pages = || session.log().lines().count();
    eventually("the session to run", PATIENCE, || {
        if pages() > 3 { Ok(()) } else { Err(session.log()) }
    });
    daemon.ok(&["block", "add", "abuse", "192.0.2.64/26"]);
    let before = pages();
    std::thread::sleep(Duration::from_millis(500));
    assert!(pages() <= before + 1, "the session goes on: {before} pages, then {}", pages());
    hears_nothing(&client, &nginx, PAGES[0]);
    reaches(&client, &nginx, PAGES[1]);
    daemon.ok(&["block", "remove", "abuse", "192.0.2.64/26"]);
    eventually("the session to go on", PATIENCE, || {
        if pages() > before + 3 { Ok(()) } else { Err(session.log()) }
    });
}

#[test]
fn the_server_reaches_others_and_hears_their_answers() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let other = lan.client(STRANGER);
    let nginx = Nginx::start(&other);
    let echo = "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\ns.bind(('::', 53))\n\
                while True:\n data, peer = s.recvfrom(4096)\n s.sendto(data * 3, peer)";
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = other.command("python3");
    command.args(["-c", echo]);
    let _echo = Process::start(command, &folder.path().join("echo.log"));
    let _daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    for url in ["http://192.0.2.66/", "http://[2001:db8::66]/"] {
        reaches(&lan.server, &nginx, url);
    }
    let ask = "import socket, sys\nhost = sys.argv[1]\n\
               s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(1)\n\
               for attempt in range(10):\n s.sendto(b'x' * 1200, (host, 53))\n try:\n  print(len(s.recv(9999)))\n  break\n except OSError: pass";
    for host in ["192.0.2.66", "2001:db8::66"] {
        // The answer of 3,600 bytes comes in fragments.
        let answer = python(&lan.server, ask, &[host], PATIENCE);
        assert_eq!(answer.stdout, "3600\n", "{host}: {}", answer.stderr);
        ping(&lan.server, host).unwrap_or_else(|said| panic!("{host}: {}", said.stderr));
    }
    // And the other way round, nobody may.
    let unasked = tcp_connects(&other, "192.0.2.1:45000", LOST).expect_err("45000 is closed");
    assert_eq!(unasked.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_session_that_was_there_before_goes_on() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let other = lan.client(STRANGER);
    let _nginx = Nginx::start(&other);
    let folder = tempfile::tempdir().expect("a folder");
    // The server's own connection to another server: silent until the filter is there.
    let script = "import http.client, sys, time, os\n\
                  connection = http.client.HTTPConnection('192.0.2.66', timeout=10)\n\
                  connection.request('GET', '/')\nconnection.getresponse().read()\nprint('open', flush=True)\n\
                  while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n\
                  connection.request('GET', '/')\nprint(connection.getresponse().status, flush=True)";
    let go = folder.path().join("go");
    let mut command = lan.server.command("python3");
    command.args(["-c", script]).arg(&go);
    let mut session = Process::start(command, &folder.path().join("session.log"));
    eventually("the session to be open", PATIENCE, || {
        if session.log() == "open\n" { Ok(()) } else { Err(session.log()) }
    });
    let _daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    std::fs::write(&go, "").expect("the sign to go on");
    session.wait(PATIENCE * 2);
    assert_eq!(session.log(), "open\n200\n");
}

#[test]
fn counts_equal_the_connections_made() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(FRIEND), lan.client(STRANGER));
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, FRIENDS_ONLY);
    let page = daemon.scrape();
    for port in ["80", "443"] {
        assert_eq!(
            page.sum("foobar_connections_accepted_total", &[("port", port), ("transport", "tcp")]),
            0.0
        );
    }
    for (count, url) in [(10, PAGES[0]), (5, PAGES[1]), (7, PAGES[2]), (3, PAGES[3])] {
        (0..count).for_each(|_| reaches(&friend, &nginx, url));
    }
    let datagrams = "import socket\n\
                     for family, host in (socket.AF_INET, '192.0.2.1'), (socket.AF_INET6, '2001:db8::1'):\n\
                     \x20s = socket.socket(family, socket.SOCK_DGRAM)\n for i in range(20): s.sendto(b'x' * 100, (host, 9999))";
    let sent = python(&stranger, datagrams, &[], PATIENCE);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert_eq!(nginx.access_log().len(), 25, "one request a connection");
    let page = eventually("all packets to be counted", PATIENCE, || {
        let page = daemon.scrape();
        let dropped = page
            .sum("foobar_dropped_packets_total", &[("transport", "udp"), ("reason", "no_rule")]);
        let open: f64 = ["80", "443"]
            .iter()
            .map(|port| page.sum("foobar_connections_open", &[("port", port)]))
            .sum();
        if dropped >= 40.0 && open == 0.0 { Ok(page) } else { Err((dropped, open)) }
    });
    for (port, connections) in [("80", 15.0), ("443", 10.0)] {
        let accepted =
            page.sum("foobar_connections_accepted_total", &[("port", port), ("transport", "tcp")]);
        assert_eq!(accepted, connections, "accepted on {port}");
        let attempts = page.sum("foobar_connection_attempts_total", &[("port", port)]);
        assert!(attempts >= connections, "{attempts} attempts on {port}");
        let durations = page.sum("foobar_connection_duration_seconds_count", &[("port", port)]);
        assert_eq!(durations, connections, "closed on {port}");
    }
    let dropped = &[("port", "other"), ("transport", "udp"), ("reason", "no_rule")];
    assert_eq!(page.sum("foobar_dropped_packets_total", dropped), 40.0);
    // Ethernet 14, IPv4 20 or IPv6 40, UDP 8, data 100.
    assert_eq!(page.sum("foobar_dropped_bytes_total", dropped), 20.0 * 142.0 + 20.0 * 162.0);
    assert_eq!(
        page.sum("foobar_bpf_program_attached", &[("program", "ingress"), ("interface", "eth0")]),
        1.0
    );
    assert_eq!(page.sum("foobar_list_entries", &[("list", "friends"), ("ip_version", "6")]), 1.0);
}

#[test]
fn audit_drops_nothing_but_counts() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let stranger = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, &format!("mode = \"audit\"\n{FRIENDS_ONLY}"));
    for url in PAGES {
        reaches(&stranger, &nginx, url);
    }
    let page = daemon.scrape();
    for port in ["80", "443"] {
        let audited = &[("port", port), ("transport", "tcp"), ("reason", "source_not_allowed")];
        let packets = page.sum("foobar_audited_packets_total", audited);
        assert!(packets >= 10.0, "{packets} packets to {port}: two connections have more");
        assert_eq!(page.sum("foobar_connections_accepted_total", &[("port", port)]), 2.0);
    }
    assert_eq!(page.sum("foobar_dropped_packets_total", &[]), 0.0);
}

#[test]
fn prometheus_scrapes_and_promtool_accepts() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(STRANGER);
    let nginx = Nginx::start(&lan.server);
    let daemon = Daemon::start(&lan.server, OPEN);
    let prometheus = Prometheus::start(&lan.server, Daemon::METRICS);
    (0..8).for_each(|_| reaches(&client, &nginx, PAGES[0]));
    let query = "foobar_connections_accepted_total{port=\"80\",transport=\"tcp\"}";
    eventually("Prometheus to have the count", PATIENCE, || match prometheus.query(query) {
        Some(8.0) => Ok(()),
        other => Err(other),
    });
    assert_eq!(prometheus.query("up"), Some(1.0));
    let page = daemon.scrape();
    assert!(page.series() < 500, "{} series", page.series());
    let file = daemon.folder().join("metrics.txt");
    std::fs::write(&file, page.text()).expect("a copy of the page");
    let said =
        run("sh", &["-c", "promtool check metrics < \"$0\" 2>&1", &file.display().to_string()]);
    assert_eq!(said, "", "promtool has something to say");
    let healthy =
        curl(&lan.server).get(&format!("http://{}/healthz", Daemon::METRICS)).expect("/healthz");
    assert_eq!(healthy.status, 200, "{}", healthy.body);
}
