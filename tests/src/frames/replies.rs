//! Replies to what the server itself began, and packets that only look like it.

use foobar_common::reason::Reason::{
    self, Blocklist, InvalidFlags, NoRule, Reply, SourceNotAllowed, Unsolicited,
};

use super::{
    extensions::padding,
    hosts::{APP, BLOCKED, Host, OTHER_REMOTE, REMOTE, SERVER},
    packet::{Packet, ether, filler, v4, v6},
    row::{Row, drops, passes},
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        rows.extend(family.tcp());
        rows.extend(family.tcp_one_field_off());
        rows.extend(family.tcp_ends());
        rows.extend(family.no_flow());
        rows.extend(family.served());
        rows.extend(family.udp());
        rows.extend(family.echo());
    }
    rows.extend(unusual_frames());
    rows
}

use Family::{V4, V6};

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn packet(self, from: Host, to: Host) -> Packet {
        match self {
            V4 => v4(from.v4, to.v4),
            V6 => v6(from.v6, to.v6),
        }
    }

    fn name(self, name: &str) -> String {
        match self {
            V4 => format!("v4-{name}"),
            V6 => format!("v6-{name}"),
        }
    }

    /// The server opens a connection to tcp/443 of `REMOTE`.
    fn syn(self) -> Packet {
        self.packet(SERVER, REMOTE).tcp(45000, 443, "S").sent()
    }

    /// A segment of the other end of that connection.
    fn answer(self, flags: &str) -> Packet {
        self.packet(REMOTE, SERVER).tcp(443, 45000, flags)
    }

    fn tcp(self) -> Vec<Row> {
        let why = "it answers a connection that the server opened";
        let mut rows = Vec::new();
        for flags in ["SA", "SAE", "A", "PA", "FA", "RA", "R", "UA"] {
            let name = self.name(&format!("reply-{flags}"));
            rows.push(passes(name, Reply, self.answer(flags), why).after_egress(self.syn()));
        }
        let data = self.packet(REMOTE, SERVER).tcp_with(
            443,
            45000,
            "PA",
            &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            &filler(1400),
        );
        rows.extend([
            passes(self.name("reply-data"), Reply, data, why)
                .after_egress(self.syn())
                .after_ingress(self.answer("SA"))
                .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "A").sent()),
            passes(
                self.name("reply-mid-stream"),
                Reply,
                self.answer("PA"),
                "the connection was opened before the filter was loaded: its next segment makes it known",
            )
            .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "PA").sent()),
            passes(self.name("reply-after-an-hour"), Reply, self.answer("PA"), "an idle connection stays open for days")
                .after_egress(self.syn())
                .after_ingress(self.answer("SA"))
                .wait(3600),
            drops(self.name("reply-SA-after-an-hour"), NoRule, self.answer("SA"), "nobody answers a SYN after so long")
                .after_egress(self.syn())
                .wait(3600),
            drops(self.name("reply-SYN"), NoRule, self.answer("S"), "a SYN opens, it answers nothing").after_egress(self.syn()),
            drops(self.name("reply-NULL"), InvalidFlags, self.answer(""), "no stack sends this").after_egress(self.syn()),
            drops(self.name("reply-XMAS"), InvalidFlags, self.answer("FPU"), "no stack sends this").after_egress(self.syn()),
            drops(self.name("reply-of-blocked"), Blocklist, self.packet(BLOCKED, SERVER).tcp(443, 45000, "SA"), {
                "the blocklist comes before everything, replies included"
            })
            .after_egress(self.packet(SERVER, BLOCKED).tcp(45000, 443, "S").sent()),
        ]);
        rows
    }

    fn tcp_one_field_off(self) -> Vec<Row> {
        let why = "one field differs, so it answers nothing that the server sent";
        let off = |name: &str, packet: Packet| {
            drops(self.name(&format!("reply-{name}")), NoRule, packet, why).after_egress(self.syn())
        };
        let mut rows = Vec::new();
        for flags in ["SA", "PA", "R"] {
            rows.extend([
                off(
                    &format!("{flags}-other-source"),
                    self.packet(OTHER_REMOTE, SERVER).tcp(443, 45000, flags),
                ),
                off(
                    &format!("{flags}-other-source-port"),
                    self.packet(REMOTE, SERVER).tcp(444, 45000, flags),
                ),
                off(
                    &format!("{flags}-other-destination"),
                    self.packet(REMOTE, APP).tcp(443, 45000, flags),
                ),
                off(
                    &format!("{flags}-other-destination-port"),
                    self.packet(REMOTE, SERVER).tcp(443, 45001, flags),
                ),
            ]);
        }
        rows.push(off("as-udp", self.packet(REMOTE, SERVER).udp(443, 45000, 20)));
        rows.push(off("ports-swapped", self.packet(REMOTE, SERVER).tcp(45000, 443 + 1, "A")));
        rows
    }

    fn tcp_ends(self) -> Vec<Row> {
        let closed = |row: Row| {
            row.after_egress(self.syn())
                .after_ingress(self.answer("SA"))
                .after_ingress(self.answer("FA"))
                .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "FA").sent())
        };
        let reset = |row: Row| row.after_egress(self.syn()).after_ingress(self.answer("RA"));
        // The server ends it, so the last segment of all is its acknowledgement.
        let closed_by_server = |row: Row| {
            row.after_egress(self.syn())
                .after_ingress(self.answer("SA"))
                .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "FA").sent())
                .after_ingress(self.answer("FA"))
                .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "A").sent())
        };
        let aborted = |row: Row| {
            row.after_egress(self.syn())
                .after_ingress(self.answer("SA"))
                .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "R").sent())
        };
        vec![
            closed_by_server(drops(
                self.name("reply-long-closed-by-server"),
                NoRule,
                self.answer("A"),
                "the connection is over, whoever ended it",
            ))
            .wait(3600),
            aborted(drops(
                self.name("reply-long-aborted-by-server"),
                NoRule,
                self.answer("A"),
                "a RST of the server opens nothing, but it ends what is open",
            ))
            .wait(3600),
            passes(
                self.name("reply-half-closed"),
                Reply,
                self.answer("A"),
                "the other end has nothing more to say, but the server goes on sending",
            )
            .after_egress(self.syn())
            .after_ingress(self.answer("SA"))
            .after_ingress(self.answer("FA"))
            .after_egress(self.packet(SERVER, REMOTE).tcp(45000, 443, "PA").sent())
            .wait(3600),
            closed(passes(
                self.name("reply-last-ack"),
                Reply,
                self.answer("A"),
                "the last acknowledgement of the end",
            )),
            closed(passes(
                self.name("reply-repeated-fin"),
                Reply,
                self.answer("FA"),
                "its ACK was lost",
            ))
            .wait(30),
            closed(drops(
                self.name("reply-long-closed"),
                NoRule,
                self.answer("A"),
                "the connection is over",
            ))
            .wait(3600),
            reset(drops(
                self.name("reply-long-reset"),
                NoRule,
                self.answer("A"),
                "the connection is over",
            ))
            .wait(3600),
        ]
    }

    /// What the server sends without opening anything.
    fn no_flow(self) -> Vec<Row> {
        let why = "an outsider can provoke this answer, so it must not open the door to him";
        let row = |name: &str, sent: Packet, packet: Packet, reason: Reason| {
            drops(self.name(&format!("no-flow-from-{name}")), reason, packet, why)
                .after_egress(sent)
        };
        let to_remote = || self.packet(SERVER, REMOTE);
        let from_remote = || self.packet(REMOTE, SERVER);
        let quoted = from_remote().udp(443, 45000, 20).network_bytes();
        let unreachable = match self {
            V4 => to_remote().icmp(3, 3, [0; 4], &quoted),
            V6 => to_remote().icmp(1, 4, [0; 4], &quoted),
        };
        let (pong, ping_back) = match self {
            V4 => (
                to_remote().icmp(0, 0, [0, 5, 0, 1], &[]),
                from_remote().icmp(0, 0, [0, 5, 0, 1], &[]),
            ),
            V6 => (
                to_remote().icmp(129, 0, [0, 5, 0, 1], &[]),
                from_remote().icmp(129, 0, [0, 5, 0, 1], &[]),
            ),
        };
        vec![
            row(
                "reset",
                to_remote().tcp(45000, 443, "R").sent(),
                from_remote().tcp(443, 45000, "A"),
                NoRule,
            ),
            row(
                "reset-ack",
                to_remote().tcp(45000, 443, "RA").sent(),
                from_remote().tcp(443, 45000, "PA"),
                NoRule,
            ),
            row(
                "syn-ack",
                to_remote().tcp(45000, 443, "SA").sent(),
                from_remote().tcp(443, 45000, "A"),
                NoRule,
            ),
            row("unreachable", unreachable.sent(), from_remote().udp(443, 45000, 20), NoRule),
            row("echo-reply", pong.sent(), ping_back, Unsolicited),
            row(
                "ingress",
                to_remote().tcp(45999, 443, "S").sent(),
                from_remote().tcp(443, 45000, "A"),
                NoRule,
            )
            .after_ingress(from_remote().tcp(443, 45000, "SA")),
        ]
    }

    /// Connections that the server opens from a port that it serves, as some old protocols do.
    fn served(self) -> Vec<Row> {
        let from_ssh = || self.packet(SERVER, REMOTE).tcp(22, 513, "S").sent();
        let answer = |flags: &str| self.packet(REMOTE, SERVER).tcp(513, 22, flags);
        let why = "a SYN from a served port opens a flow like any other";
        vec![
            passes(self.name("served-port-opens-reply-SA"), Reply, answer("SA"), why)
                .after_egress(from_ssh()),
            passes(self.name("served-port-opens-reply-data"), Reply, answer("PA"), why)
                .after_egress(from_ssh())
                .after_ingress(answer("SA")),
            drops(
                self.name("served-port-answer-is-no-flow"),
                SourceNotAllowed,
                answer("PA"),
                "what a served port answers makes no flow",
            )
            .after_egress(self.packet(SERVER, REMOTE).tcp(22, 513, "PA").sent()),
            passes(
                self.name("open-port-opens-reply-SA"),
                Reply,
                self.packet(REMOTE, SERVER).tcp(513, 80, "SA"),
                "an answer to a SYN from a served port is judged as an answer, not by the rules",
            )
            .after_egress(self.packet(SERVER, REMOTE).tcp(80, 513, "S").sent()),
        ]
    }

    fn udp(self) -> Vec<Row> {
        let question = || self.packet(SERVER, REMOTE).udp(40000, 53, 30).sent();
        let answer = || self.packet(REMOTE, SERVER).udp(53, 40000, 200);
        let why = "it answers a question of the server";
        let off = |name: &str, packet: Packet| {
            let why = "one field differs, so it answers no question of the server";
            drops(self.name(&format!("dns-reply-{name}")), NoRule, packet, why)
                .after_egress(question())
        };
        vec![
            passes(self.name("dns-reply"), Reply, answer(), why).after_egress(question()),
            passes(self.name("dns-reply-second"), Reply, answer(), why)
                .after_egress(question())
                .after_ingress(answer()),
            passes(self.name("dns-reply-after-a-minute"), Reply, answer(), why)
                .after_egress(question())
                .wait(60),
            drops(self.name("dns-reply-after-an-hour"), NoRule, answer(), "nobody waits so long")
                .after_egress(question())
                .wait(3600),
            passes(
                self.name("ntp-reply"),
                Reply,
                self.packet(REMOTE, SERVER).udp(123, 123, 48),
                why,
            )
            .after_egress(self.packet(SERVER, REMOTE).udp(123, 123, 48).sent()),
            drops(self.name("dns-reply-unasked"), NoRule, answer(), "nobody asked"),
            passes(
                self.name("udp-stream-that-only-arrives"),
                Reply,
                answer(),
                "each answer keeps the flow alive, also if the server says nothing more",
            )
            .after_egress(question())
            .wait(100)
            .after_ingress(answer())
            .wait(100),
            off("other-source", self.packet(OTHER_REMOTE, SERVER).udp(53, 40000, 200)),
            off("other-source-port", self.packet(REMOTE, SERVER).udp(5353, 40000, 200)),
            off("other-destination", self.packet(REMOTE, APP).udp(53, 40000, 200)),
            off("other-destination-port", self.packet(REMOTE, SERVER).udp(53, 40001, 200)),
            off("as-tcp", self.packet(REMOTE, SERVER).tcp(53, 40000, "A")),
            drops(
                self.name("dns-reply-of-blocked"),
                Blocklist,
                self.packet(BLOCKED, SERVER).udp(53, 40000, 200),
                "the blocklist comes before everything, replies included",
            )
            .after_egress(self.packet(SERVER, BLOCKED).udp(40000, 53, 30).sent()),
        ]
    }

    fn echo(self) -> Vec<Row> {
        let (request, reply) = match self {
            V4 => (8, 0),
            V6 => (128, 129),
        };
        let ping =
            || self.packet(SERVER, REMOTE).icmp(request, 0, [0, 7, 0, 1], &filler(56)).sent();
        let pong = |from: Host, id: u8, sequence: u8| {
            self.packet(from, SERVER).icmp(reply, 0, [0, id, 0, sequence], &filler(56))
        };
        let why = "it answers no ping of the server";
        vec![
            passes(self.name("pong"), Reply, pong(REMOTE, 7, 1), "it answers a ping of the server")
                .after_egress(ping()),
            passes(self.name("pong-late"), Reply, pong(REMOTE, 7, 1), "far away, but not lost")
                .after_egress(ping())
                .wait(10),
            drops(self.name("pong-of-other"), Unsolicited, pong(OTHER_REMOTE, 7, 1), why)
                .after_egress(ping()),
            drops(self.name("pong-of-other-identifier"), Unsolicited, pong(REMOTE, 8, 1), why)
                .after_egress(ping()),
            drops(self.name("pong-after-an-hour"), Unsolicited, pong(REMOTE, 7, 1), why)
                .after_egress(ping())
                .wait(3600),
            drops(
                self.name("pong-of-blocked"),
                Blocklist,
                pong(BLOCKED, 7, 1),
                "the blocklist comes before everything",
            )
            .after_egress(self.packet(SERVER, BLOCKED).icmp(request, 0, [0, 7, 0, 1], &[]).sent()),
        ]
    }
}

