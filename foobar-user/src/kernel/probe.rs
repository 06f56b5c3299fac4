//! What the running kernel offers.

use std::{ffi::CStr, fs, sync::OnceLock};

use super::{
    bpffs, btf,
    sys::{link, map, rcu},
};
use aya_obj::generated::{bpf_attach_type, bpf_map_type};
use nix::sys::resource::{Resource, getrlimit};

/// Effective capabilities that are needed (linux/capability.h): CAP_NET_ADMIN, CAP_PERFMON (tracing), CAP_BPF.
const CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// What the running kernel offers, and what this process may do with it.
#[derive(Clone, Debug)]
pub struct Features {
    /// As `uname -r` prints it.
    pub release: String,
    /// Major and minor version.
    pub version: (u16, u16),
    /// The kernel describes its own types, which the observer needs.
    pub btf: bool,
    /// Classifiers by link (Linux 6.6).
    pub tcx: bool,
    /// XDP programs see frames of several buffers (Linux 5.18).
    pub frags: bool,
    /// Ring buffers (Linux 5.8), for sampled packets.
    pub ring_buffer: bool,
    /// membarrier(2) waits for programs; without it a map-in-map update does.
    pub membarrier: bool,
    /// A BPF file system is mounted at /sys/fs/bpf.
    pub bpffs: bool,
    /// Programs are compiled to machine code; `None` if it cannot be told.
    pub jit: Option<bool>,
    /// `none`, `integrity` or `confidentiality`; `None` without the security module.
    pub lockdown: Option<String>,
    /// How much the compiler blinds against JIT spraying: 2 also what root loads (`net.core.bpf_jit_harden`).
    pub jit_harden: Option<u8>,
    /// Whether users without rights may load programs (`kernel.unprivileged_bpf_disabled` is 0).
    pub unprivileged_bpf: Option<bool>,
    /// Where the BPF file system is mounted, and how: `/proc/self/mountinfo`.
    pub bpffs_options: Option<String>,
    /// Limit of locked memory, bytes, which kernels before 5.11 count maps under; `None` without a limit.
    pub memlock: Option<u64>,
    /// Capabilities that are missing, by name.
    pub missing_capabilities: Vec<&'static str>,
}

/// Asks the kernel.
pub fn probe() -> Features {
    let release = release();
    let version = version(&release);
    Features {
        version,
        btf: btf::is_available(),
        tcx: has_tcx(),
        frags: version >= (5, 18),
        ring_buffer: has_ring_buffer(),
        membarrier: rcu::has_membarrier(),
        bpffs: bpffs::is_mounted(),
        jit: fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")
            .ok()
            .map(|text| text.trim() != "0"),
        lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
            .ok()
            .and_then(|text| chosen(&text)),
        jit_harden: setting("net/core/bpf_jit_harden"),
        unprivileged_bpf: setting("kernel/unprivileged_bpf_disabled").map(|value| value == 0),
        bpffs_options: fs::read_to_string("/proc/self/mountinfo")
            .ok()
            .and_then(|text| bpffs_options(&text)),
        memlock: getrlimit(Resource::RLIMIT_MEMLOCK)
            .ok()
            .map(|(soft, _)| soft)
            .filter(|limit| *limit != libc::RLIM_INFINITY),
        missing_capabilities: missing_capabilities(
            &fs::read_to_string("/proc/thread-self/status").unwrap_or_default(),
        ),
        release,
    }
}

/// Whether this kernel attaches classifiers by link: an unknown place is answered with EINVAL, whatever the interface.
pub(super) fn has_tcx() -> bool {
    /// Loopback, which every network namespace has.
    const LOOPBACK: u32 = 1;
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| match link::tcx_links(LOOPBACK, bpf_attach_type::BPF_TCX_EGRESS) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EINVAL),
    })
}

fn has_ring_buffer() -> bool {
    let page = 4096;
    let spec = map::MapSpec {
        kind: bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32,
        key: 0,
        value: 0,
        entries: page,
        flags: 0,
    };
    map::create(&spec, "probe", None).is_ok()
}

fn release() -> String {
    // SAFETY: a structure of character arrays, for which zero is valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: uname(2) writes the structure, strings with their ends included.
    unsafe {
        libc::uname(&raw mut name);
        CStr::from_ptr(name.release.as_ptr()).to_string_lossy().into_owned()
    }
}

fn version(release: &str) -> (u16, u16) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A number below /proc/sys.
fn setting(name: &str) -> Option<u8> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

/// Options of the mount at /sys/fs/bpf, those of the mount and of the file system (proc_pid_mountinfo(5)).
fn bpffs_options(mountinfo: &str) -> Option<String> {
    mountinfo.lines().rev().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (place, options) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        (place == "/sys/fs/bpf" && system.next()? == "bpf")
            .then(|| format!("{options},{}", system.nth(1).unwrap_or_default()))
    })
}

/// `none [integrity] confidentiality` has the chosen one in brackets.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let has = |bit: u32| effective.is_some_and(|set| set >> bit & 1 != 0);
    CAPABILITIES.into_iter().filter(|&(bit, _)| !has(bit)).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_read() {
        assert_eq!(version("6.1.0-56-cloud-amd64"), (6, 1));
        assert_eq!(version("5.15"), (5, 15));
        assert_eq!(chosen("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        let mountinfo = "24 1 0:2 / / rw - ext4 /dev/vda rw\n\
            31 24 0:27 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700\n";
        assert_eq!(bpffs_options(mountinfo).as_deref(), Some("rw,nosuid,rw,mode=700"));
        assert_eq!(bpffs_options("24 1 0:2 / / rw - ext4 /dev/vda rw\n"), None);
        assert_eq!(missing_capabilities("CapEff:\t000001ffffffffff\n"), [""; 0]);
        assert_eq!(missing_capabilities("CapEff:\t0000000000001000\n"), ["CAP_PERFMON", "CAP_BPF"]);
        assert!(version(&release()) >= (5, 0));
    }
}
