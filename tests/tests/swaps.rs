//! Policies change under load. The probes are allowed in both policies or in neither, while all that leads to their verdicts (lists,
//! classes, ports, sizes of tables) is turned round by each change: a packet that saw half of one policy and half of the other would
//! get a wrong verdict, and one that no program saw would reach a socket that nobody may reach.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use foobar_common::{
    counters::Transport,
    reason::{Reason, Verdict},
};
use foobar_tests::{
    frames::packet::{Packet, v4, v6},
    harness::{Leaks, Netns, Process, Tag, add_address, eventually, veth},
};
use foobar_user::{
    kernel::{
        Engine, EngineOptions, Fit, How, Store, StoreOptions, Timeouts, detach, hz,
        select_interfaces,
    },
    policy::{Compiled, Config, Labels, Lists, Policy, Slots, compile},
};

/// Flips of the whole test.
const FLIPS: usize = 10_000;
/// Servers that flip side by side: most of a flip is waiting for the kernel.
const SERVERS: usize = 4;
/// Changes by a new instance of the programs.
const RELOADS: usize = 50;

/// Everybody in these networks may reach the port [`OPEN`] in both policies, and nobody else any port in either.
const FRIENDS: [&str; 4] =
    ["198.51.100.0/24", "203.0.113.64/26", "2001:db8:a::/48", "2001:db8:b::c0/124"];
const STRANGERS: [&str; 4] =
    ["198.51.101.0/24", "203.0.113.128/26", "2001:db8:c::/48", "2001:db8:b::d0/124"];
const FRIENDS4: [[u8; 4]; 3] = [[198, 51, 100, 0], [198, 51, 100, 255], [203, 0, 113, 100]];
const STRANGERS4: [[u8; 4]; 4] =
    [[198, 51, 101, 1], [203, 0, 113, 128], [203, 0, 113, 63], [192, 0, 2, 77]];
const FRIENDS6: [&str; 3] = ["2001:db8:a::1", "2001:db8:a:ffff::1", "2001:db8:b::c7"];
const STRANGERS6: [&str; 4] =
    ["2001:db8:c::1", "2001:db8:b::d7", "2001:db8:b::e0", "2001:db8:9::1"];

/// Both ports have the same rule; friends come to the one and strangers to the other, so that counters tell them apart.
const OPEN: u16 = 7000;
const SHUT: u16 = 7001;

const SERVER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Sends the frames that are given in hexadecimal again and again.
const SENDER: &str = "
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
frames = [bytes.fromhex(word) for word in sys.argv[1:]]
while True:
    for frame in frames:
        try: s.send(frame)
        except OSError: pass
    time.sleep(0.0005)
";

/// The first policy: friends are on the list `one`, which is the first of two, and small.
fn first(extra: &str) -> String {
    let fillers = (0..40).map(|n| format!("10.{n}.0.0/16")).chain(["2001:db8:5::/48".into()]);
    policy(&FRIENDS, &STRANGERS, fillers, "one", &format!("{extra}{}", filler_rules(5, "two")))
}

/// The second: friends are on the list `two`, which is larger and full of other prefixes, behind other rules.
fn second() -> String {
    let fillers = (0..700)
        .map(|n| format!("100.{}.{}.0/25", n / 8, n % 8 * 3))
        .chain((0..300).map(|n| format!("2001:db8:5:{n:x}::/64")).chain(["203.0.113.0/27".into()]));
    policy(&STRANGERS, &FRIENDS, fillers, "two", &filler_rules(30, "one"))
}

fn policy(
    one: &[&str],
    two: &[&str],
    fillers: impl Iterator<Item = String>,
    friends: &str,
    rules: &str,
) -> String {
    let fillers: Vec<String> = fillers.collect();
    format!(
        "interfaces = [\"eth0\"]\n[metrics]\nports = [{OPEN}, {SHUT}]\n\
         [allowlists.one]\nentries = {one:?}\n[allowlists.two]\nentries = {two:?}\n\
         [allowlists.fillers]\nentries = {fillers:?}\n[blocklists.bad]\nentries = [\"192.0.2.77\"]\n{rules}\
         [[rules]]\nname = \"probe\"\nports = [{OPEN}, {SHUT}]\nprotocols = [\"tcp\", \"udp\"]\nfrom = [\"{friends}\"]\n"
    )
}

