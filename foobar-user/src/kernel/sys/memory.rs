//! Array maps as memory: a part of a map, mapped into this process (BPF_F_MMAPABLE, Linux 5.5).

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use super::plain::{Plain, bytes_of_all, read};

/// A part of an array map. What is written here, the kernel programs see at once.
///
/// The programs run at the same time: write only what they do not read now, or single words through [`Region::word`].
pub(in crate::kernel) struct Region {
    start: NonNull<u8>,
    mapped: usize,
    /// Bytes between the start of the first page and the part that was asked for.
    skip: usize,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and no thread is special to it.
unsafe impl Send for Region {}
// SAFETY: through a shared reference only atomic words are handed out.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `length` bytes from byte `offset` on.
    pub fn map(map: BorrowedFd<'_>, offset: usize, length: usize) -> io::Result<Self> {
        // SAFETY: sysconf(3) has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let skip = offset % page;
        let mapped = skip + length.max(1);
        // SAFETY: a new shared mapping at an address of the kernel's choice touches no memory that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                (offset - skip) as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Region { start, mapped, skip, length })
    }

    /// Writes values from byte `offset` on.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write<T: Plain>(&mut self, offset: usize, values: &[T]) {
        let bytes = bytes_of_all(values);
        assert!(offset + bytes.len() <= self.length, "a write beyond the mapped part of a map");
        // SAFETY: the destination lies within the mapping (just asserted), which no slice of ours overlaps.
        unsafe {
            let to = self.start.as_ptr().add(self.skip + offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// Reads a value that programs may write at the same time, word by word.
    ///
    /// # Panics
    /// If it lies outside, or is not made of words.
    pub fn read<T: Plain>(&self, offset: usize) -> T {
        let words = (0..size_of::<T>()).step_by(4);
        let bytes: Vec<u8> = words
            .flat_map(|at| self.word(offset + at).load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        read(&bytes).expect("as many bytes as the value has")
    }

    /// A word that programs may read at the same time.
    ///
    /// # Panics
    /// If it lies outside, or across a word boundary.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(
            offset + 4 <= self.length && (self.skip + offset).is_multiple_of(4),
            "a word outside of a map"
        );
        // SAFETY: within the mapping and aligned (just asserted; mappings start at a page); every access goes through atomics.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(self.skip + offset).cast()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly what mmap(2) returned, once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// Writes values into an array map from byte `offset` on, and lets go of the memory again: what is mapped counts as ours.
pub(in crate::kernel) fn write<T: Plain>(
    map: BorrowedFd<'_>,
    offset: usize,
    values: &[T],
) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    Region::map(map, offset, size_of_val(values))?.write(0, values);
    Ok(())
}
