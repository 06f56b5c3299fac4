//! Frames are built here: well-formed ones, with right lengths and checksums, and such that lie where a test wants them to.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, TcpHeader, UdpHeader, checksum::Sum16BitWords,
};

use super::hosts::{ROUTER_MAC, SERVER_MAC};

/// EtherTypes (IANA "IEEE 802 Numbers").
pub mod ether {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
}

/// A frame in the making.
#[derive(Clone, Debug)]
pub struct Packet {
    macs: ([u8; 6], [u8; 6]),
    tags: Vec<(u16, u16)>,
    ether_type: u16,
    network: Network,
    transport: Transport,
    protocol: Option<u8>,
    length: Option<u16>,
    trailer: Vec<u8>,
    cut: Option<usize>,
}

#[derive(Clone, Debug)]
enum Network {
    None,
    V4(V4),
    V6(V6),
}

#[derive(Clone, Debug)]
struct V4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    time_to_live: u8,
    identification: u16,
    flags_and_offset: u16,
    options: Vec<u8>,
    header_words: Option<u8>,
    version: u8,
}

#[derive(Clone, Debug)]
struct V6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    /// Number of each extension header, and its bytes, of which the first is filled in.
    extensions: Vec<(u8, Vec<u8>)>,
    version: u8,
}

#[derive(Clone, Debug, Default)]
struct Transport {
    protocol: u8,
    bytes: Vec<u8>,
    /// Where the checksum is that covers the addresses as well, or the bytes alone.
    checksum: Option<(usize, bool)>,
}

/// An IPv4 packet.
pub fn v4(source: Ipv4Addr, destination: Ipv4Addr) -> Packet {
    let network = Network::V4(V4 {
        source,
        destination,
        time_to_live: 64,
        identification: 0x1234,
        flags_and_offset: 0x4000,
        options: Vec::new(),
        header_words: None,
        version: 4,
    });
    Packet::new(ether::IPV4, network)
}

/// An IPv6 packet.
pub fn v6(source: Ipv6Addr, destination: Ipv6Addr) -> Packet {
    let (extensions, version) = (Vec::new(), 6);
    Packet::new(
        ether::IPV6,
        Network::V6(V6 { source, destination, hop_limit: 64, extensions, version }),
    )
}

/// A frame of another EtherType.
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Packet {
    let mut packet = Packet::new(ether_type, Network::None);
    packet.transport.bytes = payload.to_vec();
    packet
}

impl Packet {
    fn new(ether_type: u16, network: Network) -> Self {
        Packet {
            macs: (SERVER_MAC, ROUTER_MAC),
            tags: Vec::new(),
            ether_type,
            network,
            transport: Transport::default(),
            protocol: None,
            length: None,
            trailer: Vec::new(),
            cut: None,
        }
    }

    /// The frame, from the Ethernet header on.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = [self.macs.0, self.macs.1].concat();
        for (protocol, control) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(self.ether_type.to_be_bytes());
        frame.extend(self.network_bytes());
        frame.extend(&self.trailer);
        frame.truncate(self.cut.unwrap_or(frame.len()));
        frame
    }

    /// The packet from the IP header on, as an ICMP error or a tunnel holds it.
    pub fn network_bytes(&self) -> Vec<u8> {
        match &self.network {
            Network::None => self.transport.bytes.clone(),
            Network::V4(v4) => self.v4_bytes(v4),
            Network::V6(v6) => self.v6_bytes(v6),
        }
    }

    /// Whether it is an IPv6 packet.
    pub fn is_v6(&self) -> bool {
        matches!(self.network, Network::V6(_))
    }

    /// The packet from the transport header on, with its checksum.
    pub fn transport_bytes(&self) -> Vec<u8> {
        let mut bytes = self.transport.bytes.clone();
        let Some((at, covers_addresses)) = self.transport.checksum else { return bytes };
        let length = (bytes.len() as u16).to_be_bytes();
        let protocol = [0, self.transport.protocol];
        let sum = match &self.network {
            Network::V4(v4) if covers_addresses => Sum16BitWords::new()
                .add_4bytes(v4.source.octets())
                .add_4bytes(v4.destination.octets()),
            Network::V6(v6) if covers_addresses => Sum16BitWords::new()
                .add_16bytes(v6.source.octets())
                .add_16bytes(v6.destination.octets()),
            _ => Sum16BitWords::new(),
        };
        let sum = if covers_addresses { sum.add_2bytes(protocol).add_2bytes(length) } else { sum };
        let checksum = sum.add_slice(&bytes).ones_complement().to_be();
        bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn v4_bytes(&self, v4: &V4) -> Vec<u8> {
        let transport = self.transport_bytes();
        let mut header = Ipv4Header {
            time_to_live: v4.time_to_live,
            identification: v4.identification,
            protocol: IpNumber(self.protocol.unwrap_or(self.transport.protocol)),
            source: v4.source.octets(),
            destination: v4.destination.octets(),
            ..Ipv4Header::default()
        };
        header.options =
            Ipv4Options::try_from(&v4.options[..]).expect("options in units of 4 bytes");
        let whole = header.header_len() + transport.len();
        header.total_len = self.length.unwrap_or(whole as u16);
        let mut bytes = header.to_bytes().to_vec();
        bytes[6..8].copy_from_slice(&v4.flags_and_offset.to_be_bytes());
        bytes[0] = v4.version << 4 | v4.header_words.unwrap_or(bytes[0] & 0x0f);
        bytes[10..12].fill(0);
        let checksum = Sum16BitWords::new().add_slice(&bytes).ones_complement().to_be();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(transport);
        bytes
    }

    fn v6_bytes(&self, v6: &V6) -> Vec<u8> {
        let transport = self.transport_bytes();
        let last = self.protocol.unwrap_or(self.transport.protocol);
        let numbers: Vec<u8> =
            v6.extensions.iter().map(|(number, _)| *number).chain([last]).collect();
        let mut payload = Vec::new();
        for ((_, bytes), next) in v6.extensions.iter().zip(&numbers[1..]) {
            payload.push(*next);
            payload.extend(&bytes[1..]);
        }
        payload.extend(transport);
        let header = Ipv6Header {
            payload_length: self.length.unwrap_or(payload.len() as u16),
            next_header: IpNumber(numbers[0]),
            hop_limit: v6.hop_limit,
            source: v6.source.octets(),
            destination: v6.destination.octets(),
            ..Ipv6Header::default()
        };
        let mut bytes = header.to_bytes().to_vec();
        bytes[0] = v6.version << 4;
        bytes.extend(payload);
        bytes
    }
}

