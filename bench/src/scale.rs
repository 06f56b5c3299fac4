//! What grows with a policy, and what does not: nanoseconds a packet, kernel memory and time to load.

use std::time::Instant;

use anyhow::{Context as _, Result};
use foobar_tests::frames::{
    hosts::{SERVER, WORLD},
    packet::{v4, v6},
};
use foobar_user::kernel::{
    Sandbox,
    measure::{Action, RandomSources, Subject},
};

use crate::{clock, policies::Measured, prefixes, results::Table};

const FLOOR: &str = "XDP_DROP";
/// The port of those on the allowlist.
const LISTED: u16 = 8443;
/// Packets in a turn.
const PACKETS: u32 = 200_000;

/// A policy of some size, ready to be measured.
struct Size {
    subject: &'static str,
    size: usize,
    /// With random sources in front.
    program: Subject,
    frame: Vec<u8>,
    samples: Vec<f64>,
}

/// Measures policies of all sizes.
pub fn measure(quick: bool) -> Result<Vec<Table>> {
    clock::pin()?;
    let rounds = if quick { 5 } else { 15 };
    let mut tables = prefixes_tables(quick, rounds)?;
    tables.push(rules_table(rounds)?);
    tables.push(memory_table()?);
    Ok(tables)
}

fn prefixes_tables(quick: bool, rounds: usize) -> Result<Vec<Table>> {
    let new = |name, title, unit, floor| Table::new(name, title, unit, floor).over("prefixes");
    let mut cost = new(
        "scale",
        "Nanoseconds a packet over the number of prefixes, sources at random",
        "ns",
        Some(FLOOR),
    );
    let mut memory = new(
        "scale-memory",
        "Kernel memory of the policy's tables over the number of prefixes",
        "MB",
        None,
    );
    let mut load = new(
        "scale-load",
        "Milliseconds over the number of prefixes: compiling the policy and loading the programs with it",
        "ms",
        None,
    );
    let counts: &[usize] = if quick {
        &[10, 1_000, 100_000, 1_000_000]
    } else {
        &[10, 100, 1_000, 10_000, 100_000, 300_000, 1_000_000]
    };
    let mut sizes = vec![floor("IPv4", RandomSources::V4)?, floor("IPv6", RandomSources::V6)?];
    for &count in counts {
        for (subject, list, random) in [
            ("IPv4", prefixes::v4(count), RandomSources::V4),
            ("IPv6", prefixes::v6(count), RandomSources::V6),
        ] {
            let begin = Instant::now();
            let policy = Measured::with_customers(&list)?;
            let compiled = begin.elapsed();
            let sandbox = policy.load()?;
            let loaded = begin.elapsed();
            let case = count.to_string();
            let compiled = compiled.as_secs_f64() * 1e3;
            load.add(&case, &format!("{subject}, compile"), vec![compiled], None);
            load.add(&case, &format!("{subject}, in all"), vec![loaded.as_secs_f64() * 1e3], None);
            let bytes = sandbox.table_memory().context("the tables' memory")?;
            memory.add(&case, subject, vec![bytes as f64 / 1e6], None);
            sizes.push(size(subject, count, &sandbox, random)?);
        }
    }
    turns(&mut sizes, rounds)?;
    // What making the sources costs is taken off: what a bare drop behind it costs more than one without it.
    let bare = bare(rounds)?;
    for subject in ["IPv4", "IPv6"] {
        let of = |wanted: usize| {
            sizes.iter().find(|size| size.subject == subject && size.size == wanted)
        };
        let behind = &of(0).context("the floor was measured")?.samples;
        for &count in counts {
            let samples = &of(count).context("every size was measured")?.samples;
            let net = samples
                .iter()
                .zip(behind)
                .zip(&bare)
                .map(|((sample, behind), bare)| sample - behind + bare);
            cost.add(&count.to_string(), subject, net.collect(), Some(&bare));
        }
    }
    Ok(vec![cost, memory, load])
}

