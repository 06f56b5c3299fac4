//! Where the fields of the running kernel's structures are, from its BTF (Documentation/bpf/btf.rst): aya has no CO-RE for programs
//! written in Rust, and tells no offsets.
//!
//! A reader of its own, because the daemon needs seven offsets and not a model of the kernel: the crate btf-rs takes 390 ms and keeps
//! 33 MB for them, this takes a few milliseconds.

use std::fs;

use foobar_common::{observe::SockOffsets, probes::ProbeSettings};

use super::sys::plain::read;

/// The running kernel's own type information (CONFIG_DEBUG_INFO_BTF).
const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// linux/btf.h
const BTF_MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
/// Length of `struct btf_type`, and of `struct btf_member`.
const TYPE: usize = 12;
const MEMBER: usize = 12;

/// The offsets that the tracing programs read at.
///
/// # Errors
/// Says what is missing: the kernel's BTF, a structure or a field.
pub(super) fn sock_offsets() -> Result<SockOffsets, String> {
    let data = fs::read(KERNEL)
        .map_err(|error| format!("the kernel does not describe its types in {KERNEL}: {error}"))?;
    let btf = Btf::parse(&data).ok_or_else(|| format!("{KERNEL} cannot be read"))?;
    let find = |structure, path: &[&str]| {
        btf.offset(structure, path)
            .ok_or_else(|| format!("this kernel has no {structure}.{}", path.join(".")))
    };
    Ok(SockOffsets {
        local_port: find("sock_common", &["skc_num"])?,
        source_port: find("inet_sock", &["inet_sport"])?,
        family: find("sock_common", &["skc_family"])?,
        net: find("sock_common", &["skc_net", "net"])?,
        net_inum: find("net", &["ns", "inum"])?,
        srtt_us: find("tcp_sock", &["srtt_us"])?,
        state: find("sock_common", &["skc_state"])?,
        remote_address: find("sock_common", &["skc_daddr"])?,
    })
}

/// Where the probes find the network namespace of a process.
///
/// # Errors
/// As for [`sock_offsets`].
pub(super) fn namespace_offsets() -> Result<ProbeSettings, String> {
    let data = fs::read(KERNEL)
        .map_err(|error| format!("the kernel does not describe its types in {KERNEL}: {error}"))?;
    let btf = Btf::parse(&data).ok_or_else(|| format!("{KERNEL} cannot be read"))?;
    let find = |structure, path: &[&str]| {
        btf.offset(structure, path)
            .ok_or_else(|| format!("this kernel has no {structure}.{}", path.join(".")))
    };
    Ok(ProbeSettings {
        task_nsproxy: find("task_struct", &["nsproxy"])?,
        nsproxy_net: find("nsproxy", &["net_ns"])?,
        net_inum: find("net", &["ns", "inum"])?,
        local_port: find("sock_common", &["skc_num"])?,
        ..ProbeSettings::default()
    })
}

/// Whether the kernel describes itself.
pub(super) fn is_available() -> bool {
    std::path::Path::new(KERNEL).exists()
}

/// Types and their names.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts in `types`; the first has the number 1.
    starts: Vec<u32>,
}

