//! The compiled policy, laid out for the packet path.
//!
//! A packet reads the [`Root`] once and takes everything else from the generation that is active there:
//!
//! ```text
//! port     -> PORTS[generation][transport, port]        PortEntry: port class, or the cell itself
//! address  -> INDEX4[generation][bucket] (-> CLASSES4)                   source class
//! classes  -> CELLS[generation][port class * stride + source class]      Cell
//! ```
//!
//! Every table is an array map of one element that holds two generations one behind the other, and is filled through `mmap`.
//! The approach is recursive flow classification (Gupta and McKeown, "Packet Classification on Multiple Fields", SIGCOMM 1999).

/// Number of generations that a table holds.
pub const GENERATIONS: u32 = 2;

/// Where the entries of TCP ports start in the port table.
pub const PORTS_TCP: u32 = 0;
/// Where the entries of UDP ports start in the port table.
pub const PORTS_UDP: u32 = 1 << 16;
/// Where the entries of other IP protocols start in the port table, one for each protocol number.
pub const PORTS_OTHER: u32 = 2 << 16;
/// Where the entry of a port stands, given as it stands in a packet (network byte order) behind [`PORTS_TCP`] or [`PORTS_UDP`]: the packet
/// path looks it up without turning it round.
#[inline(always)]
pub const fn position_of_port(first: u32, port: u16) -> u32 {
    first + port as u32
}

/// Entries of one generation of the port table.
pub const PORTS_LEN: u32 = PORTS_OTHER + 256;

/// Ports of TCP and UDP: the first entries of the port table, and all of the table `USED_PORTS`.
pub const USED_PORTS_LEN: u32 = PORTS_OTHER;

/// All cells of this port class are alike: [`PortEntry::cell`] is the verdict, the address need not be looked up.
pub const PORT_UNIFORM: u8 = 1;
/// A rule names this port: the server's packets from it are answers, which need no memory.
pub const PORT_SERVED: u8 = 2;
/// HTTP in clear is observed on this TCP port ([`feature::HTTP`]).
pub const PORT_HTTP: u8 = 4;
/// TLS is observed on this TCP port, or QUIC on this UDP port ([`feature::TLS`]).
pub const PORT_TLS: u8 = 8;

/// What a destination port (or an IP protocol without ports) means. One of [`PORTS_LEN`] a generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortEntry {
    /// Row of the cell table.
    pub class: u16,
    /// Which named port this is, for counters of connections ([`crate::observe`]); 0 is "other".
    pub slot: u8,
    /// [`PORT_UNIFORM`], [`PORT_SERVED`], [`PORT_HTTP`], [`PORT_TLS`].
    pub flags: u8,
    /// The cell of every source, where [`PORT_UNIFORM`] is set; of sources on no list otherwise.
    pub cell: Cell,
}

const _: () = assert!(size_of::<PortEntry>() == 8);

/// The verdict for a class of ports and a class of sources, in 32 bits:
///
/// ```text
/// bits  0..16  number of the counter (crate::counters)
/// bit   16     pass
/// bits 20..32  rate limit of the rule, an index into the table of limits; 0 is none
/// ```
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cell(pub u32);

impl Cell {
    /// Highest number of a rate limit.
    pub const MAX_LIMIT: u16 = 0xfff;

    /// A cell that lets pass what matches a rule; `counter` is the first of [`crate::counters::PER_RULE_CELL`].
    pub const fn pass(counter: u16, limit: u16) -> Self {
        assert!(limit <= Self::MAX_LIMIT);
        Cell(counter as u32 | 1 << 16 | (limit as u32) << 20)
    }

    /// A cell that drops.
    pub const fn drop(counter: u16) -> Self {
        Cell(counter as u32)
    }

    /// Number of the counter.
    #[inline(always)]
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// Whether the verdict is to pass.
    #[inline(always)]
    pub const fn passes(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    /// The rule's rate limit, 0 if it has none.
    #[inline(always)]
    pub const fn limit(self) -> u16 {
        (self.0 >> 20) as u16
    }
}

/// A bucket of the address index: the part of the address space `[base + (bucket << shift), base + (bucket + 1 << shift))`.
///
/// Ranges are stored as a sorted table of their starts; range `i` covers `starts[i] ..= starts[i + 1] - 1`, and `starts[0]` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /// If `inside` is 0, the class of every address in the bucket ([`INTERVAL`] may be set); else the position of the range that holds the first
    /// address of the bucket.
    pub value: u32,
    /// How many further ranges start in the bucket, behind its first address.
    pub inside: u32,
}

