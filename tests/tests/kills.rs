//! The daemon is killed again and again under load: the filter does not notice, and the counters are exact.

use std::{
    env,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, eventually, link_ids};
use nix::sys::socket::{setsockopt, sockopt};

/// Kills in a test run; `FOOBAR_KILLS` chooses another number, as `cargo xtask soak` does.
const KILLS: u32 = 100;

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.friends]
entries = ["192.0.2.10"]
[[rules]]
name = "stream"
ports = [9999]
protocols = ["udp"]
from = ["friends"]
"#;

/// How long one after the other waits: a thousand datagrams a second come in.
const PACE: Duration = Duration::from_millis(2);

/// Sends datagrams until told otherwise, and returns how many.
fn send(client: &Netns, done: &AtomicBool) -> u64 {
    let socket = client.enter(|| UdpSocket::bind(("0.0.0.0", 0)).expect("a free port"));
    socket.connect((Lan::SERVER4, 9999)).expect("a way to the server");
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        socket.send(b"probe").expect("a datagram that leaves");
        sent += 1;
        thread::sleep(PACE);
    }
    sent
}

/// Packets that the interface has received, whatever became of them.
fn received(server: &Netns) -> f64 {
    let said = server.ip("-s -j link show eth0");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON of ip");
    said[0]["stats64"]["rx"]["packets"].as_f64().expect("a number")
}

/// Packets that were received, passed and dropped, at a moment when none comes in.
fn counted(daemon: &Daemon<'_>, server: &Netns) -> (f64, f64, f64) {
    eventually("a quiet moment", Duration::from_secs(20), || {
        let before = received(server);
        let page = daemon.scrape();
        thread::sleep(Duration::from_millis(20));
        let passed = page.sum("foobar_passed_packets_total", &[]);
        let dropped = page.sum("foobar_dropped_packets_total", &[]);
        let after = received(server);
        if before == after { Ok((before, passed, dropped)) } else { Err((before, after)) }
    })
}

#[test]
fn slow_kills_under_load_misfilter_nothing_and_lose_no_count() {
    let kills = env::var("FOOBAR_KILLS").map_or(KILLS, |number| number.parse().expect("a number"));
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let (friend, stranger) = (lan.client(10), lan.client(66));
    let receiver = lan.server.enter(|| UdpSocket::bind(("0.0.0.0", 9999)).expect("a free port"));
    // So that a receiver that has to wait for a processor loses nothing.
    setsockopt(&receiver, sockopt::RcvBufForce, &(64 << 20)).expect("a large buffer");
    receiver.set_read_timeout(Some(Duration::from_millis(300))).expect("a time limit");
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let links = link_ids(&daemon.bpf_dir());
    let begin = counted(&daemon, &lan.server);

    let (done, all_sent) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut times = Vec::new();
    let (from_friend, from_stranger, arrived) = thread::scope(|scope| {
        let friends = scope.spawn(|| send(&friend, &done));
        let strangers = scope.spawn(|| send(&stranger, &done));
        let receiving = scope.spawn(|| {
            let (mut from_friend, mut from_others) = (0u64, 0u64);
            loop {
                match receiver.recv_from(&mut [0; 64]) {
                    Ok((_, from)) if from.ip().to_string() == "192.0.2.10" => from_friend += 1,
                    Ok(_) => from_others += 1,
                    Err(_) if all_sent.load(Ordering::Relaxed) => {
                        return (from_friend, from_others);
                    }
                    Err(_) => {}
                }
            }
        });
        // Also if it panics: the clients would go on for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 0..kills {
                daemon.process().kill();
                // Some die before they have taken over.
                if kill % 5 == 4 {
                    let process = daemon.spawn();
                    thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
                    process.kill();
                }
                let begin = Instant::now();
                daemon.launch();
                times.push(begin.elapsed());
                assert_eq!(link_ids(&daemon.bpf_dir()), links, "kill {kill}: the same links");
            }
        }));
        done.store(true, Ordering::Relaxed);
        let sent = (friends.join().expect("the friend"), strangers.join().expect("the stranger"));
        all_sent.store(true, Ordering::Relaxed);
        let arrived = receiving.join().expect("the receiver");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (sent.0, sent.1, arrived)
    });

    let end = counted(&daemon, &lan.server);
    let (came, passed, dropped) = (end.0 - begin.0, end.1 - begin.1, end.2 - begin.2);
    times.sort_unstable();
    println!(
        "{kills} kills: {came} packets came in, {passed} passed, {dropped} were dropped; \
         {from_friend} datagrams of a friend, {from_stranger} of a stranger; taken over in {:.0?} \
         (median), {:.0?} (longest)",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(from_friend > 100 && from_stranger > 100, "hardly any load");
    assert_eq!(arrived, (from_friend, 0), "all of a friend's datagrams, and none of a stranger's");
    assert_eq!(came, passed + dropped, "each packet is counted once");
    assert!(dropped >= from_stranger as f64, "a stranger's datagrams are dropped and counted");
}
