//! A host that forwards: a container behind a bridge, with the address translation that container engines set up. The filter
//! stands on the host's uplink, before all translation on the way in and behind it on the way out.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use foobar_tests::harness::{
    Curl, Daemon, Lan, Leaks, Netns, Nginx, Process, UdpEcho, add_address, ask, bridge, curl,
    eventually, ping, tcp_connects, try_run, veth,
};

/// Two published ports for friends; the container's own ports are not named.
const POLICY: &str = r#"
interfaces = ["eth0"]
[allowlists.friends]
entries = ["192.0.2.10", "2001:db8::10"]
[blocklists.abuse]
[[rules]]
name = "published"
ports = [8080]
from = ["friends"]
[[rules]]
name = "published-udp"
ports = [5353]
protocols = ["udp"]
from = ["friends"]
"#;

/// What a container engine sets up: published ports are translated on the way in, the container's addresses on the way out.
const TRANSLATION: &str = r#"
table inet nat {
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "eth0" tcp dport 8080 dnat ip to 172.18.0.2:80
        iifname "eth0" tcp dport 8080 dnat ip6 to [fd00:c::2]:80
        iifname "eth0" udp dport 5353 dnat ip to 172.18.0.2:53
        iifname "eth0" udp dport 5353 dnat ip6 to [fd00:c::2]:53
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "eth0" masquerade
    }
}
"#;

const FRIEND: u8 = 10;
const STRANGER: u8 = 66;
const REMOTE: u8 = 20;

const PUBLISHED: [&str; 2] = ["http://192.0.2.1:8080/", "http://[2001:db8::1]:8080/"];
const SERVERS: [&str; 2] = [Lan::SERVER4, Lan::SERVER6];
const REMOTES: [&str; 2] = ["192.0.2.20", "2001:db8::20"];

const PATIENCE: Duration = Duration::from_secs(10);
const LOST: Duration = Duration::from_millis(400);

/// A host with a container on a network of others.
struct Site {
    lan: Lan,
    container: Netns,
}

impl Site {
    fn new() -> Self {
        let lan = Lan::new();
        let container = Netns::new();
        let host = &lan.server;
        veth(&container, "eth0", host, "container");
        bridge(host, "bridge", &["container"]);
        for (own, gateway) in [("172.18.0.2/24", "172.18.0.1/24"), ("fd00:c::2/64", "fd00:c::1/64")]
        {
            add_address(&container, "eth0", own);
            add_address(host, "bridge", gateway);
        }
        container.ip("route add default via 172.18.0.1");
        container.ip("-6 route add default via fd00:c::1");
        host.sysctl("net/ipv4/ip_forward", "1");
        host.sysctl("net/ipv6/conf/all/forwarding", "1");
        let folder = tempfile::tempdir().expect("a folder");
        let rules = folder.path().join("nat.nft");
        fs::write(&rules, TRANSLATION).expect("rules of nftables");
        let said = try_run(host.command("nft").arg("-f").arg(rules));
        assert_eq!(said.code, Some(0), "{}", said.text());
        Site { lan, container }
    }
}

fn gets(client: &Netns, url: &str) {
    let page = curl(client).within(PATIENCE).get(url);
    assert_eq!(page.map(|page| page.body), Ok("hello from nginx\n".into()), "{url}");
}

fn hears_nothing(client: &Netns, url: &str) {
    let page = curl(client).within(LOST).get(url);
    assert_eq!(page.map(|page| page.body).map_err(|(code, _)| code), Err(Curl::TIMED_OUT), "{url}");
}

fn at(host: &str, port: u16) -> SocketAddr {
    (host.parse::<IpAddr>().expect("an address"), port).into()
}

/// Whether the server answers datagrams, and with all of the answer.
fn answers(client: &Netns, server: SocketAddr, bytes: usize) {
    let answer = ask(client, server, bytes, 10);
    assert_eq!(answer.map_err(|error| error.kind()), Ok(3 * bytes), "{server}");
}

#[test]
fn a_published_port_obeys_the_rules() {
    let _leaks = Leaks::watch();
    let site = Site::new();
    let (friend, stranger) = (site.lan.client(FRIEND), site.lan.client(STRANGER));
    let (_web, _echo) = (Nginx::start(&site.container), UdpEcho::start(&site.container, 53));
    for url in PUBLISHED {
        gets(&stranger, url);
    }
    let daemon = Daemon::start(&site.lan.server, POLICY);
    let shut = |stranger: &Netns| {
        PUBLISHED.iter().for_each(|url| hears_nothing(stranger, url));
        for server in SERVERS {
            let answer = ask(stranger, at(server, 5353), 100, 1).map_err(|error| error.kind());
            assert_eq!(answer, Err(ErrorKind::WouldBlock), "{server}");
        }
    };
    let open = |friend: &Netns| {
        PUBLISHED.iter().for_each(|url| gets(friend, url));
        SERVERS.iter().for_each(|server| answers(friend, at(server, 5353), 100));
    };
    open(&friend);
    shut(&stranger);
    daemon.ok(&["allow", "add", "friends", "192.0.2.66", "2001:db8::66"]);
    open(&stranger);
    daemon.ok(&["block", "add", "abuse", "192.0.2.64/26", "2001:db8::60/124"]);
    shut(&stranger);
    open(&friend);
    let refused = daemon.scrape().sum(
        "foobar_dropped_packets_total",
        &[("port", "8080"), ("transport", "tcp"), ("reason", "source_not_allowed")],
    );
    assert!(refused >= 2.0, "counted under the port that is published: {refused}");
}

