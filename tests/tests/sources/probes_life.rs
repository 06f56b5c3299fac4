//! Probes while things change around them: in the middle of requests, over reloads and upgrades of nginx, over restarts and reloads of the
//! daemon, and where the program is not what it ought to be.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use foobar_tests::harness::{Daemon, Lan, Leaks, eventually, try_run};
use nix::sys::signal::Signal;

use super::{
    probed::{PATIENCE, Probed, copy_of, counted, logged, placed},
    probes_nginx::{nginx, observed, site},
    servers::folder,
    table::Table,
    workloads,
};

const PORTS: &[&str] = &["443", "80"];

/// Puts another file in the place of a program, as a package manager does: written beside it, then renamed.
fn replace(program: &Path, content: &[u8]) {
    let new = program.with_extension("new");
    fs::write(&new, content).expect("a file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("executable");
    fs::rename(&new, program).expect("renamed");
}

#[test]
fn slow_nothing_is_lost_or_doubled_while_servers_and_daemon_change() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut site = site(&lan, PORTS);
    let mut table = Table::new("nginx-probe, changes");
    let client = lan.client(10);
    let load = || (workloads::ALL[3].run)(&client);

    site.row(&mut table, "a reload of nginx in the middle", || {
        site.disturbed(&load, || site.server.signal("nginx.pid", "HUP"));
    });
    site.row(&mut table, "reloads of foobar's policy in the middle", || {
        site.disturbed(&load, || {
            let text = fs::read_to_string(site.daemon.configuration()).expect("a configuration");
            for more in ["", "[blocklists.x]\nentries = [\"198.51.100.0/24\"]\n"] {
                site.daemon.configure(&format!("{text}{more}"));
                site.daemon.ok(&["reload"]);
            }
        });
    });
    let program = site.server.path().join("program");
    site.row(
        &mut table,
        "nginx replaced by a new file and upgraded (USR2, then QUIT for the old one)",
        || {
            site.disturbed(&load, || {
                let log = site.daemon.log();
                replace(&program, &fs::read("/usr/sbin/nginx").expect("nginx"));
                // The package is there, and foobar looks at it once a second. Requests to a new process before that are not seen.
                eventually("the probes in the new file", PATIENCE, || {
                    let told = |log: &str| log.matches("are counted by probes in").count();
                    match told(&site.daemon.log()) > told(&log) {
                        true => Ok(()),
                        false => Err(site.daemon.log()),
                    }
                });
                let old = site.server.log("nginx.pid");
                site.server.signal("nginx.pid", "USR2");
                eventually("the new nginx", PATIENCE, || match site.server.log("nginx.pid") {
                    new if !new.is_empty() && new != old => Ok(()),
                    same => Err(same),
                });
                load();
                site.server.signal("nginx.pid.oldbin", "QUIT");
                load();
            });
        },
    );
    let before = site.counted();
    let truth = site.logged();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| (0..4).for_each(|_| load()));
        site.daemon.process().signal(Signal::SIGKILL);
        site.daemon.process().wait(PATIENCE);
        // What comes while no daemon runs is counted as well.
        load();
        site.daemon.launch();
        busy.join().expect("the load");
    });
    let total = |counts: &super::probed::Counts| counts.values().sum::<u64>();
    let logged_more = || total(&logged(&site.server.log("access.log"), PORTS)) - total(&truth);
    eventually("the count over a restart", PATIENCE, || {
        let count = total(&counted(&site.daemon.scrape(), PORTS)).checked_sub(total(&before));
        let logged = logged_more();
        match count == Some(logged) && logged == 10_000 {
            true => Ok(()),
            false => Err(format!("{logged} logged, {count:?} counted: {}", site.daemon.log())),
        }
    });
    table.row("foobar killed and started again in the middle", logged_more(), logged_more());
    site.ready();
    assert!(site.daemon.log().contains("as before"), "{}", site.daemon.log());
    table.write();
}

