//! One build takes the place of another under connections that last: none is lost, nothing is attached anew, counters go on. The
//! other build is the binary under test with another layout of its kernel maps, written into the object inside of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use foobar_tests::harness::{
    Daemon, Lan, Leaks, Netns, eventually, foobar_binary, link_ids, tcp_connects,
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[[rules]]
name = "web"
ports = [80]
from = "any"
limit = { per_source = "1000/s", burst = 1000 }
"#;

/// Connections that clients open, and as many that the server opens.
const CONNECTIONS: usize = 100;
/// Upgrades and downgrades.
const CHANGES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// Fields of `struct bpf_map_def` as the kernel programs lay it out: words of four bytes.
#[derive(Clone, Copy)]
enum Field {
    ValueSize = 2,
    MaxEntries = 3,
}

/// A copy of the binary under test whose kernel object has another number in the definition of a map.
fn other_build(folder: &Path, map: &str, field: Field, change: impl Fn(u32) -> u32) -> PathBuf {
    let mut binary = fs::read(foobar_binary()).expect("the binary");
    // ELF, 64 bits, little endian, relocatable, for the machine EM_BPF (elf(5)).
    let is_kernel_object =
        |bytes: &[u8]| bytes.starts_with(b"\x7fELF\x02\x01") && bytes[16..20] == [1, 0, 247, 0];
    // The filter's is the one with this map; those of the probes have others.
    let has_map = |at: usize| {
        let file = object::File::parse(&binary[at..]).expect("a kernel object");
        file.symbols().any(|symbol| symbol.name() == Ok(map))
    };
    let at: Vec<_> = (0..binary.len() - 64)
        .filter(|&at| binary[at] == 0x7f && is_kernel_object(&binary[at..at + 64]))
        .filter(|&at| has_map(at))
        .collect();
    let [at] = at[..] else { panic!("{} kernel objects with {map} in the binary", at.len()) };
    let field_at = {
        let file = object::File::parse(&binary[at..]).expect("the kernel object");
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(map)).expect("the map");
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let (offset, _) = section.expect("its section").file_range().expect("its bytes");
        at + (offset + symbol.address()) as usize + 4 * field as usize
    };
    let word = &mut binary[field_at..field_at + 4];
    let changed = change(u32::from_le_bytes((&*word).try_into().expect("four bytes")));
    word.copy_from_slice(&changed.to_le_bytes());
    let path = folder.join(format!("foobar-{map}-{}", field as usize));
    fs::write(&path, binary).expect("another binary");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
    path
}

/// Both ends of a connection.
struct Connection {
    ends: [TcpStream; 2],
}

impl Connection {
    fn new(client: TcpStream, server: TcpStream) -> Self {
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            end.set_nodelay(true).expect("no delay");
        }
        Connection { ends: [client, server] }
    }

    /// A byte there and one back.
    fn exchange(&mut self, byte: u8) {
        let [one, other] = &mut self.ends;
        let mut got = [0];
        one.write_all(&[byte]).expect("a connection that lasts");
        other.read_exact(&mut got).expect("a connection that lasts");
        other.write_all(&got).expect("a connection that lasts");
        one.read_exact(&mut got).expect("a connection that lasts");
        assert_eq!(got, [byte]);
    }
}

fn connections(lan: &Lan, client: &Netns) -> Vec<Connection> {
    let web = lan.server.enter(|| TcpListener::bind(("0.0.0.0", 80)).expect("a free port"));
    let elsewhere = client.enter(|| TcpListener::bind(("0.0.0.0", 5432)).expect("a free port"));
    let pairs = |listener: &TcpListener, open: &(dyn Fn() -> TcpStream + Sync)| {
        let pair = || (open(), listener.accept().expect("a connection").0);
        (0..CONNECTIONS).map(|_| pair()).collect::<Vec<_>>()
    };
    let incoming =
        pairs(&web, &|| client.enter(|| TcpStream::connect((Lan::SERVER4, 80)).expect("allowed")));
    let own = pairs(&elsewhere, &|| {
        lan.server.enter(|| TcpStream::connect(("192.0.2.10", 5432)).expect("an own connection"))
    });
    incoming.into_iter().chain(own).map(|(one, other)| Connection::new(one, other)).collect()
}

/// Packets of the filter by port, which never go back.
fn passed(daemon: &Daemon<'_>) -> BTreeMap<&'static str, f64> {
    let page = daemon.scrape();
    ["80", "other"]
        .into_iter()
        .map(|port| (port, page.sum("foobar_passed_packets_total", &[("port", port)])))
        .collect()
}

fn accepted(daemon: &Daemon<'_>) -> f64 {
    daemon
        .scrape()
        .sum("foobar_connections_accepted_total", &[("port", "80"), ("transport", "tcp")])
}

#[test]
fn slow_upgrades_and_downgrades_lose_no_connection_and_attach_nothing_anew() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let builds = [
        other_build(daemon.folder(), "BUCKETS", Field::MaxEntries, |entries| entries / 2),
        foobar_binary(),
    ];
    let refused = other_build(daemon.folder(), "FLOWS4", Field::ValueSize, |size| size + 8);
    let lasting = Mutex::new(connections(&lan, &client));
    assert_eq!(accepted(&daemon), CONNECTIONS as f64);
    let links = link_ids(&daemon.bpf_dir());

    let (done, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let talking = scope.spawn(|| {
            let mut lasting = lasting.lock().expect("nobody else has it");
            while !done.load(Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                lasting.iter_mut().for_each(|connection| connection.exchange(round as u8));
            }
        });
        // Also if it panics: the connections would talk for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for change in 0..CHANGES {
                let before = passed(&daemon);
                daemon.process().kill();
                daemon.use_binary(&builds[change as usize % 2]);
                daemon.launch();
                assert!(
                    daemon.log().contains("gave the map BUCKETS another size"),
                    "change {change}: the layout is the same:\n{}",
                    daemon.log()
                );
                assert_eq!(link_ids(&daemon.bpf_dir()), links, "change {change}: the same links");
                let after = passed(&daemon);
                assert!(after.iter().all(|(port, after)| *after >= before[port]), "{before:?}");
                assert_eq!(accepted(&daemon), CONNECTIONS as f64, "change {change}");
                let stray = tcp_connects(&client, "192.0.2.1:81", Duration::from_millis(200));
                assert!(stray.is_err(), "change {change}: the filter is in force");
                assert!(!talking.is_finished(), "change {change}: a connection is lost");
            }
            // A layout that cannot be carried over is refused, and what is there goes on.
            daemon.process().kill();
            daemon.use_binary(&refused);
            let said = daemon.run_to_end();
            assert_eq!(said.code, Some(1), "{}", said.text());
            assert!(said.stderr.contains("FLOWS4: "), "{}", said.text());
            assert_eq!(link_ids(&daemon.bpf_dir()), links);
            let begin = rounds.load(Ordering::Relaxed);
            eventually("the connections to go on", PATIENCE, || {
                if rounds.load(Ordering::Relaxed) > begin + 1 { Ok(()) } else { Err("not yet") }
            });
            daemon.use_binary(&builds[1]);
            daemon.launch();
            assert_eq!(link_ids(&daemon.bpf_dir()), links);
        }));
        done.store(true, Ordering::Relaxed);
        let talked = talking.join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        talked.expect("a connection was lost");
    });
    println!(
        "{CHANGES} changes of the build under {} connections, {} exchanges over each",
        2 * CONNECTIONS,
        rounds.load(Ordering::Relaxed)
    );
}