/// What a packet carries.
impl Packet {
    /// A TCP segment; flags as letters of `FSRPAUEC`.
    pub fn tcp(self, source: u16, destination: u16, flags: &str) -> Self {
        self.tcp_with(source, destination, flags, &[], &[])
    }

    /// A TCP segment with options (in units of 4 bytes) and data.
    pub fn tcp_with(
        mut self,
        source: u16,
        destination: u16,
        flags: &str,
        options: &[u8],
        data: &[u8],
    ) -> Self {
        let mut header = TcpHeader::new(source, destination, 0x1000, 64_240);
        assert!(flags.chars().all(|flag| "FSRPAUEC".contains(flag)), "{flags}");
        header.fin = flags.contains('F');
        header.syn = flags.contains('S');
        header.rst = flags.contains('R');
        header.psh = flags.contains('P');
        header.ack = flags.contains('A');
        header.urg = flags.contains('U');
        header.ece = flags.contains('E');
        header.cwr = flags.contains('C');
        header.acknowledgment_number = if header.ack { 0x2001 } else { 0 };
        header.set_options_raw(options).expect("options of at most 40 bytes");
        let bytes = [&header.to_bytes()[..], data].concat();
        self.transport = Transport { protocol: 6, bytes, checksum: Some((16, true)) };
        self
    }

    /// A UDP datagram with so many bytes of data.
    pub fn udp(mut self, source: u16, destination: u16, data: usize) -> Self {
        let header = UdpHeader {
            source_port: source,
            destination_port: destination,
            length: (8 + data) as u16,
            checksum: 0,
        };
        let bytes = [&header.to_bytes()[..], &filler(data)].concat();
        self.transport = Transport { protocol: 17, bytes, checksum: Some((6, true)) };
        self
    }

    /// A message of ICMP or ICMPv6: type, code, the four bytes behind the checksum, and the body.
    pub fn icmp(mut self, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Self {
        let bytes = [&[kind, code, 0, 0], &rest[..], body].concat();
        let is_v6 = self.is_v6();
        self.transport =
            Transport { protocol: if is_v6 { 58 } else { 1 }, bytes, checksum: Some((2, is_v6)) };
        self
    }

    /// Bytes of any IP protocol, without checksum.
    pub fn raw(mut self, protocol: u8, bytes: &[u8]) -> Self {
        self.transport = Transport { protocol, bytes: bytes.to_vec(), checksum: None };
        self
    }
}

/// Changes to the headers, lies among them.
impl Packet {
    /// Destination and source MAC address.
    pub fn macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.macs = (destination, source);
        self
    }

    /// Sent by the server.
    pub fn sent(self) -> Self {
        self.macs(ROUTER_MAC, SERVER_MAC)
    }

    /// One more VLAN tag, inside those that are there: tag protocol, and priority and VLAN number.
    pub fn tag(mut self, protocol: u16, control: u16) -> Self {
        self.tags.push((protocol, control));
        self
    }

    /// TTL or hop limit.
    pub fn hops(mut self, limit: u8) -> Self {
        match &mut self.network {
            Network::V4(v4) => v4.time_to_live = limit,
            Network::V6(v6) => v6.hop_limit = limit,
            Network::None => panic!("no IP header"),
        }
        self
    }

