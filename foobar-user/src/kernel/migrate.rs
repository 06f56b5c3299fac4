//! Giving a map another size: a new map beside the old one, with the same contents.

use std::{io, os::fd::BorrowedFd};

use aya_obj::generated::bpf_map_type;

use super::{
    percpu,
    sys::map::{self, Position},
};

/// Behind the name of a pin that is to replace another one.
pub(super) const SUFFIX: &str = "-new";

/// Elements of a batch.
const BATCH: usize = 1024;

/// Whether a map of this name may have another size than the one pinned.
pub(super) fn can_resize(name: &str) -> bool {
    matches!(
        name,
        "COUNTERS"
            | "EGRESS_COUNTERS"
            | "COUNTER_LABELS"
            | "FLOWS4"
            | "FLOWS6"
            | "FRAGMENTS"
            | "BUCKETS"
            | "UPDATE_FAILURES"
    )
}

/// Copies all elements. The tables of counters have a second half, which starts later in a larger table.
pub(super) fn copy(name: &str, old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    let (from, to) = (map::describe(old)?, map::describe(new)?);
    let halves = matches!(name, "COUNTERS" | "EGRESS_COUNTERS")
        .then_some((from.entries / 2, to.entries / 2));
    let key = from.key as usize;
    let per_cpu = from.kind == bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32;
    let value =
        if per_cpu { percpu::value_bytes(from.value as usize)? } else { from.value as usize };
    let batch = BATCH.min(from.entries as usize);
    let (mut keys, mut values) = (vec![0; key * batch], vec![0; value * batch]);
    let mut position = Position::default();
    loop {
        let found =
            match map::look_up_batch(old, &mut position, (key, &mut keys), (value, &mut values)) {
                // One bucket of a hash holds more than fits.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    keys.resize(keys.len() * 2, 0);
                    values.resize(values.len() * 2, 0);
                    continue;
                }
                found => found?,
            };
        for at in 0..found.count {
            let moved;
            let mut name = &keys[key * at..key * (at + 1)];
            if let (Some((from, to)), Some(index)) =
                (halves, name.first_chunk().copied().map(u32::from_ne_bytes))
            {
                moved = if index < from { index } else { to + index - from }.to_ne_bytes();
                name = &moved;
            }
            map::update_bytes(new, name, &values[value * at..value * (at + 1)])?;
        }
        if found.ended {
            return Ok(());
        }
    }
}
