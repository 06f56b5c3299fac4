//! Maps: create, describe, look up, update, and whole batches of each.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_cmd, bpf_map_info, bpf_map_type};

use super::{attributes, bpf, bpf_descriptor, object, plain};
use plain::Plain;

/// Kernel memory of a map, in bytes, as the kernel accounts it: `memlock` of /proc/PID/fdinfo.
pub(in crate::kernel) fn memory(map: &OwnedFd) -> io::Result<u64> {
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    let bytes = facts.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
    bytes.ok_or_else(|| io::Error::other("the kernel does not tell the memory of a map"))
}

/// What makes a map: its type (`enum bpf_map_type` of linux/bpf.h), sizes in bytes, number of elements and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct MapSpec {
    pub kind: u32,
    pub key: u32,
    pub value: u32,
    pub entries: u32,
    pub flags: u32,
}

impl MapSpec {
    /// An array.
    pub fn array(value: usize, entries: u32, flags: u32) -> Self {
        let kind = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
        MapSpec { kind, key: 4, value: value as u32, entries, flags }
    }

    /// Each way in which `found` is not what this says, as a sentence; empty if it is.
    pub fn differences(&self, found: &MapSpec) -> Vec<String> {
        let mut list = Vec::new();
        if self.kind != found.kind {
            list.push(format!(
                "type {} instead of {}",
                type_name(found.kind),
                type_name(self.kind)
            ));
        }
        for (what, wanted, found) in [
            ("key size", self.key, found.key),
            ("value size", self.value, found.value),
            ("number of entries", self.entries, found.entries),
        ] {
            if wanted != found {
                list.push(format!("{what} {found} instead of {wanted}"));
            }
        }
        if self.flags != found.flags {
            list.push(format!("flags {:#x} instead of {:#x}", found.flags, self.flags));
        }
        list
    }
}

/// The kernel's name of a map type, in lower case and without its prefix.
fn type_name(kind: u32) -> String {
    match bpf_map_type::try_from(kind) {
        Ok(known) => format!("{known:?}").trim_start_matches("BPF_MAP_TYPE_").to_lowercase(),
        Err(_) => format!("number {kind}"),
    }
}

/// Creates a map without BTF.
pub(in crate::kernel) fn create(
    spec: &MapSpec,
    name: &str,
    inner: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: this variant of the union belongs to BPF_MAP_CREATE; every field is an integer.
    let fields = unsafe { &mut attr.__bindgen_anon_1 };
    fields.map_type = spec.kind;
    fields.key_size = spec.key;
    fields.value_size = spec.value;
    fields.max_entries = spec.entries;
    fields.map_flags = spec.flags;
    fields.inner_map_fd = inner.map_or(0, |inner| inner.as_raw_fd() as u32);
    for (to, from) in fields.map_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from as _;
    }
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf_descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}

/// What a map is made of, asked of the kernel.
pub(in crate::kernel) fn describe(map: BorrowedFd<'_>) -> io::Result<MapSpec> {
    // SAFETY: the structure is all integers.
    let info: bpf_map_info = unsafe { object::info(map) }?;
    Ok(MapSpec {
        kind: info.type_,
        key: info.key_size,
        value: info.value_size,
        entries: info.max_entries,
        flags: info.map_flags,
    })
}

/// Stores an element of which key and value are given as bytes. A per-CPU value has all CPUs one behind the other.
pub(in crate::kernel) fn update_bytes(
    map: BorrowedFd<'_>,
    key: &[u8],
    value: &[u8],
) -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: this variant of the union belongs to BPF_MAP_UPDATE_ELEM; every field is an integer.
    let fields = unsafe { &mut attr.__bindgen_anon_2 };
    fields.map_fd = map.as_raw_fd() as u32;
    fields.key = key.as_ptr() as u64;
    fields.__bindgen_anon_1.value = value.as_ptr() as u64;
    // SAFETY: both slices outlive the call; that they have the map's sizes is checked by `update` and by `copy`.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// Stores an element. The types must have the map's key and value size.
