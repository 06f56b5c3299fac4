//! Interfaces come and go: what the configuration names is filtered as soon as it is there, and what was filtered stays so
//! under another name, until the configuration is read again.

use std::collections::BTreeSet;

use anyhow::Result;
use tracing::{error, info, warn};

use super::{keeper::Keeper, options::patterns};
use crate::{
    kernel::{self, Engine, ErrorKind, Interface, KernelError},
    policy::Config,
};

/// The interfaces that a configuration names.
#[derive(Debug, Default)]
pub struct Named {
    /// Those that are there.
    pub present: BTreeSet<Interface>,
    /// Names (or `default`) that no interface has.
    pub absent: BTreeSet<String>,
    /// What the kernel said of the first absent one.
    pub refusal: Option<KernelError>,
}

/// Looks for the interfaces that a configuration names.
///
/// # Errors
/// The kernel does not list interfaces.
pub fn named(config: &Config) -> Result<Named, KernelError> {
    let mut named = Named::default();
    for pattern in patterns(config) {
        match kernel::select_interfaces(std::slice::from_ref(&pattern)) {
            Ok(found) => named.present.extend(found),
            Err(error) if error.kind() == ErrorKind::NoSuchInterface => {
                named.absent.insert(pattern);
                named.refusal.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(named)
}

/// What an engine has to do with the interfaces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Steps {
    /// Filtered under another name than before.
    renamed: Vec<Interface>,
    /// Gone, with the names they had.
    gone: Vec<Interface>,
    /// To be filtered from now on.
    new: Vec<Interface>,
    /// Filtered, and no longer named by the configuration.
    unnamed: Vec<Interface>,
}

/// Compares what is filtered (and whether the kernel says so) with what is there and what is named.
fn steps(guarded: &[(Interface, bool)], all: &[Interface], named: &BTreeSet<Interface>) -> Steps {
    let mut steps = Steps::default();
    for (interface, _) in guarded {
        match all.iter().find(|there| there.index == interface.index) {
            None => steps.gone.push(interface.clone()),
            Some(there) if there.name != interface.name => steps.renamed.push(there.clone()),
            Some(_) => {}
        }
        let stays = named.iter().any(|named| named.index == interface.index);
        if !stays && !steps.gone.contains(interface) {
            steps.unnamed.push(interface.clone());
        }
    }
    let runs = |interface: &&Interface| {
        guarded.iter().any(|(held, attached)| held.index == interface.index && *attached)
    };
    steps.new = named.iter().filter(|interface| !runs(interface)).cloned().collect();
    steps
}

/// What became of the interfaces.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Filtered now and not before.
    pub attached: Vec<String>,
    /// No longer filtered.
    pub released: Vec<String>,
    /// Named, and not there.
    pub absent: BTreeSet<String>,
    /// Named, and there.
    pub present: BTreeSet<String>,
    /// What could not be attached, and why.
    pub failed: Vec<(String, KernelError)>,
}

/// Attaches to what is named and there, and forgets what is gone; with `release` also what is not named any more.
///
/// # Errors
/// The kernel does not list interfaces or what is attached.
pub fn follow(engine: &mut Engine, config: &Config, release: bool) -> Result<Outcome, KernelError> {
    let named = named(config)?;
    let mut guarded: Vec<(Interface, bool)> = Vec::new();
    for held in engine.attachments()? {
        match guarded.last_mut() {
            Some((interface, attached)) if interface.index == held.ifindex => {
                *attached &= held.attached || held.missing;
            }
            _ => {
                let attached = held.attached || held.missing;
                guarded.push((Interface { index: held.ifindex, name: held.interface }, attached));
            }
        }
    }
    let steps = steps(&guarded, &kernel::interfaces()?, &named.present);
    let present = named.present.into_iter().map(|interface| interface.name).collect();
    let mut outcome = Outcome { absent: named.absent, present, ..Outcome::default() };
    for interface in &steps.renamed {
        engine.rename(interface);
    }
    for interface in steps.gone {
        engine.forget(interface.index)?;
        outcome.released.push(interface.name);
    }
    for interface in steps.new {
        match engine.attach(&interface) {
            Ok(_) => outcome.attached.push(interface.name),
            Err(problem) => outcome.failed.push((interface.name, problem)),
        }
    }
    if release {
        for interface in steps.unnamed {
            engine.forget(interface.index)?;
            outcome.released.push(interface.name);
        }
    }
    Ok(outcome)
}

impl Keeper {
    /// Does what became necessary when interfaces came or went. What fails is tried again.
    pub(super) fn follow_interfaces(&mut self) {
        let config = &self.current.config;
        let outcome = match self.shared.with_engine(|engine| follow(engine, config, false)) {
            Ok(outcome) => outcome,
            Err(problem) => {
                self.unattached = true;
                return error!("cannot follow the interfaces: {problem:#}");
            }
        };
        for name in &outcome.released {
            warn!("the interface {name} is gone");
        }
        for name in &outcome.attached {
            info!("the interface {name} is filtered now");
        }
        for (name, problem) in &outcome.failed {
            if !self.shared.absent_interfaces().contains(name) {
                error!("the interface {name} is not filtered, which is tried again: {problem:#}");
            }
        }
        // Addresses are told of, routes are not.
        self.unattached = !outcome.failed.is_empty() || outcome.absent.contains("default");
        let mut absent = self.shared.absent_interfaces();
        absent.extend(outcome.released);
        absent.retain(|name| !outcome.present.contains(name));
        absent.extend(outcome.failed.into_iter().map(|(name, _)| name));
        absent.extend(outcome.absent);
        self.shared.set_absent_interfaces(absent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.into() }
    }

    #[test]
    fn what_came_went_or_changed_its_name_is_told_apart() {
        let guarded = [
            (interface(2, "eth0"), true),
            (interface(3, "eth1"), true),
            (interface(4, "eth2"), false),
            (interface(5, "eth3"), true),
        ];
        let all = [
            interface(2, "eth0"),
            interface(4, "eth2"),
            interface(5, "wan0"),
            interface(9, "eth1"),
        ];
        let named = [interface(2, "eth0"), interface(4, "eth2"), interface(9, "eth1")].into();
        assert_eq!(
            steps(&guarded, &all, &named),
            Steps {
                renamed: vec![interface(5, "wan0")],
                gone: vec![interface(3, "eth1")],
                new: vec![interface(4, "eth2"), interface(9, "eth1")],
                unnamed: vec![interface(5, "eth3")],
            },
            "eth1 was made anew, eth2 lost its program"
        );
    }
}
