//! Bringing the site up and taking it down.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    ask::{fetch, prometheus},
    instance::Instance,
    network,
    plan::{Host, NAME},
    run::{end_processes, eventually, on, output, processes},
    services::{
        PATIENCE, alertmanager, certificates, foobar::Foobar, haproxy, mariadb, nginx,
        node_exporter, prometheus as metrics,
    },
    tempo::Tempo,
};

/// How long programs may take to end when asked to.
const LEAVE: Duration = Duration::from_secs(10);

/// The link in a site's folder that tells which foobar runs there.
const BINARY: &str = "foobar";

/// A site that is up.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its names and folders.
    pub instance: Instance,
    /// The program `foobar`.
    pub binary: PathBuf,
}

impl Site {
    /// Brings everything up, telling of each step as it begins, and waits until visitors get the page. If something fails, it
    /// takes all down again, unless it is to be kept for a look at its logs.
    ///
    /// # Errors
    /// What failed.
    pub fn up(
        instance: Instance,
        binary: &Path,
        tempo: Tempo,
        keep: bool,
        tell: &dyn Fn(&str),
    ) -> Result<Site> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the site is made of network namespaces and kernel programs, which takes root"
        );
        ensure!(
            instance.remains().is_empty(),
            "a site \"{}\" is there already; `cargo xtask site down` takes it down",
            instance.name()
        );
        let site = Site { instance, binary: binary.to_owned() };
        match site.build(tempo, tell) {
            Ok(()) => Ok(site),
            Err(error) if keep => {
                Err(error.context(format!("see {}", site.instance.folder().display())))
            }
            Err(error) => {
                let error = error.context(site.last_words());
                match site.down() {
                    Ok(()) => Err(error),
                    Err(left) => Err(error.context(format!("it cannot be taken down: {left:#}"))),
                }
            }
        }
    }

    /// The site that is up under this name, with the foobar that it was brought up with; nothing if none is.
    pub fn find(instance: Instance) -> Option<Site> {
        let binary = fs::read_link(instance.folder().join(BINARY)).ok()?;
        Some(Site { instance, binary })
    }

    fn build(&self, tempo: Tempo, tell: &dyn Fn(&str)) -> Result<()> {
        let instance = &self.instance;
        tell("nine machines in three networks, and their certificates");
        self.folders()?;
        symlink(&self.binary, instance.folder().join(BINARY)).context("cannot make a link")?;
        network::make(instance)?;
        certificates::make(instance)?;
        tell("foobar on five servers");
        // The filter comes before everything that it protects.
        for host in Host::SERVERS {
            let foobar = self.foobar(host);
            foobar.prepare()?;
            foobar.start()?;
        }
        tell("a database");
        let password = password()?;
        mariadb::prepare(instance, &password)?;
        for host in Host::SERVERS {
            self.foobar(host).wait()?;
            node_exporter::start(instance, host)?;
        }
        tell("MariaDB, Prometheus, Alertmanager, nginx, PHP, HAProxy");
        mariadb::start(instance)?;
        alertmanager::start(instance)?;
        metrics::start(instance, tempo)?;
        for host in Host::WEB {
            nginx::start(instance, host, &password)?;
        }
        mariadb::wait(instance)?;
        haproxy::start(instance)?;
        tell("waiting for the first page and the first scrapes");
        eventually("visitors to get the page", PATIENCE, || self.page())?;
        eventually("Prometheus to see every server", PATIENCE, || {
            let up = prometheus(instance, "sum(up)")?;
            let all = 2.0 * Host::SERVERS.len() as f64;
            ensure!(up == [all], "sum(up) is {up:?} of {all}");
            Ok(())
        })
    }

    /// The last lines of every log.
    fn last_words(&self) -> String {
        let mut text = "the last lines of the logs:\n".to_owned();
        for host in Host::ALL {
            let files =
                fs::read_dir(self.instance.host_folder(host)).into_iter().flatten().flatten();
            let logs = files.map(|entry| entry.path());
            for log in logs.filter(|path| path.extension().is_some_and(|kind| kind == "log")) {
                let lines = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = lines.lines().rev().take(4).collect();
                for line in lines.iter().rev() {
                    text += &format!("{}: {line}\n", log.display());
                }
            }
        }
        text
    }

    fn folders(&self) -> Result<()> {
        for host in Host::ALL {
            let folder = self.instance.host_folder(host);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            // Servers run as users of their own and pass through; what is secret is protected by itself.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))
                .with_context(|| format!("cannot open {}", folder.display()))?;
        }
        Ok(())
    }

    /// foobar on a server.
    pub fn foobar(&self, host: Host) -> Foobar<'_> {
        Foobar::new(&self.instance, host, &self.binary)
    }

    /// Fetches the page as a visitor does, with the certificate checked.
    ///
    /// # Errors
    /// If it is not the page that comes from the database.
    pub fn page(&self) -> Result<()> {
        let resolve = format!("{NAME}:443:{}", Host::Lb.ipv4());
        let authority = certificates::authority(&self.instance).display().to_string();
        let url = format!("https://{NAME}/");
        let options = ["--resolve", &resolve, "--cacert", &authority];
        let page = fetch(&self.instance, Host::Client, &url, &options)?;
        ensure!(page.contains("Hello from the database"), "the page is:\n{page}");
        Ok(())
    }

    /// Starts the services of a host that were stopped by [`Site::stop`], where it makes sense.
    ///
    /// # Errors
    /// If MariaDB does not start.
    pub fn restart_database(&self) -> Result<()> {
        mariadb::start(&self.instance)?;
        mariadb::wait(&self.instance)
    }

    /// Ends the programs of this command name on a host.
    ///
    /// # Errors
    /// If none runs.
    pub fn stop(&self, host: Host, name: &str) -> Result<()> {
        self.signal(host, name, Signal::SIGTERM)?;
        eventually("it to end", PATIENCE, || {
            if self.running(host, name).is_empty() { Ok(()) } else { bail!("{name} still runs") }
        })
    }

    /// Sends a signal to the programs of this command name on a host.
    ///
    /// # Errors
    /// If none runs.
    pub fn signal(&self, host: Host, name: &str, signal: Signal) -> Result<()> {
        let running = self.running(host, name);
        ensure!(!running.is_empty(), "no {name} runs on {}", host.name());
        for id in running {
            // Gone already: nothing to be told.
            let _ = kill(Pid::from_raw(id), signal);
        }
        Ok(())
    }

    fn running(&self, host: Host, name: &str) -> Vec<i32> {
        let found = processes(&self.instance.namespace(host)).into_iter();
        found.filter(|(_, comm)| comm == name).map(|(id, _)| id).collect()
    }

    /// Takes everything down: filters, processes, namespaces, pins, folder. It tries all of it whatever fails.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn down(&self) -> Result<()> {
        let instance = &self.instance;
        // The product's own way out first, and then the certain one.
        let detached = thread::scope(|scope| {
            let hosts = Host::SERVERS.into_iter();
            let hosts = hosts.filter(|host| instance.pins(*host).exists());
            let all: Vec<_> =
                hosts.map(|host| scope.spawn(move || self.foobar(host).detach())).collect();
            let outcomes = all.into_iter().map(|detach| match detach.join() {
                Ok(outcome) => outcome,
                Err(_) => bail!("a detach panicked"),
            });
            outcomes.collect::<Result<Vec<()>>>()
        });
        let ended = end_processes(&instance.namespaces(), LEAVE);
        for folder in instance.pin_folders() {
            // A pin is a file on the BPF file system.
            let _ = fs::remove_dir_all(folder);
        }
        let unmade = network::remove(instance);
        instance.remove_folder()?;
        ended?;
        unmade?;
        detached?;
        let left = instance.remains();
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }

    /// What runs where, and what the page says, for people.
    ///
    /// # Errors
    /// If the site is not up.
    pub fn status(&self) -> Result<String> {
        ensure!(
            !self.instance.namespaces().is_empty(),
            "the site \"{}\" is not up; `cargo xtask site up` brings it up",
            self.instance.name()
        );
        let mut text = String::new();
        for host in Host::ALL {
            let mut names: Vec<_> = processes(&self.instance.namespace(host))
                .into_iter()
                .map(|(_, name)| name)
                .collect();
            names.sort();
            names.dedup();
            let address = host.ipv4().to_string();
            text += &format!("{:9} {address:15} {}\n", host.name(), names.join(", "));
        }
        text += &match self.page() {
            Ok(()) => format!("https://{NAME}/ answers its visitors\n"),
            Err(error) => format!("https://{NAME}/ does not answer: {error:#}\n"),
        };
        Ok(text)
    }

    /// Runs a program on a host to its end and returns what it printed.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(&self, host: Host, program: &str, arguments: &[&str]) -> Result<String> {
        output(on(&self.instance, host, program).args(arguments))
    }
}

/// Something nobody can guess, in hexadecimal.
fn password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
