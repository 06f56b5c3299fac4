//! Probes on functions of web servers: placed, moved to new versions of a program, and taken off, about once a second and off the way of a
//! scrape.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{
    probed_programs::Programs,
    shared::{Shared, lock},
};
use crate::{
    kernel::{ProbeObject, ProbeReader},
    metrics::ProbedPort,
    policy::Config,
    probing::Server,
};

/// Time between two looks at the programs.
const PERIOD: Duration = Duration::from_secs(1);

/// A server and its executable, and the ports that it is to be counted on.
pub type Wanted = BTreeMap<(Server, PathBuf), Vec<u16>>;

/// What is placed, and what of it is shown.
pub struct Probing([Unit; 2]);

/// The probes of one object.
struct Unit {
    object: &'static ProbeObject,
    work: Mutex<Work>,
    shown: Mutex<Arc<Shown>>,
}

/// What belongs to the one who places probes.
struct Work {
    programs: Programs,
    /// The filter was detached, and the probes with it.
    closed: bool,
}

/// What a scrape reads.
#[derive(Default)]
pub struct Shown {
    pub reader: Option<Arc<ProbeReader>>,
    pub ports: Vec<ShownPort>,
}

/// A port that probes count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPort {
    pub number: u16,
    pub server: Server,
    /// Where its counts are, once there are some.
    pub slot: Option<usize>,
    pub tells_classes: bool,
    pub problem: Option<String>,
}

impl Default for Probing {
    fn default() -> Self {
        Probing(ProbeObject::ALL.map(|object| Unit {
            object,
            work: Mutex::new(Work { programs: Programs::new(object), closed: false }),
            shown: Mutex::default(),
        }))
    }
}

impl Probing {
    /// What was counted, by port. Never waits for a probe to be placed.
    pub fn read(&self) -> Vec<ProbedPort> {
        self.0.iter().flat_map(Unit::read).collect()
    }

    /// Places nothing any more, before the filter is detached with all pins. Waits for a placement that is under way.
    pub fn close(&self) {
        self.0.iter().for_each(Unit::close);
    }

    /// One look at everything.
    fn tick(&self, bpf_dir: &Path, wanted: &Wanted) {
        for unit in &self.0 {
            let is_its = |server: Server| std::ptr::eq(ProbeObject::of(server), unit.object);
            let its = wanted.iter().filter(|((server, _), _)| is_its(*server));
            unit.tick(
                bpf_dir,
                &its.map(|(program, ports)| (program.clone(), ports.clone())).collect(),
            );
        }
    }
}

impl Unit {
    fn read(&self) -> Vec<ProbedPort> {
        let shown = Arc::clone(&lock(&self.shown));
        let read = shown.reader.as_ref().map(|reader| reader.read());
        let (counted, unreadable) = match read {
            Some(Ok(counted)) => (counted, None),
            Some(Err(problem)) => (Vec::new(), Some(problem.to_string())),
            None => (Vec::new(), None),
        };
        let told = shown.ports.iter().map(|port| ProbedPort {
            number: port.number,
            source: source(port.server),
            reads: port.server == Server::Libssl,
            stats: port.slot.and_then(|slot| counted.get(slot)).copied().unwrap_or_default(),
            tells_classes: port.tells_classes,
            tells_aborted: port.server == Server::Nginx,
            problem: port.problem.clone().or_else(|| unreadable.clone()),
        });
        told.collect()
    }

    fn close(&self) {
        let mut work = lock(&self.work);
        work.closed = true;
        work.programs.forget();
        *lock(&self.shown) = Arc::default();
    }

    fn tick(&self, bpf_dir: &Path, wanted: &Wanted) {
        let mut work = lock(&self.work);
        if work.closed {
            return;
        }
        let shown = if wanted.is_empty() {
            // In this order: nobody reads what is removed.
            *lock(&self.shown) = Arc::default();
            work.programs.remove(bpf_dir);
            Shown::default()
        } else {
            work.programs.follow(bpf_dir, wanted)
        };
        *lock(&self.shown) = Arc::new(shown);
    }
}

/// Places the probes for the first time, with all of root's rights: kernels before 6.6 ask for more of them than the daemon keeps.
pub fn begin(shared: &Shared) {
    let wanted = wanted(&shared.published().intent.config);
    if !wanted.is_empty() {
        shared.probing.tick(&shared.origins.settings.options.bpf_dir, &wanted);
    }
}

/// Looks after the probes until `shutdown`. They stay when the daemon ends.
pub async fn run(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle = false;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let wanted = wanted(&shared.published().intent.config);
        // Where no port asks for probes, one look is enough to take off what an earlier configuration left.
        if wanted.is_empty() && idle {
            continue;
        }
        idle = wanted.is_empty();
        let worker = Arc::clone(&shared);
        let done = tokio::task::spawn_blocking(move || {
            worker.probing.tick(&worker.origins.settings.options.bpf_dir, &wanted);
        });
        if let Err(problem) = done.await {
            warn!("probes are not looked after: {problem}");
        }
    }
}

/// What the configuration asks for.
fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::new();
    for port in &config.observe {
        if let (Some(server), Some(program)) = (port.requests.probed(), &port.program) {
            wanted.entry((server, program.clone())).or_default().push(port.port);
        }
    }
    wanted
}

/// As the configuration calls it.
fn source(server: Server) -> &'static str {
    match server {
        Server::Nginx => "nginx-probe",
        Server::Apache => "apache-probe",
        Server::Libssl => "libssl-probe",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn ports_of_one_program_are_looked_after_together() {
        let text = "[[observe]]\nport = 80\nprotocol = \"http\"\nrequests = \"nginx-probe\"\n\
            [[observe]]\nport = 443\nprotocol = \"https\"\nrequests = \"nginx-probe\"\n\
            [[observe]]\nport = 8443\nprotocol = \"https\"\nrequests = \"apache-probe\"\nprogram = \"/opt/httpd\"\n\
            [[observe]]\nport = 8080\nprotocol = \"http\"\n";
        let config = Config::parse(text, Path::new("test.toml")).unwrap().config;
        let wanted: Vec<_> = wanted(&config).into_iter().collect();
        let expected = [
            ((Server::Nginx, "/usr/sbin/nginx".into()), vec![80, 443]),
            ((Server::Apache, "/opt/httpd".into()), vec![8443]),
        ];
        assert_eq!(wanted, expected);
    }
}