fn rules_table(rounds: usize) -> Result<Table> {
    let mut table = Table::new(
        "scale-rules",
        "Nanoseconds a packet over the number of rules, sources at random, 1,000 prefixes",
        "ns",
        Some(FLOOR),
    )
    .over("rules");
    let counts = [1, 10, 100, 1_000];
    let list = prefixes::v4(1_000);
    let mut sizes = vec![floor("IPv4", RandomSources::V4)?];
    for count in counts {
        let sandbox = Measured::with_rules(&list, count)?.load()?;
        sizes.push(size("IPv4", count, &sandbox, RandomSources::V4)?);
    }
    turns(&mut sizes, rounds)?;
    let bare = bare(rounds)?;
    let behind = sizes[0].samples.clone();
    for size in &sizes[1..] {
        let net = size.samples.iter().zip(&behind).zip(&bare);
        let net = net.map(|((sample, behind), bare)| sample - behind + bare).collect();
        table.add(&size.size.to_string(), "IPv4", net, Some(&bare));
    }
    Ok(table)
}

/// What the machine itself takes for one dependent read at random, by how much memory is read from: what no table can beat.
fn memory_table() -> Result<Table> {
    const READS: u32 = 200_000;
    let mut table = Table::new(
        "machine-memory",
        "The machine: nanoseconds of one read at random that waits for the one before, over the memory that is read from",
        "ns",
        None,
    )
    .over("KiB");
    for kilobytes in [16, 256, 1024, 2048, 4096, 8192, 16_384, 65_536] {
        // Pages of 4 KiB each, as the kernel's tables have.
        let pages: Vec<Box<[u32; 1024]>> =
            (0..kilobytes / 4).map(|page| Box::new([page as u32; 1024])).collect();
        let mut samples = Vec::new();
        for _ in 0..9 {
            let before = clock::thread_time()?;
            let (mut state, mut sum) = (1u32, 0u32);
            for _ in 0..READS {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // The address depends on what was read before.
                let at = (state >> 8) as usize ^ (sum & 1) as usize;
                sum = sum.wrapping_add(pages[at % pages.len()][(at >> 4) % 1024]);
            }
            std::hint::black_box(sum);
            samples.push((clock::thread_time()? - before).as_nanos() as f64 / f64::from(READS));
        }
        table.add(&kilobytes.to_string(), "read", samples, None);
    }
    Ok(table)
}

fn size(
    subject: &'static str,
    size: usize,
    sandbox: &Sandbox,
    random: RandomSources,
) -> Result<Size> {
    behind(subject, size, &Subject::ingress(sandbox)?, random)
}

fn floor(subject: &'static str, random: RandomSources) -> Result<Size> {
    behind(subject, 0, &Subject::constant(Action::Drop)?, random)
}

fn behind(
    subject: &'static str,
    size: usize,
    program: &Subject,
    random: RandomSources,
) -> Result<Size> {
    let frame = match random {
        RandomSources::V4 => v4(WORLD.v4, SERVER.v4).tcp(51_000, LISTED, "S").bytes(),
        RandomSources::V6 => v6(WORLD.v6, SERVER.v6).tcp(51_000, LISTED, "S").bytes(),
    };
    Ok(Size { subject, size, program: random.in_front_of(program)?, frame, samples: Vec::new() })
}

/// Takes turns; the first round fills caches and is not counted.
fn turns(sizes: &mut [Size], rounds: usize) -> Result<()> {
    for round in 0..=rounds {
        for size in sizes.iter_mut() {
            let before = clock::thread_time()?;
            size.program.run(&size.frame, PACKETS)?;
            let spent = clock::thread_time()? - before;
            if round > 0 {
                size.samples.push(spent.as_nanos() as f64 / f64::from(PACKETS));
            }
        }
    }
    Ok(())
}

/// A bare drop.
fn bare(rounds: usize) -> Result<Vec<f64>> {
    let program = Subject::constant(Action::Drop)?;
    let frame = v4(WORLD.v4, SERVER.v4).tcp(51_000, LISTED, "S").bytes();
    (0..rounds)
        .map(|_| {
            let before = clock::thread_time()?;
            program.run(&frame, 10 * PACKETS)?;
            let spent = clock::thread_time()? - before;
            Ok(spent.as_nanos() as f64 / f64::from(10 * PACKETS))
        })
        .collect::<Result<_>>()
}
