//! Token buckets: one a source and limit, in a bounded table. The clock is the kernel's tick.

use foobar_common::{
    failures::BUCKETS as FAILED,
    flow::{Bucket, BucketKey},
    tables::{LIMITS_LEN, Limit},
};

use crate::{failures, family::Family, maps::BUCKETS, policy::Policy, run::Run};

/// A pause that is longer than this many jiffies (18 hours at 1,000 a second) earns no more than one of this length: keeps the
/// sum below from overflowing. The highest rate has less than 2^37 scaled tokens a jiffy, the largest burst less than 2^51.
const LONGEST_PAUSE: u64 = 1 << 26;

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
    let Some(limit) = Policy::of(what >> 24).limit(what & 0xffff) else {
        return 1;
    };
    let key = BucketKey { source: [first, second], limit: what & 0xff_ffff };
    let now = run.jiffies();
    let Some(bucket) = BUCKETS.get_ptr_mut(key) else {
        if run.may_write() {
            let bucket = Bucket { tokens: limit.burst.saturating_sub(Limit::SCALE), refilled: now };
            // An LRU map makes room by itself.
            if BUCKETS.insert(key, bucket, 0).is_err() {
                failures::count(FAILED);
            }
        }
        return 1;
    };
    // SAFETY: an entry of an LRU map stays readable until the program ends, even if it is evicted.
    let bucket = unsafe { &mut *bucket };
    let elapsed = now.saturating_sub(bucket.refilled).min(LONGEST_PAUSE);
    let tokens = (bucket.tokens + elapsed * limit.per_jiffy).min(limit.burst);
    let allowed = tokens >= Limit::SCALE;
    if run.may_write() {
        bucket.tokens = if allowed { tokens - Limit::SCALE } else { tokens };
        bucket.refilled = now;
    }
    allowed as u32
}