    /// IPv4 options, in units of 4 bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.v4_mut().options = options.to_vec();
        self
    }

    /// The IPv4 header claims to have this many words of 4 bytes.
    pub fn header_words(mut self, words: u8) -> Self {
        self.v4_mut().header_words = Some(words);
        self
    }

    /// IPv4 identification, flags (bit 0 reserved, 1 don't fragment, 2 more fragments) and offset in units of 8 bytes.
    pub fn fragment4(mut self, identification: u16, more: bool, offset: u16) -> Self {
        let v4 = self.v4_mut();
        v4.identification = identification;
        v4.flags_and_offset = u16::from(more) << 13 | offset;
        self
    }

    /// The raw flags and offset of the IPv4 header.
    pub fn flags_and_offset(mut self, value: u16) -> Self {
        self.v4_mut().flags_and_offset = value;
        self
    }

    /// One more IPv6 extension header behind those that are there; the first byte of `bytes` is filled in.
    pub fn extension(mut self, number: u8, bytes: &[u8]) -> Self {
        match &mut self.network {
            Network::V6(v6) => v6.extensions.push((number, bytes.to_vec())),
            _ => panic!("no IPv6 header"),
        }
        self
    }

    /// An IPv6 fragment header; the offset in units of 8 bytes.
    pub fn fragment6(self, identification: u32, more: bool, offset: u16) -> Self {
        let mut bytes = vec![0, 0];
        bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
        bytes.extend(identification.to_be_bytes());
        self.extension(44, &bytes)
    }

    /// The version field claims another version.
    pub fn version(mut self, version: u8) -> Self {
        match &mut self.network {
            Network::V4(v4) => v4.version = version,
            Network::V6(v6) => v6.version = version,
            Network::None => panic!("no IP header"),
        }
        self
    }

    /// The IP header (or the last extension header) names this protocol, whatever follows.
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// The length field of the IP header says this, whatever there is: total length in IPv4, payload length in IPv6.
    pub fn length(mut self, length: u16) -> Self {
        self.length = Some(length);
        self
    }

    /// Bytes behind the datagram.
    pub fn trailer(mut self, bytes: &[u8]) -> Self {
        self.trailer = bytes.to_vec();
        self
    }

    /// Padded to the shortest frame that Ethernet carries, as switches and network cards do.
    pub fn padded(mut self) -> Self {
        let missing = 60usize.saturating_sub(self.bytes().len());
        self.trailer.extend(vec![0; missing]);
        self
    }

    /// The EtherType says this, whatever follows.
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.ether_type = ether_type;
        self
    }

    /// The frame ends after so many bytes, lost on the way.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// The transport header and data are changed; the checksum is made after that.
    pub fn edit(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.transport.bytes);
        self
    }

    /// Only these bytes from the transport header on, as a fragment carries them. The checksum stays that of the whole.
    pub fn slice(mut self, from: usize, to: usize) -> Self {
        self.transport.bytes = self.transport_bytes()[from..to].to_vec();
        self.transport.checksum = None;
        self
    }

    fn v4_mut(&mut self) -> &mut V4 {
        match &mut self.network {
            Network::V4(v4) => v4,
            _ => panic!("no IPv4 header"),
        }
    }
}

/// So many bytes that look like data.
pub fn filler(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + 3) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, SlicedPacket};

    #[test]
    fn frames_are_those_of_etherparse() {
        let (source, destination) = (Ipv4Addr::new(5, 6, 7, 8), Ipv4Addr::new(192, 0, 2, 1));
        let ours = v4(source, destination).udp(4000, 443, 5).flags_and_offset(0x4000).bytes();
        let builder = PacketBuilder::ethernet2(ROUTER_MAC, SERVER_MAC)
            .ip(etherparse::IpHeaders::Ipv4(
                Ipv4Header {
                    identification: 0x1234,
                    dont_fragment: true,
                    time_to_live: 64,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv4Header::default()
                },
                etherparse::Ipv4Extensions::default(),
            ))
            .udp(4000, 443);
        let mut theirs = Vec::new();
        builder.write(&mut theirs, &filler(5)).unwrap();
        assert_eq!(ours, theirs);

        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let ours = v6(source, destination).tcp(4000, 80, "SA").bytes();
        let builder = PacketBuilder::ethernet2(ROUTER_MAC, SERVER_MAC)
            .ipv6(source.octets(), destination.octets(), 64)
            .tcp(4000, 80, 0x1000, 64_240)
            .syn()
            .ack(0x2001);
        let mut theirs = Vec::new();
        builder.write(&mut theirs, &[]).unwrap();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn extension_headers_are_chained() {
        let frame = v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
            .extension(60, &[0, 0, 1, 4, 0, 0, 0, 0])
            .fragment6(7, false, 0)
            .tcp(1, 2, "S")
            .bytes();
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        assert!(
            matches!(sliced.transport, Some(etherparse::TransportSlice::Tcp(tcp)) if tcp.destination_port() == 2)
        );
    }
}
