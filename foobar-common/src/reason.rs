//! Why a packet passed or was dropped: every packet gets exactly one verdict and one reason.

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    Drop = 0,
    Pass = 1,
}

impl Verdict {
    /// The word used in logs, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Drop => "drop",
            Verdict::Pass => "pass",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $verdict:ident;)+) => {
        /// Why a packet got its verdict. The numbers are part of the layout ([`crate::LAYOUT_VERSION`]): append, never renumber.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The word used in metrics, logs and JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)+
                }
            }

            /// The verdict that goes with this reason.
            pub const fn verdict(self) -> Verdict {
                match self {
                    $(Reason::$variant => Verdict::$verdict,)+
                }
            }

            /// One sentence for people, as `explain` and `docs/policy.md` print it.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Reason::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }

        impl TryFrom<u8> for Reason {
            type Error = u8;

            fn try_from(number: u8) -> Result<Self, u8> {
                match number {
                    $($number => Ok(Reason::$variant),)+
                    other => Err(other),
                }
            }
        }
    };
}

reasons! {
    /// A rule allows it.
    Rule = 0, "rule", Pass;
    /// It answers a flow that this server opened.
    Reply = 1, "reply", Pass;
    /// ARP, without which the server cannot be reached over IPv4.
    Arp = 2, "arp", Pass;
    /// IPv6 neighbour discovery with hop limit 255.
    NeighborDiscovery = 3, "neighbor_discovery", Pass;
    /// Multicast listener discovery from the local link.
    Mld = 4, "mld", Pass;
    /// An ICMP error about a flow that exists.
    IcmpError = 5, "icmp_error", Pass;
    /// A DHCP or DHCPv6 reply.
    Dhcp = 6, "dhcp", Pass;
    /// An echo request within the rate limit.
    EchoRequest = 7, "echo_request", Pass;
    /// Link control (LACP, LLDP, EAPOL, spanning tree), which no router forwards.
    LinkControl = 8, "link_control", Pass;
    /// A later fragment of a datagram whose first fragment passed.
    FragmentTail = 9, "fragment_tail", Pass;
    /// Outgoing, and no egress rule forbids it.
    Egress = 10, "egress", Pass;
    /// Outgoing answer from a port that a rule serves.
    EgressServed = 11, "egress_served", Pass;

    /// The source is on a blocklist.
    Blocklist = 16, "blocklist", Drop;
    /// No rule names this port.
    NoRule = 17, "no_rule", Drop;
    /// A rule names this port, but none allows this source.
    SourceNotAllowed = 18, "source_not_allowed", Drop;
    /// It claims to answer something this server never sent.
    Unsolicited = 19, "unsolicited", Drop;
    /// A source that cannot exist on the wire: loopback, multicast, broadcast or an address of this server.
    Martian = 20, "martian", Drop;
    /// The frame ends before the headers do.
    Truncated = 21, "truncated", Drop;
    /// A header lies about its length or version.
    Malformed = 22, "malformed", Drop;
    /// Neither IP nor anything the link needs.
    EtherType = 23, "ethertype", Drop;
    /// More than two VLAN tags.
    VlanDepth = 24, "vlan_depth", Drop;
    /// An IP protocol that no rule allows, tunnels among them.
    Protocol = 25, "protocol", Drop;
    /// IPv4 options that the configuration does not allow.
    Ipv4Options = 26, "ipv4_options", Drop;
    /// An IPv6 extension header chain that is too deep, out of order or not allowed.
    ExtensionHeader = 27, "extension_header", Drop;
    /// Source routing: an IPv4 source route option or an IPv6 routing header with segments left.
    SourceRoute = 28, "source_route", Drop;
    /// The first fragment is too short to show the whole transport header.
    FragmentShort = 29, "fragment_short", Drop;
    /// A later fragment of which no first fragment passed.
    FragmentUnknown = 30, "fragment_unknown", Drop;
    /// A fragment that could overwrite the transport header.
    FragmentOverlap = 31, "fragment_overlap", Drop;
    /// Fragments are not allowed by the configuration.
    Fragment = 32, "fragment", Drop;
    /// An ICMP type that a host does not need.
    IcmpType = 33, "icmp_type", Drop;
    /// An ICMP error about a flow that does not exist.
    IcmpUnrelated = 34, "icmp_unrelated", Drop;
    /// Neighbour or listener discovery that did not come from the local link.
    NotOnLink = 35, "not_on_link", Drop;
    /// Echo requests over the rate limit, or not allowed.
    EchoLimit = 36, "echo_limit", Drop;
    /// A combination of TCP flags that no stack sends.
    InvalidFlags = 37, "invalid_flags", Drop;
    /// More new connections from this source than the rule allows.
    ConnectionLimit = 38, "connection_limit", Drop;
    /// More packets from this source than allowed.
    PacketLimit = 39, "packet_limit", Drop;
    /// Outgoing, and no egress rule allows it.
    EgressDenied = 40, "egress_denied", Drop;
    /// Dropped because the configuration says so for this kind of packet.
    Disabled = 41, "disabled", Drop;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_names_are_unique_and_reversible() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for &reason in Reason::ALL {
            assert_eq!(Reason::try_from(reason as u8), Ok(reason));
            assert!((reason as u16) < crate::counters::REASONS);
        }
        assert_eq!(Reason::try_from(200), Err(200));
    }

    #[test]
    fn the_documentation_has_every_reason() {
        let documentation = include_str!("../../docs/policy.md");
        for reason in Reason::ALL {
            let row = std::format!(
                "| `{}` | {} | {} |",
                reason.name(),
                reason.verdict().name(),
                reason.describe()
            );
            assert!(documentation.contains(&row), "docs/policy.md lacks the row: {row}");
        }
    }
}