/// Who routes his packets to the host can address the container itself, unless the filter knows better.
#[test]
fn the_containers_own_ports_are_shut() {
    let _leaks = Leaks::watch();
    let site = Site::new();
    let friend = site.lan.client(FRIEND);
    friend.ip("route add 172.18.0.0/24 via 192.0.2.1");
    friend.ip("-6 route add fd00:c::/64 via 2001:db8::1");
    let _web = Nginx::start(&site.container);
    let urls = ["http://172.18.0.2/", "http://[fd00:c::2]/"];
    urls.iter().for_each(|url| gets(&friend, url));
    let _daemon = Daemon::start(&site.lan.server, POLICY);
    urls.iter().for_each(|url| hears_nothing(&friend, url));
    gets(&friend, PUBLISHED[0]);
}

#[test]
fn replies_to_what_a_container_opens_come_back() {
    let _leaks = Leaks::watch();
    let site = Site::new();
    let remote = site.lan.client(REMOTE);
    let (_web, _echo) = (Nginx::start(&remote), UdpEcho::start(&remote, 53));
    let _daemon = Daemon::start(&site.lan.server, POLICY);
    for remote in REMOTES {
        let name = if remote.contains(':') { format!("[{remote}]") } else { remote.to_owned() };
        gets(&site.container, &format!("http://{name}/"));
        answers(&site.container, at(remote, 53), 100);
        // The answer comes in fragments.
        answers(&site.container, at(remote, 53), 1200);
        ping(&site.container, remote)
            .unwrap_or_else(|output| panic!("{remote}: {}", output.text()));
        // Nobody listens there: an ICMP error says so, about a packet as it looked behind the translation.
        let refused = ask(&site.container, at(remote, 54), 100, 10).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "{remote}");
        let refused = tcp_connects(&site.container, &format!("{name}:81"), PATIENCE);
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    }
    // And the other way round, nobody may.
    let unasked = tcp_connects(&remote, "192.0.2.1:45000", LOST).expect_err("45000 is closed");
    assert_eq!(unasked.kind(), ErrorKind::TimedOut);
}

/// A connection that a container opened before the filter was there; then it, or the other side, speaks first.
fn goes_on(speaks_first: &str) {
    let _leaks = Leaks::watch();
    let site = Site::new();
    let remote = site.lan.client(REMOTE);
    let folder = tempfile::tempdir().expect("a folder");
    let go = folder.path().join("go");
    let start = |namespace: &Netns, role: &str| {
        let mut command = namespace.command("python3");
        command.args(["-c", SESSION, role]).arg(&go).arg(speaks_first);
        Process::start(command, &folder.path().join(format!("{role}.log")))
    };
    let server = start(&remote, "server");
    eventually("the remote server to listen", PATIENCE, || match server.log() {
        log if log.contains("listening") => Ok(()),
        log => Err(log),
    });
    let mut client = start(&site.container, "client");
    eventually("the connection to be open", PATIENCE, || match client.log() {
        log if log.contains("open") => Ok(()),
        log => Err(log),
    });
    let _daemon = Daemon::start(&site.lan.server, POLICY);
    fs::write(&go, "").expect("the sign to go on");
    client.wait(PATIENCE * 2);
    assert_eq!(client.log(), "open\nheard\n");
}

#[test]
fn a_containers_open_connection_goes_on() {
    goes_on("client");
}

#[test]
fn a_containers_open_connection_goes_on_if_the_other_side_speaks_first() {
    goes_on("server");
}

/// Both ends of a connection that is silent until a file is there. Then one speaks and the other answers.
const SESSION: &str = "
import os, socket, sys, time
role, go, first = sys.argv[1:]
if role == 'server':
    listener = socket.create_server(('192.0.2.20', 7777))
    print('listening', flush=True)
    s, peer = listener.accept()
else:
    s = socket.create_connection(('192.0.2.20', 7777), 10)
    print('open', flush=True)
while not os.path.exists(go): time.sleep(0.02)
s.settimeout(8)
if role == first: s.sendall(b'x')
if role == 'server' and first == 'client': s.recv(1); s.sendall(b'y')
if role == 'client' or first == 'server':
    if role == 'client':
        print('heard' if s.recv(1) else 'closed', flush=True)
        if first == 'server': s.sendall(b'y')
    else: s.recv(1)
";
