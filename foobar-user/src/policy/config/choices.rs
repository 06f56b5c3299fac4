//! `[choices]`: what happens to packets that are odd, or that a host needs to live. Each has a documented default.

use foobar_common::tables::choice;
use serde::Serialize;

use super::{
    limits::{Period, Rate, RateLimit},
    section::Section,
    values,
};

/// Makes an enum of the words that a key accepts; the first one is the default.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant,)+ }

        impl $name {
            pub(super) const WORDS: &'static [(&'static str, $name)] = &[$(($word, $name::$variant),)+];
        }

        impl std::fmt::Display for $name {
            /// As the configuration has it.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)+
                })
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name::WORDS[0].1
            }
        }
    };
}
pub(super) use words;

words! {
    /// Fragmented datagrams.
    Fragments {
        /// Later fragments get the verdict of the first one, which must show the whole transport header.
        Track = "track",
        /// All fragments are dropped.
        Drop = "drop",
    }
}

words! {
    /// IPv4 options.
    Ipv4Options {
        /// All but source routes pass.
        Safe = "safe",
        /// Packets with options are dropped.
        Drop = "drop",
    }
}

words! {
    /// IPv6 extension headers.
    ExtensionHeaders {
        /// The chain is followed to the transport header.
        Walk = "walk",
        /// Packets with extension headers are dropped, but for fragments and multicast listener discovery.
        Drop = "drop",
    }
}

words! {
    /// Packets that no sound stack sends.
    Choice {
        /// They are dropped.
        Drop = "drop",
        /// They are judged like others.
        Pass = "pass",
    }
}

words! {
    /// ICMP errors.
    IcmpErrors {
        /// Those pass that concern a flow of this server.
        Related = "related",
        /// All pass.
        All = "all",
        /// All are dropped, path MTU discovery with them.
        Drop = "drop",
    }
}

words! {
    /// Packets that a host needs to live.
    Allow {
        /// They pass.
        Allow = "allow",
        /// They are dropped.
        Drop = "drop",
    }
}

/// Echo requests ("ping").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Echo {
    /// They pass up to this rate from each source.
    Limited(RateLimit),
    /// They are dropped.
    Drop,
}

impl std::fmt::Display for Echo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Echo::Limited(limit) => limit.fmt(f),
            Echo::Drop => f.write_str("drop"),
        }
    }
}

impl Default for Echo {
    /// Enough for any monitoring, too few to be worth a flood.
    fn default() -> Self {
        Echo::Limited(RateLimit { rate: Rate { count: 100, period: Period::Second }, burst: 200 })
    }
}

/// What happens to packets that are odd, or that a host needs to live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// `fragments`.
    pub fragments: Fragments,
    /// `ipv4_options`.
    pub ipv4_options: Ipv4Options,
    /// `extension_headers`.
    pub extension_headers: ExtensionHeaders,
    /// `echo`.
    pub echo: Echo,
    /// `invalid_flags`: combinations of TCP flags that no stack sends.
    pub invalid_flags: Choice,
    /// `martians`: sources that cannot exist on the wire.
    pub martians: Choice,
    /// `icmp_errors`.
    pub icmp_errors: IcmpErrors,
    /// `router_advertisements` from the link.
    pub router_advertisements: Allow,
    /// `dhcp`: replies of DHCP and DHCPv6 servers.
    pub dhcp: Allow,
    /// `link_control`: LACP, LLDP, EAPOL, spanning tree.
    pub link_control: Allow,
    /// `mld`: multicast listener discovery from the link.
    pub mld: Allow,
}

impl Choices {
    /// As the kernel programs read it ([`foobar_common::tables::choice`]).
    pub fn bits(&self) -> u32 {
        [
            (self.fragments == Fragments::Drop, choice::DROP_FRAGMENTS),
            (self.ipv4_options == Ipv4Options::Drop, choice::DROP_IPV4_OPTIONS),
            (self.extension_headers == ExtensionHeaders::Drop, choice::DROP_EXTENSION_HEADERS),
            (self.echo == Echo::Drop, choice::DROP_ECHO),
            (self.invalid_flags == Choice::Pass, choice::PASS_INVALID_FLAGS),
            (self.martians == Choice::Pass, choice::PASS_MARTIANS),
            (self.icmp_errors == IcmpErrors::Drop, choice::DROP_ICMP_ERRORS),
            (self.icmp_errors == IcmpErrors::All, choice::PASS_ICMP_ERRORS),
            (self.router_advertisements == Allow::Drop, choice::DROP_ROUTER_ADVERTISEMENTS),
            (self.dhcp == Allow::Drop, choice::DROP_DHCP),
            (self.link_control == Allow::Drop, choice::DROP_LINK_CONTROL),
            (self.mld == Allow::Drop, choice::DROP_MLD),
        ]
        .into_iter()
        .filter_map(|(set, bit)| set.then_some(bit))
        .sum()
    }

    /// Every choice by its key, in words.
    pub fn words(&self) -> [(&'static str, String); 11] {
        [
            ("fragments", self.fragments.to_string()),
            ("ipv4_options", self.ipv4_options.to_string()),
            ("extension_headers", self.extension_headers.to_string()),
            ("echo", self.echo.to_string()),
            ("invalid_flags", self.invalid_flags.to_string()),
            ("martians", self.martians.to_string()),
            ("icmp_errors", self.icmp_errors.to_string()),
            ("router_advertisements", self.router_advertisements.to_string()),
            ("dhcp", self.dhcp.to_string()),
            ("link_control", self.link_control.to_string()),
            ("mld", self.mld.to_string()),
        ]
    }

    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let choices = Choices {
            fragments: section.word("fragments", Fragments::WORDS),
            ipv4_options: section.word("ipv4_options", Ipv4Options::WORDS),
            extension_headers: section.word("extension_headers", ExtensionHeaders::WORDS),
            echo: section
                .take("echo")
                .map_or_else(Echo::default, |value| values::echo(&section, value)),
            invalid_flags: section.word("invalid_flags", Choice::WORDS),
            martians: section.word("martians", Choice::WORDS),
            icmp_errors: section.word("icmp_errors", IcmpErrors::WORDS),
            router_advertisements: section.word("router_advertisements", Allow::WORDS),
            dhcp: section.word("dhcp", Allow::WORDS),
            link_control: section.word("link_control", Allow::WORDS),
            mld: section.word("mld", Allow::WORDS),
        };
        section.finish();
        choices
    }
}
