//! Per-CPU arrays, summed.

use std::{io, os::fd::BorrowedFd};

use super::sys::{
    map::{self, Position},
    plain::{Plain, read},
};

/// Bytes of a batch: few enough for the cache, many enough that the system call does not matter.
const BATCH_BYTES: usize = 256 * 1024;

/// Number of CPUs that may ever come: each has its own value of every element.
pub(super) fn cpus() -> io::Result<usize> {
    aya::util::nr_cpus().map_err(|(_, error)| error)
}

/// Bytes of an element as user space sees it: the value of each CPU, rounded up to 8 bytes.
pub(super) fn value_bytes(value: usize) -> io::Result<usize> {
    Ok(value.next_multiple_of(8) * cpus()?)
}

/// Sums the elements `first..first + count` over all CPUs.
pub(super) fn sum<T: Plain>(
    map: BorrowedFd<'_>,
    first: u32,
    count: u32,
    add: impl Fn(&mut T, &T),
) -> io::Result<Vec<T>> {
    let one = size_of::<T>().next_multiple_of(8);
    let element = one * cpus()?;
    let batch = (BATCH_BYTES / element).clamp(1, count.max(1) as usize);
    let (mut keys, mut values) = (vec![0; 4 * batch], vec![0; element * batch]);
    let mut position = first.checked_sub(1).map_or(Position::default(), Position::behind);
    let mut sums = Vec::with_capacity(count as usize);
    while sums.len() < count as usize {
        let wanted = batch.min(count as usize - sums.len());
        let found = map::look_up_batch(
            map,
            &mut position,
            (4, &mut keys[..4 * wanted]),
            (element, &mut values),
        )?;
        for element in values.chunks_exact(element).take(found.count) {
            let mut total = T::default();
            element.chunks_exact(one).filter_map(read).for_each(|value: T| add(&mut total, &value));
            sums.push(total);
        }
        if found.ended || found.count == 0 {
            break;
        }
    }
    sums.resize(count as usize, T::default());
    Ok(sums)
}