/// Requests that are under way when probes are placed have no duration, and count.
#[test]
fn slow_probes_placed_in_the_middle_of_requests_count_what_ends() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let folder = folder();
    let program = copy_of("/usr/sbin/nginx", folder.path());
    let hidden = folder.path().join("hidden");
    let server = nginx(&lan.server, &program, folder);
    // The path is not there at first.
    let observed = observed(&hidden);
    let site = Probed { daemon: Daemon::start(&lan.server, &observed), server, ports: PORTS };
    placed(&site.daemon, PORTS, 0.0);
    let status = site.daemon.foobar(&["status"]);
    let doctor = site.daemon.foobar(&["doctor"]);
    for text in [status.text(), doctor.text(), site.daemon.log()] {
        assert!(text.contains("cannot open") && text.contains("hidden"), "{text}");
    }
    let client = lan.client(10);
    let request = || {
        let mut curl = client.command("curl");
        curl.args(["-s", "--noproxy", "*", &format!("http://{}/", Lan::SERVER4)]);
        let output = try_run(&mut curl);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(0), "hello\n"),
            "{}",
            output.text()
        );
    };
    // Three requests of which half the body is there when the path appears.
    let address: SocketAddr = format!("{}:80", Lan::SERVER4).parse().expect("an address");
    let half = "POST /upload HTTP/1.1\r\nHost: foobar\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf";
    let begin = || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(half.as_bytes()).expect("half a request");
        stream
    };
    let begun: Vec<_> = (0..3).map(|_| client.enter(begin)).collect();
    eventually("nginx to be at work on them", PATIENCE, || {
        let mut curl = lan.server.command("curl");
        let status = try_run(curl.args(["-s", "--noproxy", "*", "http://127.0.0.1:8081/status"]));
        // Three, and the one that asks.
        match status.stdout.contains("Writing: 4") {
            true => Ok(()),
            false => Err(status.text()),
        }
    });
    fs::hard_link(&program, &hidden).expect("the program under its other name");
    site.ready();
    site.compare("requests that began unseen", || {
        for mut stream in begun {
            stream.write_all(b"half").expect("the other half");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        }
    });
    let timed = || {
        let page = site.daemon.scrape();
        page.find("foobar_http_request_duration_seconds_count", &[("port", "80")])
    };
    assert_eq!(timed(), Some(0.0), "of those that were under way no duration is known");
    site.compare("requests from then on", || {
        request();
        request();
    });
    assert_eq!(timed(), Some(2.0));

    // What is no nginx is named, once, and what runs goes on counting.
    replace(&hidden, b"#!/bin/sh\nexec nginx\n");
    placed(&site.daemon, PORTS, 0.0);
    let complaints = |log: &str| log.matches("no 64-bit ELF").count();
    assert_eq!(complaints(&site.daemon.log()), 1);
    replace(&hidden, &fs::read("/bin/true").expect("a program"));
    eventually("the other complaint", PATIENCE, || {
        match site.daemon.log().contains("it has no function ngx_http") {
            true => Ok(()),
            false => Err(site.daemon.log()),
        }
    });
    // Written over, it must not keep probes within other instructions.
    replace(&hidden, &fs::read("/usr/sbin/nginx").expect("nginx"));
    site.ready();
    fs::write(&hidden, "#!/bin/sh\nexec nginx\n").expect("another content");
    placed(&site.daemon, PORTS, 0.0);
    assert!(site.daemon.log().contains("was written over"), "{}", site.daemon.log());
    site.compare("what still runs is counted", request);

    // Without the source, the probes go, and with it again the count begins anew.
    let text = fs::read_to_string(site.daemon.configuration()).expect("a configuration");
    site.daemon.configure(&text.replace("nginx-probe\"\nprogram", "off\"\n#"));
    site.daemon.ok(&["reload"]);
    let pins = site.daemon.bpf_dir().join("v1/probes");
    eventually("the probes to go", PATIENCE, || match pins.exists() {
        false => Ok(()),
        true => Err(pins.clone()),
    });
    assert_eq!(site.daemon.scrape().find("foobar_http_probes_placed", &[("port", "80")]), None);
    request();
    fs::remove_file(&hidden).expect("gone");
    fs::hard_link(&program, &hidden).expect("the program under its other name");
    site.daemon.configure(&text);
    site.daemon.ok(&["reload"]);
    site.ready();
    assert_eq!(site.counted().values().sum::<u64>(), 0);
    site.compare("anew", request);
    site.daemon.ok(&["detach"]);
    assert!(!pins.exists());
}
