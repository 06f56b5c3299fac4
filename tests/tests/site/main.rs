//! The site www.foobar.com, end to end: real servers, real visitors, real attackers, foobar on every server.
//!
//! Bringing it up takes longer than most of what is asked of it, so one test asks everything, a chapter a file, and says how
//! long each took.

mod alerts;
mod attacks;
mod changes;
mod counts;
mod dashboard;
mod death;
mod paths;
mod turns;
mod up;

use std::time::Instant;

use foobar_tests::harness::foobar_binary;

use crate::up::Up;

#[test]
fn slow_the_site_is_what_it_promises_to_be() {
    let up = Up::new(&foobar_binary());
    let chapter = |name: &str, check: fn(&Up)| {
        let start = Instant::now();
        check(&up);
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    };
    chapter("counts agree with the servers' own logs", counts::agree);
    chapter("requests are estimated without any server's help", turns::agree);
    chapter("the dashboard's queries have answers", dashboard::every_query_answers);
    chapter("a change of a list opens and closes a path", changes::open_and_close);
    chapter("a daemon that is killed loses nothing", death::of_a_daemon);
    chapter("alerts fire and resolve", alerts::fire_and_resolve);
    chapter("attacks get nowhere", attacks::get_nowhere);
    chapter("every path is open or shut as planned", paths::are_as_planned);
    up.down();
}
