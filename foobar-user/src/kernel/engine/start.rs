//! The start of a daemon: a new instance, under the links that are there or under new ones.

use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Mutex,
};

use super::{Engine, EngineOptions, Guarded, clear_slots, purpose};
use crate::{
    kernel::{
        attach::{Existing, Held, Link, Role, Switch},
        error::KernelError,
        folders,
        instance::Instance,
        learn::Flows,
        netlink::{self, Interface, clsact},
        observer::{self, Observer},
        store::{PERSISTENT, Store},
    },
    policy::compile::Compiled,
};

impl Engine {
    /// Puts a policy in force on the interfaces. What an earlier process left attached is taken over in place: no packet goes
    /// unfiltered, counters and flows go on.
    ///
    /// # Errors
    /// Whatever is refused, nothing is changed: what was in force stays in force. [`ErrorKind::ForeignProgram`],
    /// [`ErrorKind::ForeignPin`], [`ErrorKind::Busy`], [`ErrorKind::Refused`], [`ErrorKind::NoSuchInterface`],
    /// [`ErrorKind::NotRoot`].
    ///
    /// [`ErrorKind::ForeignProgram`]: crate::kernel::ErrorKind::ForeignProgram
    /// [`ErrorKind::ForeignPin`]: crate::kernel::ErrorKind::ForeignPin
    /// [`ErrorKind::Busy`]: crate::kernel::ErrorKind::Busy
    /// [`ErrorKind::Refused`]: crate::kernel::ErrorKind::Refused
    /// [`ErrorKind::NoSuchInterface`]: crate::kernel::ErrorKind::NoSuchInterface
    /// [`ErrorKind::NotRoot`]: crate::kernel::ErrorKind::NotRoot
    pub fn start(
        mut store: Store,
        options: EngineOptions,
        policy: &Compiled,
    ) -> Result<Engine, KernelError> {
        let mut existing = Existing::read(&store.folders)?;
        existing.belongs_here(&store.folders)?;
        let mut notes = existing.drop_dead()?;
        for interface in &options.interfaces {
            let held = existing
                .links
                .iter()
                .any(|link| link.role == Role::Ingress && link.ifindex == interface.index);
            if !held {
                Switch::check_free(interface, options.replace)?;
            }
        }

        store.fit(policy.features)?;
        let fresh = existing.links.is_empty();
        let mut instance = Instance::load(&purpose(&store, &options), policy)?;
        let number = existing.instances.iter().max().map_or(1, |last| last + 1);
        let mut place = Placed { store: &store, number, keep: false };
        instance.pin(&store.folders, number, &PERSISTENT)?;
        let map = |name| instance.map(name);
        let flows = Flows::open(map)?;
        let learnt = flows.learn(&policy.ports, policy.generation.flow_epoch)?;
        clear_slots(map, &policy.reused_slots)?;
        notes.extend(store.migrate(|name| own(instance.map(name)?))?);

        let mut switch =
            Switch::new(&store.folders, &instance, &existing.programs, options.replace);
        let mut guarded = BTreeMap::new();
        let mut taken = Vec::new();
        for interface in &options.interfaces {
            let mut all = Guarded::new(interface, &instance);
            for role in instance.roles() {
                let outcome = take_or_attach(&mut switch, &mut existing.links, role, interface);
                if matches!(outcome, Ok((_, true))) && role == Role::Ingress {
                    taken.push(interface.name.as_str());
                }
                all.hold(role, outcome.map(|(held, _)| held))?;
            }
            guarded.insert(interface.index, all);
        }
        notes.extend(switch.commit());
        place.keep = true;
        drop(place);
        // Again, because programs of another epoch may have written over some in between.
        flows.learn(&policy.ports, policy.generation.flow_epoch)?;
        drop(flows);

        if !taken.is_empty() {
            notes.push(format!("took over {} without a gap", taken.join(", ")));
        }
        if fresh && learnt > 0 {
            notes.push(format!("learnt {learnt} open connections from the kernel's socket tables"));
        }
        notes.extend(release_others(&existing.links)?);
        notes.extend(release_filters(&existing, &guarded));
        store.adopt(|name| instance.take_map(name))?;
        let roots = observer::roots(&store.folders, &existing.instances);
        let observer = Observer::attach(&store.folders, &instance, &roots);
        for old in existing.instances {
            let folder = store.folders.instance(old);
            folders::remove(&folder).map_err(|error| {
                KernelError::call(format!("cannot remove {}", folder.display()), error)
            })?;
        }
        for other in store.folders.other_versions() {
            notes.push(format!(
                "{} holds pins of another version of foobar; `foobar detach` removes them with all others",
                other.display()
            ));
        }
        Ok(Engine {
            store,
            options,
            number,
            instance,
            guarded,
            observer,
            notes,
            buffer: Mutex::default(),
        })
    }
}

