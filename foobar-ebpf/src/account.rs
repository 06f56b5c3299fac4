//! One counter a packet: it says verdict, reason, rule and port in one.

use aya_ebpf::maps::PerCpuArray;
use foobar_common::{counters::Counter, tables::Cell};

use crate::{policy::Policy, settings};

/// Counts the packet and says whether it passes, which in audit mode it always does.
#[inline(always)]
pub fn count(counters: &PerCpuArray<Counter>, policy: &Policy, cell: Cell, bytes: u64) -> bool {
    let mut index = cell.counter() as u32;
    let mut passes = cell.passes();
    if !passes && policy.audits() {
        index += settings::counters();
        passes = true;
    }
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: this CPU's own element, and the program is not interrupted by itself.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }
    passes
}
