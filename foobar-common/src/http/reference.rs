//! The automaton against another parser: whatever `httparse` reads of a stream, and RFC 9112 makes of it, is counted, in any segments.
//!
//! The streams have all that the grammar allows and servers do: names in any case, spaces around values, lines that end with LF alone,
//! empty lines before a request, chunk extensions and trailers, interim responses, bodies that look like messages.

use std::{format, string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    stats::HttpStats,
    tests::{Connection, pieces},
};

/// What one header says of what follows it.
struct Message {
    /// Requests: whether it is HEAD. Responses: status and minor version.
    is_head: bool,
    status: u16,
    minor: u8,
    chunked: bool,
    length: Option<usize>,
    /// Bytes of the header.
    bytes: usize,
}

fn body_headers(headers: &[httparse::Header<'_>]) -> (bool, Option<usize>) {
    let text = |header: &httparse::Header<'_>| {
        std::str::from_utf8(header.value).expect("text").trim().to_ascii_lowercase()
    };
    let named = |name: &str| headers.iter().rev().find(|h| h.name.eq_ignore_ascii_case(name));
    let chunked =
        named("transfer-encoding").is_some_and(|header| text(header).ends_with("chunked"));
    (chunked, named("content-length").map(|header| text(header).parse().expect("a number")))
}

fn request(bytes: &[u8]) -> Message {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(bytes) = request.parse(bytes).expect("a request") else {
        panic!("half a request: {}", String::from_utf8_lossy(bytes));
    };
    let is_head = request.method == Some("HEAD");
    let (chunked, length) = body_headers(request.headers);
    Message { is_head, status: 0, minor: 1, chunked, length, bytes }
}

fn response(bytes: &[u8]) -> Message {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = response.parse(bytes).expect("a response") else {
        panic!("half a response: {}", String::from_utf8_lossy(bytes));
    };
    let (status, minor) = (response.code.expect("a status"), response.version.expect("a version"));
    let (chunked, length) = body_headers(response.headers);
    Message { is_head: false, status, minor, chunked, length, bytes }
}

/// Where a chunked body ends, trailers included.
fn chunked_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let size = httparse::parse_chunk_size(&bytes[at..]).expect("the size of a chunk");
        let httparse::Status::Complete((header, size)) = size else { panic!("half a chunk") };
        at += header;
        if size == 0 {
            break;
        }
        at += size as usize + 2;
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    match httparse::parse_headers(&bytes[at..], &mut headers).expect("trailers") {
        httparse::Status::Complete((bytes, _)) => at + bytes,
        httparse::Status::Partial => panic!("half a trailer"),
    }
}

/// The requests of a stream: whether each is HEAD.
fn requests(mut bytes: &[u8]) -> Vec<bool> {
    let mut found = vec![];
    while !bytes.is_empty() {
        let message = request(bytes);
        bytes = &bytes[message.bytes..];
        let body =
            if message.chunked { chunked_end(bytes) } else { message.length.unwrap_or_default() };
        bytes = &bytes[body..];
        found.push(message.is_head);
    }
    found
}

/// The final responses of a stream: status and minor version (RFC 9112, section 6.3).
fn responses(mut bytes: &[u8], heads: &[bool]) -> Vec<(u16, u8)> {
    let mut found = vec![];
    while !bytes.is_empty() {
        let message = response(bytes);
        bytes = &bytes[message.bytes..];
        if message.status / 100 == 1 {
            continue;
        }
        let is_head = heads[found.len()];
        found.push((message.status, message.minor));
        let body = match message {
            _ if is_head || message.status == 204 || message.status == 304 => 0,
            Message { chunked: true, .. } => chunked_end(bytes),
            Message { length: Some(length), .. } => length,
            // It ends with the connection.
            _ => bytes.len(),
        };
        bytes = &bytes[body..];
    }
    found
}

/// A line end as written.
fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("\r\n"), 1 => Just("\n")]
}

/// The name in some mixture of capitals.
fn any_case(name: &'static str) -> impl Strategy<Value = String> {
    any::<u32>().prop_map(move |bits| {
        let letters = name.chars().enumerate();
        let cased = letters.map(|(at, letter)| {
            if bits >> (at % 32) & 1 == 0 { letter } else { letter.to_ascii_uppercase() }
        });
        cased.collect()
    })
}

/// A header field that says nothing of the body, although it may look so.
fn field() -> impl Strategy<Value = String> {
    let names = [
        "server",
        "x",
        "content-type",
        "content-lengths",
        "content-",
        "xcontent-length",
        "transfer",
        "transfer-encodings",
        "transfer-enco",
        "te",
        "connection",
        "trailer",
        "a-b_c.d",
    ];
    let name = proptest::sample::select(names.to_vec()).prop_flat_map(any_case);
    (name, "[ \t]{0,3}", "([!-~]([ -~\t]{0,80}[!-~])?)?", "[ \t]{0,2}", line_end())
        .prop_map(|(name, before, value, after, end)| format!("{name}:{before}{value}{after}{end}"))
}

