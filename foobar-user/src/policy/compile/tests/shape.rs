//! What must hold for any tables, because the kernel relies on it.

use foobar_common::tables::{DEEP, IndexEntry, PORTS_LEN};

use super::*;

pub(super) fn check(compiled: &Compiled) {
    let (generation, stride) = (&compiled.generation, compiled.generation.stride);
    let (v4, v6) = (&compiled.v4, &compiled.v6);
    assert!(
        stride >= 1
            && generation.first_blocked <= generation.first_martian
            && generation.first_martian <= stride
    );
    assert!(generation.first_blocked >= 1, "class 0 is in no list, so it is not blocked");

    assert_eq!((v4.starts[0], v6.starts[0]), (0, 0));
    assert!(v4.starts.is_sorted_by(|a, b| a < b) && v6.starts.is_sorted_by(|a, b| a < b));
    assert_eq!((v4.starts.len(), v6.starts.len()), (v4.classes.len(), v6.classes.len()));
    assert!(
        v4.classes.windows(2).all(|pair| pair[0] != pair[1]),
        "neighbours of one class are one range"
    );
    assert!(
        v6.classes.windows(2).all(|pair| pair[0] != pair[1]),
        "neighbours of one class are one range"
    );
    assert!(v4.classes.iter().chain(&v6.low_classes).all(|class| u32::from(*class) < stride));

    let deep: Vec<u32> =
        v6.classes.iter().filter(|class| **class & DEEP != 0).map(|class| class & !DEEP).collect();
    assert_eq!(
        deep,
        (0..v6.deep.len() as u32).collect::<Vec<_>>(),
        "each deep table is used once, in order"
    );
    assert!(v6.classes.iter().all(|class| class & DEEP != 0 || *class < stride));
    let mut low = 0;
    for entry in &v6.deep {
        assert_eq!(entry.value, low, "deep tables follow each other");
        assert!(entry.inside > 0, "one class needs no table");
        let starts = &v6.low_starts[low as usize..=(low + entry.inside) as usize];
        assert!(starts[0] == 0 && starts.is_sorted_by(|a, b| a < b));
        low += entry.inside + 1;
    }
    assert_eq!((v6.low_starts.len(), v6.low_classes.len()), (low as usize, low as usize));

    let index4 = &generation.index4;
    assert_eq!(index4.last as usize + 1, v4.index.len());
    assert!(index4.shift < 32 && v4.index.len() <= 1 << 19);
    assert_eq!(index4.base, v4.starts.get(1).copied().unwrap_or(0));
    let index6 = &generation.index6;
    assert_eq!(index6.last as usize + 1, v6.index.len());
    assert!(index6.shift < 64 && v6.index.len() <= 1 << 19);
    let fits = |entries: &[IndexEntry], ranges: usize| {
        entries
            .iter()
            .all(|entry| entry.inside == 0 || ((entry.value + entry.inside) as usize) < ranges)
    };
    assert!(fits(&v4.index, v4.starts.len()) && fits(&v6.index, v6.starts.len()));

    assert_eq!(compiled.ports.len(), PORTS_LEN as usize);
    assert_eq!(compiled.cells.len() % stride as usize, 0);
    let mut entries: Vec<_> =
        compiled.ports.iter().chain(compiled.egress_ports.iter().flatten()).collect();
    entries.dedup();
    for entry in entries {
        let row = &compiled.cells[usize::from(entry.class) * stride as usize..][..stride as usize];
        assert_eq!(entry.cell, row[0], "the cell of a port is that of sources on no list");
        assert_eq!(
            row.iter().all(|cell| *cell == row[0]),
            entry.flags & foobar_common::tables::PORT_UNIFORM != 0
        );
        for cell in row {
            assert!(usize::from(cell.limit()) < compiled.limits.len());
            assert!(u32::from(cell.counter()) < compiled.counters);
        }
    }
    let needs = compiled.needs();
    assert!(needs.low6 as usize >= v6.low_starts.len());
    assert!(index4.shift <= foobar_common::tables::SLOT_SHIFT);
}
