//! The executables that are probed: each is looked at under its path, and every version of it that was found there has probes as
//! long as there is room, because processes may still run it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::Path,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::probes::{Shown, ShownPort, Wanted};
use crate::{
    kernel::{FileVersion, ProbeObject, Probes},
    probing::{Plan, Server},
};

/// Versions of one program that have probes at a time. Then the one makes room whose probes were silent for longest.
const MAX_VERSIONS: usize = 4;

/// After what the kernel refused, it is asked again so much later.
const RETRY: Duration = Duration::from_secs(10);

/// Longest executable that is read, bytes.
const MAX_BYTES: u64 = 1 << 28;

/// All that have the probes of one object.
pub struct Programs {
    object: &'static ProbeObject,
    probes: Option<Probes>,
    /// What was found under each path last.
    found: BTreeMap<u64, Found>,
    /// Why there are no probes at all, and since when.
    closed: Option<(String, Instant)>,
}

/// What became of the file under a path.
struct Found {
    version: Option<FileVersion>,
    problem: Option<String>,
    tells_classes: bool,
    at: Instant,
}

impl Programs {
    pub fn new(object: &'static ProbeObject) -> Self {
        Programs { object, probes: None, found: BTreeMap::new(), closed: None }
    }

    /// Lets go of everything; what is pinned stays.
    pub fn forget(&mut self) {
        *self = Programs::new(self.object);
    }

    /// Takes everything off.
    pub fn remove(&mut self, bpf_dir: &Path) {
        self.forget();
        if let Err(problem) = Probes::remove(bpf_dir, self.object) {
            warn!("probes stay behind: {problem:#}");
        }
    }

    /// Places probes where they are wanted, takes them off elsewhere, and says what is there now.
    pub fn follow(&mut self, bpf_dir: &Path, wanted: &Wanted) -> Shown {
        let Some(mut probes) = self.open(bpf_dir) else {
            let problem = self.closed.as_ref().map(|(problem, _)| problem.clone());
            return Shown {
                reader: None,
                ports: ports(wanted, |_, _| (None, false, problem.clone())),
            };
        };
        probes.tend();
        self.let_go(&mut probes, wanted);
        for (server, path) in wanted.keys() {
            self.look(&mut probes, *server, path);
        }
        let numbers = wanted
            .iter()
            .flat_map(|((server, _), ports)| ports.iter().map(|&port| (port, *server)));
        let slots = probes.set_ports(&numbers.collect());
        let refused = slots.as_ref().err().map(|problem| format!("{problem:#}"));
        let slots = slots.unwrap_or_default();
        let shown = ports(wanted, |program, port| {
            let found = self.found.get(&program);
            let problem = found.and_then(|found| found.problem.clone());
            let tells = found.is_some_and(|found| found.tells_classes);
            (slots.get(&port).copied(), tells, problem.or_else(|| refused.clone()))
        });
        let reader = Some(probes.reader());
        self.probes = Some(probes);
        Shown { reader, ports: shown }
    }

    fn open(&mut self, bpf_dir: &Path) -> Option<Probes> {
        if let Some(probes) = self.probes.take() {
            return Some(probes);
        }
        if self.closed.as_ref().is_some_and(|(_, at)| at.elapsed() < RETRY) {
            return None;
        }
        match Probes::open(bpf_dir, self.object) {
            Ok(probes) => {
                self.closed = None;
                Some(probes)
            }
            Err(problem) => {
                let problem = format!("{problem:#}");
                if self.closed.as_ref().is_none_or(|(last, _)| *last != problem) {
                    warn!("requests cannot be counted by probes: {problem}");
                }
                self.closed = Some((problem, Instant::now()));
                None
            }
        }
    }

    /// Takes probes off programs that are not wanted any more.
    fn let_go(&mut self, probes: &mut Probes, wanted: &Wanted) {
        let is_wanted = |program: u64| {
            wanted.keys().any(|(server, path)| FileVersion::program(*server, path) == program)
        };
        self.found.retain(|program, _| is_wanted(*program));
        let unwanted = probes.placed().iter().filter(|placed| !is_wanted(placed.program));
        for number in unwanted.map(|placed| placed.number).collect::<Vec<_>>() {
            release(probes, number);
        }
    }

