//! The devices behind the interfaces, as `foobar doctor` looks at them. Nothing is attached or changed.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya_obj::generated::bpf_attach_type;

use super::{
    error::KernelError,
    folders,
    netlink::{self, Offloads},
    sys::{
        driver, link,
        object::{self, Kind},
    },
};

/// A device.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Index of its interface.
    pub index: u32,
    /// Name of its interface.
    pub name: String,
    /// Largest packet, bytes.
    pub mtu: u32,
    /// Name of the driver, such as `virtio_net`; `None` where there is no device behind the interface.
    pub driver: Option<String>,
    /// What the driver says of it.
    pub offloads: Offloads,
    /// Programs on it, foobar's own included.
    pub programs: Vec<Attachee>,
}

/// A program on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachee {
    /// Number of the program.
    pub id: u32,
    /// `XDP native`, `XDP generic`, `XDP offloaded`, `TCX ingress` or `TCX egress`.
    pub place: &'static str,
    /// Its name and who loaded it, as far as we may know.
    pub about: String,
    /// Whether foobar has it pinned.
    pub ours: bool,
}

/// All devices of this network namespace. `bpf_dir` tells which programs are foobar's.
///
/// # Errors
/// The kernel does not tell of interfaces.
pub fn devices(bpf_dir: &Path) -> Result<Vec<Device>, KernelError> {
    let unreadable = |error| KernelError::call("cannot ask about interfaces", error);
    let offloads = netlink::offloads().unwrap_or_default();
    let attached = netlink::attached().map_err(unreadable)?;
    let mtus = netlink::mtus().map_err(unreadable)?;
    let ours = own_programs(bpf_dir);
    let devices = netlink::interfaces()?.into_iter().map(|interface| {
        let xdp = attached.iter().find(|found| found.ifindex == interface.index);
        let xdp = xdp.copied().unwrap_or_default();
        let tcx = |hook| link::tcx_programs(interface.index, hook).unwrap_or_default();
        let [ingress, egress] =
            [bpf_attach_type::BPF_TCX_INGRESS, bpf_attach_type::BPF_TCX_EGRESS].map(tcx);
        let programs = [
            (xdp.native, "XDP native"),
            (xdp.generic, "XDP generic"),
            (xdp.offloaded, "XDP offloaded"),
        ];
        let programs = programs
            .into_iter()
            .chain(ingress.into_iter().map(|id| (id, "TCX ingress")))
            .chain(egress.into_iter().map(|id| (id, "TCX egress")));
        Device {
            index: interface.index,
            mtu: mtus.get(&interface.index).copied().unwrap_or(0),
            driver: driver::of(&interface.name),
            offloads: offloads.get(&interface.index).cloned().unwrap_or_default(),
            programs: programs
                .filter(|(id, _)| *id != 0)
                .map(|(id, place)| Attachee {
                    id,
                    place,
                    about: about(id),
                    ours: ours.contains(&id),
                })
                .collect(),
            name: interface.name,
        }
    });
    Ok(devices.collect())
}

/// Programs that are pinned below `bpf_dir`. Its lock is the daemon's and is not taken: what comes or goes meanwhile is missed.
fn own_programs(bpf_dir: &Path) -> BTreeSet<u32> {
    let below =
        |folders: Vec<PathBuf>| folders.into_iter().flat_map(|path| folders::entries(&path));
    let instances: Vec<_> =
        folders::entries(bpf_dir).iter().map(|version| version.join("instances")).collect();
    let programs: Vec<_> = below(instances).map(|instance| instance.join("programs")).collect();
    below(programs)
        .filter_map(|pin| {
            let program = object::open(&pin, Kind::Program).ok().flatten()?;
            object::program(program.as_fd()).ok().map(|info| info.id)
        })
        .collect()
}

/// Name of a program, its user, and the processes that hold it now.
fn about(id: u32) -> String {
    let known = object::program_by_id(id).and_then(|program| object::program(program.as_fd()));
    let Ok(info) = known else { return "its name takes root to know".to_owned() };
    let user = format!("{}, loaded by user {}", info.name, info.uid);
    match &holders(id)[..] {
        [] => user,
        holders => format!("{user}, held by {}", holders.join(", ")),
    }
}

/// Processes with a descriptor of the program, or of a link that runs it (`prog_id` in /proc/PID/fdinfo); not this one.
fn holders(id: u32) -> Vec<String> {
    /// More are of no use to a reader.
    const MOST: usize = 3;
    let wanted = format!("prog_id:\t{id}");
    let numbered = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.parse::<u32>().ok().filter(|process| *process != std::process::id())
    };
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let holds = |process: &Path| {
        entries(&process.join("fdinfo")).any(|file| {
            fs::read_to_string(file.path())
                .is_ok_and(|text| text.lines().any(|line| line == wanted))
        })
    };
    entries(Path::new("/proc"))
        .map(|entry| entry.path())
        .filter_map(|path| Some((numbered(&path)?, path)))
        .filter(|(_, path)| holds(path))
        .take(MOST)
        .map(|(process, path)| {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            format!("{} ({process})", name.trim_end())
        })
        .collect()
}
