//! Conversations, cut into segments in every way, against what was said in them.
//!
//! Long because the conversations share what builds and cuts them.

use std::{boxed::Box, format, string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    flow::{Flow, Outside},
    read::{WINDOW, read_on, read_quickly},
    segment,
    side::phase,
    stats::HttpStats,
    step::Window,
};

struct Slice<'a>(&'a [u8]);

impl Window for Slice<'_> {
    fn word(&self, at: u64) -> u64 {
        // Behind the end stands what would mislead whoever looks there.
        let byte = |index: usize| self.0.get(index).copied().unwrap_or(b'\n');
        u64::from_le_bytes(core::array::from_fn(|index| byte(at as usize + index)))
    }
}

struct At(u32);

impl Outside for At {
    fn now(&self) -> u32 {
        self.0
    }
}

/// A connection with what was counted of it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    pub(super) stats: HttpStats,
    client: u32,
    server: u32,
    /// What the client has acknowledged.
    seen: u32,
    time: u32,
}

impl Connection {
    pub(super) fn new() -> Self {
        let (client, server) = (u32::MAX - 300, u32::MAX - 100);
        let mut flow = Flow::default();
        flow.begin(client, server);
        Connection { flow, stats: HttpStats::default(), client, server, seen: server, time: 0 }
    }

    /// A segment from the client that may have been sent before.
    fn arrives_at(&mut self, sequence: u32, bytes: &[u8]) {
        segment::acknowledges(&mut self.flow, self.seen, &mut self.stats);
        let length = bytes.len() as u32;
        let from = segment::arrives(&mut self.flow, sequence, self.seen, length, &mut self.stats);
        self.read::<false>(bytes, from);
    }

    fn leaves_at(&mut self, sequence: u32, bytes: &[u8]) {
        let length = bytes.len() as u32;
        let from = segment::leaves(&mut self.flow, sequence, length, &mut self.stats);
        self.read::<true>(bytes, from);
    }

    fn read<const REPLIES: bool>(&mut self, bytes: &[u8], from: Option<u32>) {
        let Some(from) = from else { return };
        let mut at = from as usize;
        while at < bytes.len() {
            let window = &bytes[at..bytes.len().min(at + WINDOW as usize)];
            let end = window.len() as u32;
            let (flow, stats) = (&mut self.flow, &mut self.stats);
            let mut done = 0;
            while done < end {
                let from = done;
                let (time, window) = (At(self.time), Slice(window));
                done = read_quickly::<REPLIES>(flow, stats, &time, &window, from, end);
                if done == from {
                    done = read_on::<REPLIES>(flow, stats, &time, &window, from, end);
                }
                assert!(done > from && done <= end);
            }
            at += done as usize;
        }
    }

    pub(super) fn asks(&mut self, bytes: &[u8]) {
        self.seen = self.server;
        self.arrives_at(self.client, bytes);
        self.client = self.client.wrapping_add(bytes.len() as u32);
    }

    pub(super) fn answers(&mut self, bytes: &[u8]) {
        self.leaves_at(self.server, bytes);
        self.server = self.server.wrapping_add(bytes.len() as u32);
    }

    fn ends(&mut self) {
        segment::server_ends(&mut self.flow, self.server, &mut self.stats);
    }

    /// Requests of version 1.1 by class.
    fn classes(&self) -> [u64; 6] {
        self.stats.requests[1]
    }
}

fn one(class: usize) -> [u64; 6] {
    core::array::from_fn(|index| (index == class) as u64)
}

#[test]
fn more_requests_wait_than_methods_are_known() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    // All alike: each is counted, whatever their number.
    let mut connection = Connection::new();
    (0..40).for_each(|_| connection.asks(get));
    (0..40).for_each(|_| connection.answers(answer));
    assert_eq!((connection.classes()[2], connection.stats.unparsed), (40, 0));

    // One HEAD among them, and which response is without a body cannot be told: none is counted, rather than a wrong number.
    let mut connection = Connection::new();
    (0..20).for_each(|_| connection.asks(get));
    connection.asks(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    (0..20).for_each(|_| connection.asks(get));
    (0..20).for_each(|_| connection.answers(answer));
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    (0..20).for_each(|_| connection.answers(answer));
    assert_eq!((connection.classes(), connection.stats.unparsed), ([0; 6], 1));
    assert_eq!((connection.stats.aborted, connection.flow.waiting()), (0, 0));

    // At the next turn it is known again.
    connection.asks(get);
    connection.answers(answer);
    assert_eq!(connection.classes(), one(2));
}

