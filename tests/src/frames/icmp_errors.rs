//! ICMP errors: they pass only if the packet that they quote is one that this server may have sent.

use foobar_common::reason::Reason::{Blocklist, IcmpError, IcmpUnrelated};

use super::{
    extensions::padding,
    hosts::{ADMIN, APP, BLOCKED, Host, OTHER_REMOTE, REMOTE, SERVER, WORLD},
    packet::{Packet, filler, v4, v6},
    row::{Row, drops, passes},
};

/// A router on the way, on no list.
const ROUTER: Host = OTHER_REMOTE;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        rows.extend(family.served());
        rows.extend(family.own_flows());
        rows.extend(family.quoted_short());
    }
    rows.extend(kinds());
    rows.extend(quoted_headers());
    rows
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self, name: &str) -> String {
        match self {
            Family::V4 => format!("v4-error-{name}"),
            Family::V6 => format!("v6-error-{name}"),
        }
    }

    fn packet(self, from: Host, to: Host) -> Packet {
        match self {
            Family::V4 => v4(from.v4, to.v4),
            Family::V6 => v6(from.v6, to.v6),
        }
    }

    /// The path's MTU is too small for this packet.
    fn too_big(self, from: Host, quoted: &[u8]) -> Packet {
        match self {
            Family::V4 => self.packet(from, SERVER).icmp(3, 4, [0, 0, 5, 0], quoted),
            Family::V6 => self.packet(from, SERVER).icmp(2, 0, [0, 0, 5, 0], quoted),
        }
    }

    /// The start of a packet, as routers quote it.
    fn quote(self, packet: &Packet) -> Vec<u8> {
        let mut bytes = packet.network_bytes();
        bytes.truncate(match self {
            Family::V4 => 28,
            Family::V6 => 1232,
        });
        bytes
    }

    fn error_about(self, packet: &Packet) -> Packet {
        self.too_big(ROUTER, &self.quote(packet))
    }

    /// About connections to the server's own ports, which need no memory.
    fn served(self) -> Vec<Row> {
        let sent = |to: Host, port: u16| {
            self.packet(SERVER, to).tcp_with(port, 51000, "PA", &[], &filler(1400))
        };
        let why = "path MTU discovery of a connection that the rules allow";
        let unrelated =
            "the server cannot have sent this packet, since the rules allow no such connection";
        vec![
            passes(self.name("served-https"), IcmpError, self.error_about(&sent(WORLD, 443)), why),
            passes(
                self.name("served-ssh-admin"),
                IcmpError,
                self.error_about(&sent(ADMIN, 22)),
                why,
            ),
            passes(
                self.name("served-quic"),
                IcmpError,
                self.error_about(&self.packet(SERVER, WORLD).udp(443, 51000, 1200)),
                why,
            ),
            passes(
                self.name("served-from-the-peer"),
                IcmpError,
                self.too_big(WORLD, &self.quote(&sent(WORLD, 80))),
                why,
            ),
            drops(
                self.name("ssh-to-world"),
                IcmpUnrelated,
                self.error_about(&sent(WORLD, 22)),
                unrelated,
            ),
            drops(
                self.name("database-to-admin"),
                IcmpUnrelated,
                self.error_about(&sent(ADMIN, 3306)),
                unrelated,
            ),
            drops(
                self.name("https-to-blocked"),
                IcmpUnrelated,
                self.error_about(&sent(BLOCKED, 443)),
                unrelated,
            ),
            drops(
                self.name("closed-port"),
                IcmpUnrelated,
                self.error_about(&sent(WORLD, 9100)),
                unrelated,
            ),
            drops(
                self.name("from-blocked-router"),
                Blocklist,
                self.too_big(BLOCKED, &self.quote(&sent(WORLD, 443))),
                "blocked is blocked",
            ),
            drops(
                self.name("packet-of-somebody-else"),
                IcmpUnrelated,
                self.error_about(&self.packet(APP, WORLD).tcp(443, 51000, "A")),
                "the quoted packet is not from this server",
            ),
            drops(
                self.name("packet-to-this-server"),
                IcmpUnrelated,
                self.error_about(&self.packet(WORLD, SERVER).tcp(51000, 443, "A")),
                "the quoted packet goes the wrong way",
            ),
        ]
    }

    /// About flows that the server opened.
    fn own_flows(self) -> Vec<Row> {
        let syn = || self.packet(SERVER, REMOTE).tcp(45000, 443, "S").sent();
        let question = || self.packet(SERVER, REMOTE).udp(40000, 53, 30).sent();
        let echo = if matches!(self, Family::V4) { (8, 0) } else { (128, 129) };
        let ping = |id: u8| self.packet(SERVER, REMOTE).icmp(echo.0, 0, [0, id, 0, 1], &[]).sent();
        let to_blocked = self.packet(SERVER, BLOCKED).icmp(echo.0, 0, [0, 7, 0, 1], &[]).sent();
        let why = "it concerns a flow that the server opened";
        let unrelated = "the server has no such flow";
        let about = |name: &str, quoted: Packet, opened: Packet| {
            drops(self.name(name), IcmpUnrelated, self.error_about(&quoted), unrelated)
                .after_egress(opened)
        };
        let related = |name: &str, quoted: Packet| {
            passes(self.name(name), IcmpError, self.error_about(&quoted), why).after_egress(quoted)
        };
        vec![
            related("own-tcp", syn()),
            related("own-udp", question()),
            related("own-ping", ping(7)),
            about(
                "own-tcp-other-local-port",
                self.packet(SERVER, REMOTE).tcp(45001, 443, "S"),
                syn(),
            ),
            about(
                "own-tcp-other-remote-port",
                self.packet(SERVER, REMOTE).tcp(45000, 80, "S"),
                syn(),
            ),
            about(
                "own-tcp-other-remote",
                self.packet(SERVER, OTHER_REMOTE).tcp(45000, 443, "S"),
                syn(),
            ),
            about("own-tcp-as-udp", self.packet(SERVER, REMOTE).udp(45000, 443, 8), syn()),
            about("own-udp-other-port", self.packet(SERVER, REMOTE).udp(40001, 53, 30), question()),
            about("own-ping-other-identifier", ping(8), ping(7)),
            drops(self.name("no-flow"), IcmpUnrelated, self.error_about(&syn()), unrelated),
            drops(
                self.name("forgotten-flow"),
                IcmpUnrelated,
                self.error_about(&question()),
                "the flow is too old",
            )
            .after_egress(question())
            .wait(3600),
            drops(
                self.name("own-ping-that-a-blocked-host-answered"),
                IcmpUnrelated,
                self.error_about(&to_blocked),
                "what is dropped does not keep a flow alive",
            )
            .after_egress(to_blocked)
            .wait(20)
            .after_ingress(self.packet(BLOCKED, SERVER).icmp(echo.1, 0, [0, 7, 0, 1], &[]))
            .wait(20),
            drops(
                self.name("own-tcp-from-blocked-router"),
                Blocklist,
                self.too_big(BLOCKED, &self.quote(&syn())),
                "blocked is blocked",
            )
            .after_egress(syn()),
        ]
    }

    /// Quotations that show no ports.
    fn quoted_short(self) -> Vec<Row> {
        let packet = self.packet(SERVER, WORLD).tcp(443, 51000, "A");
        let header = if matches!(self, Family::V4) { 20 } else { 40 };
        let mut rows = Vec::new();
        for bytes in [0, 1, header - 1, header, header + 3, header + 7] {
            let error = self.too_big(ROUTER, &packet.network_bytes()[..bytes]);
            let why = "it quotes too little to tell what it is about";
            rows.push(drops(
                self.name(&format!("quotes-{bytes}-bytes")),
                IcmpUnrelated,
                error,
                why,
            ));
        }
        let error = self.too_big(ROUTER, &packet.network_bytes()[..header + 8]);
        rows.push(passes(
            self.name("quotes-8-bytes-of-tcp"),
            IcmpError,
            error,
            "8 bytes are what RFC 792 asks for",
        ));
        rows
    }
}

