//! `foobar replay`: a capture through the real programs gives the verdicts that the frames of the table have.

use std::{fs, path::Path, process::Command};

use foobar_tests::{
    capture::{self, Captured},
    frames::{
        self, Direction, REFERENCE, Row,
        hosts::{ADMIN, BLOCKED, REMOTE, SERVER, WORLD},
        packet::v4,
    },
    harness::{Output, foobar_binary, try_run},
};
use serde_json::Value;
use tempfile::TempDir;

/// The server of the reference policy, for `--local`.
const LOCAL: [&str; 6] =
    ["--local", "02:00:00:00:00:01", "--local", "192.0.2.1", "--local", "2001:db8::1"];
/// No frame is cut.
const WHOLE: usize = 262_144;
/// After this time, in seconds, every flow, fragment and token bucket is forgotten or full again.
const FORGETTING: u64 = 6 * 24 * 3600;
/// When the captures begin.
const BEGINNING: u64 = 1_700_000_000;

/// A folder with a configuration, captures, and what replaying them says.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(configuration: &str) -> Self {
        let bench = Bench { folder: TempDir::new().expect("a folder") };
        bench.write("foobar.toml", configuration);
        bench
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn capture(&self, frames: &[Captured], snap_length: usize) {
        capture::write(Path::new(&self.path("test.pcap")), frames, snap_length);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(foobar_binary());
        command.args(["replay", "--config", &self.path("foobar.toml")]);
        command.args(arguments).arg(self.path("test.pcap"));
        try_run(&mut command)
    }

    /// The lines of a replay that succeeds.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!(output.code, Some(0), "{}", output.text());
        let lines = output.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

fn at(seconds: u64, frame: Vec<u8>) -> Captured {
    Captured { time: BEGINNING + seconds, frame }
}

fn told<'v>(line: &'v Value, key: &str) -> &'v str {
    line[key].as_str().unwrap_or_else(|| panic!("{line} has no text {key}"))
}

/// Verdict and reason of each line.
fn verdicts(lines: &[Value]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (told(line, "verdict"), told(line, "reason"))).collect()
}

