//! What the keeper shows to the other tasks: the engine, and what of the policy in force they need to read its counters.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use foobar_common::{counters::FIXED, http::stats::HttpStats, observe::PortStats};
use tracing::warn;

use super::{
    accounting::{Accounting, History},
    certificates::Certificates,
    intent::{Intent, now},
    options::Settings,
    overflows::Overflows,
    pipeline::Tables,
    probes::Probing,
    statistics::Statistics,
};
use crate::{
    control::{api::ConfigLoaded, watch::Feed},
    kernel::{self, Engine, FlowTable, KernelError},
    live::Board,
    metrics::{Connections, Gate, Meaning, Meanings},
    policy::{
        Labels,
        config::{ObservedProtocol, Requests},
        labels::CounterKind,
    },
    rates::Sampler,
};

/// Counting the entries of the flow tables walks them, so it is not done more often than this.
const FLOWS_AGE: Duration = Duration::from_secs(5);

/// What does not change while the daemon runs.
pub struct Origins {
    /// Seconds since 1970.
    pub started_at: u64,
    /// What the command line and the configuration said.
    pub settings: Arc<Settings>,
    /// What an operator must not overlook until the next start.
    pub warnings: Vec<String>,
}

/// What the numbers in the kernel mean; changes with the configuration.
pub struct Legend {
    pub labels: Labels,
    pub accounting: Accounting,
    pub meanings: Arc<Meanings>,
    /// The named ports and their slots.
    pub ports: Vec<(u16, u8)>,
    /// The ports on which requests are read off the packets, and their slots.
    pub http: Vec<(u16, u8)>,
    /// The ports on which TLS and QUIC are observed.
    pub tls: Vec<TlsLegend>,
}

/// A port on which TLS and QUIC are observed.
pub struct TlsLegend {
    pub port: u16,
    pub slot: u8,
    /// Server names that are told apart.
    pub names: Vec<String>,
    /// Whether request turns count its requests.
    pub turns: bool,
}

/// The policy in force.
pub struct Published {
    pub intent: Intent,
    pub legend: Arc<Legend>,
}

/// Shared by all tasks.
pub struct Shared {
    pub origins: Origins,
    engine: Mutex<Option<Engine>>,
    published: RwLock<Arc<Published>>,
    pub sampler: Sampler,
    pub history: Mutex<History>,
    /// What `foobar top` and the status page show.
    pub board: Arc<Board>,
    /// What the ports that speak TLS serve.
    pub certificates: Certificates,
    /// What the observed servers count themselves.
    pub statistics: Statistics,
    /// Probes on the functions of observed servers.
    pub probing: Probing,
    /// What listening sockets had no room for.
    pub overflows: Overflows,
    /// Sampled packets and requests, for those who watch.
    pub feed: Arc<Feed>,
    /// Who is let in to the metrics.
    pub gate: Arc<Gate>,
    config: Mutex<ConfigLoaded>,
    flows: Mutex<Option<(Instant, FlowTable)>>,
    on_disk: AtomicBool,
    /// Interfaces that ought to be filtered and are not there.
    absent: Mutex<BTreeSet<String>>,
    /// Connections of each named port (`None`: all others) that were open when this daemon began to count, or when
    /// the ports that are told apart changed last.
    open_before: Mutex<HashMap<Option<u16>, i64>>,
}

impl Shared {
    /// Around an engine that has just put this intent in force.
    ///
    /// # Errors
    /// The kernel does not tell which connections are open.
    pub fn new(origins: Origins, engine: Engine, intent: &Intent, tables: &Tables) -> Result<Self> {
        let legend = Arc::new(Legend::new(intent, tables));
        engine.tell_apart(&legend.server_names())?;
        let open_before = open_before(&engine, &legend)?;
        let trouble = origins.settings.trouble.clone();
        let config = ConfigLoaded {
            successful: trouble.is_none(),
            // The file was not read with success since this daemon runs.
            at: if trouble.is_none() { origins.started_at } else { 0 },
            error: trouble,
        };
        let gate = Gate::new(origins.settings.config.metrics.web_config.as_deref());
        Ok(Self {
            gate: Arc::new(gate),
            origins,
            engine: Mutex::new(Some(engine)),
            published: RwLock::new(Arc::new(Published { intent: intent.clone(), legend })),
            sampler: Sampler::new(),
            history: Mutex::default(),
            board: Arc::default(),
            certificates: Certificates::default(),
            statistics: Statistics::default(),
            probing: Probing::default(),
            overflows: Overflows::default(),
            feed: Arc::default(),
            config: Mutex::new(config),
            flows: Mutex::default(),
            on_disk: AtomicBool::new(true),
            absent: Mutex::default(),
            open_before: Mutex::new(open_before),
        })
    }

