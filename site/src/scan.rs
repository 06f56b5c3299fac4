//! A scanner that knocks on every port: one SYN each, and what comes back.
//!
//! A port of a host without a filter always answers, with SYN+ACK where somebody listens and with RST where nobody does. So a
//! silent port is one that the filter holds shut, provided that nothing is lost on the way: on a busy machine the queues between
//! namespaces are full. So every few SYNs are followed by one to the scanner's own address, a witness, which takes the same queues,
//! and are sent again if that is not answered. All 65,535 ports take about a second, which no scanner does that waits for each.

use std::{
    collections::BTreeMap,
    io::IoSlice,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendmsg,
        setsockopt, socket, sockopt,
    },
};

use crate::{instance::Instance, plan::Host, run::enter};

/// How a port answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody listens.
    Open,
    /// Nobody listens, and no filter is in between.
    Closed,
}

/// Ports that answered.
pub type Answers = BTreeMap<u16, Answer>;

/// How long to listen after the last SYN.
const LINGER: Duration = Duration::from_millis(300);
/// SYNs that are on their way at once.
const BATCH: usize = 64;
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a batch is sent before the machine is held to be unable to.
const ATTEMPTS: u16 = 100;
/// How often a port that ought to answer is asked once more.
const PROOFS: u32 = 10;
/// The source port. It lies below those that the kernel gives out, and no server of the site uses it.
const SOURCE: u16 = 20_211;
/// The source port of witnesses.
const WITNESS: u16 = 20_212;
/// Witnesses go to so many ports of the scanner's own host in turn, from 1 on, where nobody listens. So a late one is no other's.
const WITNESSES: u16 = 16;
/// Length of the TCP header that is sent, in bytes: no options.
const HEADER: usize = 20;

/// Knocks on these TCP ports of an address, from a host of the site.
///
/// # Errors
/// If raw sockets cannot be had, or witnesses are lost again and again.
pub fn tcp(
    instance: &Instance,
    from: Host,
    to: IpAddr,
    ports: impl Iterator<Item = u16>,
) -> Result<Answers> {
    let own = from.addresses()[usize::from(to.is_ipv6())];
    let ports: Vec<u16> = ports.collect();
    enter(&instance.namespace(from), || {
        let mut scanner = Scanner::new(own, to)?;
        for batch in ports.chunks(BATCH) {
            scanner.knock(batch)?;
        }
        let end = Instant::now() + LINGER;
        while Instant::now() < end {
            scanner.receive()?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(scanner.answers)
    })
}

/// As [`tcp`], for ports that ought to answer: those that are silent are asked again, several times.
///
/// # Errors
/// As [`tcp`].
pub fn tcp_again(instance: &Instance, from: Host, to: IpAddr, ports: &[u16]) -> Result<Answers> {
    let mut answers = Answers::new();
    for _ in 0..PROOFS {
        let silent = ports.iter().copied().filter(|port| !answers.contains_key(port));
        let more = tcp(instance, from, to, silent.collect::<Vec<_>>().into_iter())?;
        answers.extend(more);
        if answers.len() == ports.len() {
            break;
        }
    }
    Ok(answers)
}

/// A raw socket, and what it has received.
struct Scanner {
    wire: OwnedFd,
    own: IpAddr,
    to: IpAddr,
    answers: Answers,
    /// The port that the last witness was sent to.
    witness: u16,
    /// Whether it was answered.
    is_witnessed: bool,
}

impl Scanner {
    fn new(own: IpAddr, to: IpAddr) -> Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let wire = socket(family, SockType::Raw, flags, SockProtocol::Tcp)
            .context("cannot open a raw socket")?;
        // Room for the answers of a host that answers everything.
        setsockopt(&wire, sockopt::RcvBufForce, &(32 << 20)).context("cannot enlarge a buffer")?;
        Ok(Scanner { wire, own, to, answers: Answers::new(), witness: 0, is_witnessed: false })
    }

    /// Sends a SYN to each of a few ports, until a witness behind them is answered.
    fn knock(&mut self, ports: &[u16]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            for port in ports {
                send(&self.wire, &syn((self.own, SOURCE), (self.to, *port)), self.to)?;
            }
            self.witness = self.witness % WITNESSES + 1;
            self.is_witnessed = false;
            let witness = syn((self.own, WITNESS), (self.own, self.witness));
            send(&self.wire, &witness, self.own)?;
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                self.receive()?;
                if self.is_witnessed {
                    return Ok(());
                }
                thread::sleep(Duration::from_micros(50));
            }
        }
        bail!("{ATTEMPTS} SYNs from {} to itself were lost", self.own);
    }

    /// Takes all answers that have come so far.
    fn receive(&mut self) -> Result<()> {
        let mut packet = [0; 2048];
        loop {
            let length = match recv(self.wire.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(()),
                // An ICMP error about an earlier SYN.
                Err(Errno::EHOSTUNREACH | Errno::ECONNREFUSED | Errno::EACCES) => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            let packet = packet.get(..length).context("a packet longer than its buffer")?;
            self.answers.extend(answer(packet, self.to, SOURCE));
            let witness = answer(packet, self.own, WITNESS);
            self.is_witnessed |= witness.is_some_and(|(port, _)| port == self.witness);
        }
    }
}

