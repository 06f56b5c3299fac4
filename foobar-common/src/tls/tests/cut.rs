//! Segments of every size, retransmitted, overlapping, lost.

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::conversation::*;

fn conversations() -> Vec<Vec<Flight>> {
    let browser = Hello::new("www.example.org", &["h2", "http/1.1"]);
    let plain = Hello::new("www.example.org", &["http/1.1"]);
    let early = Hello { early: true, resumed: true, ..plain.clone() };
    let mut all = vec![
        handshake13(&browser),
        handshake12(&browser, Some("h2")),
        handshake13(&plain),
        handshake12(&plain, None),
        vec![
            (Client, browser.record()),
            (Server, retry13()),
            (Client, [change_cipher_spec(), browser.record()].concat()),
            (Server, flight13(0x1302, false)),
            (Client, sealed(69)),
        ],
        vec![
            (Client, [early.record(), change_cipher_spec(), sealed(200)].concat()),
            (Server, flight13(0x1301, true)),
            (Client, [sealed(21), sealed(53)].concat()),
        ],
        vec![(Client, browser.record()), (Server, alert(2, 40))],
        vec![(Client, browser.record()), (Server, flight12(None)), (Client, alert(2, 48))],
        vec![(Client, b"GET / HTTP/1.1\r\n\r\n".to_vec())],
    ];
    for flights in &mut all {
        for _ in 0..3 {
            flights.push((Client, sealed(400)));
            flights.push((Server, [sealed(900), sealed(30)].concat()));
        }
    }
    all
}

#[test]
fn every_size_of_segment() {
    for flights in conversations() {
        let whole = read_whole(&flights).counted;
        for size in 1..200 {
            assert_eq!(
                read(&flights, std::iter::repeat(size)).counted,
                whole,
                "segments of {size}"
            );
        }
    }
}

#[test]
fn every_two_pieces_of_the_hello() {
    let flights = handshake13(&Hello::new("www.example.org", &["h2"]));
    let whole = read_whole(&flights).counted;
    for at in 1..flights[0].1.len() {
        assert_eq!(read(&flights, std::iter::once(at)).counted, whole, "cut at {at}");
    }
}

/// A part of the hello does not come by here in its time; what follows is counted all the same.
#[test]
fn part_of_the_hello_is_lost() {
    let flights = handshake13(&Hello::new("www.example.org", &["h2"]));
    let mut connection = Connection::new();
    let (first, second) = flights[0].1.split_at(700);
    connection.lose(Client, first);
    connection.say(Client, second);
    let (client, server) = (connection.client, connection.server);
    let start = client.wrapping_sub(flights[0].1.len() as u32);
    connection.segment(Client, start, server, first);
    for (who, bytes) in &flights[1..] {
        connection.say(*who, bytes);
    }
    let counted = connection.counted;
    assert_eq!((counted.hellos, counted.unread, counted.completed), (0, 1, 1));
    assert_eq!((counted.unparsed, counted.failed.len()), (0, 0));
}

/// The client's Finished is lost, and comes behind the request.
#[test]
fn finished_is_lost() {
    for mut flights in [
        handshake13(&Hello::new("a", &["http/1.1"])),
        handshake12(&Hello::new("a", &["http/1.1"]), None),
    ] {
        flights.push((Client, sealed(500)));
        let mut connection = Connection::new();
        for (at, (who, bytes)) in flights.iter().enumerate() {
            if at == 2 { connection.lose(*who, bytes) } else { connection.say(*who, bytes) }
        }
        connection.say(Server, &sealed(600));
        connection.say(Server, &sealed(600));
        connection.say(Client, &sealed(500));
        connection.say(Server, &sealed(600));
        assert_eq!((connection.counted.completed, connection.counted.failed.len()), (1, 0));
    }
}

/// One direction alone comes by: neither completed nor failed, but not followed.
#[test]
fn client_alone() {
    let flights = handshake12(&Hello::new("a", &["h2"]), None);
    let mut connection = Connection::new();
    for (who, bytes) in &flights {
        if *who == Client { connection.say(Client, bytes) } else { connection.lose(Server, bytes) }
    }
    connection.end(Client, false);
    let counted = connection.counted;
    assert_eq!((counted.hellos, counted.completed, counted.unparsed), (1, 0, 1));
    assert!(counted.failed.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// However it is cut, and whatever is sent again.
    #[test]
    fn cuts_and_repeats(sizes in prop::collection::vec(1usize..2000, 1..60), again in prop::collection::vec(any::<(bool, u16)>(), 60)) {
        for flights in conversations() {
            let whole = read_whole(&flights).counted;
            let mut connection = Connection::new();
            let mut sizes = sizes.iter().cycle();
            let mut again = again.iter().cycle();
            for (who, bytes) in &flights {
                let mut at = 0;
                while at < bytes.len() {
                    let end = (at + sizes.next().expect("cycled")).min(bytes.len());
                    let (repeat, back) = *again.next().expect("cycled");
                    // A retransmit that starts earlier and ends where the new bytes do, or one without new bytes.
                    let from = if repeat { at - (back as usize).min(at) } else { at };
                    let (next, other) = match who {
                        Client => (connection.client, connection.server),
                        Server => (connection.server, connection.client),
                    };
                    let sequence = next.wrapping_sub((at - from) as u32);
                    connection.segment(*who, sequence, other, &bytes[from..end]);
                    if repeat {
                        connection.segment(*who, sequence, other, &bytes[from..end]);
                    }
                    let next = if *who == Client { &mut connection.client } else { &mut connection.server };
                    *next = next.wrapping_add((end - at) as u32);
                    at = end;
                }
            }
            prop_assert_eq!(&connection.counted, &whole);
        }
    }
}
