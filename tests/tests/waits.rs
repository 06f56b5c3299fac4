//! The wait before a generation of the tables is written again: a program that began before the last flip may still read it.
//!
//! A packet that is held up in the middle of a program is made by a program that is slow. While it runs, the first flip does not
//! wait, for nobody reads what it writes; the second one has to.

use std::{
    net::IpAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use foobar_tests::frames::{
    hosts::{SERVER, WORLD},
    packet::v4,
};
use foobar_user::{
    kernel::{Sandbox, Timeouts, hz, measure::Subject},
    policy::{Compiled, Config, Labels, Lists, Policy, Slots, compile},
};

/// How long the slow program is to take: far longer than a thread that is ready waits for a processor.
const LONG: Duration = Duration::from_secs(2);
/// Steps of a slow program; one that has more is refused.
const STEPS: u16 = 2000;

fn compiled(allowed: &str) -> Compiled {
    let text = format!(
        "interfaces = [\"eth0\"]\n[allowlists.friends]\nentries = [\"{allowed}\"]\n\
         [[rules]]\nname = \"ssh\"\nports = [22]\nfrom = [\"friends\"]\n"
    );
    let loaded =
        Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
    let own = vec![IpAddr::V4(SERVER.v4)];
    let policy = Policy::new(&loaded.config, Lists::from_config(&loaded.config), own, 1, 1);
    compile(&policy, &mut Labels::new(), &mut Slots::default(), hz())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A program that takes about [`LONG`] here.
fn slow() -> Subject {
    let few = Subject::slow(20).unwrap_or_else(|error| panic!("{error}"));
    let frame = v4(WORLD.v4, SERVER.v4).tcp(51_000, 22, "S").bytes();
    // The first run also fills the tables with pages.
    few.run(&frame, 1).unwrap_or_else(|error| panic!("{error}"));
    // The shortest of many: on a busy machine, a single one may have been held up, and would make the program too short.
    let run = || {
        let begin = Instant::now();
        few.run(&frame, 1).unwrap_or_else(|error| panic!("{error}"));
        begin.elapsed()
    };
    let step = (0..50).map(|_| run()).min().unwrap_or_default() / 20;
    let steps = (LONG.as_nanos() / step.as_nanos().max(1)).min(u128::from(STEPS));
    Subject::slow(steps as u16).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_generation_is_not_written_while_a_program_may_read_it() {
    let policies = ["198.51.100.0/24", "203.0.113.0/24", "192.0.2.128/25"].map(compiled);
    let mut sandbox = Sandbox::load(&policies[0], Timeouts::default(), 1024, 1024)
        .unwrap_or_else(|error| panic!("{error}"));
    let slow = slow();
    let frame = v4(WORLD.v4, SERVER.v4).tcp(51_000, 22, "S").bytes();
    let (first, second, ended, took) = thread::scope(|scope| {
        let begin = Instant::now();
        let running = scope.spawn(|| {
            let begin = Instant::now();
            slow.run(&frame, 1).unwrap_or_else(|error| panic!("{error}"));
            (Instant::now(), begin.elapsed())
        });
        // In the middle of it.
        thread::sleep(LONG / 8);
        let mut flip = |policy: &Compiled| {
            let done = sandbox.install(policy).unwrap_or_else(|error| panic!("{error}"));
            assert!(done, "the policy fits");
            Instant::now()
        };
        let (first, second) = (flip(&policies[1]), flip(&policies[2]));
        let (ended, took) = running.join().expect("the slow program");
        println!(
            "flips after {:.2?} and {:.2?}, the program ended after {:.2?}",
            first - begin,
            second - begin,
            ended - begin
        );
        (first, second, ended, took)
    });
    // Nobody read what the first flip wrote: it did not wait, and shows that the program still ran then.
    assert!(ended - first > took / 4, "the program ended too soon to show anything");
    // The thread that ran it may learn of its end a moment later than we do.
    let too_soon = ended.saturating_duration_since(second);
    assert!(
        too_soon < took / 4,
        "the second flip did not wait: the program ran on for {too_soon:?}"
    );
}