pub(in crate::kernel) fn update<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
) -> io::Result<()> {
    update_bytes(map, plain::bytes(key), plain::bytes(value))
}

/// Stores an element that is itself a map (BPF_MAP_TYPE_ARRAY_OF_MAPS).
pub(in crate::kernel) fn update_inner(
    map: BorrowedFd<'_>,
    key: u32,
    inner: BorrowedFd<'_>,
) -> io::Result<()> {
    update(map, &key, &(inner.as_raw_fd() as u32))
}

/// Where a walk over a map stands; opaque, as the kernel left it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::kernel) struct Position(Option<u32>);

impl Position {
    /// Behind an element of an array.
    pub fn behind(index: u32) -> Self {
        Position(Some(index))
    }
}

/// What a batch brought.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Batch {
    /// Number of elements.
    pub count: usize,
    /// No element is left.
    pub ended: bool,
}

/// Looks up as many elements from `position` on as fit into the buffers (BPF_MAP_LOOKUP_BATCH, Linux 5.6, per-CPU arrays 5.13), and
/// moves the position. `value` is the size of one value as user space sees it: for per-CPU maps that of all CPUs.
pub(in crate::kernel) fn look_up_batch(
    map: BorrowedFd<'_>,
    position: &mut Position,
    (key, keys): (usize, &mut [u8]),
    (value, values): (usize, &mut [u8]),
) -> io::Result<Batch> {
    let count = (keys.len() / key).min(values.len() / value);
    let start = position.0;
    let mut next = 0u32;
    let mut attr = attributes();
    attr.batch.map_fd = map.as_raw_fd() as u32;
    // SAFETY: writing to integer fields of a union that is fully initialised.
    let fields = unsafe { &mut attr.batch };
    fields.in_batch = start.as_ref().map_or(0, |start| std::ptr::from_ref(start) as u64);
    fields.out_batch = &raw mut next as u64;
    fields.keys = keys.as_mut_ptr() as u64;
    fields.values = values.as_mut_ptr() as u64;
    fields.count = count as u32;
    // SAFETY: the kernel writes at most `count` keys and values, which fit, and a position of four bytes (arrays and hashes).
    let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
    // SAFETY: the kernel has written the number of elements there.
    let count = unsafe { attr.batch.count } as usize;
    match result {
        Ok(_) => {
            position.0 = Some(next);
            Ok(Batch { count, ended: false })
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(Batch { count, ended: true })
        }
        Err(error) => Err(error),
    }
}

/// Stores the elements `first..` of an array, as many as `values` has bytes for (BPF_MAP_UPDATE_BATCH, Linux 5.6).
pub(in crate::kernel) fn update_array(
    map: BorrowedFd<'_>,
    first: u32,
    value: usize,
    values: &[u8],
) -> io::Result<()> {
    let keys: Vec<u32> = (first..).take(values.len() / value).collect();
    let mut attr = attributes();
    // SAFETY: writing to integer fields of a union that is fully initialised.
    let fields = unsafe { &mut attr.batch };
    fields.map_fd = map.as_raw_fd() as u32;
    fields.keys = keys.as_ptr() as u64;
    fields.values = values.as_ptr() as u64;
    fields.count = keys.len() as u32;
    if keys.is_empty() {
        return Ok(());
    }
    // SAFETY: there are `count` keys and values, which outlive the call.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let wanted = MapSpec::array(16, 1, 0x400);
        assert!(wanted.differences(&wanted).is_empty());
        let found = MapSpec {
            kind: bpf_map_type::BPF_MAP_TYPE_HASH as u32,
            key: 8,
            value: 4,
            entries: 9,
            flags: 0,
        };
        assert_eq!(
            wanted.differences(&found),
            [
                "type hash instead of array",
                "key size 8 instead of 4",
                "value size 4 instead of 16",
                "number of entries 9 instead of 1",
                "flags 0x0 instead of 0x400",
            ]
        );
    }
}
