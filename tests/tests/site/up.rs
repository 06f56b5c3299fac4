//! A site of the test's own, which goes away whatever happens.

use std::{fs, path::Path, process, sync::Once, thread, time::Duration};

use foobar_site::{
    instance::Instance,
    load::{Load, Served},
    run::{eventually, processes},
    site::Site,
    tempo::Tempo,
};

/// What names of sites of tests start with, before the id of their process.
const PREFIX: &str = "test";
/// A bound against hanging.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A site that is up. It is taken down when dropped.
pub struct Up {
    pub site: Site,
}

impl Up {
    /// Brings it up, after removing what killed tests left behind.
    pub fn new(binary: &Path) -> Self {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| sweep(binary));
        let instance = Instance::new(&format!("{PREFIX}{}", process::id())).expect("a name");
        let site =
            Site::up(instance, binary, Tempo::Demonstration, false, &|step| println!("  {step}"));
        Up { site: site.unwrap_or_else(|error| panic!("the site does not come up: {error:?}")) }
    }

    /// The site's names.
    pub fn instance(&self) -> &Instance {
        &self.site.instance
    }

    /// Runs `work` while visitors ask, and returns what they got with what `work` found.
    pub fn under_load<T>(&self, load: Load, work: impl FnOnce() -> T) -> (Served, T) {
        thread::scope(|scope| {
            let visitors = scope.spawn(|| load.run(self.instance()));
            let found = work();
            let served = visitors.join().expect("visitors").expect("a report of h2load");
            (served, found)
        })
    }

    /// Waits until something holds.
    pub fn eventually<T>(&self, what: &str, condition: impl FnMut() -> anyhow::Result<T>) -> T {
        eventually(what, PATIENCE, condition).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Takes it down and looks whether anything stays.
    pub fn down(self) {
        let namespaces = self.instance().namespaces();
        let ran: Vec<_> = namespaces.iter().flat_map(|name| processes(name)).collect();
        assert!(ran.len() > 20, "{ran:?}");
        self.site.down().unwrap_or_else(|error| panic!("it does not go down: {error:?}"));
        let left = self.instance().remains();
        assert!(left.is_empty(), "left behind: {left:?}");
        let folder = self.instance().folder().display().to_string();
        let left = processes_with(&folder);
        assert!(left.is_empty(), "still running: {left:?}");
        let runs = |(id, name): &(i32, String)| {
            fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let left: Vec<_> = ran.into_iter().filter(runs).collect();
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Err(error) = self.site.down() {
            eprintln!("the site does not go down: {error:?}");
        }
    }
}

/// Processes in whose command line this text is.
fn processes_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Takes down sites of tests whose process is gone.
fn sweep(binary: &Path) {
    for instance in Instance::all() {
        let owner = instance.name().strip_prefix(PREFIX).and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = Site { instance, binary: binary.to_owned() }.down();
        }
    }
}