/// All kinds of errors.
fn kinds() -> Vec<Row> {
    let quoted4 = v4(SERVER.v4, WORLD.v4).tcp(443, 51000, "A").network_bytes();
    let quoted6 = v6(SERVER.v6, WORLD.v6).tcp(443, 51000, "A").network_bytes();
    let other4 = v4(SERVER.v4, WORLD.v4).tcp(9100, 51000, "A").network_bytes();
    let why = "errors about a real flow tell the stack what it must know";
    let mut rows = Vec::new();
    for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0)] {
        let error = |quoted| v4(ROUTER.v4, SERVER.v4).icmp(kind, code, [0; 4], quoted);
        let name = format!("v4-error-type-{kind}-code-{code}");
        rows.push(passes(name.clone(), IcmpError, error(&quoted4), why));
        rows.push(drops(
            format!("{name}-unrelated"),
            IcmpUnrelated,
            error(&other4),
            "about no flow",
        ));
    }
    for (kind, code) in [(1, 0), (1, 1), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1)] {
        let error = v6(ROUTER.v6, SERVER.v6).icmp(kind, code, [0; 4], &quoted6);
        rows.push(passes(format!("v6-error-type-{kind}-code-{code}"), IcmpError, error, why));
    }
    rows
}

/// Quoted packets with more than the plain headers.
fn quoted_headers() -> Vec<Row> {
    let error4 = |quoted: &[u8]| v4(ROUTER.v4, SERVER.v4).icmp(3, 4, [0, 0, 5, 0], quoted);
    let error6 = |quoted: &[u8]| v6(ROUTER.v6, SERVER.v6).icmp(2, 0, [0, 0, 5, 0], quoted);
    let sent4 = || v4(SERVER.v4, WORLD.v4);
    let sent6 = || v6(SERVER.v6, WORLD.v6);
    let why = "the quoted ports stand where the quoted headers say";
    let decoy = [136, 8, 1, 187, 0, 0, 0, 0];
    vec![
        passes(
            "v4-error-quotes-options",
            IcmpError,
            error4(&sent4().options(&[1; 8]).tcp(443, 51000, "A").network_bytes()),
            why,
        ),
        drops(
            "v4-error-quotes-options-that-look-like-443",
            IcmpUnrelated,
            error4(&sent4().options(&decoy).tcp(9100, 51000, "A").network_bytes()),
            why,
        ),
        drops(
            "v4-error-quotes-a-tail",
            IcmpUnrelated,
            error4(
                &sent4()
                    .fragment4(7, false, 100)
                    .raw(6, &sent4().tcp(443, 51000, "A").transport_bytes())
                    .network_bytes(),
            ),
            "a later fragment shows no ports",
        ),
        passes(
            "v4-error-quotes-a-first-fragment",
            IcmpError,
            error4(
                &sent4()
                    .fragment4(7, true, 0)
                    .tcp_with(443, 51000, "A", &[], &filler(12))
                    .network_bytes(),
            ),
            why,
        ),
        drops(
            "v4-error-quotes-an-error",
            IcmpUnrelated,
            error4(
                &sent4()
                    .icmp(3, 1, [0; 4], &sent4().tcp(443, 51000, "A").network_bytes())
                    .network_bytes(),
            ),
            "no error is sent about an error (RFC 1122)",
        ),
        drops(
            "v4-error-quotes-ipv6",
            IcmpUnrelated,
            error4(&sent6().tcp(443, 51000, "A").network_bytes()),
            "the families do not mix",
        ),
        drops(
            "v4-error-quotes-gre",
            IcmpUnrelated,
            error4(
                &sent4().raw(47, &sent4().tcp(443, 51000, "A").transport_bytes()).network_bytes(),
            ),
            "not a protocol with flows",
        ),
        drops(
            "v6-error-quotes-options",
            IcmpUnrelated,
            error6(&sent6().extension(60, &padding(0)).tcp(443, 51000, "A").network_bytes()),
            "this server sends no extension header but for fragments, so no other is looked behind",
        ),
        drops(
            "v6-error-quotes-options-and-closed-port",
            IcmpUnrelated,
            error6(&sent6().extension(60, &padding(0)).tcp(9100, 51000, "A").network_bytes()),
            "nor would that port be served",
        ),
        passes(
            "v6-error-quotes-a-first-fragment",
            IcmpError,
            error6(
                &sent6()
                    .fragment6(7, true, 0)
                    .tcp_with(443, 51000, "A", &[], &filler(12))
                    .network_bytes(),
            ),
            why,
        ),
        drops(
            "v6-error-quotes-a-tail",
            IcmpUnrelated,
            error6(
                &sent6()
                    .fragment6(7, false, 100)
                    .raw(6, &sent6().tcp(443, 51000, "A").transport_bytes())
                    .network_bytes(),
            ),
            "a later fragment shows no ports",
        ),
        drops(
            "v6-error-quotes-ipv4",
            IcmpUnrelated,
            error6(&sent4().tcp_with(443, 51000, "A", &[], &filler(40)).network_bytes()),
            "the families do not mix",
        ),
    ]
}