#[test]
fn a_request_and_its_response() {
    let mut connection = Connection::new();
    connection.asks(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.flow.waiting(), 1);
    connection.time = 2000;
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(connection.classes(), one(2));
    assert_eq!(connection.flow.waiting(), 0);
    assert_eq!(connection.flow.leaving.phase, phase::START);
    assert_eq!(connection.stats.first_byte.sum_us, 2048);
    assert_eq!(connection.stats.first_byte.buckets[2], 1);
    connection.asks(b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    connection.answers(
        b"HTTP/1.1 404 No\r\nContent-Length: 50\r\n\r\nHTTP/1.1 500 Oh\r\ncontent-length:0\r\n\r\n",
    );
    assert_eq!(connection.classes(), [0, 0, 1, 0, 1, 1]);
    connection.ends();
    assert_eq!((connection.stats.aborted, connection.stats.unparsed), (0, 0));
}

#[test]
fn how_bodies_end() {
    for (response, after) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", phase::START),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", phase::START),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nHTTP\r\n0\r\nA: b\r\n\r\n",
            phase::START,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding:gzip, Chunked \r\n\r\nA\r\n0123456789\r\n00\r\n\r\n",
            phase::START,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            phase::UNTIL_CLOSE,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", phase::UNTIL_CLOSE),
        ("HTTP/1.1 200\nContent-Length: 3\n\nabc", phase::START),
        (
            "HTTP/1.1 200 OK\r\nContent-Lengthy: 1\r\nContent-Length: 24 \r\nX-Content-Length: 3\r\nE:\r\n\r\nHTTP/1.1 200 OK\r\n\r\n12345",
            phase::START,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            phase::START,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}\u{5}HTTP/1.1 200 OK\r\n\r\n",
            phase::TUNNEL,
        ),
    ] {
        for cut in 0..response.len() {
            let mut connection = Connection::new();
            connection.asks(b"GET / HTTP/1.1\r\n\r\n");
            connection.answers(&response.as_bytes()[..cut]);
            connection.answers(&response.as_bytes()[cut..]);
            assert_eq!(connection.flow.leaving.phase, after, "{response}");
            assert_eq!(connection.stats.answered(), 1, "{response}");
            assert_eq!(connection.stats.unparsed, 0, "{response}");
        }
    }
}

/// What leaves has a time of its own, read by the sender's TCP, perhaps before what another processor sees arrive.
#[test]
fn a_response_that_left_before_its_request_came_took_no_time() {
    let mut connection = Connection::new();
    connection.time = 500;
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    connection.time = 490;
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(connection.classes(), one(2));
    assert_eq!(connection.stats.first_byte.sum_us, 0);
    assert_eq!(connection.stats.first_byte.buckets[0], 1);
}

