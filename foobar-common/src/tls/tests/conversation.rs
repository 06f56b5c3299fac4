//! What clients and servers say, and what is counted of it.

use std::vec;
use std::vec::Vec;

use crate::tls::{
    Flow,
    flow::{event, failure},
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    Server,
}
pub use Who::{Client, Server};

/// What one side says before the other does.
pub type Flight = (Who, Vec<u8>);

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub hellos: u32,
    pub unread: u32,
    pub retries: u32,
    pub completed: u32,
    pub failed: Vec<u8>,
    pub unparsed: u32,
    pub turns: u32,
    /// Version and whether it was resumed, at completion.
    pub agreed: Vec<(u8, bool)>,
    /// Offered version, protocols, server name's hash, whether early data is announced: at the hello.
    pub hello: Vec<(u8, u8, u64, bool)>,
}

/// Sequence numbers that wrap on the way.
const CLIENT_START: u32 = u32::MAX - 300;
const SERVER_START: u32 = u32::MAX - 100;

/// A connection in the making.
pub struct Connection {
    pub flow: Flow,
    pub counted: Counted,
    pub client: u32,
    pub server: u32,
}

impl Connection {
    pub fn new() -> Self {
        let mut flow = Flow::default();
        flow.open(CLIENT_START, SERVER_START, true);
        Connection { flow, counted: Counted::default(), client: CLIENT_START, server: SERVER_START }
    }

    fn note(&mut self, events: u16) {
        let flow = &mut self.flow;
        let counted = &mut self.counted;
        counted.turns += u32::from(core::mem::take(&mut flow.turns));
        if events & event::HELLO != 0 {
            counted.hellos += 1;
            counted.hello.push((flow.offered_version, flow.offered, flow.name, flow.early != 0));
        }
        counted.unread += u32::from(events & event::HELLO_UNREAD != 0);
        counted.retries += u32::from(events & event::RETRY != 0);
        if events & event::COMPLETED != 0 {
            counted.completed += 1;
            counted.agreed.push((flow.version, flow.resumed != 0));
        }
        if events & event::FAILED != 0 {
            assert!((flow.failure as usize) < failure::LEN);
            counted.failed.push(flow.failure);
        }
        counted.unparsed += u32::from(events & event::UNPARSED != 0);
    }

    /// A segment that arrives as it was sent.
    pub fn say(&mut self, who: Who, bytes: &[u8]) {
        let (sequence, acknowledged) = match who {
            Client => (self.client, self.server),
            Server => (self.server, self.client),
        };
        self.segment(who, sequence, acknowledged, bytes);
        let next = if who == Client { &mut self.client } else { &mut self.server };
        *next = next.wrapping_add(bytes.len() as u32);
    }

    /// A segment that is lost before it comes by.
    pub fn lose(&mut self, who: Who, bytes: &[u8]) {
        let next = if who == Client { &mut self.client } else { &mut self.server };
        *next = next.wrapping_add(bytes.len() as u32);
    }

    pub fn segment(&mut self, who: Who, sequence: u32, acknowledged: u32, bytes: &[u8]) {
        let length = bytes.len() as u32;
        let events = match who {
            Client => self.flow.read::<true>(bytes, sequence, acknowledged, length),
            Server => self.flow.read::<false>(bytes, sequence, acknowledged, length),
        };
        self.note(events);
    }

    pub fn end(&mut self, who: Who, reset: bool) {
        match who {
            Client => self.flow.ended::<true>(reset, self.server),
            Server => self.flow.ended::<false>(reset, self.client),
        }
        let events = core::mem::take(&mut self.flow.events);
        self.note(events);
    }
}

/// Reads flights, each cut into segments of these sizes in turn.
pub fn read(flights: &[Flight], mut sizes: impl Iterator<Item = usize>) -> Connection {
    let mut connection = Connection::new();
    for (who, bytes) in flights {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len());
            let (segment, behind) = rest.split_at(size);
            connection.say(*who, segment);
            rest = behind;
        }
    }
    connection
}

/// Reads flights, each in one segment.
pub fn read_whole(flights: &[Flight]) -> Connection {
    read(flights, std::iter::empty())
}

/// A record of this type.
pub fn record(content: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 3, 3];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// An encrypted record of this length.
pub fn sealed(length: usize) -> Vec<u8> {
    record(23, &vec![0xa5; length])
}

pub fn change_cipher_spec() -> Vec<u8> {
    record(20, &[1])
}

pub fn alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

/// A handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// Handshake messages in records of at most `size` bytes.
pub fn handshake(messages: &[u8], size: usize) -> Vec<u8> {
    messages.chunks(size).flat_map(|part| record(22, part)).collect()
}

/// What a hello holds.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    pub versions: Vec<u16>,
    pub protocols: Vec<Vec<u8>>,
    pub name: Option<Vec<u8>>,
    pub early: bool,
    pub resumed: bool,
    /// Bytes of a key share, for size.
    pub share: usize,
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut extension = Vec::new();
    extension.extend(kind.to_be_bytes());
    extension.extend((body.len() as u16).to_be_bytes());
    extension.extend(body);
    extension
}

