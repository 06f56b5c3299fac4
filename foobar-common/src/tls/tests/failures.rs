//! Handshakes that fail, and why.

use std::{vec, vec::Vec};

use super::conversation::*;
use crate::tls::flow::failure::*;

fn hello() -> Vec<u8> {
    Hello::new("a.example", &["h2"]).record()
}

/// What is counted as failed when the connection ends after these flights.
fn failed(flights: &[Flight], end: Option<(Who, bool)>) -> Vec<u8> {
    let mut connection = read_whole(flights);
    if let Some((who, reset)) = end {
        connection.end(who, reset);
    }
    // The end of a connection that failed is nothing new.
    connection.end(Client, false);
    connection.end(Server, true);
    assert_eq!((connection.counted.completed, connection.counted.unparsed), (0, 0));
    connection.counted.failed
}

#[test]
fn alerts_in_clear() {
    let cases = [
        (Server, 70, SERVER_ALERT_VERSION),
        (Server, 40, SERVER_ALERT),
        (Server, 112, SERVER_ALERT),
        (Server, 116, SERVER_ALERT_CERTIFICATE),
        (Client, 48, CLIENT_ALERT_CERTIFICATE),
        (Client, 45, CLIENT_ALERT_CERTIFICATE),
        (Client, 80, CLIENT_ALERT),
        (Client, 0, CLOSED),
    ];
    for (who, description, expected) in cases {
        let mut flights = vec![(Client, hello())];
        if who == Client {
            flights.push((Server, flight12(None)));
        }
        flights.push((who, alert(2, description)));
        assert_eq!(failed(&flights, None), [expected], "{who:?} {description}");
    }
}

#[test]
fn a_warning_is_no_failure() {
    let mut flights = handshake12(&Hello::new("a", &[]), None);
    flights.insert(1, (Server, alert(1, 112)));
    let counted = read_whole(&flights).counted;
    assert_eq!((counted.completed, counted.failed.len()), (1, 0));
}

#[test]
fn encrypted_alert_of_the_client() {
    let flights = [(Client, hello()), (Server, flight13(0x1301, false)), (Client, sealed(19))];
    assert_eq!(failed(&flights, None), [CLIENT_ALERT]);
}

#[test]
fn ends_in_the_middle() {
    let whole = [(Client, hello()), (Server, flight13(0x1301, false))];
    for flights in [&whole[..1], &whole[..]] {
        assert_eq!(failed(flights, Some((Client, true))), [RESET]);
        assert_eq!(failed(flights, Some((Server, true))), [RESET]);
        assert_eq!(failed(flights, Some((Client, false))), [CLOSED]);
        assert_eq!(failed(flights, Some((Server, false))), [CLOSED]);
    }
    let part = [(Client, hello()[..100].to_vec())];
    assert_eq!(failed(&part, Some((Client, false))), [CLOSED]);
}

#[test]
fn not_tls() {
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x80\x2e\x01\x03\x01 SSL 2",
        &[22, 3, 1, 0xff, 0xff, 1, 0, 0],
        &[22, 2, 0, 0, 40, 1, 0, 0, 36],
        &[22, 3, 1, 0, 40, 7, 0, 0, 36],
        &[23, 3, 3, 0, 40, 1, 0, 0, 36],
    ];
    for bytes in cases {
        let mut flights = vec![(Client, bytes.to_vec())];
        flights.push((Server, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
        assert_eq!(failed(&flights, None), [NOT_TLS], "{bytes:?}");
    }
}

/// The answer to early data, and the server's FIN, leave before the client's Finished arrives.
#[test]
fn early_data_answered_and_closed_before_the_clients_finished() {
    let hello = Hello { early: true, resumed: true, ..Hello::new("a", &["http/1.1"]) };
    let server = [flight13(0x1302, true), sealed(300), sealed(19)].concat();
    let flights =
        [(Client, [hello.record(), change_cipher_spec(), sealed(200)].concat()), (Server, server)];
    for completed in [true, false] {
        let mut connection = read_whole(&flights);
        connection.end(Server, false);
        if completed {
            connection.say(Client, &[sealed(21), sealed(69)].concat());
        }
        connection.end(Client, false);
        let counted = connection.counted;
        assert_eq!(counted.completed, u32::from(completed));
        assert_eq!(counted.failed, if completed { vec![] } else { vec![CLOSED] });
    }
}

#[test]
fn what_ends_after_the_handshake_is_no_failure() {
    for flights in [
        handshake13(&Hello::new("a", &["http/1.1"])),
        handshake12(&Hello::new("a", &["http/1.1"]), Some("http/1.1")),
    ] {
        let mut connection = read_whole(&flights);
        connection.end(Server, true);
        assert_eq!((connection.counted.completed, connection.counted.failed.len()), (1, 0));
    }
}
