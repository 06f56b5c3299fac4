//! The tables of the policy. Each is an array map of one element that holds the whole table, at an address that the loaded program
//! knows: a look-up in it is a comparison and a load, where one in an array of many elements takes a dozen instructions and
//! its key a way over the stack.
//!
//! To the compiler they are statics in sections named `.bss.NAME`, as long as such a table can become. The loader makes the maps, as
//! long as the policy needs them (foobar-user/src/kernel/instance). Every table holds two generations one behind the other.

use core::{cell::UnsafeCell, mem::MaybeUninit};

use foobar_common::tables::{
    GENERATIONS, IndexEntry, LIMITS_LEN, Limit, PORTS_LEN, PortEntry, Root, USED_PORTS_LEN, most,
};

/// A table of at most `MOST` elements.
#[repr(transparent)]
pub struct Table<T, const MOST: usize>(UnsafeCell<MaybeUninit<[T; MOST]>>);

// SAFETY: the elements are integers, shared with user space and all CPUs; what is written while it is read is read as volatile.
unsafe impl<T, const MOST: usize> Sync for Table<T, MOST> {}

impl<T: Copy, const MOST: usize> Table<T, MOST> {
    const fn new() -> Self {
        Table(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// The first element.
    #[inline(always)]
    pub fn start(&self) -> *const T {
        self.0.get().cast_const().cast()
    }

    /// The element at `position`, if the table is that long: two generations of `length` elements. The verifier refuses the program
    /// unless the table is as long as `length` says.
    ///
    /// What is compared is what is added to the address, in one register: older verifiers know nothing of copies. So positions are 64 bits
    /// wide, since the compiler would compare another copy of a number of 32 bits.
    #[inline(always)]
    pub fn get(&self, position: u64, length: u32) -> Option<T> {
        // SAFETY: within the table, as the verifier makes sure.
        self.find(position, length).map(|element| unsafe { *element })
    }

    /// Where that element is: who does not need all of it reads the part.
    #[inline(always)]
    pub fn find(&self, position: u64, length: u32) -> Option<*const T> {
        if position >= GENERATIONS as u64 * length as u64 {
            return None;
        }
        // SAFETY: within the table, as the verifier makes sure.
        Some(unsafe { self.start().add(position as usize) })
    }

    /// Element `index` of a generation of `length` elements.
    #[inline(always)]
    pub fn of(&self, generation: u32, index: u64, length: u32) -> Option<T> {
        self.get(first(generation, length) + index, length)
    }
}

/// Where a generation of so many elements starts in its table.
#[inline(always)]
pub fn first(generation: u32, length: u32) -> u64 {
    generation as u64 * length as u64
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ROOT")]
pub static ROOT: Table<Root, 1> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.PORTS")]
pub static PORTS: Table<PortEntry, { (GENERATIONS * PORTS_LEN) as usize }> = Table::new();
/// When a flow was last opened or used from each local port, in ticks, in the order of the port table; 0 is never. A closed port that was never
/// used needs no look-up in the table of flows. Unlike the other tables it outlives the instance.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.USED_PORTS")]
pub static USED_PORTS: Table<u32, { USED_PORTS_LEN as usize }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.EGRESS_PORTS")]
pub static EGRESS_PORTS: Table<PortEntry, { (GENERATIONS * PORTS_LEN) as usize }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.INDEX4")]
pub static INDEX4: Table<IndexEntry, { most::INDEX4 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.CLASSES4")]
pub static CLASSES4: Table<u16, { most::CLASSES4 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.INDEX6")]
pub static INDEX6: Table<IndexEntry, { most::INDEX6 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.STARTS6")]
pub static STARTS6: Table<u64, { most::STARTS6 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.DEEP6")]
pub static DEEP6: Table<IndexEntry, { most::DEEP6 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.LOW_STARTS6")]
pub static LOW_STARTS6: Table<u64, { most::LOW_STARTS6 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.LOW_CLASSES6")]
pub static LOW_CLASSES6: Table<u16, { most::LOW_CLASSES6 }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.CELLS")]
pub static CELLS: Table<u32, { most::CELLS }> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.LIMITS")]
pub static LIMITS: Table<Limit, { (GENERATIONS * LIMITS_LEN) as usize }> = Table::new();