fn counted16(body: &[u8]) -> Vec<u8> {
    let mut list = (body.len() as u16).to_be_bytes().to_vec();
    list.extend(body);
    list
}

impl Hello {
    /// A browser's.
    pub fn new(name: &str, protocols: &[&str]) -> Self {
        Hello {
            versions: vec![0x6a6a, 0x0304, 0x0303],
            protocols: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
            name: Some(name.as_bytes().to_vec()),
            share: 1216,
            ..Hello::default()
        }
    }

    pub fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0x11; 32]);
        body.push(32);
        body.extend([0x22; 32]);
        body.extend(counted16(&[0x13, 1, 0x13, 2, 0xc0, 0x2b]));
        body.extend([1, 0]);
        let mut extensions = extension(0x1a1a, &[]);
        if let Some(name) = &self.name {
            let mut entry = vec![0];
            entry.extend(counted16(name));
            extensions.extend(extension(0, &counted16(&entry)));
        }
        extensions.extend(extension(51, &vec![0x33; self.share]));
        if !self.protocols.is_empty() {
            let mut list = Vec::new();
            for protocol in &self.protocols {
                list.push(protocol.len() as u8);
                list.extend(protocol);
            }
            extensions.extend(extension(16, &counted16(&list)));
        }
        if !self.versions.is_empty() {
            let mut list = vec![2 * self.versions.len() as u8];
            list.extend(self.versions.iter().flat_map(|version| version.to_be_bytes()));
            extensions.extend(extension(43, &list));
        }
        if self.early {
            extensions.extend(extension(42, &[]));
        }
        if self.resumed {
            extensions.extend(extension(41, &[0x41; 60]));
        }
        body.extend(counted16(&extensions));
        message(1, &body)
    }

    pub fn record(&self) -> Vec<u8> {
        handshake(&self.message(), 1 << 14)
    }
}

/// The first bytes of every HelloRetryRequest's random number.
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

fn server_hello(suite: u16, extensions: &[u8], retry: bool) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(if retry { RETRY } else { [0x44; 8] });
    body.extend([0x44; 24]);
    body.push(32);
    body.extend([0x22; 32]);
    body.extend(suite.to_be_bytes());
    body.push(0);
    if !extensions.is_empty() {
        body.extend(counted16(extensions));
    }
    message(2, &body)
}

/// The server's first flight in TLS 1.3.
pub fn flight13(suite: u16, resumed: bool) -> Vec<u8> {
    let mut extensions = extension(43, &[3, 4]);
    extensions.extend(extension(51, &[0x55; 36]));
    if resumed {
        extensions.extend(extension(41, &[0, 0]));
    }
    let mut flight = handshake(&server_hello(suite, &extensions, false), 1 << 14);
    flight.extend(change_cipher_spec());
    flight.extend(sealed(40));
    if !resumed {
        flight.extend(sealed(2900));
        flight.extend(sealed(281));
    }
    flight.extend(sealed(53));
    flight
}

/// A request for another hello.
pub fn retry13() -> Vec<u8> {
    let extensions = [extension(43, &[3, 4]), extension(51, &[0, 23])].concat();
    let mut flight = handshake(&server_hello(0x1301, &extensions, true), 1 << 14);
    flight.extend(change_cipher_spec());
    flight
}

/// The server's first flight in TLS 1.2: full.
pub fn flight12(protocol: Option<&str>) -> Vec<u8> {
    let mut extensions = extension(0xff01, &[0]);
    if let Some(protocol) = protocol {
        let mut list = vec![protocol.len() as u8];
        list.extend(protocol.as_bytes());
        extensions.extend(extension(16, &counted16(&list)));
    }
    let mut messages = server_hello(0xc02b, &extensions, false);
    messages.extend(message(11, &[0x66; 3000]));
    messages.extend(message(12, &[0x77; 300]));
    messages.extend(message(14, &[]));
    handshake(&messages, 1 << 14)
}

/// The server's first flight in TLS 1.2: resumed.
pub fn resumed12() -> Vec<u8> {
    let mut flight = handshake(&server_hello(0xc02b, &[], false), 1 << 14);
    flight.extend(change_cipher_spec());
    flight.extend(record(22, &[0x99; 40]));
    flight
}

/// The client's second flight in TLS 1.2.
pub fn keys12() -> Vec<u8> {
    [record(22, &message(16, &[0x88; 66])), change_cipher_spec(), record(22, &[0x99; 40])].concat()
}

/// The server's second flight in TLS 1.2.
pub fn finished12() -> Vec<u8> {
    [record(22, &message(4, &[0xaa; 180])), change_cipher_spec(), record(22, &[0x99; 40])].concat()
}

/// A whole handshake in TLS 1.3.
pub fn handshake13(hello: &Hello) -> Vec<Flight> {
    vec![
        (Client, hello.record()),
        (Server, flight13(0x1301, hello.resumed)),
        (Client, [change_cipher_spec(), sealed(53)].concat()),
    ]
}

/// A whole handshake in TLS 1.2.
pub fn handshake12(hello: &Hello, protocol: Option<&str>) -> Vec<Flight> {
    vec![
        (Client, hello.record()),
        (Server, flight12(protocol)),
        (Client, keys12()),
        (Server, finished12()),
    ]
}