/// In [`IndexEntry::value`]: the entry says it all, and [`IndexEntry::inside`] is no number. See [`IndexEntry::interval`].
pub const INTERVAL: u32 = 1 << 31;

impl IndexEntry {
    /// An IPv4 bucket with one interval of another class than the rest of the bucket; the first and last address of the interval count
    /// from the first one of the bucket. `None` if the class has no room, which has 15 bits, or the interval is the whole bucket.
    ///
    /// ```text
    /// value   bit 31 set, 16..31 class in the interval, 0..16 class of the rest
    /// inside  16..32 addresses in the interval; 0..16 first
    /// ```
    #[inline(always)]
    pub const fn interval(within: u16, without: u16, first: u16, last: u16) -> Option<Self> {
        let Some(length) = (last - first).checked_add(1) else {
            return None;
        };
        if within >> 15 != 0 {
            return None;
        }
        Some(IndexEntry {
            value: INTERVAL | (within as u32) << 16 | without as u32,
            inside: (length as u32) << 16 | first as u32,
        })
    }
}

impl IndexEntry {
    /// An IPv4 bucket of one class: an interval of no address. Of the same form as one with an interval, so that the packet path need not tell them
    /// apart: which of both the next packet meets, the processor could not guess.
    pub const fn uniform(class: u16) -> Self {
        IndexEntry { value: INTERVAL | class as u32, inside: 0 }
    }
}

/// An [`IndexEntry`] by the halves of its words, as they lie in memory: the packet path loads those that it needs, which costs less than taking
/// a word apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    #[cfg(target_endian = "little")]
    without: u16,
    within: u16,
    #[cfg(target_endian = "big")]
    without: u16,
    #[cfg(target_endian = "little")]
    first: u16,
    length: u16,
    #[cfg(target_endian = "big")]
    first: u16,
}

const _: () = assert!(size_of::<Interval>() == size_of::<IndexEntry>());

impl Interval {
    /// Marks an entry that is one: [`INTERVAL`].
    const MARK: u16 = (INTERVAL >> 16) as u16;

    /// The halves of an entry.
    pub const fn of(entry: IndexEntry) -> Self {
        Interval {
            without: entry.value as u16,
            within: (entry.value >> 16) as u16,
            first: entry.inside as u16,
            length: (entry.inside >> 16) as u16,
        }
    }

    /// The class of an address in the bucket, which counts from the first address of the bucket; `None` if the entry does not say it all. Behind the
    /// last bucket, `offset` may be larger than the bucket.
    #[inline(always)]
    pub fn class(&self, offset: u64) -> Option<u16> {
        if self.within < Self::MARK {
            return None;
        }
        let is_within = offset.wrapping_sub(self.first as u64) < self.length as u64;
        Some(if is_within { self.within - Self::MARK } else { self.without })
    }
}

const _: () = assert!(size_of::<IndexEntry>() == 8);

/// In an IPv6 class: the upper 64 bits do not decide; the other bits are the number of the entry in the table of deep prefixes.
pub const DEEP: u32 = 1 << 31;

/// Bits of an address in an IPv4 bucket, at most. Its starts are slots of 16 bits in `CLASSES4`, bucket after bucket. A bucket in
/// which two classes take turns is `class, class, start, start, ...`; one with more classes ([`MANY_CLASSES`]) is
/// `class, start, class, start, class, ...`. Starts count from the first address of the bucket, of which the first class is.
/// Most buckets of a short list need no slots: [`IndexEntry::interval`].
pub const SLOT_SHIFT: u32 = 16;
/// In [`IndexEntry::inside`] of an IPv4 bucket: it has more than two classes.
pub const MANY_CLASSES: u32 = 1 << 31;

/// Where in its bucket the start of range `number` stands, counted from 1; `many` is [`MANY_CLASSES`] or 0.
#[inline(always)]
pub const fn slot_of_start(many: u32, number: u32) -> u32 {
    if many != 0 { 2 * number - 1 } else { number + 1 }
}

/// Where in its bucket the class of range `number` stands; range 0 holds the first address of the bucket.
#[inline(always)]
pub const fn slot_of_class(many: u32, number: u32) -> u32 {
    if many != 0 { 2 * number } else { number & 1 }
}

