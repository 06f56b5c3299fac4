//! From the configuration to a filter in force.

use std::sync::Arc;

use anyhow::{Context, Result};
use tracing::{info, warn};

use super::{
    boot::Boot,
    guard,
    intent::{Intent, now},
    interfaces,
    keeper::Keeper,
    options::{Settings, patterns},
    pipeline::Tables,
    report,
    shared::{Origins, Shared},
};
use crate::{
    control::{Refusal, command::Caution},
    kernel::{self, Engine, EngineOptions, Store, StoreOptions, Timeouts},
    policy::{Config, Lists, model::Mode},
    state::{
        self, Configured, Problem, State,
        configuration::{Kept, fingerprint},
    },
};

/// Compiles the policy, persists its number and attaches the filter, or takes over what is attached.
///
/// # Errors
/// Nothing was attached or changed.
pub fn start(boot: Boot, store: Store) -> Result<Keeper> {
    let started_at = now();
    let Boot { settings, mut disk, state } = boot;
    let named = interfaces::named(&settings.config)?;
    if named.present.is_empty() {
        warn!("no interface matches {:?} yet", patterns(&settings.config));
    }
    let (state, warnings) = last_state(state, &mut disk, &store)?;
    let mut intent = intent(&settings.config, state)?;

    if !store.has_links() {
        let caution = Caution { force: settings.options.force, ssh_connection: None };
        if let Err(refusal) = guard::check(None, &intent.policy(), &caution) {
            drop(store);
            clean_up(&settings);
            return Err(refusal.into());
        }
    }
    let mut tables = Tables::read(&store)?;
    let compiled = tables.compile(&intent).context("the policy does not fit")?;
    let store = large_enough(store, &settings, compiled.counters)?;
    tables.store(&store)?;
    let options = EngineOptions {
        interfaces: named.present.into_iter().collect(),
        replace: settings.options.replace,
        timeouts: Timeouts::of(&settings.config.flows),
    };
    if !options.interfaces.is_empty() {
        let names: Vec<_> = options.interfaces.iter().map(|one| one.name.as_str()).collect();
        info!(mode = %settings.config.mode, "about to attach to {}", names.join(", "));
    }
    let was_in_force = store.has_links();
    let engine = match Engine::start(store, options, &compiled) {
        Ok(engine) => engine,
        Err(problem) => {
            if !was_in_force {
                clean_up(&settings);
            }
            return Err(problem.into());
        }
    };
    // A full disk does not keep a server without a filter; nothing of an operator's is lost with this write.
    keep_configuration(&mut intent, &settings, &disk);
    let saved = disk.save(intent.state());
    if let Err(problem) = &saved {
        warn!("the generation that is in force is not on disk: {problem}");
    }
    for note in engine.notes() {
        info!("{note}");
    }
    tell_attachments(&engine)?;
    intent.tell_news();
    if intent.config.mode == Mode::Audit {
        warn!("mode audit: nothing is dropped, what enforce would drop is counted");
    }
    let origins = Origins { started_at, settings, warnings };
    let shared = Shared::new(origins, engine, &intent, &tables)?;
    shared.persisted(saved.is_ok());
    shared.set_absent_interfaces(named.absent);
    Ok(Keeper::new(Arc::new(shared), disk, tables, intent))
}

/// Removes what was pinned before the first attempt failed: it is of no use.
fn clean_up(settings: &Settings) {
    let bpf_dir = &settings.options.bpf_dir;
    if let Err(left) = kernel::detach(bpf_dir) {
        warn!("cannot clean up {}: {left:#}", bpf_dir.display());
    }
}

/// A store with at least so many counters: the numbers handed out so far stay, and what was counted is carried over.
fn large_enough(store: Store, settings: &Settings, counters: u32) -> Result<Store> {
    if counters <= store.counters() {
        return Ok(store);
    }
    info!("the table of counters grows from {} to hold {counters}", store.counters());
    let options = StoreOptions {
        // Room for as many again, so that a larger configuration does not need another start soon.
        counters: counters.next_power_of_two(),
        ..store_options(settings)
    };
    // Its lock goes with it; that of the state folder keeps other daemons out meanwhile.
    drop(store);
    open_store(&options)
}

/// Where the pins are, and how large the tables shall be.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let flows = settings.config.flows.max_entries;
    StoreOptions { flows, ..StoreOptions::new(&settings.options.bpf_dir) }
}

/// Opens the maps that survive restarts.
///
/// # Errors
/// Another daemon has them, or they are not what this one expects.
pub fn open_store(options: &StoreOptions) -> Result<Store> {
    Store::open(options)
        .with_context(|| format!("cannot use the folder of pins {}", options.bpf_dir.display()))
}

