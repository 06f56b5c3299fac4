//! Request turns of HTTP/1.1 connections.

use std::vec::Vec;

use super::conversation::*;

fn exchange(flights: &mut Vec<Flight>, requests: usize) {
    for _ in 0..requests {
        flights.push((Client, sealed(500)));
        flights.push((Server, [sealed(300), sealed(16_401), sealed(700)].concat()));
    }
}

#[test]
fn keep_alive_with_tickets_before_or_after_the_first_request() {
    for late in [false, true] {
        let mut flights = handshake13(&Hello::new("a", &["http/1.1"]));
        let tickets = (Server, [sealed(250), sealed(250)].concat());
        if late {
            flights.push((Client, sealed(500)));
            flights.push(tickets);
            flights.push((Server, sealed(800)));
        } else {
            flights.push(tickets);
            exchange(&mut flights, 1);
        }
        exchange(&mut flights, 9);
        flights.push((Client, sealed(19)));
        flights.push((Server, sealed(19)));
        assert_eq!(read_whole(&flights).counted.turns, 10, "tickets after the request: {late}");
    }
}

#[test]
fn uploads_are_one_turn() {
    let mut flights = handshake12(&Hello::new("a", &["http/1.1"]), Some("http/1.1"));
    flights.push((Client, sealed(16_000).repeat(30)));
    flights.push((Server, sealed(300)));
    assert_eq!(read(&flights, std::iter::repeat(1448)).counted.turns, 1);
}

/// An upload begins before the server's tickets come.
#[test]
fn tickets_in_the_middle_of_an_upload() {
    let mut flights = handshake13(&Hello::new("a", &["http/1.1"]));
    flights.push((Client, sealed(16_000).repeat(3)));
    flights.push((Server, [sealed(250), sealed(250)].concat()));
    flights.push((Client, sealed(16_000).repeat(3)));
    flights.push((Server, sealed(250)));
    flights.push((Client, sealed(300)));
    flights.push((Server, sealed(250)));
    assert_eq!(read_whole(&flights).counted.turns, 2);
}

#[test]
fn none_where_the_protocol_is_or_may_be_another() {
    for (protocols, chosen) in [(&["h2", "http/1.1"][..], "h2"), (&["mqtt"], "mqtt")] {
        let hello = Hello::new("a", protocols);
        for mut flights in [handshake13(&hello), handshake12(&hello, Some(chosen))] {
            exchange(&mut flights, 3);
            assert_eq!(read_whole(&flights).counted.turns, 0, "{protocols:?}");
        }
    }
    // In TLS 1.2 the server's choice can be read.
    let mut flights = handshake12(&Hello::new("a", &["h2", "http/1.1"]), Some("http/1.1"));
    exchange(&mut flights, 3);
    assert_eq!(read_whole(&flights).counted.turns, 3);
}
