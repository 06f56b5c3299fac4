//! The hash of server names.

use super::conversation::*;
use crate::tls::name;

#[test]
fn case_does_not_matter_and_everything_else_does() {
    assert_eq!(name::hash(b"WWW.Example.ORG"), name::hash(b"www.example.org"));
    let names =
        ["a", "b", "aa", "example.org", "example.com", "[", "{", "@", "`", "z", "www.example.org"];
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            assert_ne!(name::hash(one.as_bytes()), name::hash(other.as_bytes()), "{one} {other}");
        }
    }
}

#[test]
fn names_of_every_length() {
    for length in 1..=253 {
        let name: std::string::String =
            (0..length).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        let counted = read_whole(&handshake13(&Hello::new(&name, &[]))).counted;
        assert_eq!(counted.hello[0].2, name::hash(name.as_bytes()), "{length} bytes");
    }
}

#[test]
fn no_name() {
    let hello = Hello { name: None, ..Hello::new("", &[]) };
    let connection = read_whole(&handshake13(&hello));
    assert_eq!((connection.flow.named, connection.counted.completed), (0, 1));
}