/// One `struct btf_type`.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    /// Members, where it has some.
    count: usize,
    /// Whether offsets of members share their word with the size of a bit field.
    bit_fields: bool,
    /// The type that it stands for, where it stands for one.
    target: u32,
    behind: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        if read::<u16>(data)? != BTF_MAGIC {
            return None;
        }
        let word = |at: usize| read::<u32>(data.get(at..)?).map(|word| word as usize);
        let header = word(4)?;
        let section = |at: usize| data.get(header + word(at)?..)?.get(..word(at + 4)?);
        let (types, strings) = (section(8)?, section(16)?);
        let mut btf = Btf { types, strings, starts: Vec::new() };
        let mut at = 0;
        while at < types.len() {
            btf.starts.push(at as u32);
            at += TYPE + type_at(types, at)?.extra();
        }
        Some(btf)
    }

    fn get(&self, number: u32) -> Option<Type<'a>> {
        type_at(self.types, *self.starts.get((number as usize).checked_sub(1)?)? as usize)
    }

    fn name(&self, offset: u32) -> &'a [u8] {
        let from = self.strings.get(offset as usize..).unwrap_or_default();
        from.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Offset of a field in bytes; `path` leads through fields that are structures themselves.
    fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let types = self.starts.iter().filter_map(|&start| type_at(self.types, start as usize));
        let mut found = types.filter(|found| {
            found.kind == KIND_STRUCT && self.name(found.name) == structure.as_bytes()
        });
        found.find_map(|found| self.within(found, path))
    }

    fn within(&self, structure: Type<'a>, path: &[&str]) -> Option<u32> {
        let (first, rest) = path.split_first()?;
        structure.behind.chunks_exact(MEMBER).take(structure.count).find_map(|member| {
            let bits = read::<u32>(&member[8..])?;
            let at = if structure.bit_fields { bits & 0xff_ffff } else { bits } / 8;
            let name = self.name(read(member)?);
            let named = name == first.as_bytes();
            if named && rest.is_empty() {
                return Some(at);
            }
            // A structure without a name lends its fields to the one around it.
            let path = if named {
                rest
            } else if name.is_empty() {
                path
            } else {
                return None;
            };
            let mut inner = self.get(read(&member[4..])?)?;
            while matches!(inner.kind, KIND_TYPEDEF | KIND_CONST | KIND_VOLATILE | KIND_TYPE_TAG) {
                inner = self.get(inner.target)?;
            }
            if !matches!(inner.kind, KIND_STRUCT | KIND_UNION) {
                return None;
            }
            Some(at + self.within(inner, path)?)
        })
    }
}

fn type_at(types: &[u8], at: usize) -> Option<Type<'_>> {
    let data = types.get(at..)?;
    let info = read::<u32>(data.get(4..)?)?;
    Some(Type {
        name: read(data)?,
        kind: info >> 24 & 0x1f,
        count: (info & 0xffff) as usize,
        bit_fields: info >> 31 != 0,
        target: read(data.get(8..)?)?,
        behind: data.get(TYPE..)?,
    })
}

impl Type<'_> {
    /// Bytes that follow the type itself.
    fn extra(&self) -> usize {
        match self.kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * self.count,
            KIND_ENUM | KIND_FUNC_PROTO => 8 * self.count,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernels_offsets_are_plausible() {
        let offsets = sock_offsets().unwrap();
        // include/net/sock.h: the address pair stands first, then hash and ports, then family and state.
        assert_eq!((offsets.local_port, offsets.family, offsets.state), (14, 16, 18));
        assert!(offsets.net > offsets.state && offsets.srtt_us > 1000, "{offsets:?}");
    }

    #[test]
    fn fields_of_nameless_structures_are_found() {
        // struct outer { int a; struct { int b; union { int c; int d; }; }; }
        let strings = b"\0outer\0a\0b\0c\0d\0";
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let words: [u32; 27] = [
            0,
            kind(KIND_INT, 0),
            4,
            32, // 1
            0,
            kind(KIND_UNION, 2),
            4,
            11,
            1,
            0,
            13,
            1,
            0, // 2
            0,
            kind(KIND_STRUCT, 2),
            8,
            9,
            1,
            0,
            0,
            2,
            32, // 3
            1,
            kind(KIND_STRUCT, 2),
            12,
            7,
            1,
        ];
        let mut types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        types.extend([0u32, 0, 3, 32].iter().flat_map(|word| word.to_ne_bytes()));
        let mut data = Vec::new();
        data.extend_from_slice(&BTF_MAGIC.to_ne_bytes());
        data.extend_from_slice(&[1, 0]);
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            data.extend_from_slice(&(word as u32).to_ne_bytes());
        }
        data.extend_from_slice(&types);
        data.extend_from_slice(strings);
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(
            ["a", "b", "c", "d"].map(|field| btf.offset("outer", &[field])),
            [Some(0), Some(4), Some(8), Some(8)]
        );
        assert_eq!(btf.offset("outer", &["e"]), None);
        assert_eq!(btf.offset("inner", &["a"]), None);
        for end in 0..data.len() {
            let _ = Btf::parse(&data[..end]).map(|btf| btf.offset("outer", &["d"]));
        }
    }
}
