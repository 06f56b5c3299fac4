//! The workloads.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
    time::Duration,
};

use foobar_tests::harness::{Lan, Netns, eventually, veth};

use super::{
    servers::{APACHE, HAPROXY, HAPROXY_H2C, NGINX, NGINX_H2C, Servers},
    site::{More, Site, owned},
};

const SERVERS: [(&str, u16); 3] = [("nginx", NGINX), ("Apache", APACHE), ("HAProxy", HAPROXY)];

/// Connections from before the programs are attached: one is idle, one in the middle of a response.
pub struct Held(Child);

/// Requests of each of them after that.
const HELD: u64 = 10;

impl Held {
    pub fn open(client: &Netns, servers: &Servers) -> Self {
        let mut command = client.command("python3");
        command.arg(servers.file("client.py")).args(["held", Lan::SERVER4]);
        command.args([NGINX.to_string(), HELD.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
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
    site.case("connections open before the start, one in the middle of a response", |site| {
        site.skip_logged();
        held.0.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("a reader");
        let status = held.0.wait().expect("its end");
        assert!(status.success(), "{status}");
        // Its response began before anybody counted; it is logged where it ends.
        owned(NGINX, &[("1.1 2xx", -1)])
    });
}

pub fn each_server(site: &mut Site<'_>) {
    for (server, port) in SERVERS {
        let url = format!("http://192.0.2.1:{port}");
        let name = |case: &str| format!("{server}: {case}");
        site.script(&name("keep-alive"), port, "keep_alive", 50, &[]);
        site.commands(&name("curl, IPv6, a connection for each"), &{
            let url = format!("http://[2001:db8::1]:{port}/?[1-10]");
            format!("curl -sS -o /dev/null -H Connection:close {url}")
        });
        site.script(&name("pipelined by ten"), port, "pipelined", 20, &[]);
        site.script(&name("requests cut into 1 to 50 bytes"), port, "split", 1, &[]);
        site.script(&name("uploads with length and chunked"), port, "upload", 10, &[]);
        site.commands(
            &name("h2load, HTTP/1.1, 8 connections"),
            &format!("h2load --h1 -t1 -c8 -n4000 {url}/"),
        );
    }
    for (server, port) in [SERVERS[0], SERVERS[1]] {
        let name = |case: &str| format!("{server}: {case}");
        site.script(&name("HEAD and GET, pipelined"), port, "head", 10, &[]);
        site.script(&name("If-Modified-Since, answered 304"), port, "not_modified", 10, &[]);
    }
    for (server, port) in [SERVERS[1], SERVERS[2]] {
        site.commands(
            &format!("{server}: 302, 404, 503"),
            &format!("curl -sS -o /dev/null http://192.0.2.1:{port}/{{moved,missing,broken,}}"),
        );
    }
    for (server, port) in SERVERS {
        site.script(&format!("{server}: WebSocket behind a request"), port, "websocket", 5, &[]);
    }
}

pub fn http2(site: &mut Site<'_>) {
    for (server, port) in [("nginx", NGINX_H2C), ("Apache", APACHE), ("HAProxy", HAPROXY_H2C)] {
        let url = format!("http://192.0.2.1:{port}/");
        site.commands(
            &format!("{server}: h2c, 10 streams at a time"),
            &format!("h2load -n 2000 -c 4 -m 10 {url}"),
        );
    }
    for (server, port) in [("Apache", APACHE), ("HAProxy", HAPROXY_H2C)] {
        site.commands(
            &format!("{server}: h2c, 103 before 200"),
            &format!("h2load -n 100 -c 2 -m 5 http://192.0.2.1:{port}/early"),
        );
    }
    site.commands(
        "HAProxy: HTTP/1.1, 103 before 200",
        &format!("curl -sS -o /dev/null http://192.0.2.1:{HAPROXY}/early?[1-10]"),
    );
    site.case("Apache: upgraded to h2c", |site| {
        for _ in 0..5 {
            let url = format!("http://192.0.2.1:{APACHE}/");
            site.run(&mut site.command(&format!("curl -sS -o /dev/null --http2 {url}")));
        }
        More::new()
    });
}

pub fn bad_input(site: &mut Site<'_>) {
    for (server, port) in SERVERS {
        let name = |case: &str| format!("{server}: {case}");
        site.script(&name("bytes that are no HTTP"), port, "garbage", 1, &[("unparsed", 3)]);
        // A window full of segments of a header.
        site.out_of_order = true;
        site.script(&name("a header without an end"), port, "endless", 3, &[]);
        site.out_of_order = false;
        site.script(&name("one port again and again, after resets"), port, "port_reuse", 20, &[]);
    }
    for (server, port) in [SERVERS[0], SERVERS[2]] {
        let name = format!("{server}: closed by the client before the response");
        site.script(&name, port, "silent", 10, &[]);
    }
}

pub fn load(site: &mut Site<'_>) {
    site.case("curl and h2load to all at once", |site| {
        let mut lines: Vec<_> = SERVERS
            .iter()
            .flat_map(|(_, port)| {
                let url = format!("http://192.0.2.1:{port}/");
                [
                    format!("h2load --h1 -t1 -c4 -n3000 {url}"),
                    format!("curl -sS -o /dev/null {url}?[1-300]"),
                ]
            })
            .collect();
        for port in [NGINX_H2C, APACHE, HAPROXY_H2C] {
            lines.push(format!("h2load -n 1500 -c 2 -m 10 http://192.0.2.1:{port}/"));
        }
        site.run_at_once(&lines);
        More::new()
    });
}

/// Requests come by an interface that is filtered and responses leave by another one, and the other way round.
pub fn one_way(site: &mut Site<'_>, lan: &Lan) {
    veth(site.client, "back0", &lan.server, "back0");
    for (namespace, links) in [(site.client, ["eth0", "back0"]), (&lan.server, ["eth0", "back0"])] {
        for link in ["all"].into_iter().chain(links) {
            namespace.sysctl(&format!("net/ipv4/conf/{link}/rp_filter"), "0");
        }
    }
    let way = |site: &mut Site<'_>, name: &str, counts: &[(&str, i64)]| {
        site.case(name, |site| {
            for _ in 0..3 {
                site.run(&mut site.python(Lan::SERVER4, NGINX, "keep_alive", 10));
            }
            eventually("nginx's log", Duration::from_secs(20), || match site.logged().len() {
                30 => Ok(()),
                lines => Err(lines),
            });
            let mut more = owned(NGINX, counts);
            more.extend(owned(NGINX, &[("1.1 2xx", -30)]));
            more
        });
    };
    lan.server.ip("route add 192.0.2.10/32 dev back0 src 192.0.2.1");
    way(site, "30 responses on 3 connections leave unseen: none counted", &[("unparsed", 3)]);
    lan.server.ip("route del 192.0.2.10/32 dev back0");
    site.client.ip("route add 192.0.2.1/32 dev back0 src 192.0.2.10");
    way(site, "30 requests on 3 connections arrive unseen: none counted", &[]);
    site.client.ip("route del 192.0.2.1/32 dev back0");
}