/// Rules that move the numbers of classes, ports and cells.
fn filler_rules(count: u16, list: &str) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let port = 100 + 2 * number;
        let _ = write!(
            text,
            "[[rules]]\nname = \"filler-{number}\"\nports = [{port}]\nfrom = [\"{list}\", \"fillers\"]\n"
        );
        text
    })
}

/// The frames of friends to [`OPEN`] and of strangers to [`SHUT`].
fn probes() -> Vec<Packet> {
    let packets = |sources4: &[[u8; 4]], sources6: &[&str]| {
        let packets4 = sources4.iter().map(|source| v4((*source).into(), SERVER4));
        let packets6 =
            sources6.iter().map(|source| v6(source.parse().expect("an address"), SERVER6));
        packets4.chain(packets6).collect::<Vec<_>>()
    };
    let to = |packets: Vec<Packet>, port: u16| {
        packets.into_iter().flat_map(move |packet| {
            [packet.clone().udp(40_000, port, 20), packet.tcp(40_000, port, "S")]
        })
    };
    to(packets(&FRIENDS4, &FRIENDS6), OPEN)
        .chain(to(packets(&STRANGERS4, &STRANGERS6), SHUT))
        .collect()
}

/// A server behind the filter, and a client that sends probes without pause.
struct Site {
    server: Netns,
    client: Netns,
    folder: tempfile::TempDir,
    labels: Labels,
    slots: Slots,
    tag: Tag,
}

impl Site {
    fn new() -> Self {
        let (server, client) = (Netns::new(), Netns::new());
        veth(&server, "eth0", &client, "eth0");
        // The address to which the frames of `packet` go.
        server.ip("link set eth0 address 02:00:00:00:00:01");
        add_address(&server, "eth0", &format!("{SERVER4}/24"));
        add_address(&server, "eth0", &format!("{SERVER6}/64"));
        // So that sources elsewhere are credible.
        server.ip("route add default via 192.0.2.2 dev eth0");
        server.ip("-6 route add default via 2001:db8::2 dev eth0");
        Site {
            server,
            client,
            folder: tempfile::tempdir().expect("a folder"),
            labels: Labels::new(),
            slots: Slots::default(),
            tag: Tag::unique(),
        }
    }

