//! What a packet costs, as a multiple of what the least program costs in the same moment: a guard against a change that makes the packet
//! path much slower. Never a time of its own, and with a wide margin: machines differ, and this one does other things as well.

use std::{fmt::Write as _, net::Ipv4Addr, path::Path};

use foobar_tests::frames::{
    hosts::{SERVER, WORLD},
    packet::{Packet, v4, v6},
};
use foobar_user::{
    kernel::{
        Sandbox, Timeouts, hz,
        measure::{Action, RandomSources, Subject},
    },
    policy::{Config, Labels, Lists, Policy, Slots, compile},
};
use nix::time::{ClockId, clock_gettime};

/// Turns that each program has; their median counts.
const ROUNDS: usize = 9;
/// Packets in a turn.
const PACKETS: u32 = 200_000;

/// What one packet may cost at most, in multiples of a bare drop: about three times of what it costs on processors of 2023.
const CASES: [(&str, f64); 4] = [
    ("SYN denied", 10.0),
    ("UDP to a closed port", 6.0),
    ("IPv6 SYN denied", 13.0),
    ("SYN, random sources", 13.0),
];
/// How much dearer a packet may be with 1,000 rules than with one. It is the same, but for the caches.
const FLAT: f64 = 2.0;

/// A program with a frame, and what its turns took, in nanoseconds a packet.
struct Measured {
    program: Subject,
    frame: Vec<u8>,
    samples: Vec<f64>,
}

impl Measured {
    fn new(program: Subject, packet: &Packet) -> Self {
        Measured { program, frame: packet.bytes(), samples: Vec::new() }
    }

    fn turn(&mut self) {
        let before = thread_nanoseconds();
        self.program.run(&self.frame, PACKETS).unwrap_or_else(|error| panic!("{error}"));
        self.samples.push((thread_nanoseconds() - before) as f64 / f64::from(PACKETS));
    }
}

/// CPU time of this thread: what others do in between does not count.
fn thread_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's CPU time");
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// A policy with so many rules, each for those on a list of 10,000 prefixes.
fn sandbox(rules: u32) -> Sandbox {
    let mut text = "interfaces = [\"eth0\"]\n[allowlists.customers]\nentries = [".to_owned();
    for number in 0..10_000u32 {
        let address = Ipv4Addr::from_bits((16 << 24) + number * 65_521);
        let _ = write!(text, "\"{address}/28\", \"2001:db8:{number:x}::/48\", ");
    }
    text.push_str("]\n");
    for number in 0..rules {
        let port = 8443 + number;
        let _ = write!(
            text,
            "[[rules]]\nname = \"r{number}\"\nports = [{port}]\nfrom = [\"customers\"]\n"
        );
    }
    let loaded =
        Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
    let policy = Policy::new(&loaded.config, Lists::from_config(&loaded.config), Vec::new(), 1, 1);
    let compiled = compile(&policy, &mut Labels::new(), &mut Slots::default(), hz());
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
    Sandbox::load(&compiled, Timeouts::default(), 1024, 16_384)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_packet_costs_a_few_times_a_bare_drop_whatever_the_number_of_rules() {
    let of =
        |sandbox: &Sandbox| Subject::ingress(sandbox).unwrap_or_else(|error| panic!("{error}"));
    let random = |subject: &Subject| {
        RandomSources::V4.in_front_of(subject).unwrap_or_else(|error| panic!("{error}"))
    };
    let bare = || Subject::constant(Action::Drop).unwrap_or_else(|error| panic!("{error}"));
    let syn = v4(WORLD.v4, SERVER.v4).tcp(51_000, 8443, "S");
    let (one, thousand) = (sandbox(1), sandbox(1_000));
    let mut all = [
        Measured::new(bare(), &syn),
        Measured::new(of(&one), &syn),
        Measured::new(of(&one), &v4(WORLD.v4, SERVER.v4).udp(51_000, 9999, 64)),
        Measured::new(of(&one), &v6(WORLD.v6, SERVER.v6).tcp(51_000, 8443, "S")),
        Measured::new(random(&of(&one)), &syn),
        Measured::new(of(&thousand), &syn),
        Measured::new(random(&bare()), &syn),
    ];
    for _ in 0..=ROUNDS {
        all.iter_mut().for_each(Measured::turn);
    }
    let [floor, plain, closed, six, random, rules, behind] = all.map(|measured| measured.samples);
    // The first round fills the caches. What makes the sources costs as well, and is taken off.
    let ratio = |samples: &[f64], off: &[f64]| {
        let rounds = 1..=ROUNDS;
        median(rounds.map(|round| (samples[round] - off[round] + floor[round]) / floor[round]))
    };
    let found = [
        ratio(&plain, &floor),
        ratio(&closed, &floor),
        ratio(&six, &floor),
        ratio(&random, &behind),
    ];
    for ((name, most), found) in CASES.into_iter().zip(found) {
        println!("{name}: {found:.2} x a bare drop, at most {most}");
        assert!(found <= most, "{name} costs {found:.2} times a bare drop, more than {most}");
    }
    let flat = median((1..=ROUNDS).map(|round| rules[round] / plain[round]));
    println!("1,000 rules: {flat:.2} x one rule, at most {FLAT}");
    assert!(flat <= FLAT, "1,000 rules cost {flat:.2} times as much as one");
}
