//! Link layers: Ethernet as it is, Linux "cooked" captures and raw IP with an Ethernet header made for them.

use pcap_parser::Linktype;

/// EtherTypes (IANA "IEEE 802 Numbers").
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Link types that people capture with and that are no Ethernet (`man pcap-linktype`).
const OTHERS: [(i32, &str); 12] = [
    (0, "NULL"),
    (9, "PPP"),
    (50, "PPP_HDLC"),
    (51, "PPP_ETHER"),
    (105, "IEEE802_11"),
    (108, "LOOP"),
    (119, "IEEE802_11_PRISM"),
    (127, "IEEE802_11_RADIOTAP"),
    (163, "IEEE802_11_AVS"),
    (239, "NFLOG"),
    (252, "WIRESHARK_UPPER_PDU"),
    (253, "NETLINK"),
];

/// A destination of frames that had none: locally administered, as is the source of those that had none.
const NOWHERE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NOBODY: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet II.
    Ethernet,
    /// `LINKTYPE_LINUX_SLL`, what `tcpdump -i any` wrote until libpcap 1.10.
    Cooked,
    /// `LINKTYPE_LINUX_SLL2`.
    Cooked2,
    /// An IPv4 or IPv6 header comes first.
    Raw,
}

impl Link {
    /// The link layer of a link type (`man pcap-linktype`); `None` if it is not supported.
    pub fn of(link_type: Linktype) -> Option<Self> {
        /// DLT_RAW as some systems number it.
        const RAW_ELSEWHERE: [Linktype; 2] = [Linktype(12), Linktype(14)];
        match link_type {
            Linktype::ETHERNET => Some(Link::Ethernet),
            Linktype::LINUX_SLL => Some(Link::Cooked),
            Linktype::LINUX_SLL2 => Some(Link::Cooked2),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Some(Link::Raw),
            other if RAW_ELSEWHERE.contains(&other) => Some(Link::Raw),
            _ => None,
        }
    }

    /// What is lost with this link layer.
    pub fn note(self) -> Option<&'static str> {
        match self {
            Link::Ethernet => None,
            Link::Cooked | Link::Cooked2 => Some(
                "the capture is \"cooked\" (tcpdump -i any): its frames get an Ethernet header, and link control frames cannot be \
                 told by their destination",
            ),
            Link::Raw => Some(
                "the capture holds bare IP packets: they get an Ethernet header, and --local MAC does not apply",
            ),
        }
    }

    /// The Ethernet frame, and its source where that was in the capture.
    pub fn into_ethernet(self, data: Vec<u8>) -> (Vec<u8>, Option<[u8; 6]>) {
        match self {
            Link::Ethernet => {
                let source = data.get(6..12).and_then(|source| source.try_into().ok());
                (data, source)
            }
            Link::Cooked => match data.as_slice() {
                // Packet type, hardware type, length of the address, address, protocol (LINKTYPE_LINUX_SLL).
                &[_, _, _, _, _, length, a, b, c, d, e, f, _, _, high, low, ref packet @ ..] => {
                    let source = (length == 6).then_some([a, b, c, d, e, f]);
                    (ethernet(source, [high, low], packet), source)
                }
                short => (short.iter().copied().take(13).collect(), None),
            },
            Link::Cooked2 => match data.as_slice() {
                // Protocol, reserved, interface, hardware type, packet type, length of the address, address (LINKTYPE_LINUX_SLL2).
                &[
                    high,
                    low,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    length,
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    _,
                    _,
                    ref packet @ ..,
                ] => {
                    let source = (length == 6).then_some([a, b, c, d, e, f]);
                    (ethernet(source, [high, low], packet), source)
                }
                short => (short.iter().copied().take(13).collect(), None),
            },
            Link::Raw => {
                let kind =
                    if data.first().is_some_and(|first| first >> 4 == 6) { IPV6 } else { IPV4 };
                (ethernet(None, kind, &data), None)
            }
        }
    }
}

/// The name of a link type, with its number.
pub fn name(Linktype(number): Linktype) -> String {
    match OTHERS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("{name} ({number})"),
        None => number.to_string(),
    }
}

fn ethernet(source: Option<[u8; 6]>, kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&NOWHERE[..], &source.unwrap_or(NOBODY), &kind, packet].concat()
}
