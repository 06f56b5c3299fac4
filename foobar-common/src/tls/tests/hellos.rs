//! Handshakes that succeed.

use std::{vec, vec::Vec};

use super::conversation::*;
use crate::tls::{alpn, name, version};

#[test]
fn tls13() {
    let hello = Hello::new("www.example.org", &["h2", "http/1.1"]);
    let counted = read_whole(&handshake13(&hello)).counted;
    let name = name::hash(b"www.example.org");
    assert_eq!(counted.hello, [(version::TLS13, alpn::HTTP2 | alpn::HTTP11, name, false)]);
    assert_eq!(counted.agreed, [(version::TLS13, false)]);
    assert_eq!((counted.hellos, counted.completed, counted.unparsed), (1, 1, 0));
    assert!(counted.failed.is_empty());
}

#[test]
fn tls12() {
    let hello = Hello { versions: Vec::new(), ..Hello::new("a.example", &[]) };
    let counted = read_whole(&handshake12(&hello, None)).counted;
    assert_eq!(counted.hello[0].0, version::TLS12);
    assert_eq!(counted.agreed, [(version::TLS12, false)]);
}

#[test]
fn tls12_is_not_done_before_the_servers_finished() {
    let flights = handshake12(&Hello::new("a.example", &[]), None);
    assert_eq!(read_whole(&flights[..3]).counted.completed, 0);
}

#[test]
fn resumed_in_either_version() {
    let hello = Hello { resumed: true, ..Hello::new("a.example", &["http/1.1"]) };
    assert_eq!(read_whole(&handshake13(&hello)).counted.agreed, [(version::TLS13, true)]);
    let flights = [
        (Client, hello.record()),
        (Server, resumed12()),
        (Client, [change_cipher_spec(), record(22, &[0x99; 40])].concat()),
    ];
    assert_eq!(read_whole(&flights).counted.agreed, [(version::TLS12, true)]);
}

#[test]
fn another_hello_is_asked_for() {
    let hello = Hello::new("a.example", &["h2"]);
    let flights = [
        (Client, hello.record()),
        (Server, retry13()),
        (Client, [change_cipher_spec(), hello.record()].concat()),
        (Server, flight13(0x1302, false)),
        (Client, sealed(69)),
    ];
    let counted = read_whole(&flights).counted;
    assert_eq!((counted.hellos, counted.retries, counted.completed), (1, 1, 1));
    assert_eq!(counted.agreed, [(version::TLS13, false)]);
}

#[test]
fn early_data_accepted_and_refused() {
    let hello = Hello { early: true, resumed: true, ..Hello::new("a.example", &["http/1.1"]) };
    let early = [hello.record(), change_cipher_spec(), sealed(200)].concat();
    let server = flight13(0x1302, true);
    let late = sealed(333);
    for end in [[late.clone(), sealed(21), sealed(69)].concat(), [late, sealed(69)].concat()] {
        let flights = [(Client, early.clone()), (Server, server.clone()), (Client, end)];
        let counted = read_whole(&flights).counted;
        assert_eq!(counted.agreed, [(version::TLS13, true)]);
        assert!(counted.hello[0].3);
    }
}

#[test]
fn client_certificates() {
    let hello = Hello::new("a.example", &["h2"]);
    let server = flight13(0x1301, false);
    let greeting = vec![(Client, hello.record()), (Server, server)];
    // Each message a record, or all in one.
    for flight in [[sealed(900), sealed(281), sealed(53)].concat(), [sealed(1200)].concat()] {
        let mut flights = greeting.clone();
        flights.push((Client, flight));
        assert_eq!(read_whole(&flights).counted.completed, 0, "the server has not answered");
        let mut welcome = flights.clone();
        welcome.push((Server, sealed(250)));
        assert_eq!(read_whole(&welcome).counted.completed, 1);
        flights.push((Server, sealed(19)));
        let counted = read_whole(&flights).counted;
        assert_eq!((counted.completed, counted.failed.len()), (0, 1));
    }
}

#[test]
fn offers() {
    let cases: [(&[&str], u8); 5] = [
        (&[], 0),
        (&["h2"], alpn::HTTP2),
        (&["http/1.1", "h2"], alpn::HTTP2 | alpn::HTTP11),
        (&["http/1.10", "h3", "h2c"], alpn::OTHER),
        (&["http/1.0", "http/1.1"], alpn::OTHER | alpn::HTTP11),
    ];
    for (protocols, expected) in cases {
        let counted = read_whole(&handshake13(&Hello::new("a", protocols))).counted;
        assert_eq!(counted.hello[0].1, expected, "{protocols:?}");
    }
}

#[test]
fn hello_of_sixteen_kilobytes_in_small_records() {
    let hello = Hello { share: 15_000, ..Hello::new("long.example", &["http/1.1"]) };
    for size in [1, 7, 100, 16_000] {
        let mut flights = handshake13(&hello);
        flights[0].1 = handshake(&hello.message(), size);
        let counted = read(&flights, std::iter::repeat(150)).counted;
        assert_eq!(counted.hello[0].2, name::hash(b"long.example"), "records of {size} bytes");
        assert_eq!(counted.completed, 1);
    }
}
