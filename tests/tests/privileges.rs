//! What the daemon may still do once the filter is in force, and that it is enough for all that comes later.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Process, eventually, tcp_connects, veth};
use nix::sys::signal::Signal;
use serde_json::Value;

const CONFIGURATION: &str = r#"
interfaces = ["eth0", "wan*"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.10"]
[[rules]]
name = "web"
ports = [80]
from = ["friends"]
"#;

/// CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF (linux/capability.h).
const KEPT: u64 = 1 << 12 | 1 << 38 | 1 << 39;
const NAMES: [&str; 3] = ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"];

const PATIENCE: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_millis(400);

/// What each thread of a process has: CapInh, CapPrm, CapEff, CapBnd, CapAmb, NoNewPrivs.
fn rights(process: u32) -> BTreeSet<BTreeMap<String, u64>> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the daemon runs");
    let of_task = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let fields = status.lines().filter_map(|line| line.split_once(":\t"));
        let wanted = fields.filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs");
        let read = |value| u64::from_str_radix(value, 16).expect("a number");
        Some(wanted.map(|(name, value)| (name.to_owned(), read(value))).collect())
    };
    tasks.flatten().filter_map(|task| of_task(&task.path())).collect()
}

/// Every thread of the process has exactly [`KEPT`], and no way to more.
fn assert_least(process: u32) {
    let expected: BTreeMap<_, _> = [
        ("CapInh", 0),
        ("CapPrm", KEPT),
        ("CapEff", KEPT),
        ("CapBnd", KEPT),
        ("CapAmb", 0),
        ("NoNewPrivs", 1),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert_eq!(rights(process), [expected].into());
}

fn status(daemon: &Daemon<'_>) -> Value {
    serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON")
}

fn is_filtered(server: &Netns, interface: &str) -> bool {
    server.ip(&format!("-details link show {interface}")).contains("xdp")
}

/// Everything that a daemon does after its start.
fn all_that_comes_later(lan: &Lan, daemon: &Daemon<'_>) {
    let (friend, peer) = (lan.client(10), Netns::new());
    let port = |port| lan.server.enter(move || std::net::TcpListener::bind(("0.0.0.0", port)));
    let _servers = [80, 81].map(|number| port(number).expect("a free port"));
    let reaches = |port| tcp_connects(&friend, &format!("{}:{port}", Lan::SERVER4), QUICK).is_ok();
    assert!(reaches(80) && !reaches(81));
    // A change of a list, which is written to the disk.
    daemon.ok(&["allow", "remove", "friends", "192.0.2.10"]);
    assert!(!reaches(80));
    daemon.ok(&["allow", "add", "friends", "192.0.2.0/28"]);
    assert!(reaches(80));
    // Tables that must grow: another instance of the programs.
    let many: String = (0..40_000u32)
        .map(|i| format!("198.{}.{}.{}\n", 18 + (i >> 15), i >> 7 & 255, (i & 127) * 2))
        .collect();
    let file = daemon.folder().join("many.txt");
    fs::write(&file, many + "192.0.2.10\n").expect("a list file");
    daemon.ok(&["allow", "replace", "friends", "--file", &file.display().to_string()]);
    assert!(reaches(80));
    // Another configuration, with a feature that the programs did not have, and counters for more.
    daemon.configure(&CONFIGURATION.replace(
        "ports = [80]",
        "ports = [80, 81]\nlimit = { per_source = \"100/s\", burst = 100 }",
    ));
    daemon.ok(&["reload"]);
    assert!(reaches(80) && reaches(81));
    daemon.ok(&["reload", "--confirm", "60s"]);
    daemon.ok(&["confirm"]);
    // Interfaces that are made anew, and new ones.
    lan.server.ip("link delete eth0");
    for name in ["eth0", "wan0"] {
        veth(&lan.server, name, &peer, &format!("p-{name}"));
        eventually(&format!("{name} to be filtered"), PATIENCE, || {
            if is_filtered(&lan.server, name) { Ok(()) } else { Err(daemon.log()) }
        });
    }
    // Answers that need the kernel.
    let said =
        daemon.ok(&["explain", "--from", "192.0.2.10", "--to", Lan::SERVER4, "--port", "80"]);
    assert!(said.contains("pass"), "{said}");
    assert!(daemon.scrape().sum("foobar_policy_generation", &[]) > 3.0);
    let log = daemon.log();
    assert!(!log.contains(" ERROR ") && !log.contains("denied") && !log.contains("EPERM"), "{log}");
}

#[test]
fn only_what_is_needed_stays_and_it_is_enough() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let process = daemon.process().id();
    assert_least(process);
    let told = &status(&daemon)["daemon"];
    assert_eq!(told["capabilities"], serde_json::json!(NAMES));
    assert_eq!(told["no_new_privileges"], true);
    let text = daemon.ok(&["status"]);
    assert!(text.contains(&NAMES.join(", ")), "{text}");

    all_that_comes_later(&lan, &daemon);
    assert!(fs::read_dir(format!("/proc/{process}/task")).expect("tasks").count() > 3);
    assert_least(process);

    daemon.ok(&["detach"]);
    daemon.process().wait(PATIENCE);
    assert!(!daemon.bpf_dir().exists(), "it may take off what it attached");
}

/// The service unit limits capabilities from the first instruction on.
#[test]
fn slow_the_capabilities_of_the_service_unit_are_enough() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/foobar.service");
    let unit = fs::read_to_string(unit).expect("the service unit");
    let bounding = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .expect("the unit limits capabilities");
    let bounding: String = bounding
        .split_whitespace()
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    let daemon = Daemon::prepare(&lan.server, CONFIGURATION);
    let configuration = daemon.configuration().display().to_string();
    let run = daemon.command(&["run", "--config", &configuration]);
    // nsenter first: it takes a right that the daemon does not have.
    let arguments: Vec<_> = run.get_args().map(|argument| argument.to_os_string()).collect();
    let program = arguments.iter().position(|argument| *argument == "--").expect("nsenter --") + 1;
    let mut command = std::process::Command::new(run.get_program());
    command.args(&arguments[..program]);
    command.arg("setpriv").args(["--no-new-privs", "--inh-caps=-all"]);
    command.arg(format!("--bounding-set=-all{bounding}")).args(&arguments[program..]);
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::start(command, &daemon.folder().join("daemon.log"));
    eventually("the daemon to answer", PATIENCE, || {
        assert_eq!(process.ended(), None, "{}", process.log());
        let status = daemon.foobar(&["status"]);
        if status.code == Some(0) { Ok(()) } else { Err(status) }
    });
    let rights = rights(process.id());
    for right in &rights {
        assert_eq!((right["CapEff"], right["CapPrm"], right["NoNewPrivs"]), (KEPT, KEPT, 1));
    }
    all_that_comes_later(&lan, &daemon);
    process.signal(Signal::SIGTERM);
    assert!(process.wait(PATIENCE).success(), "{}", process.log());
}