/// All rows in one capture, with time enough between them that each begins with nothing remembered: the clock of the replay is
/// that of the capture.
#[test]
fn every_row_of_the_table_gets_its_verdict() {
    let rows: Vec<Row> = frames::all();
    let mut captured = Vec::new();
    let mut judged = Vec::new();
    let mut now = 0;
    for row in &rows {
        captured.extend(
            row.setup.iter().map(|moment| at(now + moment.time, moment.step.frame.clone())),
        );
        judged.push(captured.len());
        captured.push(at(now + row.time, row.step.frame.clone()));
        now += row.time + FORGETTING;
    }
    let bench = Bench::new(REFERENCE);
    bench.capture(&captured, WHOLE);
    let lines = bench.lines(&LOCAL);
    assert_eq!(lines.len(), captured.len());
    let mut wrong = Vec::new();
    for (row, index) in rows.iter().zip(judged) {
        let line = &lines[index];
        assert_eq!(line["index"], index);
        let direction = match row.step.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        let expected = (direction, row.verdict.name(), row.reason.name());
        let found = (told(line, "direction"), told(line, "verdict"), told(line, "reason"));
        if found != expected {
            wrong.push(format!("{}: {found:?} instead of {expected:?}: {}", row.name, row.why));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Frames that were agreed upon with others, where they are at hand: each with the frames that go before it.
#[test]
fn shared_samples_get_their_verdict() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/packets/sample.json");
    let Ok(text) = fs::read_to_string(path) else {
        println!("skipped: there are no shared samples");
        return;
    };
    let samples: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let bytes = |sample: &Value| -> Vec<u8> {
        let hex = told(sample, "hex").as_bytes().chunks(2);
        hex.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let mut captured = Vec::new();
    let mut judged = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let now = number as u64 * FORGETTING;
        let setup = sample["setup"].as_array().into_iter().flatten();
        captured.extend(setup.map(|step| at(now, bytes(step))));
        judged.push(captured.len());
        captured.push(at(now + 1, bytes(sample)));
    }
    let bench = Bench::new(REFERENCE);
    bench.capture(&captured, WHOLE);
    let lines = bench.lines(&LOCAL);
    for (sample, index) in samples.iter().zip(judged) {
        assert_eq!(
            lines[index]["verdict"], sample["verdict"],
            "{}: {}",
            sample["name"], lines[index]
        );
    }
    assert!(!samples.is_empty());
}

/// A SYN from a host to a port of the server.
fn syn(from: std::net::Ipv4Addr, port: u16) -> Vec<u8> {
    v4(from, SERVER.v4).tcp(51000, port, "S").bytes()
}

#[test]
fn lines_are_stable() {
    let bench = Bench::new(REFERENCE);
    bench.capture(&[at(0, syn(WORLD.v4, 80)), at(1, syn(WORLD.v4, 22)), at(2, vec![0; 13])], WHOLE);
    let output = bench.run(&["--output", "json", "--local", "192.0.2.1"]);
    let expected = r#"{"index":0,"direction":"ingress","verdict":"pass","reason":"rule","rule":"web"}
{"index":1,"direction":"ingress","verdict":"drop","reason":"source_not_allowed"}
{"index":2,"direction":"ingress","verdict":"drop","reason":"truncated"}
"#;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), expected), "{}", output.stderr);
    let summary: Value =
        serde_json::from_str(&output.stderr).expect("one object on standard error");
    assert_eq!(
        (&summary["summary"]["passed"], &summary["summary"]["dropped"]),
        (&1.into(), &2.into())
    );

    let text = bench.run(&["--local", "192.0.2.1"]).stdout;
    assert!(text.contains("      0  ingress  pass rule web "), "{text}");
    assert!(text.contains("tcp 5.6.7.8:51000 > 192.0.2.1:22"), "{text}");
    assert!(text.ends_with("3 frames: 1 pass, 2 dropped\n"), "{text}");
    let note = bench.run(&[]).stderr;
    assert!(note.contains("without --local every frame counts as one that arrives"), "{note}");
}

/// The reply to a connection that the server opened passes, by IP address as well as by MAC address.
#[test]
fn replies_are_known_where_the_server_is() {
    let bench = Bench::new(REFERENCE);
    let opens = v4(SERVER.v4, REMOTE.v4).sent().tcp(45000, 443, "S").bytes();
    let answers = v4(REMOTE.v4, SERVER.v4).tcp(443, 45000, "SA").bytes();
    bench.capture(&[at(0, opens), at(1, answers.clone()), at(FORGETTING, answers)], WHOLE);
    for local in ["192.0.2.1", "02:00:00:00:00:01"] {
        let lines = bench.lines(&["--local", local]);
        let expected = [("pass", "egress"), ("pass", "reply"), ("drop", "no_rule")];
        assert_eq!(verdicts(&lines), expected, "--local {local}");
    }
    assert_eq!(verdicts(&bench.lines(&[]))[1].0, "drop", "nobody knows whose connection it was");
}

/// Two connections at once and one a second from each source: waiting brings tokens back, a minute no more than the burst.
#[test]
fn limits_follow_the_time_of_the_capture() {
    let configuration = REFERENCE
        .replace("name = \"web\"", "name = \"web\"\nlimit = { per_source = \"1/s\", burst = 2 }");
    let bench = Bench::new(&configuration);
    let times = [0, 0, 0, 2, 60, 60, 60];
    bench.capture(&times.map(|time| at(time, syn(WORLD.v4, 80))), WHOLE);
    let verdicts: Vec<_> =
        bench.lines(&LOCAL).iter().map(|line| told(line, "verdict").to_owned()).collect();
    assert_eq!(verdicts, ["pass", "pass", "drop", "pass", "pass", "pass", "drop"]);
    let untimed = times.map(|_| Captured { time: 0, frame: syn(WORLD.v4, 80) });
    bench.capture(&untimed, WHOLE);
    let lines = bench.lines(&LOCAL);
    assert_eq!(
        (told(&lines[1], "verdict"), told(&lines[6], "reason")),
        ("pass", "connection_limit"),
        "time stands still"
    );
    assert_eq!(told(&lines[6], "rule"), "web");
}

/// Headers alone were captured; the verdicts are those of the whole frames.
#[test]
fn frames_that_were_cut_are_judged_as_whole_ones() {
    let bench = Bench::new(REFERENCE);
    let data = vec![0x55; 1000];
    let frames = [
        v4(WORLD.v4, SERVER.v4).tcp_with(51000, 443, "PA", &[], &data).bytes(),
        v4(WORLD.v4, SERVER.v4).udp(51000, 443, 1200).bytes(),
        v4(BLOCKED.v4, SERVER.v4).tcp_with(51000, 443, "PA", &[], &data).bytes(),
        v4(SERVER.v4, WORLD.v4).sent().tcp_with(443, 51000, "PA", &[], &data).bytes(),
    ];
    let captured = frames.map(|frame| at(0, frame));
    bench.capture(&captured, WHOLE);
    let whole = bench.lines(&LOCAL);
    bench.capture(&captured, 64);
    let cut = bench.lines(&LOCAL);
    assert_eq!(verdicts(&cut), verdicts(&whole));
    assert_eq!(
        verdicts(&cut),
        [("pass", "rule"), ("pass", "rule"), ("drop", "blocklist"), ("pass", "egress_served")]
    );
    assert!(whole.iter().all(|line| line["truncated"].is_null()));
    assert!(cut.iter().all(|line| line["truncated"] == true));
}

/// A capture on the server itself holds what its network card or the kernel put together from many segments.
#[test]
fn batches_of_segments_are_judged() {
    let bench = Bench::new(REFERENCE);
    let data = vec![0x55; 60_000];
    let batches = [
        v4(WORLD.v4, SERVER.v4).tcp_with(51000, 443, "PA", &[], &data).bytes(),
        v4(SERVER.v4, WORLD.v4).sent().tcp_with(443, 51000, "PA", &[], &data).bytes(),
        v4(SERVER.v4, REMOTE.v4).sent().tcp_with(45000, 443, "PA", &[], &data).bytes(),
        v4(REMOTE.v4, SERVER.v4).tcp(443, 45000, "A").bytes(),
        v4(SERVER.v4, WORLD.v4).sent().udp(443, 51000, 20_000).bytes(),
    ];
    bench.capture(&batches.map(|frame| at(0, frame)), WHOLE);
    let expected = [
        ("pass", "rule"),
        ("pass", "egress_served"),
        ("pass", "egress"),
        ("pass", "reply"),
        ("pass", "egress_served"),
    ];
    assert_eq!(verdicts(&bench.lines(&LOCAL)), expected);
}

/// The shortest and the longest frames, in both directions, some of them nonsense: each is judged.
#[test]
fn frames_of_every_length_are_judged() {
    let bench = Bench::new(REFERENCE);
    let header = |kind: [u8; 2], is_own: bool| -> Vec<u8> {
        let (server, router) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let macs = if is_own { [router, server] } else { [server, router] };
        [&macs.concat()[..], &kind].concat()
    };
    let mut captured = Vec::new();
    for kind in [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x81, 0x00], [0x12, 0x34]] {
        for length in [14, 15, 34, 60, 1514, 4000, 9014, 65_549, 70_000, 200_000] {
            for is_own in [true, false] {
                let mut frame = header(kind, is_own);
                frame.resize(length, 0x45);
                captured.push(at(0, frame));
            }
        }
    }
    captured.extend([0, 1, 13].map(|length| at(0, vec![0xff; length])));
    bench.capture(&captured, WHOLE);
    let lines = bench.lines(&["--local", "02:00:00:00:00:01"]);
    assert_eq!(lines.len(), captured.len());
    for line in &lines {
        let is_own = line["direction"] == "egress";
        assert!(!is_own || line["verdict"] == "pass", "the server's own frames pass: {line}");
    }
    let last = verdicts(&lines[lines.len() - 3..]);
    assert_eq!(last, [("drop", "truncated"); 3]);
}

#[test]
fn a_verdict_can_fail_a_pipeline() {
    let bench = Bench::new(REFERENCE);
    bench.capture(&[at(0, syn(WORLD.v4, 80)), at(0, syn(ADMIN.v4, 22))], WHOLE);
    assert_eq!(bench.run(&["--local", "192.0.2.1", "--fail-on", "drop"]).code, Some(0));
    let passed = bench.run(&["--local", "192.0.2.1", "--fail-on", "pass"]);
    assert_eq!(passed.code, Some(1));
    assert!(
        passed
            .stderr
            .contains("--fail-on pass: 2 frames with this verdict, the first at index 0 (rule)"),
        "{}",
        passed.stderr
    );
    assert_eq!(bench.run(&["--fail-on", "reject"]).code, Some(2));
}

#[test]
fn against_another_configuration_only_differences_are_told() {
    let bench = Bench::new(&REFERENCE.replace("198.51.100.0/24", "198.51.100.0/28"));
    bench.write("old.toml", REFERENCE);
    bench.capture(
        &[at(0, syn(WORLD.v4, 80)), at(1, syn(ADMIN.v4, 22)), at(2, syn(WORLD.v4, 22))],
        WHOLE,
    );
    let old = bench.path("old.toml");
    let lines = bench.lines(&["--local", "192.0.2.1", "--against", &old]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        (&line["index"], told(line, "verdict"), told(line, "reason")),
        (&1.into(), "drop", "source_not_allowed")
    );
    assert_eq!(
        line["against"],
        serde_json::json!({"verdict": "pass", "reason": "rule", "rule": "ssh"})
    );
    let failed = bench.run(&["--local", "192.0.2.1", "--against", &old, "--fail-on", "drop"]);
    assert_eq!(failed.code, Some(1), "an administrator would be cut off");
    let fine = bench.run(&["--local", "192.0.2.1", "--against", &old, "--fail-on", "pass"]);
    assert_eq!(fine.code, Some(0), "nobody new gets in: {}", fine.text());
}

#[test]
fn audit_says_what_would_be_dropped() {
    let bench = Bench::new(&REFERENCE.replace("mode = \"enforce\"", "mode = \"audit\""));
    bench.capture(&[at(0, syn(WORLD.v4, 80)), at(0, syn(WORLD.v4, 22))], WHOLE);
    let lines = bench.lines(&LOCAL);
    assert_eq!(verdicts(&lines), [("pass", "rule"), ("drop", "source_not_allowed")]);
    assert_eq!((&lines[0]["audited"], &lines[1]["audited"]), (&Value::Null, &true.into()));
}

/// A frame from outside that claims to come from the server itself.
#[test]
fn own_addresses_are_martians() {
    let bench = Bench::new(REFERENCE);
    bench.capture(&[at(0, syn(SERVER.v4, 80))], WHOLE);
    let lines = bench.lines(&LOCAL);
    assert_eq!(
        (told(&lines[0], "direction"), verdicts(&lines)[0]),
        ("ingress", ("drop", "martian"))
    );
}
