//! Accept queues that overflow: what is counted by port is what the kernel counts in all.

use std::{path::Path, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Process, eventually, holds_for, try_run};

const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[[rules]]
name = "web"
ports = [80, 8081]
from = "any"
"#;

/// Listens with room for two connections, and accepts none.
const DEAF: &str = "
import socket, sys, time
s = socket.create_server(('192.0.2.1', 80), backlog=1)
print('ready', flush=True)
time.sleep(600)
";

/// Opens twelve connections at once.
const CALLERS: &str = "
import socket, time
callers = [socket.socket() for _ in range(12)]
for caller in callers:
    caller.setblocking(False)
    caller.connect_ex(('192.0.2.1', 80))
time.sleep(600)
";

fn python(namespace: &Netns, script: &str, log: &Path) -> Process {
    let mut command = namespace.command("python3");
    command.args(["-c", script]);
    Process::start(command, log)
}

/// What the kernel counts for all listening sockets of the server (`ListenDrops` of proc_net_netstat).
fn drops(server: &Netns) -> u64 {
    let output = try_run(server.command("cat").arg("/proc/net/netstat"));
    let mut lines = output.stdout.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names.split(' ').position(|name| name == "ListenDrops").expect("ListenDrops");
    values.split(' ').nth(at).expect("a value").parse().expect("a number")
}

#[test]
fn what_a_full_accept_queue_drops_is_counted_by_port() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let folder = daemon.folder().to_owned();
    let counted =
        |port| daemon.scrape().sum("foobar_listen_queue_overflows_total", &[("port", port)]) as u64;
    assert_eq!((counted("80"), drops(&lan.server)), (0, 0));
    let deaf = python(&lan.server, DEAF, &folder.join("deaf"));
    eventually("the server to listen", PATIENCE, || {
        if deaf.log().contains("ready") { Ok(()) } else { Err(deaf.log()) }
    });
    let callers = python(&client, CALLERS, &folder.join("callers"));
    eventually("the queue to overflow", PATIENCE, || {
        let counted = counted("80");
        if counted >= 10 { Ok(()) } else { Err(counted) }
    });
    drop(callers);
    eventually("every drop to be counted", PATIENCE, || {
        let (before, counted, after) = (drops(&lan.server), counted("80"), drops(&lan.server));
        if before == after && counted == before { Ok(()) } else { Err((before, counted, after)) }
    });
    assert_eq!((counted("8081"), counted("other")), (0, 0));
    let limit = daemon.scrape().sum("foobar_listen_queue_limit", &[("port", "80")]);
    assert_eq!(limit, 1.0);

    // The sum of the port outlives the socket.
    let before = counted("80");
    drop(deaf);
    holds_for("the sum to stay", Duration::from_secs(2), || {
        let now = counted("80");
        if now >= before && now == drops(&lan.server) { Ok(()) } else { Err((before, now)) }
    });
}
