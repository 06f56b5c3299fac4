//! Whatever bytes come: no panic, an end, and each connection counted once.

use proptest::prelude::*;

use super::conversation::*;

/// Counted as one thing at most.
fn check(connection: &Connection) {
    let counted = &connection.counted;
    assert!(counted.hellos + counted.unread <= 1, "{counted:?}");
    let ends = counted.completed + counted.failed.len() as u32 + counted.unparsed;
    assert!(ends <= 1, "{counted:?}");
}

#[test]
fn every_length_of_the_hello_may_lie() {
    let hello = Hello::new("www.example.org", &["h2", "http/1.1"]).record();
    for at in 0..hello.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = hello.clone();
            bytes[at] = value;
            let mut connection = Connection::new();
            connection.say(Client, &bytes);
            connection.say(Server, &alert(2, 50));
            connection.end(Server, false);
            check(&connection);
        }
    }
}

#[test]
fn a_list_that_is_longer_than_the_hello_is_not_counted() {
    let mut hello = Hello::new("www.example.org", &["h2"]).message();
    // The length of the list of extensions: behind head, version, random, session, ciphers and compressions.
    let at = 4 + 2 + 32 + 33 + 8 + 2;
    hello[at] = 0xff;
    let counted = read_whole(&[(Client, handshake(&hello, 1 << 14))]).counted;
    assert_eq!((counted.hellos, counted.unparsed), (0, 1));
}

#[test]
fn garbage_behind_the_hello() {
    let flights = [
        (Client, Hello::new("a", &["h2"]).record()),
        (Server, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    let mut connection = read_whole(&flights);
    connection.end(Server, false);
    let counted = connection.counted;
    assert_eq!((counted.hellos, counted.unparsed, counted.failed.len()), (1, 1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise(segments in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..400)), 1..12)) {
        let mut connection = Connection::new();
        for (client, bytes) in &segments {
            connection.say(if *client { Client } else { Server }, bytes);
        }
        connection.end(Client, false);
        connection.end(Server, false);
        check(&connection);
    }

    /// Real conversations with a few bytes changed.
    #[test]
    fn changed(
        which in 0usize..3,
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        size in 1usize..3000,
    ) {
        let hello = Hello::new("www.example.org", &["http/1.1"]);
        let mut flights = match which {
            0 => handshake13(&hello),
            1 => handshake12(&hello, Some("http/1.1")),
            _ => handshake13(&Hello { early: true, resumed: true, ..hello }),
        };
        flights.push((Client, sealed(300)));
        flights.push((Server, sealed(300)));
        for (at, value) in changes {
            let flight = at as usize % flights.len();
            let bytes = &mut flights[flight].1;
            let at = at as usize / 6 % bytes.len().min(300);
            bytes[at] = value;
        }
        let mut connection = read(&flights, std::iter::repeat(size));
        connection.end(Server, false);
        connection.end(Client, false);
        check(&connection);
    }
}