/// Fields with one in their midst that says how long the body is, and the body as written.
fn message() -> impl Strategy<Value = (String, Vec<u8>)> {
    let noise = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        Just(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n".to_vec()
        ),
    ];
    let fields = || proptest::collection::vec(field(), 0..4).prop_map(|fields| fields.concat());
    let extension = prop_oneof![Just(""), Just(";a=b"), Just(";q=\"0\"")];
    let spaces = || "[ \t]{0,3}";
    (
        (fields(), fields(), noise, any::<bool>(), 1..200usize, extension),
        (any_case("content-length"), any_case("transfer-encoding"), any_case("chunked")),
        (spaces(), spaces(), line_end(), line_end(), any::<bool>(), fields(), 0..4usize),
    )
        .prop_map(|((one, other, body, chunked, chunk, extension), names, rest)| {
            let (length_name, coding_name, coding) = names;
            let (before, after, end, last, trailers, trailer, zeros) = rest;
            let zeros = &"000"[..zeros.min(3)];
            if !chunked {
                let length = body.len();
                let line = format!("{length_name}:{before}{zeros}{length}{after}{end}");
                return (format!("{one}{line}{other}{last}"), body);
            }
            let list = if before.len() > 1 { "gzip, " } else { "" };
            let line = format!("{coding_name}:{before}{list}{coding}{after}{end}");
            let mut written = vec![];
            for piece in body.chunks(chunk) {
                written.extend(format!("{zeros}{:X}{extension}\r\n", piece.len()).bytes());
                written.extend(piece);
                written.extend(b"\r\n");
            }
            let trailer = if trailers { trailer } else { String::new() };
            written.extend(format!("0{extension}\r\n{trailer}\r\n").bytes());
            (format!("{one}{line}{other}{last}"), written)
        })
}

/// A request and its response as written.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let methods =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "M-SEARCH", "PROPPATCH"];
    let fields = || proptest::collection::vec(field(), 0..4).prop_map(|fields| fields.concat());
    let statuses = [200u16, 201, 204, 206, 301, 304, 400, 404, 418, 500, 503, 599];
    (
        proptest::sample::select(methods.to_vec()),
        "/[!-~]{0,40}",
        (fields(), message(), line_end(), "(\r\n){0,2}"),
        (proptest::sample::select(statuses.to_vec()), message(), fields(), line_end()),
        proptest::option::of("[ -~]{0,20}"),
        (0..2u8, proptest::sample::select(vec![0u16, 100, 102, 103, 199])),
    )
        .prop_map(|(method, target, asked, told, reason, (minor, interim))| {
            let (fields, (with_body, sent), end, empty) = asked;
            let mut request = format!("{empty}{method} {target} HTTP/1.1{end}").into_bytes();
            if matches!(method, "POST" | "PUT" | "PATCH") {
                request.extend(with_body.bytes());
                request.extend(sent);
            } else {
                request.extend(format!("{fields}{end}").bytes());
            }
            let (status, (header, body), interim_fields, end) = told;
            let reason = reason.map_or(String::new(), |reason| format!(" {reason}"));
            let mut response = vec![];
            if interim != 0 {
                response
                    .extend(format!("HTTP/1.1 {interim} Wait{end}{interim_fields}{end}").bytes());
            }
            response.extend(format!("HTTP/1.{minor} {status}{reason}{end}{header}").bytes());
            if method != "HEAD" && status != 204 && status != 304 {
                response.extend(body);
            }
            (request, response)
        })
}

proptest! {
    #[test]
    fn another_parser_finds_the_same_messages(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        sizes in proptest::collection::vec(prop_oneof![1..9usize, 1..300usize, Just(1448usize)], 1..6),
        pipelined in any::<bool>(),
    ) {
        let asked: Vec<u8> = exchanges.iter().flat_map(|(request, _)| request.clone()).collect();
        let told: Vec<u8> = exchanges.iter().flat_map(|(_, response)| response.clone()).collect();
        let heads = requests(&asked);
        let found = responses(&told, &heads);
        prop_assert_eq!(found.len(), heads.len());
        let mut expected = HttpStats::default();
        for (status, minor) in found {
            expected.requests[minor as usize][status as usize / 100] += 1;
        }

        let mut connection = Connection::new();
        if pipelined {
            pieces(&asked, &sizes).into_iter().for_each(|piece| connection.asks(piece));
            pieces(&told, &sizes).into_iter().for_each(|piece| connection.answers(piece));
        } else {
            for (request, response) in &exchanges {
                pieces(request, &sizes).into_iter().for_each(|piece| connection.asks(piece));
                pieces(response, &sizes).into_iter().for_each(|piece| connection.answers(piece));
            }
        }
        prop_assert_eq!(connection.flow.asked as usize, heads.len());
        prop_assert_eq!(connection.stats.requests, expected.requests);
        prop_assert_eq!((connection.stats.unparsed, connection.stats.aborted), (0, 0));
        prop_assert_eq!(connection.flow.waiting(), 0);
    }
}
