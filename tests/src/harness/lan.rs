//! A server and its clients on one network.

use super::{Netns, add_address, bridge, veth};

/// A server at 192.0.2.1 and 2001:db8::1 on its `eth0`, and clients at 192.0.2.N and 2001:db8::N, joined by a bridge in a
/// namespace of its own.
#[derive(Debug)]
pub struct Lan {
    /// Where the servers and the filter run.
    pub server: Netns,
    switch: Netns,
}

impl Lan {
    /// The server's IPv4 address.
    pub const SERVER4: &'static str = "192.0.2.1";
    /// The server's IPv6 address.
    pub const SERVER6: &'static str = "2001:db8::1";
    /// The server's interface.
    pub const INTERFACE: &'static str = "eth0";

    /// A network with the server alone.
    pub fn new() -> Self {
        let switch = Netns::new();
        bridge(&switch, "br0", &[]);
        let server = join(&switch, 1);
        Lan { server, switch }
    }

    /// A client at 192.0.2.`host` and 2001:db8::`host` (in decimal: 2001:db8::10 for 10).
    pub fn client(&self, host: u8) -> Netns {
        join(&self.switch, host)
    }
}

impl Default for Lan {
    fn default() -> Self {
        Self::new()
    }
}

fn join(switch: &Netns, host: u8) -> Netns {
    let namespace = Netns::new();
    let port = format!("port{host}");
    veth(&namespace, Lan::INTERFACE, switch, &port);
    switch.ip(&format!("link set {port} master br0"));
    add_address(&namespace, Lan::INTERFACE, &format!("192.0.2.{host}/24"));
    add_address(&namespace, Lan::INTERFACE, &format!("2001:db8::{host}/64"));
    namespace
}