fn unusual_frames() -> Vec<Row> {
    let why = "tags and options on either way change nothing";
    vec![
        passes("v4-reply-tagged", Reply, V4.answer("SA").tag(ether::VLAN, 0), why)
            .after_egress(V4.syn()),
        passes("v6-reply-tagged-both-ways", Reply, V6.answer("SA").tag(ether::VLAN, 9), why)
            .after_egress(V6.syn().tag(ether::VLAN, 9)),
        passes("v4-reply-with-options", Reply, V4.answer("SA").options(&[1; 8]), why)
            .after_egress(V4.syn()),
        passes("v4-reply-to-options", Reply, V4.answer("SA"), why)
            .after_egress(V4.syn().options(&[148, 4, 0, 0])),
        passes("v6-reply-with-options", Reply, V6.answer("SA").extension(60, &padding(1)), why)
            .after_egress(V6.syn()),
        passes("v6-reply-to-options", Reply, V6.answer("SA"), why)
            .after_egress(V6.syn().extension(60, &padding(1))),
        passes("v6-reply-to-atomic-fragment", Reply, V6.answer("SA"), why)
            .after_egress(V6.syn().fragment6(5, false, 0)),
        passes(
            "v4-reply-jumbo",
            Reply,
            v4(REMOTE.v4, SERVER.v4).tcp_with(443, 45000, "PA", &[], &filler(8900)),
            "jumbo frames, in several buffers",
        )
        .after_egress(V4.syn()),
    ]
}
