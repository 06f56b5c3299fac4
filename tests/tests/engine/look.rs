//! Traced frames, counted connections.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use foobar_common::event::Sampling;
use foobar_tests::harness::{Lan, Leaks, eventually};
use foobar_user::kernel::{
    Direction, ErrorKind, Fit, How, Sandbox, Timeouts, TraceRequest, established, listen_queues,
};

use crate::host::{Host, listen, policy, reaches};

#[test]
fn frames_are_traced_without_a_trace() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut host = Host::new(&lan.server);
    let any = host.compile(&policy("enforce", &["198.51.100.0/24"]));
    let engine = host.start(&["eth0"], &any);
    let before = host.packets(&engine);
    let trace = |source: [u8; 4], port: u16| {
        let frame = syn(source, port);
        engine
            .trace(&TraceRequest {
                direction: Direction::Ingress,
                frame: &frame,
                read_only: true,
                jiffies: 0,
            })
            .unwrap()
    };
    let (web, admin, other) =
        (trace([203, 0, 113, 9], 80), trace([198, 51, 100, 7], 22), trace([203, 0, 113, 9], 22));
    assert!(web.passed && admin.passed && !other.passed);
    let meaning =
        |counter| host.labels.describe(counter).expect("a counter with a meaning").reason.name();
    assert_eq!(
        [meaning(web.counter), meaning(admin.counter), meaning(other.counter)],
        ["rule", "rule", "source_not_allowed"]
    );
    assert_eq!(
        (web.source_class, other.source_class),
        (None, Some(0)),
        "port 80 is open to all: the source is not looked at"
    );
    assert!(admin.source_class.is_some_and(|class| class > 0));
    let short = engine.trace(&TraceRequest {
        direction: Direction::Ingress,
        frame: &[0; 13],
        read_only: true,
        jiffies: 0,
    });
    assert_eq!(short.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(host.packets(&engine), before);

    // In a sandbox, replies are known once their flow left through the egress program; the jumbo frame is one of several buffers.
    let sandbox = Sandbox::load(&any, Timeouts::default(), 1024, 1024).unwrap();
    let run = |direction, frame: &[u8]| {
        sandbox.trace(&TraceRequest { direction, frame, read_only: false, jiffies: 0 }).unwrap()
    };
    let mut jumbo = syn([203, 0, 113, 9], 80);
    jumbo.resize(9000, 0);
    assert!(run(Direction::Ingress, &jumbo).passed);
    let reply = tcp([203, 0, 113, 9], [192, 0, 2, 1], 443, 40000, 0x12);
    assert!(!run(Direction::Ingress, &reply).passed);
    assert!(
        run(Direction::Egress, &tcp([192, 0, 2, 1], [203, 0, 113, 9], 40000, 443, 0x02)).passed
    );
    let found = run(Direction::Ingress, &reply);
    assert!(found.passed);
    assert_eq!(meaning(found.counter), "reply");
    assert!(
        sandbox
            .counters(host.labels.len())
            .unwrap()
            .egress
            .iter()
            .any(|counter| counter.packets == 1)
    );
    drop(engine);
    host.detach();
}

fn syn(source: [u8; 4], port: u16) -> Vec<u8> {
    tcp(source, [192, 0, 2, 1], 50000, port, 0x02)
}

