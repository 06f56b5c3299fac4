//! A netlink socket: requests with acknowledgement, and dumps.

use std::{fmt, io};

use netlink_packet_core::NlasIterator;
use netlink_sys::{Socket, SocketAddr};

use crate::kernel::sys::plain::{Plain, read};

/// linux/netlink.h: flags of a request.
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
/// linux/netlink.h: the dump was interrupted by a change; it may miss something.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// linux/netlink.h: attributes follow the original header of an answer.
const NLM_F_ACK_TLVS: u16 = 0x200;
/// linux/netlink.h: types of answers.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// linux/netlink.h: the text of an extended acknowledgement.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Marks an attribute that holds attributes (linux/netlink.h).
pub(super) const NLA_F_NESTED: u16 = 1 << 15;
/// What a dump puts into one datagram at most (NLMSG_GOODSIZE and its larger successors).
const DATAGRAM: usize = 64 * 1024;

/// The kernel refused a request, perhaps with a sentence of its own.
#[derive(Debug)]
pub(in crate::kernel) struct Refusal {
    pub error: io::Error,
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text} ({})", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal { error, text: None }
    }
}

/// A socket to one part of the kernel.
pub(super) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// Opens a socket of the family `protocol` (NETLINK_ROUTE, ...).
    pub fn open(protocol: libc::c_int) -> io::Result<Self> {
        let mut socket = Socket::new(protocol as isize)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Both only make answers more telling (Linux 4.12, 4.3).
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Channel { socket, sequence: 0 })
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let length = HEADER + body.len();
        let mut message = Vec::with_capacity(length);
        message.extend_from_slice(&(length as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body);
        self.socket.send(&message, 0).map(drop)
    }

    /// Sends a request and waits for its acknowledgement.
    pub fn request(&mut self, kind: u16, body: &[u8]) -> Result<(), Refusal> {
        self.request_with(kind, 0, body)
    }

    /// The same with further flags (NLM_F_CREATE, ...).
    pub fn request_with(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<(), Refusal> {
        self.send(kind, NLM_F_ACK | flags, body)?;
        let mut result = Ok(());
        self.answers(|message| {
            result = message.outcome();
            true
        })?;
        result
    }

    /// Asks for a list and calls `each` with the body of every message of it. `Interrupted` if something changed meanwhile.
    pub fn dump(&mut self, kind: u16, body: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(kind, NLM_F_DUMP, body)?;
        let mut interrupted = false;
        let mut result = Ok(());
        self.answers(|message| {
            interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE => return true,
                NLMSG_ERROR => {
                    result = message.outcome();
                    return true;
                }
                _ => each(message.body),
            }
            false
        })?;
        result.map_err(|refusal| refusal.error)?;
        if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// Reads answers to the last request until `last` says that it was the last one.
    fn answers(&mut self, mut last: impl FnMut(Message<'_>) -> bool) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut rest = &buffer[..];
            while let Some((message, behind)) = Message::split(rest) {
                rest = behind;
                if message.sequence == self.sequence && last(message) {
                    return Ok(());
                }
            }
        }
    }
}

/// Asks for a whole list; if it changed meanwhile, asks again.
pub(super) fn list(protocol: libc::c_int, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    const TRIES: usize = 5;
    let mut channel = Channel::open(protocol)?;
    for _ in 1..TRIES {
        let mut found = Vec::new();
        match channel.dump(kind, body, |message| found.push(message.to_vec())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|()| found),
        }
    }
    // It changes all the time; what is there is as good as it gets.
    let mut found = Vec::new();
    match channel.dump(kind, body, |message| found.push(message.to_vec())) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(found),
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the first message off a datagram.
    fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = read::<u32>(data)? as usize;
        let body = data.get(HEADER..length)?;
        let message = Message {
            kind: read(&data[4..])?,
            flags: read(&data[6..])?,
            sequence: read(&data[8..])?,
            body,
        };
        Some((message, data.get(length.next_multiple_of(4)..).unwrap_or_default()))
    }

    /// What an answer of the type NLMSG_ERROR says: error number 0 is an acknowledgement.
    fn outcome(&self) -> Result<(), Refusal> {
        let code = read::<u32>(self.body).unwrap_or_default().cast_signed();
        if self.kind != NLMSG_ERROR || code == 0 {
            return Ok(());
        }
        // Behind the number stands the header of the request; its body is left out (cap_ack).
        let attributes = self.body.get(4 + HEADER..).filter(|_| self.flags & NLM_F_ACK_TLVS != 0);
        let text =
            attributes.and_then(|attributes| attribute(attributes, NLMSGERR_ATTR_MSG)).map(text);
        Err(Refusal { error: io::Error::from_raw_os_error(-code), text })
    }
}

/// The value of the first attribute of a type.
pub(super) fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|found| found.kind() == wanted)
        .map(|found| found.into_inner())
        .and_then(value)
}

/// The value of one attribute, of which the header is still there.
fn value(attribute: &[u8]) -> Option<&[u8]> {
    let length = read::<u16>(attribute)? as usize;
    attribute.get(4..length)
}

/// The value of the first attribute of a type, as an integer or structure.
pub(super) fn number<T: Plain>(attributes: &[u8], wanted: u16) -> Option<T> {
    attribute(attributes, wanted).and_then(read)
}

/// A string attribute, without the zero byte at its end.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// Appends an attribute.
pub(super) fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len();
    message.extend_from_slice(&(length as u16).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_each_other() {
        let mut message = Vec::new();
        push_attribute(&mut message, 3, b"lo\0");
        push_attribute(&mut message, 7, &42u32.to_ne_bytes());
        assert_eq!(attribute(&message, 3).map(text).as_deref(), Some("lo"));
        assert_eq!(number::<u32>(&message, 7), Some(42));
        assert_eq!(attribute(&message, 8), None);
        assert_eq!(attribute(&message[..5], 3), None, "cut off");
    }

    #[test]
    fn an_answer_carries_the_kernels_sentence() {
        let mut body = (-libc::EOPNOTSUPP).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER]);
        push_attribute(&mut body, NLMSGERR_ATTR_MSG, b"no room\0");
        let message =
            Message { kind: NLMSG_ERROR, flags: NLM_F_ACK_TLVS, sequence: 1, body: &body };
        let refusal = message.outcome().unwrap_err();
        assert_eq!(refusal.text.as_deref(), Some("no room"));
        assert_eq!(refusal.error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }
}
