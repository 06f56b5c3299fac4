//! The workloads.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use foobar_tests::harness::{Lan, Netns, eventually};

use super::{
    Site,
    counts::Expected,
    servers::{APACHE, EARLY, HAPROXY, MUTUAL, NGINX, OLD, PACKAGES, QUIC, QUIC_RETRY, RETRY},
};

const NAME: &str = "www.example.test";

/// Hellos for the configured name.
pub fn hellos(count: u64, alpn: &'static str) -> Expected {
    Expected { hellos: count, alpn, name: NAME, ..Expected::default() }
}

/// The same at a port of which no name is configured.
fn others(count: u64, alpn: &'static str) -> Expected {
    Expected { name: "other", ..hellos(count, alpn) }
}

/// Completed handshakes in TLS 1.3.
pub fn full(count: u64) -> Vec<(&'static str, bool, u64)> {
    vec![("1.3", false, count)]
}

/// curl, which knows the server's address and certificate.
pub fn curl(port: u16) -> String {
    format!(
        "curl -sS -o /dev/null --noproxy '*' --cacert $DIR/server.pem --resolve {NAME}:{port}:{} https://{NAME}:{port}/",
        Lan::SERVER4
    )
}

/// Repeats a command.
pub fn times(count: u64, command: &str) -> String {
    format!("for i in $(seq {count}); do {command} || exit 1; done")
}

/// `openssl s_client` with these options; it asks for a page and waits for its end.
fn s_client(port: u16, options: &str) -> String {
    format!(
        "printf 'GET / HTTP/1.0\\r\\nHost: {NAME}\\r\\n\\r\\n' | openssl s_client -connect {}:{port} -servername {NAME} -quiet -ign_eof {options}",
        Lan::SERVER4
    )
}

/// Waits until the server has logged so many: the last line may come after the client has its answer.
fn logged(goal: usize, mut count: impl FnMut() -> usize) {
    eventually("the server's log", Duration::from_secs(10), || match count() {
        lines if lines == goal => Ok(()),
        lines => Err(format!("{lines} of {goal}")),
    });
}

/// A connection from before the programs are attached.
pub struct Held(Child);

