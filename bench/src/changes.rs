//! Changes of a policy: how long from the command to its effect, and with how much memory.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::Result;
use foobar_tests::harness::{Daemon, Netns, veth};
use ipnet::IpNet;

use crate::{
    attempt::or_missing,
    peers, prefixes,
    processes::{self, Took},
    results::Table,
};

const FOOBAR: &str = "foobar";
const NFTABLES: &str = "nftables";
const IPSET: &str = "ipset";

const POLICY: &str = r#"
interfaces = ["eth0"]
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
"#;

/// Tables of this part, and where their samples come from.
struct Tables {
    replace: Table,
    add: Table,
    memory: Table,
}

/// Measures all subjects with lists of all lengths.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    let mut tables = Tables {
        replace: Table::new(
            "policy",
            "Policy: seconds from the command that replaces a list to its effect",
            "s",
            None,
        ),
        add: Table::new(
            "policy-add",
            "Policy: milliseconds from the command that adds one entry to its effect",
            "ms",
            None,
        ),
        memory: Table::new(
            "policy-memory",
            "Policy: peak memory of the process that replaces a list (foobar: the daemon)",
            "MB",
            None,
        ),
    };
    let rounds = if quick { 3 } else { 5 };
    let lengths: &[(usize, &str)] =
        &[(10_000, "10,000"), (100_000, "100,000"), (1_000_000, "1,000,000")];
    for &(length, name) in lengths {
        let lists = [prefixes::v4(length), prefixes::v4_of(length, 44)];
        let mut missing = Vec::new();
        let _ = or_missing(&mut missing, FOOBAR, || {
            foobar(&mut tables, &format!("{name} IPv4"), &lists, rounds)
        });
        if length == 1_000_000 {
            let lists = [prefixes::v6(length), prefixes::v6_of(length, 66)];
            let _ = or_missing(&mut missing, FOOBAR, || {
                foobar(&mut tables, &format!("{name} IPv6"), &lists, rounds)
            });
        }
        let _ = or_missing(&mut missing, IPSET, || {
            ipset(&mut tables, &format!("{name} IPv4"), &lists, rounds.min(3))
        });
        if quick && length > 100_000 {
            missing
                .push(format!("{NFTABLES}: a million entries take half a minute; without --quick"));
        } else {
            // A million takes half a minute.
            let rounds = if length > 100_000 { 1 } else { rounds.min(3) };
            let _ = or_missing(&mut missing, NFTABLES, || {
                nftables(&mut tables, &format!("{name} IPv4"), &lists, rounds)
            });
        }
        tables.replace.missing.extend(missing.iter().map(|missing| format!("{name}: {missing}")));
    }
    Ok(vec![tables.replace, tables.add, tables.memory])
}

impl Tables {
    fn replaced(&mut self, case: &str, subject: &str, took: &[Took]) {
        self.replace.add(case, subject, took.iter().map(|took| took.seconds).collect(), None);
        let megabytes = took.iter().map(|took| took.peak as f64 / 1e6).collect();
        self.memory.add(case, subject, megabytes, None);
    }

    fn added(&mut self, case: &str, subject: &str, took: &[Took]) {
        self.add.add(case, subject, took.iter().map(|took| took.seconds * 1e3).collect(), None);
    }
}

/// An address that is on no list, another one each time.
fn stranger(number: usize) -> String {
    format!("{}/32", Ipv4Addr::from_bits(0xc612_0001 + 2 * number as u32))
}

fn foobar(tables: &mut Tables, case: &str, lists: &[Vec<IpNet>; 2], rounds: usize) -> Result<()> {
    let (server, other) = (Netns::new(), Netns::new());
    veth(&server, "eth0", &other, "eth0");
    let mut daemon = Daemon::start(&server, POLICY);
    let files = ["one.txt", "other.txt"].map(|name| daemon.folder().join(name));
    for (file, list) in files.iter().zip(lists) {
        peers::write_list(file, list)?;
    }
    let process = daemon.process().id();
    // The namespaces' helper takes its process's place, so this is the daemon itself.
    let mut commands = Vec::new();
    let mut change = |arguments: &[&str]| -> Result<Took> {
        processes::forget_peak(process)?;
        let mut took = processes::run(&mut daemon.command(arguments))?;
        let daemon = processes::peak_memory(process).unwrap_or(0);
        commands.push(std::mem::replace(&mut took.peak, daemon) as f64 / 1e6);
        Ok(took)
    };
    let replace = |file: &Path| {
        ["block", "replace", "abuse", "--file"]
            .map(str::to_owned)
            .into_iter()
            .chain([file.display().to_string()])
            .collect::<Vec<_>>()
    };
    let mut took = Vec::new();
    for round in 0..=rounds {
        let arguments = replace(&files[round % 2]);
        took.push(change(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?);
    }
    let first = took.remove(0);
    tables.replaced(&format!("{case}, first"), FOOBAR, &[first]);
    tables.replaced(case, FOOBAR, &took);
    let mut added = Vec::new();
    for number in 0..2 * rounds + 1 {
        added.push(change(&["block", "add", "abuse", &stranger(number)])?);
    }
    tables.added(case, FOOBAR, &added[1..]);
    commands.truncate(rounds + 1);
    tables.memory.add(case, "foobar, the command", commands, None);
    Ok(())
}

fn nftables(tables: &mut Tables, case: &str, lists: &[Vec<IpNet>; 2], rounds: usize) -> Result<()> {
    let server = Netns::new();
    peers::nftables(&server, peers::Nftables::Stateful, &[])?;
    let folder = tempfile::tempdir()?;
    let files = ["one.nft", "other.nft"].map(|name| folder.path().join(name));
    for (file, list) in files.iter().zip(lists) {
        let elements: Vec<String> = list.iter().map(ToString::to_string).collect();
        fs::write(
            file,
            format!(
                "flush set inet bench listed\nadd element inet bench listed {{ {} }}\n",
                elements.join(",\n")
            ),
        )?;
    }
    let mut took = Vec::new();
    for round in 0..rounds {
        took.push(processes::run(server.command("nft").arg("-f").arg(&files[round % 2]))?);
    }
    tables.replaced(case, NFTABLES, &took);
    let mut added = Vec::new();
    for number in 0..rounds {
        let element = format!("{{ {} }}", stranger(number));
        let mut command = server.command("nft");
        command.args(["add", "element", "inet", "bench", "listed", &element]);
        added.push(processes::run(&mut command)?);
    }
    tables.added(case, NFTABLES, &added);
    Ok(())
}

fn ipset(tables: &mut Tables, case: &str, lists: &[Vec<IpNet>; 2], rounds: usize) -> Result<()> {
    let server = Netns::new();
    peers::iptables(&server, &[])?;
    let folder = tempfile::tempdir()?;
    let files = ["one", "other"].map(|name| folder.path().join(name));
    for (file, list) in files.iter().zip(lists) {
        // A new set takes the place of the one that the rules name.
        let text = peers::ipset_text("next", list) + "swap next listed\ndestroy next\n";
        fs::write(file, text)?;
    }
    let mut took = Vec::new();
    for round in 0..rounds {
        let mut command = server.command("ipset");
        took.push(processes::run(command.arg("restore").arg("-file").arg(&files[round % 2]))?);
    }
    tables.replaced(case, IPSET, &took);
    let mut added = Vec::new();
    for number in 0..3 * rounds {
        let mut command = server.command("ipset");
        added.push(processes::run(command.args(["add", "listed", &stranger(number)]))?);
    }
    tables.added(case, IPSET, &added);
    Ok(())
}