/// Copies the configuration into the state folder, to start from when its file is gone or broken.
fn keep_configuration(intent: &mut Intent, settings: &Settings, disk: &state::Store) {
    let Some(sources) = &settings.sources else { return };
    let configured = &mut intent.configured;
    let same = |kept: &Kept| kept.fingerprint == fingerprint(sources);
    if configured.current.as_ref().is_some_and(same) {
        return;
    }
    match disk.keep(intent.generation, sources) {
        Ok(kept) => {
            configured.current = Some(kept);
            configured.rejected = None;
        }
        Err(problem) => {
            warn!("the configuration is not kept for the case that its file breaks: {problem}");
        }
    }
}

/// What the last daemon left. State that cannot be read does not keep a server without a filter, but neither does it change one
/// that is in force.
fn last_state(
    state: Result<Option<State>, Problem>,
    disk: &mut state::Store,
    store: &Store,
) -> Result<(Option<State>, Vec<String>)> {
    let problem = match state {
        Ok(state) => return Ok((state, Vec::new())),
        Err(problem) if problem.is_about_content() => problem,
        Err(problem) => return Err(problem.into()),
    };
    let path = disk.path();
    if store.has_links() {
        let refusal = Refusal::failed(format!(
            "{problem}; the filter in force has changes that would be lost, so it stays as it is"
        ));
        let path = path.display();
        return Err(refusal
            .help(format!("bring back a good copy, or start from the configuration alone: mv {path} {path}.old"))
            .into());
    }
    let aside = disk.keep_aside(&problem)?;
    let warning = format!(
        "{problem}; it is kept as {}, and the policy follows from the configuration alone: runtime changes are missing",
        aside.display()
    );
    warn!("{warning}");
    Ok((None, vec![warning]))
}

fn intent(config: &Arc<Config>, state: Option<State>) -> Result<Intent> {
    let mut lists = Lists::from_config(config);
    // Without a state nobody knows under which epoch the flows in the kernel were made; the clock never gives one twice.
    let fresh = State {
        generation: 0,
        flow_epoch: now() as u32,
        mode: config.mode,
        change: String::new(),
        changed_at: 0,
        configured: Configured::default(),
        overlays: Vec::new(),
    };
    let state = state.unwrap_or(fresh);
    for lost in lists.set_overlays(state.overlays) {
        warn!(
            "the {} {} is no longer in the configuration; its runtime changes are dropped",
            lost.kind, lost.name
        );
    }
    for gone in lists.expire(now()) {
        info!("expired while no daemon ran: {} {} {}", gone.kind, gone.list, gone.entry.prefix);
    }
    let mut intent = Intent {
        config: Arc::clone(config),
        configured: state.configured,
        lists,
        own_addresses: kernel::own_addresses()
            .context("cannot tell the addresses of this server")?,
        flow_epoch: Intent::epoch_for(state.flow_epoch, state.mode, config.mode),
        generation: state.generation,
        change: state.change,
        changed_at: state.changed_at,
        news: Vec::new(),
    };
    intent.record("start of the daemon".to_owned());
    Ok(intent)
}

/// What is attached where, and how.
pub fn tell_attachments(engine: &Engine) -> Result<()> {
    for attachment in engine.attachments()? {
        let kernel::Attachment { interface, program, mode, note, attached, .. } = attachment;
        match (attached, note) {
            (false, Some(why)) => warn!("{program} is not attached to {interface}: {why}"),
            (false, None) => {
                warn!("{program} is not attached to {interface}, which is not filtered");
            }
            (true, None) => info!("{program} on {interface}: {}", mode.name()),
            (true, Some(why)) if mode == kernel::Mode::Generic => {
                warn!("{program} on {interface}: {}, which is slow: {why}", mode.name());
            }
            (true, Some(note)) => info!("{program} on {interface}: {} ({note})", mode.name()),
        }
    }
    let hooks = &engine.observer().hooks;
    let observing: Vec<_> =
        hooks.iter().filter(|hook| hook.attached).map(|hook| hook.program).collect();
    if !observing.is_empty() {
        info!("connections are observed by {}", observing.join(", "));
    }
    for hook in hooks {
        if let Some(why) = &hook.missing {
            warn!("{} is missing, its metrics stay at 0: {why}", hook.program);
        }
    }
    if !engine.observer().counts_connections() {
        warn!("{}", report::OPENINGS);
    }
    Ok(())
}
