//! Who is let in by name and password.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::runtime::Runtime;

use crate::metrics::web::{Checks, Denied, users::Users};

/// Cheap for tests; the least that there is.
const COST: u32 = 4;

fn users(cost: u32) -> Arc<Users> {
    let hash = |password: &str| bcrypt::hash(password, cost).unwrap();
    let users = [("alice", hash("wonderland")), ("bob", hash("pass:word"))];
    Arc::new(Users::new(users.map(|(name, hash)| (name.to_owned(), hash)).into()).unwrap())
}

fn basic(name: &str, password: &str) -> HeaderMap {
    let value = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    [(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect()
}

fn source(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn the_right_ones_are_let_in() {
    let runtime = Runtime::new().unwrap();
    let (checks, users) = (Arc::<Checks>::default(), users(COST));
    let admit = |headers: &HeaderMap| runtime.block_on(checks.admit(&users, headers, source(1)));
    for (name, password, expected) in [
        ("alice", "wonderland", Ok(())),
        ("alice", "wonderland", Ok(())),
        ("bob", "pass:word", Ok(())),
        ("alice", "pass:word", Err(Denied::Unauthorized)),
        ("alice", "", Err(Denied::Unauthorized)),
        ("mallory", "wonderland", Err(Denied::Unauthorized)),
        ("", "wonderland", Err(Denied::Unauthorized)),
        ("bob", "pass:word", Ok(())),
    ] {
        assert_eq!(admit(&basic(name, password)), expected, "{name} {password}");
    }
    let header = |value: &str| {
        [(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    };
    for other in ["", "Basic", "Basic !!!", "Basic YWxpY2U=", "Bearer YWxpY2U6d29uZGVybGFuZA=="] {
        assert_eq!(admit(&header(other)), Err(Denied::Unauthorized), "{other:?}");
    }
    assert_eq!(admit(&header("bAsIc YWxpY2U6d29uZGVybGFuZA==")), Ok(()), "RFC 7617, section 2");
    assert_eq!(admit(&HeaderMap::new()), Err(Denied::Unauthorized));
    let nobody = Arc::<Users>::default();
    assert_eq!(runtime.block_on(checks.admit(&nobody, &HeaderMap::new(), source(1))), Ok(()));
}

/// What a client sends after TLS is not what an attacker can try fast, and a scrape a second costs nothing.
#[test]
fn who_was_right_before_is_not_held_up_by_a_flood_of_wrong_ones() {
    let runtime = Runtime::new().unwrap();
    // Long enough that a flood of them would be felt.
    let (checks, users) = (Arc::<Checks>::default(), users(9));
    let alice = basic("alice", "wonderland");
    let begun = Instant::now();
    assert_eq!(runtime.block_on(checks.admit(&users, &alice, source(1))), Ok(()));
    let one = begun.elapsed();

    let mut flood = Vec::new();
    for round in 0..200u32 {
        let (checks, users) = (Arc::clone(&checks), Arc::clone(&users));
        let wrong = basic("alice", &format!("guess {round}"));
        let from = source(u8::try_from(100 + round % 20).unwrap());
        flood.push(runtime.spawn(async move { checks.admit(&users, &wrong, from).await }));
    }
    // A second one who is right, and from elsewhere.
    let bob = {
        let (checks, users) = (Arc::clone(&checks), Arc::clone(&users));
        runtime.spawn(async move {
            loop {
                match checks.admit(&users, &basic("bob", "pass:word"), source(2)).await {
                    Err(Denied::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
                    other => return other,
                }
            }
        })
    };
    let begun = Instant::now();
    for _ in 0..1000 {
        assert_eq!(runtime.block_on(checks.admit(&users, &alice, source(1))), Ok(()));
    }
    assert!(begun.elapsed() < one * 1000, "each scrape would cost a check");
    let outcomes: Vec<_> = flood.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
    let checked = outcomes.iter().filter(|outcome| **outcome == Err(Denied::Unauthorized)).count();
    assert!(outcomes.iter().all(Result::is_err));
    assert!(
        checked > 0 && checked < 100,
        "{checked} of 200 were checked: the others are told to wait"
    );
    assert_eq!(runtime.block_on(bob).unwrap(), Ok(()), "it is his turn in the end");
}

#[test]
fn those_who_come_together_with_the_same_password_share_one_check() {
    let runtime = Runtime::new().unwrap();
    let (checks, users) = (Arc::<Checks>::default(), users(COST));
    let scrapers: Vec<_> = (0..100)
        .map(|_| {
            let (checks, users) = (Arc::clone(&checks), Arc::clone(&users));
            runtime.spawn(async move {
                checks.admit(&users, &basic("alice", "wonderland"), source(7)).await
            })
        })
        .collect();
    for scraper in scrapers {
        assert_eq!(runtime.block_on(scraper).unwrap(), Ok(()));
    }
}