    fn compile(&mut self, text: &str) -> Compiled {
        let loaded =
            Config::parse(text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
        let policy =
            Policy::new(&loaded.config, Lists::from_config(&loaded.config), Vec::new(), 1, 1);
        compile(&policy, &mut self.labels, &mut self.slots, hz()).expect("the policy compiles")
    }

    fn start(&self, policy: &Compiled) -> Engine {
        let started = self.server.enter(|| {
            let interfaces = select_interfaces(&["eth0".to_owned()])?;
            let store = Store::open(&StoreOptions::new(self.tag.bpf_dir()))?;
            let options =
                EngineOptions { interfaces, replace: false, timeouts: Timeouts::default() };
            Engine::start(store, options, policy)
        });
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    fn send(&self) -> Process {
        let mut command = self.client.command("python3");
        command.args(["-c", SENDER]);
        for frame in probes() {
            let hex = frame.bytes().iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            command.arg(hex);
        }
        Process::start(command, &self.folder.path().join("sender.log"))
    }

    fn listen(&self, port: u16) -> UdpSocket {
        let socket = self.server.enter(|| UdpSocket::bind(("::", port)).expect("a free port"));
        socket.set_nonblocking(true).expect("a socket that does not wait");
        socket
    }

    /// How many probes of friends passed and how many of strangers were dropped.
    ///
    /// # Panics
    /// If one got another verdict.
    fn right_verdicts(&self, engine: &Engine) -> (u64, u64) {
        let counters = engine.counters(self.labels.len()).expect("counters");
        assert!(counters.ingress_audited.iter().all(|counter| counter.packets == 0));
        let (mut friends, mut strangers) = (0, 0);
        for (counter, number) in
            counters.ingress.iter().zip(0..).filter(|(counter, _)| counter.packets > 0)
        {
            let meaning = self.labels.describe(number).expect("a counter with a meaning");
            if !matches!(meaning.transport, Transport::Tcp | Transport::Udp) {
                continue; // neighbour discovery and the like
            }
            match (meaning.port, meaning.verdict, meaning.reason) {
                (Some(OPEN), Verdict::Pass, Reason::Rule) => friends += counter.packets,
                (Some(SHUT), Verdict::Drop, Reason::SourceNotAllowed | Reason::Blocklist) => {
                    strangers += counter.packets;
                }
                _ => panic!("{} packets with a wrong verdict: {meaning:?}", counter.packets),
            }
        }
        (friends, strangers)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.enter(|| detach(&self.tag.bpf_dir()));
    }
}

/// Puts the policies in force in turn while probes come in, and checks every verdict.
fn change(site: &Site, policies: [&Compiled; 2], changes: usize, fit: Fit, how: How) -> (u64, u64) {
    let (open, shut) = (site.listen(OPEN), site.listen(SHUT));
    let mut engine = site.start(policies[0]);
    let sender = site.send();
    eventually("probes to come in", Duration::from_secs(20), || {
        match site.right_verdicts(&engine) {
            (1.., 1..) => Ok(()),
            few => Err((few, sender.log())),
        }
    });
    for number in 1..=changes {
        let installed = site.server.enter(|| engine.install(policies[number % 2], fit));
        let installed = installed.unwrap_or_else(|error| panic!("change {number}: {error}"));
        assert_eq!(installed.how, how, "change {number}");
    }
    drop(sender);
    assert!(open.recv(&mut [0; 64]).is_ok(), "a friend's datagram has been received");
    let received = shut.recv(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(
        received,
        Err(std::io::ErrorKind::WouldBlock),
        "a stranger's datagram has been received"
    );
    site.right_verdicts(&engine)
}

#[test]
fn slow_ten_thousand_flips_under_load_give_no_wrong_verdict() {
    let _leaks = Leaks::watch();
    let begin = Instant::now();
    let run = || {
        let mut site = Site::new();
        let (second, first) = (site.compile(&second()), site.compile(&first("")));
        change(&site, [&second, &first], FLIPS / SERVERS, Fit::Superset, How::Flip)
    };
    let counts: Vec<(u64, u64)> = thread::scope(|scope| {
        let runs: Vec<_> = (0..SERVERS).map(|_| scope.spawn(run)).collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let (friends, strangers) = counts
        .iter()
        .fold((0, 0), |sum, (friends, strangers)| (sum.0 + friends, sum.1 + strangers));
    println!(
        "{FLIPS} flips in {:.1} s: {friends} probes passed and {strangers} were dropped, none wrongly",
        begin.elapsed().as_secs_f64()
    );
    assert!(friends.min(strangers) > FLIPS as u64, "more probes of each kind than flips");
}

#[test]
fn slow_fifty_new_instances_under_load_give_no_wrong_verdict() {
    let _leaks = Leaks::watch();
    let begin = Instant::now();
    let mut site = Site::new();
    // The one has limits, the other has not: an exact fit needs another instance each time.
    let limited = "[limits]\npackets_per_source = \"1000000/s\"\n";
    let (first, second) = (site.compile(&first(limited)), site.compile(&second()));
    let (friends, strangers) = change(&site, [&first, &second], RELOADS, Fit::Exact, How::Reload);
    println!(
        "{RELOADS} new instances in {:.1} s: {friends} probes passed and {strangers} were dropped, none wrongly",
        begin.elapsed().as_secs_f64()
    );
    assert!(friends.min(strangers) > RELOADS as u64, "more probes of each kind than changes");
}
