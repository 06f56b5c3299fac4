//! What the project wants to reach, and whether a run did.

use foobar_user::kernel::measure::Rung;
use serde::Serialize;

use crate::results::Results;

/// A goal and what came of it.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// In words.
    pub what: &'static str,
    /// What it ought to be.
    pub bound: String,
    /// What was measured.
    pub measured: Option<f64>,
    /// Whether it is reached.
    pub reached: Option<bool>,
    /// What the parts of the work reach that no filter can do without, each in the least program that does it: [`crate::packet::ladder`].
    pub parts: Option<f64>,
}

/// How a figure compares with its bound.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64, &'static str),
    AtLeast(f64, &'static str),
}

use Bound::{AtLeast, AtMost};

// Goals that are compared with the parts of the work.
const SYN_ALLOWED: &str = "SYN allowed, 10,000 prefixes, over a bare XDP_DROP";
const SYN_DENIED: &str = "SYN denied, 10,000 prefixes, over a bare XDP_DROP";
const SYN_ALLOWED_OVER_PEER: &str = "SYN allowed, over xdp-filter";
const SYN_DENIED_OVER_PEER: &str = "SYN denied, over xdp-filter";
const CLOSED: &str = "UDP to a closed port, over a bare XDP_DROP";
const REPLY: &str = "reply to an own connection, over a bare XDP_DROP";
const LIVE: &str = "live drop rate, of a bare XDP_DROP";
/// The subject that drops and does nothing else.
const FLOOR: &str = "XDP_DROP";

/// All goals of which a run measured something.
pub fn all(results: &Results) -> Vec<Goal> {
    let table = |name: &str| results.tables.iter().find(|table| table.name == name);
    let median = |name: &str, case: &str, subject: &str| {
        Some(table(name)?.row(case, subject)?.summary.median)
    };
    let ratio = |name: &str, case: &str, subject: &str| {
        Some(table(name)?.row(case, subject)?.ratio?.median)
    };
    let of = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
    let packet = |case: &str, subject: &str| ratio("packet", case, subject);
    let ten = "foobar, 10k";
    let peer = "xdp-filter, 10k";
    let live = |subject: &str| {
        of(median("live", "SYN dropped", subject), median("live", "SYN dropped", "foobar"))
    };
    let rung = |case: &str, rung: Rung| ratio("ladder", case, rung.name());
    let live_rung =
        of(median("live", "SYN dropped", FLOOR), median("live", "SYN dropped", Rung::Range.name()));
    // What a filter cannot do without, for some of the goals.
    let parts = |what: &str| match what {
        SYN_ALLOWED | SYN_DENIED => rung("SYN denied", Rung::Range),
        SYN_ALLOWED_OVER_PEER => of(rung("SYN denied", Rung::Range), packet("SYN allowed", peer)),
        SYN_DENIED_OVER_PEER => of(rung("SYN denied", Rung::Range), packet("SYN denied", peer)),
        CLOSED => rung("UDP closed port", Rung::Port),
        REPLY => rung("reply to own connection", Rung::LruHash),
        LIVE => live_rung,
        _ => None,
    };
    let million = "1,000,000 IPv4";
    let rows = [
        (SYN_ALLOWED, AtMost(2.5, " x"), packet("SYN allowed", ten)),
        (SYN_DENIED, AtMost(2.5, " x"), packet("SYN denied", ten)),
        (
            SYN_ALLOWED_OVER_PEER,
            AtMost(0.45, " x"),
            of(packet("SYN allowed", ten), packet("SYN allowed", peer)),
        ),
        (
            SYN_DENIED_OVER_PEER,
            AtMost(0.45, " x"),
            of(packet("SYN denied", ten), packet("SYN denied", peer)),
        ),
        (CLOSED, AtMost(1.6, " x"), packet("UDP closed port", ten)),
        ("IPv6 SYN, over a bare XDP_DROP", AtMost(3.0, " x"), packet("IPv6 SYN allowed", ten)),
        (REPLY, AtMost(3.8, " x"), packet("reply to own connection", ten)),
        (
            "1,000,000 prefixes, random sources, over a bare XDP_DROP",
            AtMost(12.0, " x"),
            packet("random IPv4 SYN", "foobar, 1M"),
        ),
        (LIVE, AtLeast(0.87, " x"), live("XDP_DROP")),
        ("live drop rate, of xdp-filter", AtLeast(1.35, " x"), live("xdp-filter")),
        (
            "live drop rate, of iptables raw with ipset",
            AtLeast(5.0, " x"),
            live("iptables raw, ipset"),
        ),
        ("live drop rate, of nftables, stateful", AtLeast(8.0, " x"), live("nftables, stateful")),
        ("replace 1,000,000 IPv4 prefixes", AtMost(0.6, " s"), median("policy", million, "foobar")),
        (
            "the first 1,000,000 IPv6 prefixes in the place of none",
            AtMost(1.0, " s"),
            median("policy", "1,000,000 IPv6, first", "foobar"),
        ),
        (
            "replace 1,000,000 prefixes, of nftables' time",
            AtMost(0.02, " x"),
            of(median("policy", million, "foobar"), median("policy", million, "nftables")),
        ),
        (
            "one entry more among 1,000,000",
            AtMost(20.0, " ms"),
            median("policy-add", million, "foobar"),
        ),
        (
            "kernel memory at 1,000,000 IPv4 prefixes",
            AtMost(40.0, " MB"),
            median("scale-memory", "1000000", "IPv4"),
        ),
        (
            "kernel memory at 1,000,000 IPv6 prefixes",
            AtMost(40.0, " MB"),
            median("scale-memory", "1000000", "IPv6"),
        ),
        (
            "peak memory of the daemon at 1,000,000 IPv4 prefixes",
            AtMost(120.0, " MB"),
            median("policy-memory", million, "foobar"),
        ),
        (
            "server's CPU a request, connections counted, over XDP_PASS",
            AtMost(1.05, " x"),
            ratio("observer", "small pages, keep-alive", "foobar, connections"),
        ),
        (
            "server's CPU a request, requests observed, over XDP_PASS",
            AtMost(1.10, " x"),
            ratio("observer", "small pages, keep-alive", "foobar, connections and requests"),
        ),
        (
            "server's CPU a request over TLS, turns estimated, over XDP_PASS",
            AtMost(1.05, " x"),
            ratio(
                "observer",
                "small pages over TLS, keep-alive",
                "foobar, connections, TLS and turns",
            ),
        ),
        ("the page /metrics", AtMost(5.0, " ms"), median("scrape", "idle", "foobar")),
    ];
    let measured = |goal: &&(&str, Bound, Option<f64>)| goal.2.is_some();
    rows.iter()
        .filter(measured)
        .map(|&(what, bound, measured)| {
            let (text, reached) = match bound {
                AtMost(most, unit) => {
                    (format!("at most {most}{unit}"), measured.map(|value| value <= most))
                }
                AtLeast(least, unit) => {
                    (format!("at least {least}{unit}"), measured.map(|value| value >= least))
                }
            };
            Goal { what, bound: text, measured, reached, parts: parts(what) }
        })
        .collect()
}
