//! Links between namespaces.

use super::Netns;

/// Joins two namespaces by a veth pair whose ends have these names, both up.
pub fn veth(one: &Netns, one_name: &str, other: &Netns, other_name: &str) {
    // Made inside the first namespace, so that no name can collide in the root namespace.
    one.ip(&format!("link add {one_name} type veth peer name {other_name} netns {}", other.name()));
    one.ip(&format!("link set {one_name} up"));
    other.ip(&format!("link set {other_name} up"));
}

/// Makes a bridge in the namespace and joins these links of it.
pub fn bridge(namespace: &Netns, name: &str, links: &[&str]) {
    namespace.ip(&format!("link add {name} type bridge forward_delay 0 mcast_snooping 0"));
    namespace.ip(&format!("link set {name} up"));
    for link in links {
        namespace.ip(&format!("link set {link} master {name}"));
    }
}

/// Gives an interface an address (`192.0.2.1/24`, `2001:db8::1/64`) that is usable at once.
pub fn add_address(namespace: &Netns, interface: &str, address: &str) {
    let no_detection = if address.contains(':') { "nodad" } else { "" };
    namespace.ip(&format!("address add {address} dev {interface} {no_detection}"));
}
