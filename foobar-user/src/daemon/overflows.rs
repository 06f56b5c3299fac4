//! Connections that listening sockets had no room for, by port.
//!
//! The kernel counts them for each socket and forgets them with it. Here the sum of a port only grows: what each socket counted since it
//! was seen last is added, whichever sockets come and go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use super::shared::lock;
use crate::kernel::{self, KernelError, ListenQueue};

/// What was counted since the daemon began.
#[derive(Debug, Default)]
pub struct Overflows(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Sockets by their cookie, with what they had counted.
    seen: Option<HashMap<u64, u32>>,
    ports: BTreeMap<u16, u64>,
}

impl Overflows {
    /// Reads the queues of all listening sockets, and gives them back with the sums by port. One reading after the other: an
    /// older one that came later would take sockets for new.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn read(&self) -> Result<(Vec<ListenQueue>, BTreeMap<u16, u64>), KernelError> {
        let mut state = lock(&self.0);
        let queues = kernel::listen_queues()?;
        state.add(&queues);
        Ok((queues, state.ports.clone()))
    }
}

impl State {
    /// Adds what the sockets counted since the last call. What they had counted before the first was not in the daemon's time.
    fn add(&mut self, queues: &[ListenQueue]) {
        let before = self.seen.take();
        let mut seen = HashMap::new();
        for queue in queues {
            let first = if before.is_none() { queue.drops } else { 0 };
            let known = before.as_ref().and_then(|before| before.get(&queue.cookie));
            // The kernel's number wraps around.
            let fresh = queue.drops.wrapping_sub(known.copied().unwrap_or(first));
            *self.ports.entry(queue.port).or_default() += u64::from(fresh);
            seen.insert(queue.cookie, queue.drops);
        }
        self.seen = Some(seen);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn queue(port: u16, cookie: u64, drops: u32) -> ListenQueue {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        ListenQueue { port, address, length: 0, limit: 1, cookie, drops }
    }

    #[test]
    fn sums_grow_whichever_sockets_come_and_go() {
        let mut state = State::default();
        let mut of_80 = |queues: &[ListenQueue]| {
            state.add(queues);
            state.ports.get(&80).copied()
        };
        assert_eq!(of_80(&[queue(80, 1, 1000), queue(443, 2, 7)]), Some(0), "before our time");
        assert_eq!(of_80(&[queue(80, 1, 1003), queue(443, 2, 9)]), Some(3));
        assert_eq!(of_80(&[queue(80, 1, 1003), queue(80, 3, 5)]), Some(8), "a new socket");
        assert_eq!(of_80(&[]), Some(8), "nobody listens");
        assert_eq!(of_80(&[queue(80, 4, 2)]), Some(10), "the server was started anew");
        assert_eq!(state.ports[&443], 2);
    }

    #[test]
    fn the_number_of_a_socket_wraps_around() {
        let mut state = State::default();
        state.add(&[queue(80, 1, u32::MAX)]);
        state.add(&[queue(80, 1, 4)]);
        assert_eq!(state.ports[&80], 5);
    }
}