    /// Looks at one path, and places probes if there is another file than before.
    fn look(&mut self, probes: &mut Probes, server: Server, path: &Path) {
        let program = FileVersion::program(server, path);
        let last = self.found.get(&program);
        let opened = File::open(path).and_then(|file| {
            let version = FileVersion::of(server, path, &file)?;
            Ok((file, version))
        });
        let version = opened.as_ref().ok().map(|(_, version)| *version);
        // What failed on the same file would fail again; but the kernel may come to another mind.
        let is_settled = last.is_some_and(|last| {
            version.is_some()
                && last.version == version
                && (last.problem.is_none() || last.at.elapsed() < RETRY)
        });
        if is_settled {
            return;
        }
        let outcome = match opened {
            Ok((file, version)) => put(probes, server, path, file, version),
            Err(error) => Err(format!("cannot open {}: {error}", path.display())),
        };
        let (problem, tells_classes) = match outcome {
            Ok(tells_classes) => (None, tells_classes),
            Err(problem) => (Some(problem), last.is_some_and(|last| last.tells_classes)),
        };
        let is_news = last.is_none_or(|last| last.problem != problem || last.version != version);
        match &problem {
            Some(problem) if is_news => {
                warn!("requests to {server} are not counted by probes: {problem}");
            }
            None if !tells_classes && is_news => warn!(
                "where {} keeps the status of a request cannot be told: all are counted as \"unknown\"",
                path.display()
            ),
            _ => {}
        }
        self.found.insert(program, Found { version, problem, tells_classes, at: Instant::now() });
    }
}

/// Makes sure that a file has probes. Returns whether they tell classes of status apart.
fn put(
    probes: &mut Probes,
    server: Server,
    path: &Path,
    file: File,
    version: FileVersion,
) -> Result<bool, String> {
    let ours = |probes: &Probes| -> Vec<_> {
        let program = FileVersion::program(server, path);
        probes.placed().iter().filter(|placed| placed.program == program).copied().collect()
    };
    // Probes in a file that was written over stand within other instructions, so they go before anything else is done.
    for old in ours(probes).iter().filter(|old| old.version.is_overwritten_by(&version)) {
        release(probes, old.number);
        warn!("{} was written over; probes are placed anew", path.display());
    }
    if let Some(placed) = ours(probes).iter().find(|old| old.version == version && !old.stale) {
        info!("requests to {server} are counted by probes in {}, as before", path.display());
        return Ok(placed.tells_classes);
    }
    let mut bytes = Vec::new();
    let mut reader = &file;
    let read = reader.by_ref().take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let plan = Plan::of(server, &bytes)
        .map_err(|problem| format!("cannot probe {}: {problem}", path.display()))?;
    let mut older = ours(probes);
    older.retain(|old| old.version != version);
    older.sort_by_key(|old| probes.last_seen(old.number));
    while older.len() >= MAX_VERSIONS {
        let silent = older.remove(0);
        release(probes, silent.number);
        info!("an earlier version of {} has no probes any more", path.display());
    }
    probes.place(version, &file, &plan).map_err(|problem| format!("{problem:#}"))?;
    let places: Vec<_> =
        plan.points.iter().map(|point| format!("{:#x}", point.file_offset)).collect();
    info!(
        "requests to {server} are counted by probes in {} at {}",
        path.display(),
        places.join(", ")
    );
    Ok(plan.tells_classes())
}

fn release(probes: &mut Probes, number: u32) {
    if let Err(problem) = probes.release(number) {
        warn!("a probe cannot be taken off: {problem:#}");
    }
}

/// Of every port: slot, whether classes are told apart, what is wrong.
fn ports(
    wanted: &Wanted,
    of: impl Fn(u64, u16) -> (Option<usize>, bool, Option<String>),
) -> Vec<ShownPort> {
    let mut shown = Vec::new();
    for ((server, path), ports) in wanted {
        let program = FileVersion::program(*server, path);
        shown.extend(ports.iter().map(|&number| {
            let (slot, tells_classes, problem) = of(program, number);
            ShownPort { number, server: *server, slot, tells_classes, problem }
        }));
    }
    shown
}