/// Removes the pins of an instance that did not come into force.
pub(super) struct Placed<'a> {
    pub store: &'a Store,
    pub number: u32,
    pub keep: bool,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        if !self.keep {
            let folder = self.store.folders.instance(self.number);
            if let Err(error) = folders::remove(&folder) {
                tracing::warn!("cannot remove {}, which is of no use: {error}", folder.display());
            }
            self.store.clear_unfinished();
        }
    }
}

/// The link to an interface, found or new; and whether it was found.
fn take_or_attach(
    switch: &mut Switch<'_>,
    links: &mut Vec<Link>,
    role: Role,
    interface: &Interface,
) -> Result<(Held, bool), KernelError> {
    let found = links.iter().position(|link| link.role == role && link.ifindex == interface.index);
    if let Some(at) = found {
        let link = links.remove(at);
        if switch.take_over(role, borrowed(&link.fd), &interface.name)? {
            return Ok((Held { link: Some(link.fd), note: None }, true));
        }
        let _ = std::fs::remove_file(&link.path);
    }
    Ok((switch.attach(role, interface)?, false))
}

fn borrowed(fd: &OwnedFd) -> BorrowedFd<'_> {
    use std::os::fd::AsFd as _;
    fd.as_fd()
}

/// A descriptor of our own.
pub(super) fn own(fd: BorrowedFd<'_>) -> Result<OwnedFd, KernelError> {
    fd.try_clone_to_owned().map_err(|error| KernelError::call("cannot keep a map", error))
}

/// Takes the filter off interfaces that the configuration does not name any more.
fn release_others(links: &[Link]) -> Result<Vec<String>, KernelError> {
    let mut notes = Vec::new();
    let known = if links.is_empty() { Vec::new() } else { netlink::interfaces()? };
    for link in links {
        let name = netlink::name_of(link.ifindex, &known);
        std::fs::remove_file(&link.path).map_err(|error| {
            KernelError::call(format!("cannot remove {}", link.path.display()), error)
        })?;
        crate::kernel::sys::link::detach(borrowed(&link.fd)).map_err(|error| {
            KernelError::call(format!("cannot take {} off {name}", link.role.name()), error)
        })?;
        notes.push(format!(
            "took {} off {name}, for which the configuration has no use",
            link.role.name()
        ));
    }
    Ok(notes)
}

/// The same for clsact filters, which have no links.
fn release_filters(existing: &Existing, guarded: &BTreeMap<u32, Guarded>) -> Vec<String> {
    let mut notes = Vec::new();
    for interface in netlink::interfaces().unwrap_or_default() {
        let ours = |program: &u32| existing.programs.iter().any(|ours| ours.id == *program);
        for role in Role::ALL {
            let held =
                guarded.get(&interface.index).is_some_and(|one| one.held.contains_key(&role));
            let Some(seat) = role.seat().filter(|_| !held) else { continue };
            if clsact::find(interface.index, seat).ok().flatten().filter(ours).is_none() {
                continue;
            }
            let (name, interface) = (role.name(), &interface);
            match clsact::remove(interface.index, seat) {
                Ok(()) => notes.push(format!(
                    "took {name} off {}, for which the configuration has no use",
                    interface.name
                )),
                Err(refusal) => {
                    tracing::warn!("cannot take {name} off {}: {refusal}", interface.name);
                }
            }
        }
    }
    notes
}
