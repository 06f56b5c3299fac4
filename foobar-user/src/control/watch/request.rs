//! A sampled request, as watchers get it.

use foobar_common::{
    event::{NO_TIME, RequestEvent},
    http::{
        stats::{CLASSES, VERSIONS},
        step::method,
    },
};
use serde::{Deserialize, Serialize};

use super::WatchQuery;

/// A request that was answered. What is not known is absent; who asked, and for what, is not even looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Seconds since 1970: when its final response began.
    pub time: f64,
    /// The server's port.
    pub port: u16,
    /// `1.0`, `1.1` or `2`.
    pub http_version: String,
    /// `GET`, ...; `other` for methods outside of RFC 9110 and RFC 5789. Absent for HTTP/2, whose headers are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The status code; absent for HTTP/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `2xx`, ...; `unknown`.
    pub status_class: String,
    /// Seconds from the first byte of the request to the first byte of its final response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_byte: Option<f64>,
}

impl Request {
    /// The kernel's event in words; `time` is when it happened, seconds since 1970.
    pub fn new(event: &RequestEvent, time: f64) -> Self {
        let name = |names: &[&str], index: u8| {
            names.get(usize::from(index)).map_or_else(|| "unknown".to_owned(), ToString::to_string)
        };
        Self {
            time,
            port: u16::from_be(event.port),
            http_version: name(&VERSIONS, event.version),
            method: method_name(event.method).map(str::to_owned),
            status: (event.status != 0).then_some(event.status),
            status_class: name(&CLASSES, event.class),
            time_to_first_byte: (event.first_byte_us != NO_TIME)
                .then(|| f64::from(event.first_byte_us) / 1e6),
        }
    }

    /// Whether it is one that the query asks for.
    pub fn answers(&self, query: &WatchQuery) -> bool {
        query.requests && query.port.is_none_or(|port| port == self.port)
    }
}

fn method_name(number: u32) -> Option<&'static str> {
    Some(match (number, &number.to_le_bytes()) {
        (0, _) => return None,
        (method::HEAD, _) => "HEAD",
        (method::CONNECT, _) => "CONNECT",
        (_, b"GET ") => "GET",
        (_, b"POST") => "POST",
        (_, b"PUT ") => "PUT",
        (_, b"DELE") => "DELETE",
        (_, b"OPTI") => "OPTIONS",
        (_, b"PATC") => "PATCH",
        (_, b"TRAC") => "TRACE",
        _ => "other",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*text)
    }

    #[test]
    fn an_event_is_told_in_words() {
        let event = RequestEvent {
            first_byte_us: 12_500,
            method: word(b"POST"),
            port: 8080_u16.to_be(),
            status: 503,
            class: 5,
            version: 1,
            ..RequestEvent::default()
        };
        let expected = Request {
            time: 7.5,
            port: 8080,
            http_version: "1.1".to_owned(),
            method: Some("POST".to_owned()),
            status: Some(503),
            status_class: "5xx".to_owned(),
            time_to_first_byte: Some(0.0125),
        };
        assert_eq!(Request::new(&event, 7.5), expected);
        let query = |requests, port| WatchQuery { requests, port, ..WatchQuery::default() };
        assert!(expected.answers(&query(true, None)) && expected.answers(&query(true, Some(8080))));
        assert!(
            !expected.answers(&query(true, Some(80))) && !expected.answers(&query(false, None))
        );
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let event = RequestEvent {
            first_byte_us: NO_TIME,
            class: 2,
            version: 2,
            ..RequestEvent::default()
        };
        let line = serde_json::to_string(&Request::new(&event, 1.0)).unwrap();
        assert_eq!(line, r#"{"time":1.0,"port":0,"http_version":"2","status_class":"2xx"}"#);
        assert_eq!(method_name(method::HEAD), Some("HEAD"));
        assert_eq!(method_name(word(b"BREW")), Some("other"));
        assert_eq!(method_name(word(b"GETX")), Some("other"));
    }
}
