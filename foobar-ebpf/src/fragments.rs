//! Fragments: the first one shows the ports and gets a verdict, the others follow it.

use foobar_common::{
    failures::FRAGMENTS as FAILED,
    flow::FragmentEntry,
    parse::{Datagram, protocol},
    reason::Reason,
    tables::choice,
};

use crate::{failures, family::Family, maps::FRAGMENTS, policy::Policy, run::Run, settings};

/// Offset, in units of 8 bytes, at which a fragment would overwrite the flags of a TCP header (RFC 3128).
const OVERLAPS_TCP: u16 = 1;

/// The reason for a fragment that does not show its transport header.
#[inline(always)]
pub fn tail<F: Family>(run: &Run, policy: &Policy, datagram: &Datagram<F::Address>) -> Reason {
    if policy.chooses(choice::DROP_FRAGMENTS) {
        return Reason::Fragment;
    }
    if datagram.fragment.offset == OVERLAPS_TCP && datagram.fragment.protocol == protocol::TCP {
        return Reason::FragmentOverlap;
    }
    let Some(entry) = FRAGMENTS.get_ptr(F::fragment_key(datagram)) else {
        return Reason::FragmentUnknown;
    };
    // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
    let entry = unsafe { *entry };
    if run.ticks().wrapping_sub(entry.seen) > settings::timeout_fragment() {
        return Reason::FragmentUnknown;
    }
    // By what the first fragment shows as well: what a later one says of itself may lie.
    if datagram.fragment.offset == OVERLAPS_TCP && entry.protocol == u32::from(protocol::TCP) {
        return Reason::FragmentOverlap;
    }
    Reason::FragmentTail
}

/// The first fragment got its verdict.
#[inline(always)]
pub fn first<F: Family>(run: &Run, datagram: &Datagram<F::Address>, passes: bool) {
    if !run.may_write() {
        return;
    }
    let key = F::fragment_key(datagram);
    if passes {
        let entry = FragmentEntry { seen: run.ticks(), protocol: datagram.protocol.into() };
        // An LRU map makes room by itself; if it fails, the further fragments are dropped.
        if FRAGMENTS.insert(key, entry, 0).is_err() {
            failures::count(FAILED);
        }
    } else {
        // A second first fragment that may not pass ends what an earlier one began.
        let _ = FRAGMENTS.remove(key);
    }
}