/// Bits of the upper half of an address in an IPv6 bucket, at most: start and class of a range are one word ([`word6`]).
pub const WORD_SHIFT6: u32 = 47;
/// The class in a word of an IPv6 range that is [`DEEP`]: the number of the deep entry stands in the classes of the two words in front
/// of it, its lower half first. They have the same start, and so are never found themselves. No class has this number.
pub const MARK_DEEP: u32 = 0xffff;

/// A range of the IPv6 table where buckets are small: `offset` is below 2^47, so a word is below 2^63, and two words are compared by the sign of
/// their difference.
#[inline(always)]
pub const fn word6(offset: u64, class: u16) -> u64 {
    offset << 16 | class as u64
}

/// The highest word of a range that starts at or before an address, given as its offset in the bucket. Behind the last bucket the
/// offset is larger than any.
#[inline(always)]
pub const fn key6(offset: u64) -> u64 {
    if offset >> WORD_SHIFT6 != 0 { u64::MAX >> 1 } else { offset << 16 | 0xffff }
}

/// How to find the bucket of an IPv4 address. Addresses below `base` have the class `below`, those behind the last bucket belong to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index4 {
    pub base: u32,
    pub shift: u32,
    /// Number of the last bucket.
    pub last: u32,
    /// Class of the addresses below `base`.
    pub below: u32,
}

/// The same for the upper 64 bits of an IPv6 address. `below` may have the bit [`DEEP`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index6 {
    pub base: u64,
    pub shift: u32,
    /// Number of the last bucket.
    pub last: u32,
    /// Class of the addresses below `base`.
    pub below: u32,
    pub padding: u32,
}

/// Drop nothing, count under "audit" what would have been dropped.
pub const MODE_AUDIT: u32 = 0;
/// Drop what is not allowed.
pub const MODE_ENFORCE: u32 = 1;

/// What of a policy is not in a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Counts up with each policy that was put in force.
    pub number: u64,
    pub index6: Index6,
    pub index4: Index4,
    /// Number of source classes: the length of a row of the cell table.
    pub stride: u32,
    /// Source classes from this one on are blocked: on a blocklist, or martian.
    pub first_blocked: u32,
    /// Source classes from this one on are martian (addresses of this server).
    pub first_martian: u32,
    /// [`MODE_AUDIT`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// Flows of another epoch are forgotten ([`crate::flow::Flow::epoch`]).
    pub flow_epoch: u32,
    /// Choices for kinds of packets: the bits of [`choice`].
    pub choices: u32,
    /// Limit of echo requests, an index into the table of limits; 0 is none.
    pub echo_limit: u32,
    /// Limit of packets a source, an index into the table of limits; 0 is none.
    pub packet_limit: u32,
    /// What egress does with a packet that no egress rule matches: 1 passes.
    pub egress_default: u32,
    pub padding: u32,
}

const _: () = assert!(size_of::<Generation>() == 88);

/// The one element of the map `ROOT`: which generation is in force.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// 0 or 1: where in each table the active generation stands. A flip is one store here.
    pub active: u32,
    /// Whether packets are sampled for events: [`SAMPLE_DROPS`], [`SAMPLE_PASSES`]. 0, when nobody watches, costs nothing more
    /// than this word, which is in the cache anyway.
    pub sampled: u32,
    /// 1 if the tracing programs of this instance count. While one instance replaces another, both are attached for a moment, and
    /// an event must be counted by one of them alone.
    pub observing: u32,
    pub padding: u32,
    pub generations: [Generation; GENERATIONS as usize],
}

/// In [`Root::sampled`]: tell of dropped packets, as far as [`crate::event::Sampling`] allows.
pub const SAMPLE_DROPS: u32 = 1;
/// In [`Root::sampled`]: tell of passed packets.
pub const SAMPLE_PASSES: u32 = 2;