/// Sends one datagram to each of these UDP ports. What arrives is for [`crate::health`] to tell.
///
/// # Errors
/// If a socket cannot be had.
pub fn udp(
    instance: &Instance,
    from: Host,
    to: IpAddr,
    ports: impl Iterator<Item = u16> + Send,
) -> Result<u64> {
    let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse()?;
    enter(&instance.namespace(from), || {
        let socket = UdpSocket::bind(any).context("cannot open a UDP socket")?;
        // A filter that lets nothing out says so to the sender: that is an answer, too.
        let sent = ports.filter(|port| socket.send_to(b"knock", (to, *port)).is_ok());
        Ok(sent.count() as u64)
    })
}

fn send(wire: &OwnedFd, segment: &[u8], to: IpAddr) -> Result<()> {
    let address: SockaddrStorage = match to {
        IpAddr::V4(to) => SocketAddrV4::new(to, 0).into(),
        IpAddr::V6(to) => SocketAddrV6::new(to, 0, 0, 0).into(),
    };
    loop {
        match sendmsg(
            wire.as_raw_fd(),
            &[IoSlice::new(segment)],
            &[],
            MsgFlags::empty(),
            Some(&address),
        ) {
            // What leaves may be forbidden as well: a raw IPv6 socket is told so by ENOBUFS.
            Ok(_) | Err(Errno::EPERM | Errno::ENOBUFS) => return Ok(()),
            Err(Errno::EAGAIN) => thread::sleep(Duration::from_micros(200)),
            Err(error) => return Err(error).context("cannot send a SYN"),
        }
    }
}

/// Reads an answer by this address to this port: IPv4 comes with its header, IPv6 without.
fn answer(packet: &[u8], by: IpAddr, to: u16) -> Option<(u16, Answer)> {
    let segment = match by {
        IpAddr::V4(by) => {
            if packet.get(12..16)? != by.octets() {
                return None;
            }
            packet.get(usize::from(packet.first()? & 0xf) * 4..)?
        }
        IpAddr::V6(_) => packet,
    };
    let port = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
    if port(2)? != to {
        return None;
    }
    match segment.get(13)? {
        flags if flags & 0x04 != 0 => Some((port(0)?, Answer::Closed)),
        flags if flags & 0x12 == 0x12 => Some((port(0)?, Answer::Open)),
        _ => None,
    }
}

/// A TCP header with SYN alone (RFC 9293, section 3.1).
fn syn((from, source): (IpAddr, u16), (to, port): (IpAddr, u16)) -> [u8; HEADER] {
    let mut segment = [0; HEADER];
    segment[0..2].copy_from_slice(&source.to_be_bytes());
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[4..8].copy_from_slice(&(u32::from(port) << 8).to_be_bytes());
    segment[12] = (HEADER as u8 / 4) << 4;
    segment[13] = 0x02;
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
    let sum = checksum(from, to, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The checksum over pseudo header and segment (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let pseudo =
        [octets(from), octets(to), vec![0, 6], (segment.len() as u16).to_be_bytes().to_vec()];
    let all = pseudo.concat();
    let words = all.chunks(2).chain(segment.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Makes sure that the scanner sees what it should: an administrator's machine has no filter, so each of its ports answers.
///
/// # Errors
/// If one of them does not.
pub fn prove(instance: &Instance) -> Result<()> {
    let ports: Vec<u16> = (1..=u16::MAX).collect();
    Host::Admin.addresses().into_iter().try_for_each(|to| {
        let silent = ports.len() - tcp_again(instance, Host::Client, to, &ports)?.len();
        ensure!(silent == 0, "{silent} ports of a host without a filter are silent at {to}");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_its_checksum_sums_to_zero() {
        for host in [Host::Lb, Host::Db] {
            for (from, to) in Host::Client.addresses().into_iter().zip(host.addresses()) {
                let segment = syn((from, SOURCE), (to, 443));
                assert_eq!(checksum(from, to, &segment), 0, "{from} to {to}");
            }
        }
    }

    #[test]
    fn answers_are_told_apart_and_others_are_not_ours() {
        let to = IpAddr::V4(Host::Lb.ipv4());
        let packet = |flags: u8, source: u16| {
            let mut packet = vec![0; 20];
            packet[0] = 0x45;
            packet[12..16].copy_from_slice(&Host::Lb.ipv4().octets());
            packet.extend([1, 187]);
            packet.extend(source.to_be_bytes());
            packet.extend([0; 9]);
            packet.push(flags);
            packet
        };
        assert_eq!(answer(&packet(0x12, SOURCE), to, SOURCE), Some((443, Answer::Open)));
        assert_eq!(answer(&packet(0x14, SOURCE), to, SOURCE), Some((443, Answer::Closed)));
        assert_eq!(answer(&packet(0x10, SOURCE), to, SOURCE), None);
        assert_eq!(answer(&packet(0x12, 999), to, SOURCE), None);
        assert_eq!(answer(&packet(0x12, SOURCE), IpAddr::V4(Host::Db.ipv4()), SOURCE), None);
    }
}
