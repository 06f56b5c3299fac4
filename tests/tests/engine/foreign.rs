//! Other people's pins and programs.

use std::{fs, process::Command};

use foobar_tests::harness::{Lan, Leaks, Netns};
use foobar_user::kernel::{Engine, ErrorKind, Store, devices, probe};

use crate::host::{Host, policy};

#[test]
fn foreign_pins_are_refused_with_every_difference() {
    let _leaks = Leaks::watch();
    let server = Netns::new();
    let mut host = Host::new(&server);
    let any = host.compile(&policy("audit", &["192.0.2.200"]));
    for (name, arguments, expected) in [
        (
            "COUNTERS",
            "type hash key 8 value 4 entries 7 name x flags 0",
            vec![
                "type hash instead of percpu_array",
                "key size 8 instead of 4",
                "value size 4 instead of 16",
                "entries 7",
            ],
        ),
        (
            "FLOWS4",
            "type lru_hash key 16 value 16 entries 65536 name x flags 0",
            vec!["FLOWS4: value size 16 instead of 8"],
        ),
        (
            "SAMPLING",
            "type array key 4 value 16 entries 1 name x flags 0",
            vec!["SAMPLING: flags 0x0 instead of 0x400"],
        ),
        (
            "SLOT_PORTS",
            "type array key 4 value 4 entries 9 name x flags 0",
            vec!["number of entries 9 instead of 64"],
        ),
    ] {
        drop(Store::open(&host.options()).unwrap());
        let pin = host.bpf_dir.join("v1/maps").join(name);
        let _ = fs::remove_file(&pin);
        let created = Command::new("bpftool")
            .args(["map", "create"])
            .arg(&pin)
            .args(arguments.split(' '))
            .status();
        assert!(created.expect("bpftool, from Debian's package of that name").success());
        let error = host.try_start(&["lo"], false, &any).err().expect("a foreign pin");
        assert_eq!(error.kind(), ErrorKind::ForeignPin);
        for part in expected {
            assert!(error.to_string().contains(part), "{name}: {error}");
        }
        assert!(error.help().unwrap().contains(host.bpf_dir.to_str().unwrap()));
        host.detach();
    }
    // A program where a map should be.
    let engine = host.start(&["lo"], &any);
    drop(engine);
    let maps = host.bpf_dir.join("v1/maps");
    let program = fs::read_dir(host.bpf_dir.join("v1/instances"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("programs/ingress");
    fs::remove_file(maps.join("BUCKETS")).unwrap();
    assert!(
        Command::new("bpftool")
            .args(["prog", "pin", "pinned"])
            .arg(program)
            .arg(maps.join("BUCKETS"))
            .status()
            .unwrap()
            .success()
    );
    let error = host.try_start(&["lo"], false, &any).err().expect("a program is no map");
    assert_eq!(error.kind(), ErrorKind::ForeignPin);
    assert!(error.to_string().contains("BUCKETS: a program is pinned there, not a map"), "{error}");
    host.detach();
    assert!(!host.bpf_dir.exists());
}

#[test]
fn another_program_is_named_and_gives_way_only_to_replace() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut first = Host::new(&lan.server);
    let mut second = Host::new(&lan.server);
    let (mine, yours) = (
        first.compile(&policy("audit", &["192.0.2.200"])),
        second.compile(&policy("audit", &["192.0.2.200"])),
    );
    let engine = first.start(&["eth0"], &mine);
    let id = engine.programs().iter().find(|program| program.name == "ingress").unwrap().id;

    let error = second.try_start(&["eth0"], false, &yours).err().expect("the interface is taken");
    assert_eq!(error.kind(), ErrorKind::ForeignProgram);
    assert!(
        error.to_string().contains(&format!(
            "holds eth0: program {id} (ingress, loaded by user 0) in native mode"
        )),
        "{error}"
    );
    assert!(error.help().unwrap().contains("--replace"));
    assert!(host_attached(&first, &engine), "it was left alone");

    let taken = second.try_start(&["eth0"], true, &yours).unwrap();
    assert!(second.attachments(&taken).iter().all(|attachment| attachment.attached));
    assert!(!host_attached(&first, &engine), "and the first one's daemon is told the truth");

    // The egress programs of both run (port 80 is observed), the newcomer first, and what happens to one changes nothing for the other.
    let egress = |engine: &Engine| {
        engine.programs().iter().find(|program| program.name == "egress_observing").unwrap().id
    };
    let (mine, yours) = (egress(&engine), egress(&taken));
    let order = || -> Vec<(u32, bool)> {
        let devices = lan.server.enter(|| devices(&second.bpf_dir)).unwrap();
        let eth0 = devices.into_iter().find(|device| device.name == "eth0").unwrap();
        let tcx = eth0.programs.into_iter().filter(|program| program.place == "TCX egress");
        // Other programs of both watch there as well.
        let tcx = tcx.filter(|program| [mine, yours].contains(&program.id));
        tcx.map(|program| (program.id, program.ours)).collect()
    };
    if probe().tcx {
        assert_eq!(order(), [(yours, true), (mine, false)]);
    }
    drop((engine, taken));
    second.detach();
    if probe().tcx {
        assert_eq!(order(), [(mine, false)], "the other one's stays where it was");
    }
    first.detach();
}

fn host_attached(host: &Host<'_>, engine: &Engine) -> bool {
    host.attachments(engine)
        .iter()
        .filter(|attachment| attachment.program == "ingress")
        .all(|attachment| attachment.attached)
}