    /// Works with the engine, one at a time.
    ///
    /// # Errors
    /// Those of `work`, or the filter was detached.
    pub fn with_engine<T>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T, KernelError>,
    ) -> Result<T> {
        match &mut *lock(&self.engine) {
            Some(engine) => Ok(work(engine)?),
            None => {
                bail!("the filter was detached, and this daemon stops; start it again to filter")
            }
        }
    }

    /// Takes the engine away, to detach it.
    pub fn take_engine(&self) -> Option<Engine> {
        lock(&self.engine).take()
    }

    /// Whether there is no filter any more.
    pub fn is_detached(&self) -> bool {
        lock(&self.engine).is_none()
    }

    /// The policy in force.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another policy is in force.
    pub fn publish(&self, intent: &Intent, tables: &Tables) {
        let before = self.published();
        let same = Arc::ptr_eq(&before.intent.config, &intent.config)
            && before.legend.labels.len() == tables.labels.len();
        let legend =
            if same { Arc::clone(&before.legend) } else { Arc::new(Legend::new(intent, tables)) };
        if legend.ports != before.legend.ports {
            lock(&self.history).clear();
            self.count_open_again(&legend);
        }
        if !same
            && let Err(problem) =
                self.with_engine(|engine| engine.tell_apart(&legend.server_names()))
        {
            warn!("hellos may be counted under earlier server names: {problem:#}");
        }
        let published = Arc::new(Published { intent: intent.clone(), legend });
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = published;
    }

    /// Other ports are told apart: what was counted stands for other connections than before.
    fn count_open_again(&self, legend: &Legend) {
        let counted = match &*lock(&self.engine) {
            Some(engine) => open_before(engine, legend),
            None => return,
        };
        match counted {
            Ok(counted) => *lock(&self.open_before) = counted,
            Err(problem) => warn!("the numbers of open connections may be off: {problem:#}"),
        }
    }

    /// Whether the last change was written to disk.
    pub fn persisted(&self, done: bool) {
        self.on_disk.store(done, Ordering::Relaxed);
    }

    /// See [`Self::persisted`].
    pub fn is_on_disk(&self) -> bool {
        self.on_disk.load(Ordering::Relaxed)
    }

    /// The configuration was read again, or could not be.
    pub fn reloaded(&self, problem: Option<String>) {
        let mut config = lock(&self.config);
        match problem {
            None => *config = ConfigLoaded { successful: true, at: now(), error: None },
            Some(problem) => {
                config.successful = false;
                config.error = Some(problem);
            }
        }
    }

    /// What the daemon was started with.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.origins.settings)
    }

    /// Interfaces that ought to be filtered and are not.
    pub fn absent_interfaces(&self) -> BTreeSet<String> {
        lock(&self.absent).clone()
    }

    /// See [`Self::absent_interfaces`].
    pub fn set_absent_interfaces(&self, absent: BTreeSet<String>) {
        *lock(&self.absent) = absent;
    }

    /// The last attempt to read the configuration.
    pub fn config_loaded(&self) -> ConfigLoaded {
        lock(&self.config).clone()
    }

    /// How full the flow tables are, as of some seconds ago.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn flow_table(&self) -> Result<FlowTable> {
        let mut cached = lock(&self.flows);
        if let Some((_, table)) = cached.as_ref().filter(|(read, _)| read.elapsed() < FLOWS_AGE) {
            return Ok(*table);
        }
        let table = self.with_engine(|engine| engine.flow_table())?;
        *cached = Some((Instant::now(), table));
        Ok(table)
    }

    /// Requests that were counted off the packets so far, by port; nothing once the filter was detached.
    pub fn requests_on_the_wire(&self) -> Vec<(u16, u64)> {
        let published = self.published();
        let ports = &published.legend.http;
        let stats = self.with_engine(|engine| engine.http_stats()).unwrap_or_default();
        let of_slot = |slot: u8| stats.get(usize::from(slot)).map(HttpStats::answered);
        ports.iter().filter_map(|&(port, slot)| Some((port, of_slot(slot)?))).collect()
    }

    /// Requests that were counted so far by other sources than the servers themselves, by port: off the packets, as turns, by probes.
    /// Nothing once the filter was detached.
    pub fn requests_counted(&self) -> Vec<(u16, u64)> {
        let published = self.published();
        let legend = &published.legend;
        let Ok(tls) = self.with_engine(|engine| engine.tls_counts()) else { return Vec::new() };
        let turns = legend.tls.iter().filter(|port| port.turns);
        let turns = turns.map(|port| (port.port, tls.of_slot(port.slot).turns));
        let probes = self.probing.read().into_iter().map(|port| (port.number, port.stats.seen()));
        self.requests_on_the_wire().into_iter().chain(turns).chain(probes).collect()
    }

    /// Connections of a named port (`None`: of all others).
    pub fn connections(&self, port: Option<u16>, stats: PortStats) -> Connections {
        Connections { stats, open_before: lock(&self.open_before).get(&port).copied().unwrap_or(0) }
    }

    /// What stays when the daemon ends.
    pub fn farewell(&self) -> String {
        let attached = self.with_engine(|engine| engine.attachments()).unwrap_or_default();
        let mut interfaces: Vec<_> = attached
            .into_iter()
            .filter(|attachment| attachment.attached)
            .map(|attachment| attachment.interface)
            .collect();
        interfaces.dedup();
        if interfaces.is_empty() {
            return "no interface is filtered".to_owned();
        }
        format!(
            "the filter stays in force on {} and goes on counting; `foobar run` takes it over, `foobar detach` removes it",
            interfaces.join(", ")
        )
    }
}

