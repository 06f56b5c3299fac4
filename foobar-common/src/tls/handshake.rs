//! What a record means for the handshake.
//!
//! Up to TLS 1.2 each side sends ChangeCipherSpec and behind it Finished, a handshake record. In TLS 1.3 everything behind the
//! ServerHello is encrypted and looks like application data, but the client's Finished has a size of its own: the length of the hash,
//! four bytes of header, one of type, and the tag. Whoever is asked for a certificate sends that first, and the server's next record
//! says whether it was welcome: an alert is the shortest record there is.

use super::{
    alpn,
    flow::{FOLLOWED, Flow, GREETED, OWNER_CLIENT, OWNER_SERVER, SETTLED, event, failure, mark},
    record, version,
};

/// What encryption makes of an alert in TLS 1.3: two bytes, one of type, 16 of tag.
pub const ALERT_LENGTH: u32 = 2 + 1 + 16;

/// Size of an encrypted Finished by cipher suite (RFC 8446 appendix B.4), bytes.
#[inline(always)]
pub(super) const fn finished_length(suite: u16) -> u16 {
    match suite {
        0x1302 => 4 + 48 + 1 + 16,
        0x1305 => 4 + 32 + 1 + 8,
        _ => 4 + 32 + 1 + 16,
    }
}

/// The server begins a record: it has read the hello, even where this program has not.
#[inline(always)]
pub(super) fn answered(flow: &mut Flow) {
    if flow.message.owner == OWNER_CLIENT {
        flow.unread = 1;
        flow.message.expect(OWNER_SERVER);
    }
}

/// A record begins, and the handshake is not completed.
#[inline(always)]
pub(super) fn record<const CLIENT: bool>(flow: &mut Flow, content: u8, length: u32) {
    let is_13 = flow.version == version::TLS13;
    let side = flow.side::<CLIENT>();
    match content {
        record::CHANGE_CIPHER_SPEC => {
            side.marks |= mark::CIPHER;
            // Whoever remembers the session goes first.
            if !CLIENT && !is_13 && flow.answered != 0 && flow.client.marks & mark::CIPHER == 0 {
                flow.resumed = 1;
            }
        }
        record::HANDSHAKE => {
            if !CLIENT && flow.unread == 1 {
                // An alert instead would say that the hello was no good.
                flow.unread = 2;
                flow.events |= event::HELLO_UNREAD;
                flow.state = GREETED;
            }
            let side = flow.side::<CLIENT>();
            if !is_13 && side.marks & mark::CIPHER != 0 {
                side.marks |= mark::FINISHED;
                if flow.client.marks & flow.server.marks & mark::FINISHED != 0 {
                    complete(flow);
                }
            }
        }
        record::APPLICATION_DATA => {
            if flow.version == version::TLS13 || flow.version == version::UNKNOWN {
                encrypted::<CLIENT>(flow, length);
            } else if CLIENT {
                // False start (RFC 7918): a request behind the client's Finished.
                flow.client.marks |= mark::ASKED;
            } else {
                // One of the two Finished was lost on its way here.
                complete(flow);
            }
        }
        _ => {}
    }
}

/// An encrypted record of TLS 1.3.
#[inline(always)]
fn encrypted<const CLIENT: bool>(flow: &mut Flow, length: u32) {
    if !CLIENT {
        if flow.client.marks & (mark::FINISHED | mark::CERTIFICATE) != 0 {
            if length == ALERT_LENGTH {
                flow.fail(failure::SERVER_ALERT);
            } else {
                complete(flow);
                // This record was the first.
                flow.tickets -= 1;
            }
        }
        return;
    }
    // Early data, before the server said anything.
    if flow.answered == 0 && flow.server.marks & mark::LOST == 0 {
        flow.client.marks |= if flow.early == 0 { mark::CERTIFICATE } else { mark::ASKED };
        return;
    }
    if length == flow.finished as u32 {
        flow.client.marks |= mark::FINISHED;
        if flow.client.marks & mark::CERTIFICATE == 0 {
            complete(flow);
        }
    } else if flow.early == 0 {
        if length == ALERT_LENGTH {
            flow.fail(failure::CLIENT_ALERT);
        } else {
            flow.client.marks |= mark::CERTIFICATE;
        }
    }
}

/// An alert in clear, before the handshake is completed (RFC 8446 section 6).
#[inline(always)]
pub(super) fn alert<const CLIENT: bool>(flow: &mut Flow, level: u8, description: u8) {
    const CLOSE_NOTIFY: u8 = 0;
    const FATAL: u8 = 2;
    const PROTOCOL_VERSION: u8 = 70;
    if description == CLOSE_NOTIFY {
        flow.fail(failure::CLOSED);
        return;
    }
    if level != FATAL {
        return;
    }
    // bad, unsupported, revoked, expired, unknown; unknown_ca; bad_certificate_status_response; certificate_required.
    let certificate = matches!(description, 42..=46 | 48 | 113 | 116);
    flow.fail(match (CLIENT, certificate) {
        (true, true) => failure::CLIENT_ALERT_CERTIFICATE,
        (true, false) => failure::CLIENT_ALERT,
        (false, true) => failure::SERVER_ALERT_CERTIFICATE,
        (false, false) if description == PROTOCOL_VERSION => failure::SERVER_ALERT_VERSION,
        (false, false) => failure::SERVER_ALERT,
    });
}

/// The handshake is completed.
#[inline(always)]
fn complete(flow: &mut Flow) {
    flow.events |= event::COMPLETED;
    // What OpenSSL sends, as most servers do: two, or one for a session that is resumed.
    flow.tickets = if flow.resumed != 0 { 1 } else { 2 };
    // Turns are requests in HTTP/1.1 alone. What the server chose is encrypted in TLS 1.3; without an offer of HTTP/2 it is known.
    let plain = if flow.version == version::TLS13 {
        flow.unread == 0 && flow.offered & (alpn::HTTP2 | alpn::OTHER) == 0
    } else {
        flow.chosen & (alpn::HTTP2 | alpn::OTHER) == 0
    };
    flow.state = if plain { FOLLOWED } else { SETTLED };
}
