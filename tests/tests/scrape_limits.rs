//! What those who reach the port of the metrics cannot do to the rest.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Process, eventually, tcp_connects, try_run};

const PATIENCE: Duration = Duration::from_secs(60);
/// Files that the daemon needs to be allowed to open.
const FILES: usize = 192;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "0.0.0.0:9898"
[allowlists.friends]
entries = ["192.0.2.10", "192.0.2.11"]
[[rules]]
name = "web"
ports = [80, 9898]
from = ["friends"]
[[rules]]
name = "datagrams"
ports = [7000]
protocols = ["udp"]
from = ["friends"]
"#;

/// Opens connections as fast as they are taken, sends half a request over each, and keeps all of them.
const HALF_OPEN: &str = r#"
import resource, select, socket, sys, time
wanted = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 64, wanted + 64))
poll, all, sent = select.epoll(), {}, 0
for _ in range(wanted):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((sys.argv[1], 9898))
    all[s.fileno()] = s
    poll.register(s, select.EPOLLOUT | select.EPOLLONESHOT)
    if len(all) % 100 == 0:
        time.sleep(0.01)
print("opened", flush=True)
end = time.time() + 40
while sent < wanted and time.time() < end:
    for fd, _ in poll.poll(1):
        try:
            all[fd].send(b"GET /metr")
        except OSError:
            pass
        sent += 1
print("sent", sent, flush=True)
time.sleep(600)
"#;

/// A value of /proc/PID/status, in kB.
fn kilobytes(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn slow_five_thousand_half_open_connections_and_few_descriptors_hold_up_nobody_else() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (flooder, friend, stranger) = (lan.client(10), lan.client(11), lan.client(66));
    let daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let configuration = daemon.configuration().display().to_string();
    let run = daemon.command(&["run", "--config", &configuration]);
    let mut command = Command::new("prlimit");
    // The soft limit is raised to the hard one, which is the lowest that a daemon begins with.
    command.arg(format!("--nofile=64:{FILES}")).arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::start(command, &daemon.folder().join("daemon.log"));
    eventually("the daemon to answer", PATIENCE, || {
        assert_eq!(process.ended(), None, "{}", process.log());
        let status = daemon.foobar(&["status"]);
        if status.code == Some(0) { Ok(()) } else { Err(status) }
    });
    let (web, datagrams) = lan.server.enter(|| {
        let web = TcpListener::bind(("0.0.0.0", 80)).expect("a free port");
        (web, UdpSocket::bind(("0.0.0.0", 7000)).expect("a free port"))
    });
    datagrams.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    thread::spawn(move || {
        for connection in web.incoming() {
            drop(connection);
        }
    });

    let log = daemon.folder().join("flood.log");
    let mut command = flooder.command("python3");
    command.args(["-c", HALF_OPEN, Lan::SERVER4, "5000"]);
    let flood = Process::start(command, &log);
    eventually("the flood", PATIENCE, || {
        let said = flood.log();
        if said.contains("opened") { Ok(()) } else { Err(said) }
    });

    // While it goes on: the control socket answers, changes are made, the filter does what it did.
    let mut sender = friend.enter(|| UdpSocket::bind(("0.0.0.0", 0)).expect("a port"));
    let unwelcome = stranger.enter(|| UdpSocket::bind(("0.0.0.0", 0)).expect("a port"));
    for round in 0..10u32 {
        daemon.ok(&["allow", "add", "friends", &format!("198.51.100.{round}")]);
        daemon.ok(&["status"]);
        tcp_connects(&friend, "192.0.2.1:80", Duration::from_secs(5)).expect("a friend gets in");
        tcp_connects(&stranger, "192.0.2.1:80", Duration::from_millis(200))
            .expect_err("a stranger");
        for number in 0..50u32 {
            send(&mut sender, round * 50 + number);
            unwelcome.send_to(b"????", "192.0.2.1:7000").expect("sent");
            let mut received = [0; 8];
            let length = datagrams.recv(&mut received).expect("each datagram of a friend arrives");
            assert_eq!(received[..length], (round * 50 + number).to_le_bytes());
        }
    }
    let memory = kilobytes(process.id(), "VmHWM:");
    println!("5,000 half-open connections: peak memory {memory} kB");
    assert!(memory < 64 * 1024, "{memory} kB");
    let open = fs::read_dir(format!("/proc/{}/fd", process.id())).expect("descriptors").count();
    assert!(open <= FILES - 80, "{open}: there must be room for a new instance");
    // Which is what a new feature needs.
    daemon.configure(&CONFIGURATION.replace(
        "[[rules]]\nname = \"web\"",
        "[limits]\npackets_per_source = \"1000000/s\"\n[[rules]]\nname = \"web\"",
    ));
    daemon.ok(&["reload"]);
    assert_eq!(process.ended(), None, "{}", process.log());
    drop(flood);
    eventually("the next scrape", PATIENCE, || scrape(&friend));
}

fn send(sender: &mut UdpSocket, number: u32) {
    sender.send_to(&number.to_le_bytes(), "192.0.2.1:7000").expect("sent");
}

fn scrape(client: &foobar_tests::harness::Netns) -> Result<(), String> {
    let ask = || {
        let mut stream = TcpStream::connect("192.0.2.1:9898")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    match client.enter(ask) {
        Ok(answer) if answer.contains("\nfoobar_policy_generation") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_hundred_scrapers_get_a_whole_page_each() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let friend = lan.client(10);
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    for _ in 0..2 {
        thread::scope(|scope| {
            let scrapers: Vec<_> = (0..100).map(|_| scope.spawn(|| scrape(&friend))).collect();
            for scraper in scrapers {
                assert_eq!(scraper.join().expect("no panic"), Ok(()));
            }
        });
    }
    let process = daemon.process().id();
    println!("100 scrapers at once: peak memory {} kB", kilobytes(process, "VmHWM:"));
    daemon.ok(&["status"]);
}

/// It would start with fewer, and then not be able to make a change that needs new programs.
#[test]
fn too_few_descriptors_are_told_before_anything_is_begun() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let configuration = daemon.configuration().display().to_string();
    let run = daemon.command(&["run", "--config", &configuration]);
    for limit in [64, FILES - 1] {
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={limit}:{limit}"))
            .arg(run.get_program())
            .args(run.get_args());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let refused = try_run(&mut command);
        assert_eq!(refused.code, Some(1), "{}", refused.text());
        for words in
            [format!("at most {limit} files"), format!("needs {FILES}"), "LimitNOFILE=".into()]
        {
            assert!(refused.stderr.contains(&words), "no `{words}`: {}", refused.stderr);
        }
        assert!(!daemon.state_dir().exists() && !daemon.bpf_dir().exists(), "nothing was begun");
    }
}