/// Choices for kinds of packets: bits of [`Generation::choices`]. A set bit is the stricter choice, so that 0 is the default
/// of a fresh map only where dropping is.
pub mod choice {
    /// Drop every fragment (default: track the verdict of the first).
    pub const DROP_FRAGMENTS: u32 = 1 << 0;
    /// Drop every IPv4 packet with options (default: only source routes).
    pub const DROP_IPV4_OPTIONS: u32 = 1 << 1;
    /// Drop every IPv6 packet with an extension header other than a fragment header or a hop-by-hop header before MLD.
    pub const DROP_EXTENSION_HEADERS: u32 = 1 << 2;
    /// Drop echo requests (default: allowed, rate-limited).
    pub const DROP_ECHO: u32 = 1 << 3;
    /// Let combinations of TCP flags pass that no stack sends (default: drop).
    pub const PASS_INVALID_FLAGS: u32 = 1 << 4;
    /// Let sources pass that cannot exist on the wire (default: drop).
    pub const PASS_MARTIANS: u32 = 1 << 5;
    /// Drop all ICMP errors (default: pass those that concern a flow).
    pub const DROP_ICMP_ERRORS: u32 = 1 << 6;
    /// Let all ICMP errors pass, also those that concern no flow.
    pub const PASS_ICMP_ERRORS: u32 = 1 << 7;
    /// Drop router advertisements (default: pass from the link).
    pub const DROP_ROUTER_ADVERTISEMENTS: u32 = 1 << 8;
    /// Drop DHCP and DHCPv6 replies (default: pass).
    pub const DROP_DHCP: u32 = 1 << 9;
    /// Drop link control frames (default: pass).
    pub const DROP_LINK_CONTROL: u32 = 1 << 10;
    /// Drop multicast listener discovery (default: pass from the link).
    pub const DROP_MLD: u32 = 1 << 11;
}

/// What the loaded programs are able to do: bits of the constant `FEATURES`, set before load. The verifier removes the code
/// of absent features, so a policy must be served by programs that have at least its features.
pub mod feature {
    /// IPv4 sources are told apart: some list has an IPv4 entry.
    pub const SOURCES4: u32 = 1 << 0;
    /// IPv6 sources are told apart.
    pub const SOURCES6: u32 = 1 << 1;
    /// Some list has an IPv6 prefix longer than /64.
    pub const DEEP6: u32 = 1 << 2;
    /// Some source class is on a blocklist.
    pub const BLOCKED: u32 = 1 << 3;
    /// Some rule has a rate limit, or packets a source are limited.
    pub const LIMITS: u32 = 1 << 4;
    /// There are egress rules, or the egress default is to drop.
    pub const EGRESS: u32 = 1 << 5;
    /// HTTP in clear is observed on some port.
    pub const HTTP: u32 = 1 << 6;
    /// TLS is observed on some port.
    pub const TLS: u32 = 1 << 7;
    /// Something is observed, for which two programs more are attached to each interface.
    pub const OBSERVED: u32 = HTTP | TLS;
}

/// How large the tables of an instance are: elements of one generation. Set before load (`CAPACITIES`); a policy that needs
/// more gets a new instance.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacities {
    /// Buckets of `INDEX4`.
    pub index4: u32,
    /// Slots in `CLASSES4`.
    pub classes4: u32,
    /// Buckets of `INDEX6`.
    pub index6: u32,
    /// Words in `STARTS6`.
    pub ranges6: u32,
    /// Entries of `DEEP6`.
    pub deep6: u32,
    /// Ranges in `LOW_STARTS6` and `LOW_CLASSES6`.
    pub low6: u32,
    /// Cells in `CELLS`.
    pub cells: u32,
    /// Counters in `COUNTERS` and `EGRESS_COUNTERS`, of which each has a second half for audited packets.
    pub counters: u32,
}

/// How long the tables can become whose length depends on the policy: elements of both generations. That is nearly two million
/// prefixes of each version of IP without neighbours.
pub mod most {
    pub const INDEX4: usize = 1 << 19;
    pub const CLASSES4: usize = 1 << 24;
    pub const INDEX6: usize = 1 << 19;
    pub const STARTS6: usize = 1 << 23;
    pub const DEEP6: usize = 1 << 21;
    pub const LOW_STARTS6: usize = 1 << 22;
    pub const LOW_CLASSES6: usize = 1 << 22;
    pub const CELLS: usize = 1 << 22;
}

/// A token bucket's parameters. Tokens are scaled by [`Limit::SCALE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Scaled tokens added in each tick of the kernel's clock (jiffy).
    pub per_jiffy: u64,
    /// Scaled tokens that the bucket holds at most.
    pub burst: u64,
}

impl Limit {
    /// Scaled tokens that one packet or connection takes.
    pub const SCALE: u64 = 1 << 20;
}

const _: () = assert!(size_of::<Limit>() == 16);

/// Entries of one generation of the table of limits.
pub const LIMITS_LEN: u32 = Cell::MAX_LIMIT as u32 + 1;
