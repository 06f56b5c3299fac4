//! What the tests of the engine share.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::harness::{Lan, Netns, Tag, tcp_connects};
use foobar_user::{
    kernel::{
        Attachment, Engine, EngineOptions, KernelError, Mode, Store, StoreOptions, Timeouts,
        detach, hz, probe, select_interfaces,
    },
    policy::{Compiled, Config, Labels, Lists, Policy, Slots, compile},
};

/// Long enough for an answer, and how long to wait for none.
pub const QUICK: Duration = Duration::from_millis(400);

/// A daemon's worth of engine: pins of its own in the network namespace of a server.
pub struct Host<'a> {
    server: &'a Netns,
    pub bpf_dir: PathBuf,
    pub labels: Labels,
    pub slots: Slots,
    number: u64,
    _tag: Tag,
}

impl<'a> Host<'a> {
    pub fn new(server: &'a Netns) -> Self {
        let tag = Tag::unique();
        Host {
            server,
            bpf_dir: tag.bpf_dir(),
            labels: Labels::new(),
            slots: Slots::from_ports(&[]),
            number: 0,
            _tag: tag,
        }
    }

    pub fn compile(&mut self, text: &str) -> Compiled {
        self.compile_epoch(text, 1)
    }

    pub fn compile_epoch(&mut self, text: &str, epoch: u32) -> Compiled {
        let loaded =
            Config::parse(text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
        self.number += 1;
        let lists = Lists::from_config(&loaded.config);
        let policy = Policy::new(&loaded.config, lists, Vec::new(), epoch, self.number);
        compile(&policy, &mut self.labels, &mut self.slots, hz())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions::new(&self.bpf_dir)
    }

    pub fn try_start(
        &self,
        interfaces: &[&str],
        replace: bool,
        policy: &Compiled,
    ) -> Result<Engine, KernelError> {
        self.try_start_with(self.options(), interfaces, replace, policy)
    }

    pub fn try_start_with(
        &self,
        store: StoreOptions,
        interfaces: &[&str],
        replace: bool,
        policy: &Compiled,
    ) -> Result<Engine, KernelError> {
        self.server.enter(|| {
            let names: Vec<_> = interfaces.iter().map(|&name| name.to_owned()).collect();
            let interfaces = select_interfaces(&names)?;
            let store = Store::open(&store)?;
            Engine::start(
                store,
                EngineOptions { interfaces, replace, timeouts: Timeouts::default() },
                policy,
            )
        })
    }

    pub fn start(&self, interfaces: &[&str], policy: &Compiled) -> Engine {
        self.try_start(interfaces, false, policy).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn attachments(&self, engine: &Engine) -> Vec<Attachment> {
        self.server.enter(|| engine.attachments()).unwrap()
    }

    /// Packets that arrived, in all counters.
    pub fn packets(&self, engine: &Engine) -> u64 {
        let counters = engine.counters(self.labels.len()).unwrap();
        counters
            .ingress
            .iter()
            .chain(&counters.ingress_audited)
            .map(|counter| counter.packets)
            .sum()
    }

    pub fn detach(&self) {
        self.server.enter(|| detach(&self.bpf_dir)).unwrap_or_else(|error| panic!("{error:?}"));
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = self.server.enter(|| detach(&self.bpf_dir));
    }
}

/// An open port 80, and what `list` says may come to port 22.
pub fn policy(mode: &str, admins: &[&str]) -> String {
    format!(
        "interfaces = [\"eth0\"]\nmode = \"{mode}\"\n[allowlists.admins]\nentries = {admins:?}\n\
         [[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n\
         [[rules]]\nname = \"ssh\"\nports = [22]\nfrom = [\"admins\"]\n"
    )
}

pub fn listen(server: &Netns, port: u16) -> TcpListener {
    server.enter(|| TcpListener::bind(("0.0.0.0", port)).unwrap())
}

pub fn reaches(client: &Netns, port: u16) -> bool {
    tcp_connects(client, &format!("{}:{port}", Lan::SERVER4), QUICK).is_ok()
}

pub fn link_ids(attachments: &[Attachment]) -> BTreeMap<(u32, &'static str), u32> {
    let links = attachments.iter().filter_map(|attachment| {
        let link = attachment.link_id.or_else(|| {
            assert_eq!(attachment.mode, Mode::Clsact, "all others have links");
            None
        });
        Some(((attachment.ifindex, attachment.program), link?))
    });
    links.collect()
}

/// How the egress program is attached on this kernel: TCX came with Linux 6.6.
pub fn egress_mode() -> Mode {
    if probe().tcx { Mode::Tcx } else { Mode::Clsact }
}

/// What `ip` says of an interface.
pub fn shown(namespace: &Netns, interface: &str) -> String {
    namespace.ip(&format!("link show {interface}"))
}

impl Host<'_> {
    pub fn try_start_elsewhere(&self, namespace: &Netns, policy: &Compiled) -> KernelError {
        let started = namespace.enter(|| {
            let interfaces = select_interfaces(&["lo".into()])?;
            let store = Store::open(&self.options())?;
            Engine::start(
                store,
                EngineOptions { interfaces, replace: false, timeouts: Timeouts::default() },
                policy,
            )
        });
        started.err().expect("pins of another network namespace")
    }
}