impl Held {
    pub fn open(client: &Netns) -> Self {
        const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/tls_client.py");
        let mut command = client.command("python3");
        command.args([SCRIPT, "held", Lan::SERVER4, &NGINX.to_string(), "1"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "open\n");
        Held(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn before_attach(site: &mut Site<'_>, mut held: Held) {
    site.case("connection open before the start", NGINX, |_| {
        held.0.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("a reader");
        let status = held.0.wait().expect("its end");
        assert!(status.success(), "{status}");
        Expected { unparsed: 1, ..Expected::default() }
    });
}

pub fn plain(site: &mut Site<'_>) {
    site.case("curl, HTTP/2, nginx", NGINX, |site| {
        site.ok(&times(20, &curl(NGINX)));
        Expected { handshakes: full(20), ..hellos(20, "h2") }
    });
    site.case("curl, HTTP/1.1, nginx", NGINX, |site| {
        site.ok(&times(10, &format!("{} --http1.1", curl(NGINX))));
        Expected { handshakes: full(10), ..hellos(10, "http/1.1") }
    });
    site.case("curl, no ALPN, IPv6", NGINX, |site| {
        site.ok(&times(
            5,
            &format!(
                "curl -sS -o /dev/null --noproxy '*' --no-alpn --cacert $DIR/server.pem 'https://[{}]:{NGINX}/'",
                Lan::SERVER6
            ),
        ));
        Expected { handshakes: full(5), name: "none", ..hellos(5, "none") }
    });
    site.case("curl, HAProxy", HAPROXY, |site| {
        site.ok(&times(10, &curl(HAPROXY)));
        Expected { handshakes: full(10), ..others(10, "h2") }
    });
    site.case("curl, Apache", APACHE, |site| {
        site.ok(&times(10, &curl(APACHE)));
        logged(10, || site.servers.lines("apache-access.log", "TLSv1.3 Initial"));
        Expected { handshakes: full(10), ..others(10, "h2") }
    });
    site.case("another server name than those configured", NGINX, |site| {
        site.ok(&times(4, &s_client(NGINX, "-servername elsewhere.example.test 2>/dev/null")));
        Expected { handshakes: full(4), name: "other", ..hellos(4, "none") }
    });
    site.case("second configured name, in capitals", NGINX, |site| {
        site.ok(&times(
            4,
            &s_client(NGINX, "-servername SHOP.Example.test -alpn http/1.1 2>/dev/null"),
        ));
        Expected { handshakes: full(4), name: "shop.example.test", ..hellos(4, "http/1.1") }
    });
    site.case("another protocol", NGINX, |site| {
        // Nothing in common: the server breaks off.
        site.shell(&s_client(NGINX, "-alpn mqtt 2>/dev/null"));
        Expected { failures: vec![("server_alert", 1)], ..hellos(1, "other") }
    });
}

pub fn versions(site: &mut Site<'_>) {
    site.case("TLS 1.2, nginx", NGINX, |site| {
        site.ok(&times(10, &format!("{} --tls-max 1.2", curl(NGINX))));
        Expected { newest: "1.2", handshakes: vec![("1.2", false, 10)], ..hellos(10, "h2") }
    });
    site.case("TLS 1.3 offered, 1.2 agreed on, nginx", OLD, |site| {
        site.ok(&times(10, &curl(OLD)));
        logged(10, || {
            let log = site.servers.nginx_connections(OLD);
            log.iter().filter(|(version, _)| version == "TLSv1.2").count()
        });
        Expected { handshakes: vec![("1.2", false, 10)], ..others(10, "h2") }
    });
    site.case("another hello asked for (HelloRetryRequest)", RETRY, |site| {
        site.ok(&times(5, &s_client(RETRY, "-groups X25519:P-384 2>/dev/null")));
        Expected { retries: 5, handshakes: full(5), ..others(5, "none") }
    });
    site.case("TLS 1.1 refused", HAPROXY, |site| {
        site.shell(&s_client(HAPROXY, "-tls1_1 -cipher ALL:@SECLEVEL=0 2>/dev/null"));
        Expected {
            newest: "older",
            failures: vec![("server_alert_version", 1)],
            ..others(1, "none")
        }
    });
}

pub fn sessions(site: &mut Site<'_>) {
    let resume = |port: u16, options: &str| {
        let first = s_client(port, &format!("{options} -sess_out $DIR/session 2>/dev/null"));
        let again = s_client(port, &format!("{options} -sess_in $DIR/session 2>/dev/null"));
        format!("{first} && {}", times(5, &again))
    };
    for (port, case) in [
        (EARLY, "TLS 1.3 resumed, nginx"),
        (HAPROXY, "TLS 1.3 resumed, HAProxy"),
        (APACHE, "TLS 1.3 resumed, Apache"),
    ] {
        site.case(case, port, |site| {
            site.ok(&resume(port, ""));
            Expected { handshakes: vec![("1.3", false, 1), ("1.3", true, 5)], ..others(6, "none") }
        });
    }
    for (options, case) in
        [("", "TLS 1.2 resumed by ticket"), ("-no_ticket", "TLS 1.2 resumed by session number")]
    {
        site.case(case, OLD, |site| {
            let before = site.servers.nginx_connections(OLD).len();
            site.ok(&resume(OLD, options));
            logged(before + 6, || site.servers.nginx_connections(OLD).len());
            let log = site.servers.nginx_connections(OLD);
            let resumed = log.iter().filter(|(_, resumed)| *resumed).count();
            assert_eq!(resumed % 5, 0, "{log:?}");
            Expected { handshakes: vec![("1.2", false, 1), ("1.2", true, 5)], ..others(6, "none") }
        });
    }
    site.case("early data (0-RTT) accepted", EARLY, |site| {
        let first = s_client(EARLY, "-sess_out $DIR/early 2>/dev/null");
        let ask = format!(
            "openssl s_client -connect {}:{EARLY} -servername {NAME} -sess_in $DIR/early -early_data $DIR/request -ign_eof </dev/null 2>&1",
            Lan::SERVER4
        );
        // A session may be used once for early data.
        let script = format!(
            "printf 'GET / HTTP/1.0\\r\\nHost: {NAME}\\r\\n\\r\\n' >$DIR/request; for i in 1 2 3 4; do {first} && {ask} | grep -q 'Early data was accepted' || exit 1; done"
        );
        site.ok(&script);
        Expected {
            early: 4,
            handshakes: vec![("1.3", false, 4), ("1.3", true, 4)],
            ..others(8, "none")
        }
    });
    site.case("early data (0-RTT) refused", NGINX, |site| {
        // A ticket of another server.
        let ask = format!(
            "openssl s_client -connect {}:{NGINX} -servername {NAME} -sess_in $DIR/early -early_data $DIR/request </dev/null 2>&1 | grep -q 'Early data was rejected'",
            Lan::SERVER4
        );
        site.ok(&times(3, &ask));
        Expected { early: 3, handshakes: full(3), ..hellos(3, "none") }
    });
}

pub fn certificates(site: &mut Site<'_>) {
    for (options, version) in [("", "1.3"), ("-tls1_2", "1.2")] {
        let newest = version;
        site.case(&format!("client certificate accepted, TLS {version}"), MUTUAL, |site| {
            let known = format!("{options} -cert $DIR/client.pem -key $DIR/client.key 2>/dev/null");
            site.ok(&times(5, &s_client(MUTUAL, &known)));
            Expected { newest, handshakes: vec![(version, false, 5)], ..others(5, "none") }
        });
        for (case, certificate) in
            [("missing", ""), ("of a stranger", "-cert $DIR/stranger.pem -key $DIR/stranger.key")]
        {
            site.case(&format!("client certificate {case}, TLS {version}"), MUTUAL, |site| {
                for _ in 0..3 {
                    site.shell(&s_client(MUTUAL, &format!("{options} {certificate} 2>/dev/null")));
                }
                // In TLS 1.3 the alert is encrypted.
                let reason = match (version, certificate) {
                    ("1.3", _) => "server_alert",
                    // handshake_failure, which may mean anything.
                    (_, "") => "server_alert",
                    _ => "server_alert_certificate",
                };
                Expected { newest, failures: vec![(reason, 3)], ..others(3, "none") }
            });
        }
    }
    for (options, version) in [("", "1.3"), ("--tls-max 1.2", "1.2")] {
        site.case(&format!("client refuses the certificate, TLS {version}"), NGINX, |site| {
            let distrust = curl(NGINX).replace("server.pem", "stranger.pem");
            for _ in 0..3 {
                assert_eq!(site.shell(&format!("{distrust} {options}")).code, Some(60));
            }
            Expected {
                newest: version,
                failures: vec![("client_alert_certificate", 3)],
                ..hellos(3, "h2")
            }
        });
    }
}

pub fn pieces(site: &mut Site<'_>) {
    site.case("hello of 1.7 kB in 1 to 9 segments, TLS 1.3", NGINX, |site| {
        site.python("pieces", NGINX, 90);
        Expected { handshakes: full(90), ..hellos(90, "h2") }
    });
    site.case("hello of 1.7 kB in 1 to 9 segments, TLS 1.2", NGINX, |site| {
        site.python("pieces12", NGINX, 45);
        Expected { newest: "1.2", handshakes: vec![("1.2", false, 45)], ..hellos(45, "h2") }
    });
    site.case("hello byte by byte", HAPROXY, |site| {
        site.python("bytes", HAPROXY, 2);
        Expected { handshakes: full(2), ..others(2, "h2") }
    });
    site.case("hello of 15 kB", NGINX, |site| {
        site.python("long", NGINX, 5);
        Expected { handshakes: full(5), ..hellos(5, "h2") }
    });
}

pub fn failures(site: &mut Site<'_>) {
    site.case("HTTP in clear to the TLS port", NGINX, |site| {
        let plain = curl(NGINX).replace("https://", "http://");
        site.ok(&times(5, &plain));
        Expected { failures: vec![("not_tls", 5)], ..Expected::default() }
    });
    site.case("garbage", HAPROXY, |site| {
        site.python("garbage", HAPROXY, 5);
        Expected { failures: vec![("not_tls", 5)], ..Expected::default() }
    });
    site.case("a hello that lies about its length", NGINX, |site| {
        site.python("lies", NGINX, 5);
        Expected { unparsed: 5, ..Expected::default() }
    });
    site.case("client closes in the middle", NGINX, |site| {
        site.python("close", NGINX, 5);
        // Bytes that nobody read turn a close into a reset.
        Expected { failures: vec![("reset", 5)], ..hellos(5, "h2") }
    });
    site.case("client resets in the middle", NGINX, |site| {
        site.python("reset", NGINX, 5);
        Expected { failures: vec![("reset", 5)], ..hellos(5, "h2") }
    });
    site.case("half a hello, then the end", NGINX, |site| {
        site.python("half", NGINX, 5);
        Expected { failures: vec![("closed", 5)], ..Expected::default() }
    });
    site.case("connections without a byte", NGINX, |site| {
        site.python("silent", NGINX, 5);
        Expected::default()
    });
}

pub fn load(site: &mut Site<'_>) {
    site.case("wrk, 8 connections, 2 s", EARLY, |site| {
        let before = site.servers.nginx_connections(EARLY).len();
        site.ok(&format!("wrk -t2 -c8 -d2s https://{}:{EARLY}/", Lan::SERVER4));
        logged(before + 8, || site.servers.nginx_connections(EARLY).len());
        let connections = 8;
        // It asks for the address.
        Expected { handshakes: full(connections), ..others(connections, "none") }
    });
    site.case("h2load, 200 connections of one request, HTTP/1.1", HAPROXY, |site| {
        let count = || site.servers.lines("output.log", "haproxy 5444 TLSv1.3 0 200");
        let before = count();
        site.ok(&format!("h2load --h1 -t1 -c200 -n200 https://{}:{HAPROXY}/", Lan::SERVER4));
        logged(before + 200, count);
        Expected { handshakes: full(200), name: "none", ..hellos(200, "http/1.1") }
    });
    site.case("h2load, 10 connections, 500 requests", NGINX, |site| {
        site.ok(&format!("h2load -c10 -n500 https://{}:{NGINX}/", Lan::SERVER4));
        Expected { handshakes: full(10), name: "none", ..hellos(10, "h2") }
    });
}

pub fn quic(site: &mut Site<'_>) {
    let ask = |host: &str, port: u16, count: u64, version: &str| {
        format!("PYTHONPATH={PACKAGES} python3 {QUIC} ask {host} {port} {count} {version}")
    };
    for (case, host, port, version) in [
        ("QUIC, IPv4", Lan::SERVER4, NGINX, ""),
        ("QUIC, IPv6", Lan::SERVER6, NGINX, ""),
        ("QUIC, version 2", Lan::SERVER4, NGINX, "v2"),
        ("QUIC with Retry", Lan::SERVER4, QUIC_RETRY, ""),
        ("QUIC with Retry, version 2", Lan::SERVER4, QUIC_RETRY, "v2"),
    ] {
        site.case(case, port, |site| {
            let output = site.ok(&ask(host, port, 10, version));
            assert_eq!(output.matches("connected").count(), 10, "{output}");
            Expected { quic: 10, ..Expected::default() }
        });
    }
}

/// Requests on connections that cannot speak HTTP/2, by the server's log and as estimated.
pub fn turns(site: &mut Site<'_>) {
    let keep_alive = |port: u16, options: &str| {
        let one = format!("https://{NAME}:{port}/");
        let urls = vec![one.as_str(); 40].join(" ");
        curl(port).replace(&one, &urls).replace("-o /dev/null", "")
            + " --http1.1 >/dev/null "
            + options
    };
    let upload = "dd if=/dev/zero of=$DIR/upload bs=64k count=16 2>/dev/null; ".to_owned()
        + &times(10, &format!("{} --http1.1 --data-binary @$DIR/upload", curl(EARLY)));
    let wrk = format!("wrk -t2 -c8 -d2s https://{}:{EARLY}/", Lan::SERVER4);
    for (case, port, script, leeway) in [
        ("keep-alive, TLS 1.3", EARLY, keep_alive(EARLY, ""), 0),
        ("keep-alive, TLS 1.2", OLD, keep_alive(OLD, ""), 0),
        ("a connection for each", EARLY, times(20, &format!("{} --http1.1", curl(EARLY))), 0),
        ("uploads of 1 MB", EARLY, upload, 0),
        // What is under way when wrk stops may be logged or not.
        ("wrk, 8 connections", EARLY, wrk, 8),
    ] {
        let turns = |site: &Site<'_>| {
            let port = port.to_string();
            site.daemon.scrape().sum("foobar_https_request_turns_total", &[("port", &port)]) as u64
        };
        let before = (site.servers.nginx_requests(port) as u64, turns(site));
        site.ok(&script);
        // The last line of the log may be written after the client has its answer.
        let counts =
            || (site.servers.nginx_requests(port) as u64 - before.0, turns(site) - before.1);
        let (mut logged, mut estimated) = counts();
        for _ in 0..100 {
            if logged > 0 && estimated.abs_diff(logged) <= leeway {
                break;
            }
            sleep(Duration::from_millis(20));
            (logged, estimated) = counts();
        }
        site.table.estimate(case, logged, estimated);
        assert!(estimated.abs_diff(logged) <= leeway, "{case}: {logged}, estimated {estimated}");
    }
}
