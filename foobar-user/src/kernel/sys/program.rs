//! Programs of kinds that aya does not load.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

use super::{attributes, bpf_descriptor};

/// Bytes of the verifier's log that are asked for when it refuses a program.
const LOG_BYTES: usize = 1 << 20;

/// Bytes of a `struct bpf_func_info`.
const FUNCTION_BYTES: usize = 8;

/// How a probe is going to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Attaching {
    /// By a link to a file of its own (Linux 6.6).
    Link,
    /// To a perf event.
    Event,
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum ProgramKind {
    /// A probe on a function of a process.
    Probe(Attaching),
    /// A program for a tracepoint, by the number of the tracepoint's type in the kernel's BTF.
    Tracepoint(u32),
}

/// A program.
pub(in crate::kernel) struct Code<'a> {
    pub name: &'a str,
    pub license: &'a CStr,
    pub instructions: &'a [bpf_insn],
    /// The types of its object ([`load_types`]).
    pub types: BorrowedFd<'a>,
    /// Its functions and their types (`struct bpf_func_info`).
    pub functions: &'a [u8],
}

impl Code<'_> {
    /// Loads the program. The text of the error ends with what the verifier said.
    pub fn load(&self, kind: ProgramKind) -> io::Result<OwnedFd> {
        self.attempt(kind, None).or_else(|error| {
            let mut log = vec![0; LOG_BYTES];
            match self.attempt(kind, Some(&mut log)) {
                Ok(program) => Ok(program),
                Err(_) => {
                    let log =
                        CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
                    let lines: Vec<_> = log.lines().rev().take(8).collect();
                    let end = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
                    match end.is_empty() {
                        true => Err(error),
                        false => Err(io::Error::new(
                            error.kind(),
                            format!("{error}: the verifier says: {end}"),
                        )),
                    }
                }
            }
        })
    }

    fn attempt(&self, kind: ProgramKind, log: Option<&mut Vec<u8>>) -> io::Result<OwnedFd> {
        let mut attr = attributes();
        // SAFETY: this variant of the union belongs to BPF_PROG_LOAD; every field is an integer.
        let fields = unsafe { &mut attr.__bindgen_anon_3 };
        fields.insns = self.instructions.as_ptr() as u64;
        fields.insn_cnt = self.instructions.len() as u32;
        fields.license = self.license.as_ptr() as u64;
        fields.prog_btf_fd = self.types.as_raw_fd() as u32;
        fields.func_info_rec_size = FUNCTION_BYTES as u32;
        fields.func_info = self.functions.as_ptr() as u64;
        fields.func_info_cnt = (self.functions.len() / FUNCTION_BYTES) as u32;
        match kind {
            ProgramKind::Probe(attaching) => {
                fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
                if attaching == Attaching::Link {
                    fields.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
                }
            }
            ProgramKind::Tracepoint(number) => {
                fields.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
                fields.expected_attach_type = bpf_attach_type::BPF_TRACE_RAW_TP as u32;
                fields.attach_btf_id = number;
            }
        }
        for (to, from) in fields.prog_name.iter_mut().take(15).zip(self.name.bytes()) {
            *to = from as _;
        }
        if let Some(log) = log {
            fields.log_level = 1;
            fields.log_buf = log.as_mut_ptr() as u64;
            fields.log_size = log.len() as u32;
        }
        // SAFETY: instructions, licence, functions and log are as long as said, and outlive the call.
        unsafe { bpf_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr) }
    }
}

/// Loads the types of an object, in BTF.
pub(in crate::kernel) fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: this variant of the union belongs to BPF_BTF_LOAD; every field is an integer.
    let fields = unsafe { &mut attr.__bindgen_anon_7 };
    fields.btf = types.as_ptr() as u64;
    fields.btf_size = types.len() as u32;
    // SAFETY: the types are as long as said, and outlive the call.
    unsafe { bpf_descriptor(bpf_cmd::BPF_BTF_LOAD, &mut attr) }
}

/// Whether a probe that was loaded for it can be attached by a link of its own: a folder is refused as such by kernels that know this kind
/// of link, and the kind itself by others, though they load the program.
pub(in crate::kernel) fn has_probe_links(program: BorrowedFd<'_>) -> bool {
    let Ok(folder) = File::open("/") else { return false };
    let refused = attach_probe(program, folder.as_fd(), 0, 0).err();
    refused.is_some_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

/// Attaches a probe to a byte of a file, in all processes that run it or will (BPF_LINK_CREATE, Linux 6.6). It may ask for the cookie.
pub(in crate::kernel) fn attach_probe(
    program: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let path = super::perf::path_of(file)?;
    let mut attr: bpf_attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: this variant of the union belongs to this type of link; every field is an integer.
    let fields = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    fields.path = path.as_ptr() as u64;
    fields.offsets = &raw const offset as u64;
    fields.cookies = &raw const cookie as u64;
    fields.cnt = 1;
    // SAFETY: the path ends with zero; there are one offset and one cookie; all outlive the call.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}
