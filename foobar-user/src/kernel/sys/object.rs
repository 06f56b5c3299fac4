//! What all BPF objects have in common: pins, and information about them. Programs too.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_cmd, bpf_prog_info};

use super::{attributes, bpf, bpf_descriptor};

/// Asks the kernel about a map, program or link (BPF_OBJ_GET_INFO_BY_FD).
///
/// # Safety
/// `T` must be one of the kernel's `bpf_*_info` structures, of integers only, and fit the kind of `object`.
pub(super) unsafe fn info<T>(object: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: a structure of integers, for which zero is valid (the caller's promise).
    let mut info: T = unsafe { std::mem::zeroed() };
    let mut attr = attributes();
    attr.info.bpf_fd = object.as_raw_fd() as u32;
    attr.info.info_len = size_of::<T>() as u32;
    attr.info.info = &raw mut info as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Kind {
    Map,
    Program,
    Link,
    Other,
}

/// What a descriptor refers to. bpf(2) itself would fill a program's information into a map's structure without complaint.
pub(in crate::kernel) fn kind(object: BorrowedFd<'_>) -> io::Result<Kind> {
    let name = fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
    Ok(match name.as_os_str().as_bytes() {
        b"anon_inode:bpf-map" => Kind::Map,
        b"anon_inode:bpf-prog" => Kind::Program,
        b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => Kind::Link,
        _ => Kind::Other,
    })
}

/// Opens the object that is pinned at `path`, if there is one, and checks what it is.
pub(in crate::kernel) fn open(path: &Path, wanted: Kind) -> io::Result<Option<OwnedFd>> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attributes();
    // SAFETY: this variant of the union belongs to BPF_OBJ_GET; every field is an integer.
    let fields = unsafe { &mut attr.__bindgen_anon_4 };
    fields.pathname = name.as_ptr() as u64;
    // SAFETY: the path is a string that ends with zero and outlives the call.
    let object = match unsafe { bpf_descriptor(bpf_cmd::BPF_OBJ_GET, &mut attr) } {
        Ok(object) => object,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = kind(object.as_fd())?;
    if found != wanted {
        return Err(io::Error::other(
            format!("a {found:?} is pinned there, not a {wanted:?}").to_lowercase(),
        ));
    }
    Ok(Some(object))
}

/// Pins an object at `path` (BPF_OBJ_PIN).
pub(in crate::kernel) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attributes();
    // SAFETY: this variant of the union belongs to BPF_OBJ_PIN; every field is an integer.
    let fields = unsafe { &mut attr.__bindgen_anon_4 };
    fields.pathname = name.as_ptr() as u64;
    fields.bpf_fd = object.as_raw_fd() as u32;
    // SAFETY: the path is a string that ends with zero and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// What is worth knowing of a loaded program.
#[derive(Clone, Debug)]
pub(in crate::kernel) struct ProgramInfo {
    pub id: u32,
    pub name: String,
    /// Hash of its instructions as they were loaded, maps left out.
    pub tag: [u8; 8],
    /// User that loaded it.
    pub uid: u32,
    /// Instructions that the verifier walked through (Linux 5.16).
    pub verified_instructions: u32,
    /// Bytes of instructions after the kernel's own rewriting.
    pub translated_bytes: u32,
}

/// What the kernel says about a program.
pub(in crate::kernel) fn program(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    // SAFETY: the structure is all integers.
    let info: bpf_prog_info = unsafe { info(program) }?;
    // SAFETY: the kernel ends the name with a zero byte within the array.
    let name = unsafe { CStr::from_ptr(info.name.as_ptr()) }.to_string_lossy().into_owned();
    Ok(ProgramInfo {
        id: info.id,
        tag: info.tag,
        name,
        uid: info.created_by_uid,
        verified_instructions: info.verified_insns,
        translated_bytes: info.xlated_prog_len,
    })
}

/// Opens a program by its number, which needs CAP_SYS_ADMIN: good for telling more, nothing may depend on it.
pub(in crate::kernel) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf_descriptor(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr) }
}

/// Opens all links of the machine one after the other, which needs CAP_SYS_ADMIN.
pub(in crate::kernel) fn all_links() -> impl Iterator<Item = io::Result<OwnedFd>> {
    let mut last = 0;
    std::iter::from_fn(move || {
        loop {
            let mut attr = attributes();
            attr.__bindgen_anon_6.__bindgen_anon_1.start_id = last;
            // SAFETY: the attributes hold no pointer.
            match unsafe { bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) } {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => return Some(Err(error)),
            }
            // SAFETY: the kernel has written the next number there.
            last = unsafe { attr.__bindgen_anon_6.next_id };
            let mut attr = attributes();
            attr.__bindgen_anon_6.__bindgen_anon_1.link_id = last;
            // SAFETY: the attributes hold no pointer.
            match unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) } {
                // It went away between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                link => return Some(link),
            }
        }
    })
}
