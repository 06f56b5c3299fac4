//! Token buckets: one a source and limit, in a bounded table. The clock is the kernel's tick.

use foobar_common::{
    flow::{Bucket, BucketKey},
    tables::{LIMITS_LEN, Limit},
};

use crate::{family::Family, maps::BUCKETS, policy::Policy, run::Run};

/// A bucket that was not used for this many jiffies is full: keeps the multiplication below from overflowing.
const FULL_AFTER: u64 = 1 << 16;

/// Takes a token of this source. `false`: over the limit.
#[inline(always)]
pub fn take<F: Family>(run: &Run, policy: &Policy, number: u32, source: F::Address) -> bool {
    if number == 0 {
        return true;
    }
    let (source, version) = F::bucket_source(source);
    let (flags, jiffies) = run.parts();
    let what = number & (LIMITS_LEN - 1) | version << 16 | policy.active() << 24;
    take_token(what, source[0], source[1], flags, jiffies) != 0
}

/// Takes a token; `what` is the number of the limit, the IP version (bits 16 to 23) and the generation (bit 24). A global
/// function: the kernel verifies it once, for any arguments.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_token(what: u32, first: u32, second: u32, flags: u32, jiffies: u64) -> u32 {
    let run = Run::traced(flags, jiffies);
    let limit = Policy::of(what >> 24).and_then(|policy| policy.limit(what & 0xffff));
    let Some(limit) = limit else {
        return 1;
    };
    let key = BucketKey { source: [first, second], limit: what & 0xff_ffff };
    let now = run.jiffies();
    let Some(bucket) = BUCKETS.get_ptr_mut(key) else {
        if run.may_write() {
            let bucket = Bucket { tokens: limit.burst.saturating_sub(Limit::SCALE), refilled: now };
            // An LRU map makes room by itself.
            let _ = BUCKETS.insert(key, bucket, 0);
        }
        return 1;
    };
    // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
    let bucket = unsafe { &mut *bucket };
    let elapsed = now.saturating_sub(bucket.refilled);
    let mut tokens = limit.burst;
    if elapsed < FULL_AFTER {
        let refilled = bucket.tokens + elapsed * limit.per_jiffy;
        if refilled < tokens {
            tokens = refilled;
        }
    }
    let allowed = tokens >= Limit::SCALE;
    if run.may_write() {
        bucket.tokens = if allowed { tokens - Limit::SCALE } else { tokens };
        bucket.refilled = now;
    }
    allowed as u32
}
