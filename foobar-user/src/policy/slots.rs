//! Slots: where the kernel counts the TCP connections of a named port ([`foobar_common::observe`]).
//!
//! A port keeps its slot as long as it is named, and beyond that until another port needs it, so that its counters go on.

use foobar_common::observe::SLOTS;

/// The slot of all ports that are not named.
pub const OTHER: u8 = 0;

/// Which port has which slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// By slot; 0 is free. The first is never used.
    ports: [u16; SLOTS as usize],
}

impl Default for Slots {
    fn default() -> Self {
        Slots { ports: [0; SLOTS as usize] }
    }
}

impl Slots {
    /// As they are stored in the map `SLOT_PORTS`: the port of each slot, 0 if it is free. What is no port counts as free.
    pub fn from_ports(stored: &[u32]) -> Self {
        let mut slots = Slots::default();
        for (slot, port) in stored.iter().enumerate().take(SLOTS as usize).skip(1) {
            slots.ports[slot] = u16::try_from(*port).unwrap_or(0);
        }
        slots
    }

    /// As they are stored in the map `SLOT_PORTS`.
    pub fn to_ports(&self) -> Vec<u32> {
        self.ports.iter().map(|port| u32::from(*port)).collect()
    }

    /// The slot of a port, [`OTHER`] if it has none.
    pub fn slot(&self, port: u16) -> u8 {
        self.iter().find(|(_, named)| *named == port).map_or(OTHER, |(slot, _)| slot)
    }

    /// The port of a slot.
    pub fn port(&self, slot: u8) -> Option<u16> {
        self.ports.get(usize::from(slot)).copied().filter(|port| *port != 0)
    }

    /// All slots in use with their ports, those of ports that are not named any more included.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        (0..).zip(self.ports).filter(|(_, port)| *port != 0)
    }

    /// Gives each named port a slot. Gives back the slots that belonged to another port before: their counters are to be
    /// set to 0.
    pub(super) fn assign(&mut self, named: &[u16]) -> Vec<u8> {
        let mut reused = Vec::new();
        for port in named {
            if self.slot(*port) != OTHER {
                continue;
            }
            let free =
                (1..).zip(&self.ports[1..]).find(|(_, port)| **port == 0).map(|(slot, _)| slot);
            let slot = free.or_else(|| {
                let unnamed =
                    self.iter().find(|(_, port)| !named.contains(port)).map(|(slot, _)| slot)?;
                reused.push(unnamed);
                Some(unnamed)
            });
            if let Some(slot) = slot {
                self.ports[usize::from(slot)] = *port;
            }
        }
        reused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_keep_their_slots_and_only_forgotten_ones_are_reused() {
        let mut slots = Slots::default();
        assert!(slots.assign(&[80, 443]).is_empty());
        assert_eq!((slots.slot(80), slots.slot(443), slots.slot(22)), (1, 2, OTHER));
        assert!(slots.assign(&[22, 443]).is_empty());
        assert_eq!(
            (slots.slot(80), slots.slot(443), slots.slot(22)),
            (1, 2, 3),
            "80 goes on where it was"
        );
        assert_eq!(Slots::from_ports(&slots.to_ports()), slots);

        for first in (1000..1060).step_by(10) {
            let named: Vec<u16> = (first..first + 10).collect();
            assert!(slots.assign(&named).is_empty());
        }
        assert_eq!(slots.iter().count(), 63);
        assert_eq!(slots.assign(&[1000, 2000]), [1], "80 was not named any more");
        assert_eq!((slots.slot(2000), slots.slot(80), slots.slot(1000)), (1, OTHER, 4));
        assert_eq!(slots.port(1), Some(2000));
        assert_eq!((slots.port(0), slots.port(200)), (None, None));
    }

    #[test]
    fn stored_nonsense_counts_as_free() {
        let slots = Slots::from_ports(&[7, 80, 70_000, 443]);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(1, 80), (3, 443)]);
    }
}
