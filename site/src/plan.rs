//! The plan of the site: hosts, addresses, roles, and who may reach whom.
//!
//! The addresses are those of `deploy/roles/*.toml`, which run here as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The site's name, which certificates and requests carry.
pub const NAME: &str = "www.foobar.com";

/// The name under which the load balancer knows the web servers.
pub const WEB_NAME: &str = "web.foobar.internal";

/// The name under which the web servers know the database.
pub const DATABASE_NAME: &str = "db.foobar.internal";

/// A network: hosts of one network are on one bridge, and a router joins the networks and filters nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Where the servers are: 192.0.2.0/24 and 2001:db8:2::/64.
    Site,
    /// The world: 198.51.100.0/24 and 2001:db8:1::/64.
    World,
    /// The administrators: 203.0.113.0/24 and 2001:db8:ad::/64.
    Office,
}

impl Network {
    /// All of them.
    pub const ALL: [Network; 3] = [Network::Site, Network::World, Network::Office];

    /// Name of its bridge.
    pub const fn bridge(self) -> &'static str {
        match self {
            Network::Site => "site",
            Network::World => "world",
            Network::Office => "office",
        }
    }

    /// The IPv4 address of a host in it.
    pub const fn ipv4(self, host: u8) -> Ipv4Addr {
        match self {
            Network::Site => Ipv4Addr::new(192, 0, 2, host),
            Network::World => Ipv4Addr::new(198, 51, 100, host),
            Network::Office => Ipv4Addr::new(203, 0, 113, host),
        }
    }

    /// The IPv6 address of a host in it. The number is the same in decimal digits: host 21 is `::21`.
    pub const fn ipv6(self, host: u8) -> Ipv6Addr {
        let net = match self {
            Network::Site => 0x2,
            Network::World => 0x1,
            Network::Office => 0xad,
        };
        let (hundreds, tens, ones) = (host / 100, host / 10 % 10, host % 10);
        let digits = (hundreds as u16) << 8 | (tens as u16) << 4 | ones as u16;
        Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, digits)
    }
}

/// A host, each a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// HAProxy: TLS of the world ends here and begins anew towards the web servers.
    Lb,
    /// nginx and PHP.
    Web1,
    /// nginx and PHP.
    Web2,
    /// MariaDB.
    Db,
    /// Prometheus and Alertmanager.
    Monitor,
    /// A visitor.
    Client,
    /// Somebody who means harm, from the visitors' network.
    Attacker,
    /// An administrator.
    Admin,
    /// A machine in the servers' own network that no server knows, and that no foobar holds back.
    Rogue,
}

impl Host {
    /// All of them.
    pub const ALL: [Host; 9] = [
        Host::Lb,
        Host::Web1,
        Host::Web2,
        Host::Db,
        Host::Monitor,
        Host::Client,
        Host::Attacker,
        Host::Admin,
        Host::Rogue,
    ];

    /// Those on which foobar runs.
    pub const SERVERS: [Host; 5] = [Host::Lb, Host::Web1, Host::Web2, Host::Db, Host::Monitor];

    /// The web servers.
    pub const WEB: [Host; 2] = [Host::Web1, Host::Web2];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Host::Lb => "lb",
            Host::Web1 => "web1",
            Host::Web2 => "web2",
            Host::Db => "db",
            Host::Monitor => "monitor",
            Host::Client => "client",
            Host::Attacker => "attacker",
            Host::Admin => "admin",
            Host::Rogue => "rogue",
        }
    }

    /// The network it is in.
    pub const fn network(self) -> Network {
        match self {
            Host::Client | Host::Attacker => Network::World,
            Host::Admin => Network::Office,
            _ => Network::Site,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Host::Lb | Host::Client | Host::Admin => 10,
            Host::Web1 => 21,
            Host::Web2 => 22,
            Host::Db => 31,
            Host::Monitor => 41,
            Host::Attacker | Host::Rogue => 66,
        }
    }

    /// Its IPv4 address.
    pub const fn ipv4(self) -> Ipv4Addr {
        self.network().ipv4(self.number())
    }

    /// Its IPv6 address.
    pub const fn ipv6(self) -> Ipv6Addr {
        self.network().ipv6(self.number())
    }

    /// Both addresses.
    pub const fn addresses(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.ipv4()), IpAddr::V6(self.ipv6())]
    }

    /// Its role: the name of its configuration in `deploy/roles`.
    pub const fn role(self) -> Option<&'static str> {
        match self {
            Host::Lb => Some("load-balancer"),
            Host::Web1 | Host::Web2 => Some("web"),
            Host::Db => Some("database"),
            Host::Monitor => Some("monitor"),
            _ => None,
        }
    }
}

/// The TCP ports of `to` that answer `from`: all others are silent, as is every UDP port.
pub fn open(from: Host, to: Host) -> &'static [u16] {
    use Host::{Admin, Db, Lb, Monitor, Web1, Web2};
    match (from, to) {
        // Nobody asks from these but for what egress allows.
        (Lb, Web1 | Web2) => &[443],
        (Web1 | Web2, Db) => &[3306],
        (Monitor, Lb | Web1 | Web2 | Db) => &[9100, 9898],
        (Lb | Web1 | Web2 | Db | Monitor, _) => &[],
        (Admin, Lb) => &[22, 80, 443],
        (Admin, Monitor) => &[22, 3000, 9090, 9093],
        (Admin, _) => &[22],
        (_, Lb) => &[80, 443],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_those_of_the_documentation() {
        let mut all: Vec<_> = Host::ALL.iter().flat_map(|host| host.addresses()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2 * Host::ALL.len());
        assert_eq!(Host::Web2.ipv4().to_string(), "192.0.2.22");
        assert_eq!(Host::Web2.ipv6().to_string(), "2001:db8:2::22");
        assert_eq!(Host::Admin.ipv6().to_string(), "2001:db8:ad::10");
    }

    #[test]
    fn strangers_reach_the_load_balancer_alone() {
        for from in [Host::Client, Host::Attacker, Host::Rogue] {
            for to in Host::SERVERS {
                let expected: &[u16] = if to == Host::Lb { &[80, 443] } else { &[] };
                assert_eq!(open(from, to), expected, "{from:?} to {to:?}");
            }
        }
    }
}
