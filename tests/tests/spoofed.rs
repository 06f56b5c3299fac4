//! Packets from invented sources, as many as one likes: no outsider makes an entry, and replies to the server's own connections pass.

use std::env;

use foobar_common::reason::{Reason, Verdict};
use foobar_tests::{
    frames::{
        Direction, Step,
        hosts::{REMOTE, SERVER},
        packet::{Packet, v4},
    },
    programs::{CompiledPolicy, Programs},
};

/// Frames in a test run; `FOOBAR_SPOOFED` chooses another number, such as 10000000.
const FRAMES: u64 = 200_000;

const POLICY: &str =
    "interfaces = [\"eth0\"]\n[[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n";

/// Flags and port of the frames: to the open port, to the port of the server's own connection, to a closed one.
const KINDS: [(&str, u16); 5] = [("S", 80), ("S", 45_000), ("SA", 45_000), ("S", 22), ("R", 80)];

fn run(programs: &Programs, packet: &Packet) -> (Verdict, Reason) {
    let finding = programs.run(&step(Direction::Ingress, packet), 1);
    (finding.verdict, finding.reason)
}

fn step(direction: Direction, packet: &Packet) -> Step {
    Step { direction, frame: packet.bytes() }
}

/// The table of flows has room for 4,096: had each source made an entry, the server's own would have been the first to go.
#[test]
fn slow_invented_sources_make_no_entry() {
    let frames =
        env::var("FOOBAR_SPOOFED").map_or(FRAMES, |number| number.parse().expect("a number"));
    let programs = CompiledPolicy::of(POLICY).load();
    let opened = v4(SERVER.v4, REMOTE.v4).tcp(45_000, 443, "S").sent();
    let reply = v4(REMOTE.v4, SERVER.v4).tcp(443, 45_000, "SA");
    assert_eq!(run(&programs, &reply).0, Verdict::Drop, "nothing was asked yet");
    assert_eq!(programs.run(&step(Direction::Egress, &opened), 1).verdict, Verdict::Pass);
    assert_eq!(run(&programs, &reply), (Verdict::Pass, Reason::Reply));

    let mut steps = KINDS.map(|(flags, port)| {
        let packet = v4([1, 1, 1, 1].into(), SERVER.v4).tcp(443, port, flags);
        step(Direction::Ingress, &packet)
    });
    let (mut passed, mut number) = (0, 1u32);
    for frame in 0..frames {
        // Each of the 2^32 numbers once (Numerical Recipes), in the form of a unicast source.
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, d] = number.to_be_bytes();
        let source = [11 + a % 80, b, c, d];
        let step = &mut steps[frame as usize % KINDS.len()];
        // Behind 14 bytes of Ethernet, the source is 12 bytes into the IPv4 header (RFC 791).
        step.frame[26..30].copy_from_slice(&source);
        let finding = programs.run(step, 1);
        passed += u64::from(finding.verdict == Verdict::Pass);
        assert_ne!(finding.reason, Reason::Reply, "{source:?} is taken for a peer");
    }
    let counted = programs.counted().ingress.0;
    println!("{frames} frames of invented sources: {passed} passed to the open port");
    assert_eq!(counted, frames + 2, "each is counted once");
    // SYN and RST to the open port pass by its rule; nothing else does.
    assert!(passed >= frames / KINDS.len() as u64 && passed <= 2 * frames / KINDS.len() as u64 + 2);
    assert_eq!(
        run(&programs, &reply),
        (Verdict::Pass, Reason::Reply),
        "the own flow is still known"
    );
}