/// An Ethernet frame with an IPv4 packet and a bare TCP header.
fn tcp(
    source: [u8; 4],
    destination: [u8; 4],
    source_port: u16,
    destination_port: u16,
    flags: u8,
) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&destination);
    frame.extend_from_slice(&source_port.to_be_bytes());
    frame.extend_from_slice(&destination_port.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

#[test]
fn connections_are_counted_by_the_kernels_own_states() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let web = listen(&lan.server, 80);
    let mut host = Host::new(&lan.server);
    let any = host.compile(&policy("enforce", &["192.0.2.200"]));
    let engine = host.start(&["eth0"], &any);
    assert!(engine.observer().counts_connections(), "{:?}", engine.observer());
    let slot = usize::from(host.slots.slot(80));
    assert_ne!(slot, 0);
    for _ in 0..5 {
        assert!(reaches(&client, 80));
        drop(web.accept().unwrap());
    }
    let open = client.enter(|| TcpStream::connect((Lan::SERVER4, 80)).unwrap());
    assert_eq!(engine.port_stats().unwrap()[slot].accepted, 6);
    let queue = lan
        .server
        .enter(listen_queues)
        .unwrap()
        .into_iter()
        .find(|queue| queue.port == 80)
        .unwrap();
    assert_eq!(queue.length, 1, "not accepted yet");
    assert_eq!(lan.server.enter(established).unwrap()[&80], 1);
    drop(open);
    drop(engine);

    let engine = host.start(&["eth0"], &any);
    assert!(reaches(&client, 80));
    assert_eq!(engine.port_stats().unwrap()[slot].accepted, 7, "carried over, and counted once");
    drop(engine);
    host.detach();
}

/// Two sets of rules that need different programs, so that each change is a new instance.
#[test]
fn slow_no_connection_is_missed_or_counted_twice_while_instances_and_processes_change() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let web = listen(&lan.server, 80);
    let mut host = Host::new(&lan.server);
    let sources = host.compile(&policy("enforce", &["192.0.2.200"]));
    let plain = host.compile(
        "interfaces = [\"eth0\"]\n[[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n",
    );
    let slot = usize::from(host.slots.slot(80));
    let mut engine = Some(host.start(&["eth0"], &sources));
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| accept_until(&web, &over));
        scope.spawn(|| client.enter(|| connect_until(&over, &made)));
        for round in 0..12 {
            let mut running = engine.take().expect("an engine");
            if round % 3 == 0 {
                drop(running);
                running = host.start(&["eth0"], &sources);
            } else {
                let next = if round % 3 == 1 { &plain } else { &sources };
                let installed = lan.server.enter(|| running.install(next, Fit::Exact)).unwrap();
                assert_eq!(installed.how, How::Reload);
            }
            engine = Some(running);
        }
        over.store(true, Ordering::Relaxed);
    });
    let engine = engine.expect("an engine");
    let (made, stats) = (made.into_inner(), engine.port_stats().unwrap()[slot]);
    assert!(made > 100, "{made} connections are no load");
    assert_eq!(stats.accepted, made);
    drop(engine);
    host.detach();
}

fn accept_until(listener: &TcpListener, over: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !over.load(Ordering::Relaxed) {
        if listener.accept().is_err() {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

fn connect_until(over: &AtomicBool, made: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        drop(TcpStream::connect((Lan::SERVER4, 80)).expect("port 80 is open in both policies"));
        made.fetch_add(1, Ordering::Relaxed);
    }
}

/// Collects what is logged.
struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn events_without_room_are_counted_and_told() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let mut host = Host::new(&lan.server);
    let any = host.compile(&policy("enforce", &["192.0.2.200"]));
    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut engine = host.start(&["eth0"], &any);
    engine.write_messages();
    assert!(LINES.0.lock().unwrap().is_empty());
    assert_eq!(engine.failures().unwrap().events_lost, 0);
    assert!(engine.failures().unwrap().map_updates.iter().all(|(_, count)| *count == 0));
    // More than the ring buffer holds, and nobody reads.
    let flood = 4_000;
    let sampling = Sampling { drops: flood, ..Sampling::default() };
    engine.set_sampling(sampling).unwrap();
    client.enter(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        for _ in 0..flood {
            socket.send_to(b"closed", (Lan::SERVER4, 9)).unwrap();
        }
    });
    eventually("lost events", Duration::from_secs(2), || {
        let failures = engine.failures().unwrap();
        if failures.events_lost > 0 { Ok(()) } else { Err(failures) }
    });
    // The first on each CPU is told, whatever their number.
    engine.write_messages();
    let lines = LINES.0.lock().unwrap().clone();
    let told = "sampled packets are lost because nobody reads them: number 1 of this CPU";
    assert!(!lines.is_empty() && lines.len() < 100, "{lines:?}");
    assert!(lines.iter().all(|line| line == told), "{lines:?}");
    drop(engine);
    host.detach();
}