impl Legend {
    fn new(intent: &Intent, tables: &Tables) -> Self {
        let labels = tables.labels.clone();
        let named = intent.config.named_ports();
        let ports: Vec<_> = named.into_iter().map(|port| (port, tables.slots.slot(port))).collect();
        let http = intent.config.observe.iter().filter(|seen| seen.is_read());
        let http = http.map(|seen| (seen.port, tables.slots.slot(seen.port))).collect();
        let tls = intent.config.observe.iter();
        let tls = tls.filter(|seen| seen.protocol == ObservedProtocol::Https);
        let tls = tls.map(|seen| TlsLegend {
            port: seen.port,
            slot: tables.slots.slot(seen.port),
            names: seen.server_names.clone(),
            turns: seen.requests == Requests::Turns,
        });
        let tls = tls.collect();
        let numbers: Vec<_> = ports.iter().map(|&(port, _)| port).collect();
        let end = u16::try_from(labels.len()).unwrap_or(u16::MAX);
        let meanings = (FIXED..end).map(|counter| {
            let meaning = labels.describe(counter)?;
            Some(Meaning {
                reason: meaning.reason,
                transport: meaning.transport,
                port: meaning.port,
                rule: meaning.rule.map(Arc::from),
                attempt: matches!(meaning.kind, CounterKind::Attempt),
            })
        });
        Self {
            accounting: Accounting::new(&labels, &numbers),
            meanings: Arc::new(Meanings::new(meanings.collect())),
            labels,
            ports,
            http,
            tls,
        }
    }

    /// The server names that are told apart, each with the slot of its port.
    fn server_names(&self) -> Vec<(u8, String)> {
        let of_port = |port: &TlsLegend| {
            let slot = port.slot;
            port.names.iter().map(move |name| (slot, name.clone())).collect::<Vec<_>>()
        };
        self.tls.iter().flat_map(of_port).collect()
    }

    /// Counters in use.
    pub fn used(&self) -> u32 {
        self.labels.len()
    }
}

/// Which connections were open before counting began.
fn open_before(engine: &Engine, legend: &Legend) -> Result<HashMap<Option<u16>, i64>> {
    let stats = engine.port_stats()?;
    let mut established = kernel::established()?;
    let of_slot = |slot: u8| stats.get(usize::from(slot)).copied().unwrap_or_default();
    let mut open: HashMap<_, _> = legend
        .ports
        .iter()
        .map(|&(port, slot)| {
            (
                Some(port),
                Connections::open_before(established.remove(&port).unwrap_or(0), &of_slot(slot)),
            )
        })
        .collect();
    open.insert(None, Connections::open_before(established.values().sum(), &of_slot(0)));
    Ok(open)
}

/// The data stay consistent whatever panics: each change is one assignment.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
