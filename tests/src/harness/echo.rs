//! Datagrams and pings, there and back.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Netns, Output, python};

/// How long to wait for an answer before asking again.
const TURN: Duration = Duration::from_millis(500);

/// A UDP server in a namespace, which answers each datagram with three times its bytes. It ends when dropped.
#[derive(Debug)]
pub struct UdpEcho {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Listens on this port, IPv4 and IPv6.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn start(namespace: &Netns, port: u16) -> Self {
        let socket = namespace.enter(|| UdpSocket::bind(("::", port)).expect("a free port"));
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !told.load(Ordering::Relaxed) {
                if let Ok((bytes, peer)) = socket.recv_from(&mut buffer) {
                    // Whoever asked may be gone, or its port closed: that is no concern of the server.
                    let _ = socket.send_to(&buffer[..bytes].repeat(3), peer);
                }
            }
        });
        UdpEcho { ends, thread: Some(thread) }
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends a datagram of so many bytes from inside the namespace, up to `tries` times, and returns the length of the first answer.
///
/// # Errors
/// What the last try said: `WouldBlock` if nobody answered, `ConnectionRefused` if an ICMP error came back.
pub fn ask(namespace: &Netns, server: SocketAddr, bytes: usize, tries: u32) -> io::Result<usize> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = namespace.enter(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        io::Result::Ok(socket)
    })?;
    socket.set_read_timeout(Some(TURN))?;
    let mut answer = Err(io::ErrorKind::InvalidInput.into());
    for _ in 0..tries {
        answer = socket.send(&vec![7; bytes]).and_then(|_| socket.recv(&mut [0; 16_384]));
        if !matches!(&answer, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            break;
        }
    }
    answer
}

/// Sends an echo request from inside the namespace and waits for the reply.
///
/// # Errors
/// What was said if none came.
pub fn ping(namespace: &Netns, host: &str) -> Result<(), Output> {
    let output = python(namespace, PING, &[host], Duration::from_secs(10));
    if output.stdout == "pong\n" { Ok(()) } else { Err(output) }
}

const PING: &str = "
import socket, struct, sys
host = sys.argv[1]
if ':' in host:
    s, request, reply = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6), 128, 129
else:
    s, request, reply = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), 8, 0
s.settimeout(3)
# For IPv6 the kernel makes the checksum.
checksum = 0xffff - (request * 256 + 0x1234 + 1)
s.sendto(struct.pack('!BBHHH', request, 0, checksum, 0x1234, 1), (host, 0))
while True:
    packet, peer = s.recvfrom(999)
    message = packet if ':' in host else packet[20:]
    if message[0] == reply and message[4:6] == b'\\x12\\x34':
        print('pong')
        break
";