#[test]
fn what_is_no_http_is_counted_as_such_once() {
    let overflow = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n";
    for response in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 999 No\r\n\r\n",
        "HTTP/1.1 2:0 No\r\n\r\n",
        "HTTP/1.1 20: No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/2.0 200\r\n\r\n",
        overflow,
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ] {
        let mut connection = Connection::new();
        connection.asks(b"GET / HTTP/1.1\r\n\r\n");
        connection.answers(response.as_bytes());
        connection.answers(b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(connection.stats.unparsed, 1, "{response}");
        assert_eq!(connection.flow.leaving.phase, phase::LOST, "{response}");
        // The next turn begins anew.
        connection.asks(b"GET / HTTP/1.1\r\n\r\n");
        connection.answers(b"HTTP/1.1 404 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(connection.classes()[4], 1, "{response}");
    }
    let mut connection = Connection::new();
    for _ in 0..9 {
        connection.asks(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
        connection.answers(b"\x16\x03\x03\x00\x7a");
    }
    assert_eq!((connection.stats.answered(), connection.stats.unparsed), (0, 1));
}

#[test]
fn a_request_whose_body_has_no_end_is_not_read() {
    let mut connection = Connection::new();
    connection.asks(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!((connection.flow.asked, connection.stats.unparsed), (1, 1));
    assert_eq!(connection.flow.arriving.phase, phase::LOST);
}

#[test]
fn a_line_without_a_version_is_a_request_by_itself() {
    let mut connection = Connection::new();
    connection.asks(b"GET /\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((connection.flow.asked, connection.stats.unparsed), (2, 0));
}

#[test]
fn aborted_requests() {
    let mut connection = Connection::new();
    connection.asks(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 9\r\n\r\n123");
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut here");
    connection.ends();
    connection.ends();
    assert_eq!((connection.stats.answered(), connection.stats.aborted), (1, 2));
}

#[test]
fn what_arrives_after_a_reset_is_nothing() {
    let mut connection = Connection::new();
    connection.asks(b"POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n");
    connection.answers(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    connection.ends();
    segment::server_resets(&mut connection.flow, &mut connection.stats);
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    connection.asks(b"\0\0\0\0\0\0\0\0");
    segment::server_resets(&mut connection.flow, &mut connection.stats);
    assert_eq!((connection.stats.aborted, connection.stats.unparsed), (0, 0));
    // What waited is aborted.
    let mut connection = Connection::new();
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    segment::server_resets(&mut connection.flow, &mut connection.stats);
    assert_eq!((connection.stats.aborted, connection.stats.unparsed), (1, 0));
}

#[test]
fn loss_on_the_way_in() {
    // A hole in a body is no harm; the retransmission is skipped.
    let mut connection = Connection::new();
    let start = connection.client;
    connection.asks(b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n");
    let body = connection.client;
    connection.arrives_at(body.wrapping_add(10), b"0123456789");
    connection.arrives_at(body, b"GET / HTTP/1.1\r\n\r\n");
    connection.arrives_at(body.wrapping_add(20), b"0123456789");
    connection.arrives_at(start, b"POST / HTTP/1.1\r\n");
    connection.client = body.wrapping_add(30);
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((connection.stats.answered(), connection.stats.unparsed), (1, 0));
    // A hole in a header loses the side until the next turn.
    connection.seen = connection.server;
    let at = connection.client;
    connection.arrives_at(at.wrapping_add(5), b"/ HTTP/1.1\r\n\r\n");
    assert_eq!(connection.stats.unparsed, 1, "it is no request of its own");
    connection.arrives_at(at, b"HEAD ");
    connection.client = at.wrapping_add(19);
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    connection.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(connection.stats.answered(), 3);
    assert_eq!(connection.flow.waiting(), 0);
}

#[test]
fn what_leaves_elsewhere_is_not_called_aborted() {
    let mut connection = Connection::new();
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    connection.server = connection.server.wrapping_add(500);
    connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(connection.stats.unparsed, 1);
    // Once, however long it lasts.
    for _ in 0..5 {
        connection.server = connection.server.wrapping_add(500);
        connection.asks(b"GET / HTTP/1.1\r\n\r\n");
    }
    assert_eq!(connection.stats.unparsed, 1);
    connection.ends();
    assert!(connection.stats.aborted <= 1);
    assert_eq!(connection.stats.answered(), 0);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn http2_with_interim_responses_trailers_and_resets() {
    let ask = |stream| frame(1, 5, stream, b"\x82\x86\x84\x41\x01a");
    let asked = [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[0; 6]),
        ask(1),
        ask(3),
        ask(5),
        ask(7),
        ask(9),
        frame(1, 5, 9, b"trailers"),
    ]
    .concat();
    let answered = [
        frame(4, 0, 0, &[0, 3, 0, 0, 0, 128]),
        frame(4, 1, 0, b""),
        frame(1, 4, 1, b"\x48\x03103"),
        frame(1, 4, 1, b"\x88\x5c\x0210"),
        frame(0, 0, 1, b"HTTP/1.1 200 OK\r\n\r\n"),
        frame(1, 4, 3, b"\x3f\xe1\x1f\x48\x03404"),
        frame(1, 5, 1, b"\xbe\xbf"),
        frame(0, 1, 3, b"no\n"),
        frame(1, 5, 5, b"\x48\x82\x64\x02"),
        frame(1, 5, 7, b"\xbe"),
        frame(3, 0, 9, &[0, 0, 0, 7]),
    ]
    .concat();
    for cut in 0..answered.len() {
        let mut connection = Connection::new();
        connection.asks(&asked[..cut.min(asked.len())]);
        connection.asks(&asked[cut.min(asked.len())..]);
        assert_eq!(connection.flow.waiting(), 5);
        connection.answers(&answered[..cut]);
        connection.answers(&answered[cut..]);
        // 0x64 0x02 is "302" in Huffman code.
        assert_eq!(connection.stats.requests[2], [1, 0, 1, 1, 1, 0], "cut at {cut}");
        assert_eq!((connection.stats.aborted, connection.stats.unparsed), (1, 0));
        assert_eq!(connection.flow.waiting(), 0);
    }
}

#[test]
fn http2_statuses_that_the_client_remembers() {
    let mut connection = Connection::new();
    connection.asks(&[PREFACE, &frame(4, 0, 0, &[0; 6])].concat());
    connection.answers(&frame(4, 0, 0, b""));
    let ask = |connection: &mut Connection, stream| {
        connection.asks(&frame(1, 5, stream, b"\x82\x86\x84\x41\x01a"));
    };
    // 103 is told once and referred to afterwards: 200 is the response. What trailers have remembered is no status.
    for (stream, interim) in [(1, &b"\x48\x03103"[..]), (3, b"\xbe"), (5, b"\xc1")] {
        ask(&mut connection, stream);
        connection.answers(&frame(1, 4, stream, interim));
        connection.answers(&frame(1, 4, stream, b"\x88\x5c\x0210"));
        connection.answers(&frame(0, 0, stream, b"body"));
        connection.answers(&frame(1, 5, stream, b"\x40\x0bgrpc-status\x010"));
    }
    assert_eq!(connection.stats.requests[2], [0, 0, 3, 0, 0, 0]);
    // With another class beside it, it may be either.
    ask(&mut connection, 7);
    connection.answers(&frame(1, 5, 7, b"\x48\x03302"));
    ask(&mut connection, 9);
    connection.answers(&frame(1, 5, 9, b"\xbe"));
    assert_eq!(connection.stats.requests[2], [1, 0, 3, 1, 0, 0]);
    assert_eq!((connection.flow.waiting(), connection.stats.unparsed), (0, 0));
}

#[test]
fn an_upgrade_to_http2_is_answered_twice() {
    let answered = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
        frame(1, 4, 1, b"\x88"),
        frame(0, 1, 1, b"HTTP/1.1 200 OK\r\n\r\n"),
    ]
    .concat();
    for cut in 0..answered.len() {
        let mut connection = Connection::new();
        connection.asks(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
        connection.answers(&answered[..cut]);
        connection.answers(&answered[cut..]);
        connection.asks(&[PREFACE, &frame(1, 5, 3, b"\x82\x86\x84\x41\x01a")].concat());
        connection.answers(&frame(1, 5, 3, b"\x8d"));
        assert_eq!(connection.classes(), one(1), "cut at {cut}");
        assert_eq!(connection.stats.requests[2], [0, 0, 1, 0, 1, 0], "cut at {cut}");
        assert_eq!((connection.flow.waiting(), connection.stats.unparsed), (0, 0));
    }
}

/// An exchange, and what is counted of it.
#[derive(Clone, Debug)]
struct Exchange {
    request: Vec<u8>,
    response: Vec<u8>,
    version: usize,
    class: usize,
}

/// Bytes that look like what they are not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "\r\n\r\n",
        "0\r\n\r\n",
        "\n",
        "x",
        "content-length: 3\r\n",
    ];
    let piece = proptest::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec());
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    proptest::collection::vec(prop_oneof![piece, noise], 0..6).prop_map(|pieces| pieces.concat())
}

fn header_line() -> impl Strategy<Value = String> {
    let names = [
        "Server",
        "Date",
        "content-type",
        "Content-Lengthy",
        "Transfer",
        "ETag",
        "x",
        "Content-",
        "Transfer-Encodings",
    ];
    (proptest::sample::select(names.to_vec()), "[ -~]{0,60}")
        .prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

fn with_body(start: String, headers: Vec<String>, body: &[u8], style: u8) -> Vec<u8> {
    let mut message = (start + &headers.concat()).into_bytes();
    if style == 0 {
        message.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        message.extend(body);
    } else {
        message.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(1 + style as usize * 7) {
            message.extend(format!("{:x}\r\n", chunk.len()).bytes());
            message.extend(chunk);
            message.extend(b"\r\n");
        }
        message.extend(b"0\r\nTrailer: 1\r\n\r\n");
    }
    message
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let headers = || proptest::collection::vec(header_line(), 0..5);
    (0..6u8, headers(), headers(), body(), body(), 0..4u8, 0..4u8, 0..2usize, any::<bool>())
        .prop_map(|(kind, asked, told, sent, body, style, sent_style, version, interim)| {
            let request = |method: &str| {
                format!("{method} / HTTP/1.1\r\n{}\r\n", asked.concat()).into_bytes()
            };
            let start = |status: u16| format!("HTTP/1.{version} {status} Some Words\r\n");
            let empty = |status: u16| {
                (start(status) + &told.concat() + "Content-Length: 12\r\n\r\n").into_bytes()
            };
            let (request, mut response, class) = match kind {
                0 => (request("GET"), with_body(start(200), told, &body, style), 2),
                1 => (request("HEAD"), empty(200), 2),
                2 => (request("GET"), empty(304), 3),
                3 => (request("DELETE"), empty(204), 2),
                4 => (
                    with_body("POST /x HTTP/1.1\r\n".into(), asked, &sent, sent_style),
                    with_body(start(502), told, &body, style),
                    5,
                ),
                _ => (
                    with_body("PUT /x HTTP/1.1\r\n".into(), asked, &sent, sent_style),
                    with_body(start(403), told, &body, style),
                    4,
                ),
            };
            if interim {
                response.splice(0..0, *b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            Exchange { request, response, version, class }
        })
}

/// Cuts bytes into segments; the sizes come round again.
pub(super) fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    let mut pieces = vec![];
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        pieces.push(piece);
        rest = others;
    }
    pieces
}

proptest! {
    #[test]
    fn any_segmentation_of_any_conversation_counts_what_was_said(
        exchanges in proptest::collection::vec(exchange(), 1..8),
        sizes in proptest::collection::vec(prop_oneof![1..9usize, 1..300usize, Just(1448usize), Just(65_000usize)], 1..6),
        pipelined in any::<bool>(),
        again in any::<bool>(),
    ) {
        let mut connection = Connection::new();
        let mut expected = HttpStats::default();
        let said: Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)>> = if pipelined {
            let requests = exchanges.iter().map(|exchange| &exchange.request[..]).collect::<Vec<_>>().concat();
            let responses = exchanges.iter().map(|exchange| &exchange.response[..]).collect::<Vec<_>>().concat();
            Box::new([(requests, responses)].into_iter())
        } else {
            Box::new(exchanges.iter().map(|exchange| (exchange.request.clone(), exchange.response.clone())))
        };
        for exchange in &exchanges {
            expected.requests[exchange.version][exchange.class] += 1;
        }
        for (request, response) in said {
            for piece in pieces(&request, &sizes) {
                let at = connection.client;
                connection.asks(piece);
                if again {
                    connection.arrives_at(at, piece);
                }
            }
            for piece in pieces(&response, &sizes) {
                let at = connection.server;
                connection.answers(piece);
                if again {
                    connection.leaves_at(at, piece);
                }
            }
        }
        prop_assert_eq!(connection.stats.requests, expected.requests);
        prop_assert_eq!(connection.stats.unparsed, 0);
        prop_assert_eq!(connection.flow.waiting(), 0);
        prop_assert_eq!(connection.flow.leaving.phase, phase::START);
        prop_assert_eq!(connection.flow.arriving.phase, phase::START);
    }

    #[test]
    fn noise_ends_somewhere(requests in proptest::collection::vec(body(), 1..5), responses in proptest::collection::vec(body(), 1..5)) {
        let mut connection = Connection::new();
        for (request, response) in requests.iter().zip(&responses) {
            connection.asks(request);
            connection.answers(response);
        }
        connection.ends();
        prop_assert_eq!(connection.flow.waiting(), 0);
    }
}
