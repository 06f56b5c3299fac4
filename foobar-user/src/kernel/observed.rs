//! The tables of connections that observers keep: as large as the programs say where something is observed, of one entry elsewhere,
//! because the kernel takes memory for all of a table when it is made.
//!
//! So they change their size with the policy, and then begin empty: their connections are read from the next request or hello on.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use foobar_common::tables::feature;

use super::sys::map;

/// The tables, and the feature that has use for each.
const TABLES: [(&str, u32); 4] = [
    ("HTTP_FLOWS", feature::HTTP),
    ("TLS_FLOWS", feature::TLS),
    ("TLS_OPENINGS", feature::TLS),
    ("QUIC_CLIENTS", feature::TLS),
];

/// The least that the kernel makes.
const LEAST: u32 = 1;

/// Whether it is one of them.
pub(super) fn is_one(name: &str) -> bool {
    TABLES.iter().any(|&(table, _)| table == name)
}

/// Those that programs of these features have no use for, and their size.
pub(super) fn unused(features: u32) -> impl Iterator<Item = (&'static str, u32)> {
    TABLES
        .into_iter()
        .filter(move |&(_, feature)| features & feature == 0)
        .map(|(name, _)| (name, LEAST))
}

/// Those that there are and that programs of these features need in another size. `full` is how large the programs make them.
///
/// # Errors
/// If the kernel does not answer.
pub(super) fn misfits(
    maps: &BTreeMap<&'static str, OwnedFd>,
    full: &BTreeMap<String, u32>,
    features: u32,
) -> io::Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for (name, feature) in TABLES {
        let Some(map) = maps.get(name) else { continue };
        let used = features & feature != 0;
        let wanted = if used { full.get(name).copied().unwrap_or(LEAST) } else { LEAST };
        if map::describe(map.as_fd())?.entries != wanted {
            found.push(name);
        }
    }
    Ok(found)
}
