//! Which drops can occur under a policy: only their series are exported from the start.
//!
//! The table follows the ingress program (foobar-ebpf: ingress, ports, icmp, fragments). A combination that it does not
//! foresee is exported as soon as it has counted, so nothing is ever lost.

use foobar_common::counters::Transport;
use foobar_common::reason::Reason;
use foobar_common::tables::choice;

use super::snapshot::Policy;

/// The transports of incoming packets that can be dropped for this reason and are counted under no named port.
pub fn transports(reason: Reason, policy: &Policy) -> Vec<Transport> {
    use Transport::{Icmp, Other, Tcp, Udp};
    let chosen = |choice: u32| policy.choices & choice != 0;
    let all = || Transport::ALL.to_vec();
    let all_if = |possible: bool| if possible { all() } else { Vec::new() };
    match reason {
        Reason::Blocklist | Reason::Truncated | Reason::Malformed | Reason::SourceRoute => all(),
        Reason::NoRule => vec![Tcp, Udp],
        // Not ICMP: what no rule allows falls through to what a host needs.
        Reason::SourceNotAllowed => vec![Tcp, Udp, Other],
        Reason::Unsolicited => vec![Tcp, Icmp],
        Reason::Martian => all_if(!chosen(choice::PASS_MARTIANS)),
        Reason::EtherType | Reason::VlanDepth | Reason::Protocol => vec![Other],
        Reason::Ipv4Options => all_if(chosen(choice::DROP_IPV4_OPTIONS)),
        Reason::ExtensionHeader if chosen(choice::DROP_EXTENSION_HEADERS) => all(),
        // A chain that cannot be walked does not show its transport.
        Reason::ExtensionHeader => vec![Other],
        Reason::Fragment => all_if(chosen(choice::DROP_FRAGMENTS)),
        Reason::FragmentShort if chosen(choice::DROP_FRAGMENTS) => vec![Other],
        Reason::FragmentShort => all(),
        Reason::FragmentUnknown => all_if(!chosen(choice::DROP_FRAGMENTS)),
        Reason::FragmentOverlap if chosen(choice::DROP_FRAGMENTS) => Vec::new(),
        Reason::FragmentOverlap => vec![Tcp],
        Reason::IcmpType | Reason::NotOnLink => vec![Icmp],
        Reason::IcmpUnrelated if chosen(choice::DROP_ICMP_ERRORS | choice::PASS_ICMP_ERRORS) => {
            Vec::new()
        }
        Reason::IcmpUnrelated => vec![Icmp],
        Reason::EchoLimit if chosen(choice::DROP_ECHO) => Vec::new(),
        Reason::EchoLimit => vec![Icmp],
        Reason::InvalidFlags if chosen(choice::PASS_INVALID_FLAGS) => Vec::new(),
        Reason::InvalidFlags => vec![Tcp],
        Reason::PacketLimit => all_if(policy.limits_packets),
        Reason::Disabled => {
            [(choice::DROP_DHCP, Udp), (DISABLED_ICMP, Icmp), (choice::DROP_LINK_CONTROL, Other)]
                .into_iter()
                .filter_map(|(choice, transport)| chosen(choice).then_some(transport))
                .collect()
        }
        // Always counted for a rule.
        Reason::ConnectionLimit => Vec::new(),
        Reason::EgressDenied => Vec::new(),
        Reason::Rule
        | Reason::Reply
        | Reason::Arp
        | Reason::NeighborDiscovery
        | Reason::Mld
        | Reason::IcmpError
        | Reason::Dhcp
        | Reason::EchoRequest
        | Reason::LinkControl
        | Reason::FragmentTail
        | Reason::Egress
        | Reason::EgressServed => Vec::new(),
    }
}

/// Choices that end in [`Reason::Disabled`] for ICMP.
const DISABLED_ICMP: u32 = choice::DROP_ECHO
    | choice::DROP_ICMP_ERRORS
    | choice::DROP_ROUTER_ADVERTISEMENTS
    | choice::DROP_MLD;

/// Whether incoming packets can be dropped for this reason where the counter belongs to a rule or a named port.
pub fn by_rule(reason: Reason, policy: &Policy) -> bool {
    match reason {
        Reason::Blocklist | Reason::NoRule | Reason::SourceNotAllowed => true,
        Reason::Martian => policy.choices & choice::PASS_MARTIANS == 0,
        Reason::ConnectionLimit => policy.limits_connections,
        _ => false,
    }
}

/// Reasons that lists and rules lead to; the others speak of packets that are odd in themselves.
pub fn is_choice_of_policy(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Blocklist | Reason::NoRule | Reason::SourceNotAllowed | Reason::ConnectionLimit
    )
}
