//! Many clients change lists at the same time: every change is made once, in an order that all agree on.

use std::{
    collections::BTreeSet,
    env, thread,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Control, Daemon, Lan, Leaks};
use serde_json::{Value, json};

/// Clients that write at the same time.
const CLIENTS: u32 = 64;
/// What each of them writes; `FOOBAR_WRITES` chooses another number, such as 200.
const WRITES: u32 = 50;

fn status(daemon: &Daemon<'_>) -> Value {
    serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON")
}

fn generation(daemon: &Daemon<'_>) -> u64 {
    status(daemon)["policy"]["generation"].as_u64().expect("a generation")
}

fn entries(daemon: &Daemon<'_>) -> BTreeSet<String> {
    let list = daemon.ok(&["allow", "list", "friends", "--output", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let entries = list["entries"].as_array().expect("entries").iter();
    entries.map(|entry| entry["entry"].as_str().expect("a prefix").to_owned()).collect()
}

/// Runs `work` once for each client, all at the same time.
fn side_by_side<T: Send>(
    daemon: &Daemon<'_>,
    work: impl Fn(u32, Control) -> Vec<T> + Sync,
) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let control = daemon.control();
                scope.spawn(move || work(client, control))
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

#[test]
fn slow_concurrent_writers_lose_no_update() {
    let writes =
        env::var("FOOBAR_WRITES").map_or(WRITES, |number| number.parse().expect("a number"));
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    let before = generation(&daemon);
    let begin = Instant::now();
    let mut answers = side_by_side(&daemon, |client, mut control| {
        let one = |write: u32| {
            let entry = format!("10.{client}.{}.{}", write / 256, write % 256);
            let begin = Instant::now();
            let body = json!({ "entries": [entry], "comment": format!("write {write}") });
            let (status, answer) = control.edit("allow/friends/add", &body).expect("an answer");
            assert_eq!((status, answer["added"].as_u64()), (200, Some(1)), "{answer}");
            (answer["generation"].as_u64().expect("a generation"), begin.elapsed(), client)
        };
        (0..writes).map(one).collect()
    });
    let took = begin.elapsed();

    // Each change has a generation of its own, without a gap, and those of one client are in its order.
    let all = u64::from(CLIENTS * writes);
    for client in 0..CLIENTS {
        let own: Vec<_> = answers.iter().filter(|answer| answer.2 == client).collect();
        assert!(own.is_sorted_by_key(|answer| answer.0), "client {client}");
    }
    answers.sort_unstable();
    let generations: Vec<_> = answers.iter().map(|answer| answer.0).collect();
    assert!(generations.into_iter().eq(before + 1..=before + all), "an order all agree on");
    assert_eq!(generation(&daemon), before + all);

    // What was acknowledged is there, also for a daemon that comes after this one.
    let wanted: BTreeSet<_> = (0..CLIENTS)
        .flat_map(|client| {
            (0..writes).map(move |write| format!("10.{client}.{}.{}/32", write / 256, write % 256))
        })
        .chain(["192.0.2.10/32".to_owned()])
        .collect();
    assert!(entries(&daemon) == wanted);
    daemon.process().kill();
    daemon.launch();
    assert!(entries(&daemon) == wanted);

    let mut times: Vec<_> = answers.iter().map(|answer| answer.1).collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{all} changes by {CLIENTS} clients in {:.2} s: median {:.1?}, p99 {:.1?}, longest {:.1?}",
        took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[test]
fn of_those_who_saw_the_same_generation_one_wins() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    for round in 0..5 {
        let seen = generation(&daemon);
        let answers = side_by_side(&daemon, |client, mut control| {
            let body =
                json!({ "entries": [format!("10.0.{round}.{client}")], "if_generation": seen });
            vec![control.edit("allow/friends/add", &body).expect("an answer")]
        });
        let won: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let refused = answers.iter().filter(|(status, _)| *status == 409).count();
        assert_eq!(refused, CLIENTS as usize - 1, "{answers:?}");
        assert_eq!(generation(&daemon), seen + 1);
    }
    assert_eq!(entries(&daemon).len(), 6);
}

/// A daemon that dies while changes come in: what it has acknowledged is there, and nothing that nobody asked for.
#[test]
fn slow_a_killed_daemon_forgets_nothing_that_it_has_acknowledged() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.server, Daemon::FRIENDS_TO_WEB);
    let mut acknowledged = BTreeSet::from(["192.0.2.10/32".to_owned()]);
    let mut asked = acknowledged.clone();
    for round in 0..8 {
        let (known, tried) = thread::scope(|scope| {
            let mut control = daemon.control();
            let writer = scope.spawn(move || {
                let (mut known, mut tried) = (Vec::new(), Vec::new());
                for number in 0..u32::MAX {
                    let entry = format!("10.{round}.{}.{}/32", number / 256, number % 256);
                    tried.push(entry.clone());
                    match control.edit("allow/friends/add", &json!({ "entries": [&entry] })) {
                        Ok((200, _)) => known.push(entry),
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => break,
                    }
                }
                (known, tried)
            });
            thread::sleep(Duration::from_millis(fastrand::u64(20..150)));
            daemon.process().kill();
            writer.join().expect("the writer")
        });
        acknowledged.extend(known);
        asked.extend(tried);
        daemon.launch();
        let found = entries(&daemon);
        assert!(acknowledged.is_subset(&found), "round {round}: an acknowledged change is gone");
        assert!(found.is_subset(&asked), "round {round}: a change that nobody asked for");
        acknowledged = found;
    }
}
