//! TLS handshakes and QUIC connections as foobar counts them, against what real servers logged and real clients did.
//!
//! Each case compares every series of its port, so that what ought not to be counted is not.

mod cases;
mod changes;
mod counts;
mod servers;

use std::process::Command;

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Output, try_run};

use counts::{Expected, Table, read};
use servers::Servers;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[[rules]]
name = "web"
ports = [443, 8443, 9443, 7443, 5443, 5444, 6443]
from = "any"
[[rules]]
name = "quic"
ports = [443, 4433]
protocols = ["udp"]
from = "any"
[[observe]]
port = 443
protocol = "https"
server_names = ["www.example.test", "shop.example.test"]
[[observe]]
port = 8443
protocol = "https"
[[observe]]
port = 9443
protocol = "https"
[[observe]]
port = 7443
protocol = "https"
[[observe]]
port = 5443
protocol = "https"
[[observe]]
port = 5444
protocol = "https"
[[observe]]
port = 6443
protocol = "https"
[[observe]]
port = 4433
protocol = "https"
"#;

/// A server with all that listens on it, a client, and foobar in between.
pub struct Site<'a> {
    client: &'a Netns,
    servers: &'a Servers,
    daemon: Daemon<'a>,
    table: Table,
}

impl Site<'_> {
    /// Runs a workload, and compares what was counted of a port with what it says.
    fn case(&mut self, name: &str, port: u16, workload: impl FnOnce(&Self) -> Expected) {
        let before = read(&self.daemon.scrape(), port);
        let expected = Expected { port, ..workload(self) };
        self.table.compare(name, &self.daemon, &before, &expected);
    }

    /// Runs a shell script in the client's namespace; `$DIR` is the servers' folder.
    fn shell(&self, script: &str) -> Output {
        try_run(&mut self.command(script))
    }

    fn command(&self, script: &str) -> Command {
        let mut command = self.client.command("timeout");
        command.args(["60", "sh", "-c", script]);
        command.env("DIR", self.servers.file(""));
        command
    }

    /// The same, and it has to succeed.
    fn ok(&self, script: &str) -> String {
        let output = self.shell(script);
        assert_eq!(output.code, Some(0), "{script}\n{}", output.text());
        output.stdout
    }

    /// Runs the client that no library has.
    fn python(&self, what: &str, port: u16, count: u64) {
        const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/tls_client.py");
        self.ok(&format!("python3 {SCRIPT} {what} {} {port} {count}", Lan::SERVER4));
    }
}

#[test]
fn slow_every_handshake_is_counted_once() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let servers = Servers::start(&lan.server);
    let held = cases::Held::open(&client);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let mut site = Site { client: &client, servers: &servers, daemon, table: Table::default() };
    cases::before_attach(&mut site, held);
    cases::plain(&mut site);
    cases::versions(&mut site);
    cases::sessions(&mut site);
    cases::certificates(&mut site);
    cases::pieces(&mut site);
    cases::failures(&mut site);
    cases::load(&mut site);
    cases::quic(&mut site);
    cases::turns(&mut site);
    changes::changes(&mut site);
    changes::loss(&mut site);
    site.table.write();
    let wrong = site.table.wrong();
    assert!(wrong.is_empty(), "counted wrong:\n{}", wrong.join("\n"));
}
