//! Every row of the table through the real programs: verdict, reason, and counters that add up.

use foobar_common::reason::{Reason, Verdict};
use foobar_tests::{
    frames::{self, Direction, Moment, REFERENCE, Row, Step},
    programs::{CompiledPolicy, Counted, Programs},
};
use nix::sys::utsname::uname;

/// Instructions that the verifier may have to look at, for each program.
const VERIFIER_CEILING: u32 = 100_000;

fn expect(row: &Row, programs: &Programs) -> Option<String> {
    for Moment { time, step } in &row.setup {
        programs.run(step, *time);
    }
    let finding = programs.run(&row.step, row.time);
    let agrees = (finding.verdict, finding.reason) == (row.verdict, row.reason);
    (!agrees).then(|| {
        format!(
            "{}: {} ({}) instead of {} ({}): {}",
            row.name,
            finding.verdict.name(),
            finding.reason.name(),
            row.verdict.name(),
            row.reason.name(),
            row.why
        )
    })
}

/// Packets and bytes of these frames.
fn sum<'s>(steps: impl Iterator<Item = &'s Step>) -> Counted {
    let mut counted = Counted { ingress: (0, 0), egress: (0, 0) };
    for step in steps {
        let (packets, bytes) = match step.direction {
            Direction::Ingress => &mut counted.ingress,
            Direction::Egress => &mut counted.egress,
        };
        *packets += 1;
        *bytes += step.frame.len() as u64;
    }
    counted
}

/// Rows without set-up leave nothing in the programs' memory that another row would see, so they share one instance.
#[test]
fn frames_without_history() {
    let policy = CompiledPolicy::of(REFERENCE);
    let programs = policy.load();
    let is_plain = |row: &Row| {
        row.setup.is_empty()
            && !row.name.contains("fragment")
            && row.step.direction == Direction::Ingress
    };
    let rows: Vec<Row> = frames::all().into_iter().filter(is_plain).collect();
    let wrong: Vec<String> = rows.iter().filter_map(|row| expect(row, &programs)).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(
        programs.counted(),
        sum(rows.iter().map(|row| &row.step)),
        "every frame is counted exactly once"
    );
}

/// Live packets and traced ones are judged by two programs, made of the same source: they agree on every frame that a driver can hand over.
#[test]
fn live_packets_are_judged_like_traced_ones() {
    /// What BPF_PROG_TEST_RUN takes in one piece, on every kernel: a page less what stands around a frame.
    const LINEAR: usize = 3000;
    let programs = CompiledPolicy::of(REFERENCE).load();
    let is_alone = |row: &Row| {
        row.setup.is_empty()
            && !row.name.contains("fragment")
            && row.step.direction == Direction::Ingress
            && (14..LINEAR).contains(&row.step.frame.len())
    };
    let rows: Vec<Row> = frames::all().into_iter().filter(is_alone).collect();
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let found = programs.arrives_live(&row.step.frame);
            (found != (row.verdict, row.reason)).then(|| format!("{}: {found:?}", row.name))
        })
        .collect();
    assert!(rows.len() > 200, "only {} rows", rows.len());
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Before each row with set-up, the programs forget what other rows left.
#[test]
fn frames_with_history() {
    let mut programs = CompiledPolicy::of(REFERENCE).load();
    let has_history = |row: &Row| {
        !row.setup.is_empty()
            || row.name.contains("fragment")
            || row.step.direction == Direction::Egress
    };
    let rows: Vec<Row> = frames::all().into_iter().filter(has_history).collect();
    let judge = |row: &Row| {
        programs.forget();
        expect(row, &programs)
    };
    let wrong: Vec<String> = rows.iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    let steps =
        rows.iter().flat_map(|row| row.setup.iter().map(|moment| &moment.step).chain([&row.step]));
    assert_eq!(programs.counted(), sum(steps), "every frame is counted exactly once");
}

#[test]
fn samples_from_outside() {
    let mut programs = CompiledPolicy::of(REFERENCE).load();
    let samples = frames::sample::samples();
    assert!(samples.len() >= 12, "only {} samples", samples.len());
    for sample in samples {
        programs.forget();
        sample.setup.iter().for_each(|step| drop(programs.run(step, 0)));
        let finding = programs.run(&sample.step, 0);
        assert_eq!(finding.verdict, sample.verdict, "{}: {}", sample.name, finding.reason.name());
    }
}

/// The rule is told as well, so that an operator sees which one let a packet in.
#[test]
fn the_rule_is_named() {
    let policy = CompiledPolicy::of(REFERENCE);
    let programs = policy.load();
    for (row, rule) in [
        ("v4-http-syn", "web"),
        ("v6-https-syn", "web"),
        ("v4-quic-initial", "http3"),
        ("v6-ssh-from-admin", "ssh"),
        ("v4-database-from-app", "database"),
    ] {
        let row = frames::all().into_iter().find(|known| known.name == row).expect(row);
        let finding = programs.run(&row.step, 0);
        assert_eq!(
            (finding.verdict, finding.reason),
            (Verdict::Pass, Reason::Rule),
            "{}",
            row.name
        );
        assert_eq!(finding.rule.as_deref(), Some(rule), "{}", row.name);
    }
}

#[test]
fn the_verifier_has_little_to_do() {
    let policy = CompiledPolicy::of(REFERENCE);
    let programs = policy.load().verified_instructions();
    assert!(programs.len() >= 2, "{programs:?}");
    for (name, instructions) in programs {
        println!("{name}: {instructions} verified instructions");
        assert!(
            (1..ceiling()).contains(&instructions),
            "{name} has {instructions} verified instructions"
        );
    }
}

/// The verifier of old kernels recognises fewer states that it has seen before, and walks more than twice as far.
fn ceiling() -> u32 {
    let kernel = uname().expect("uname(2)");
    let release = kernel.release().to_str().expect("a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse());
    let version: (u32, u32) = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("an odd release: {release}"),
    };
    if version < (6, 6) { 3 * VERIFIER_CEILING } else { VERIFIER_CEILING }
}
