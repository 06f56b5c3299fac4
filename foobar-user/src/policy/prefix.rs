//! One prefix: an address and how many of its leading bits count.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::net::Net;

/// An IPv4 or IPv6 prefix in canonical form: no host bits. Text form: `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prefix {
    /// IPv4.
    V4(Net<u32>),
    /// IPv6.
    V6(Net<u128>),
}

/// A prefix as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedPrefix {
    /// In canonical form.
    pub prefix: Prefix,
    /// The text had bits set behind the prefix length, as in `10.0.0.5/8`; they were cleared.
    pub host_bits: bool,
}

/// A text that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PrefixError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Prefix {
    /// The prefix that holds one address only.
    pub fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Prefix::V4(Net { address: address.to_bits(), length: 32 }),
            IpAddr::V6(address) => Prefix::V6(Net { address: address.to_bits(), length: 128 }),
        }
    }

    /// The lowest address in it.
    pub fn address(&self) -> IpAddr {
        match self {
            Prefix::V4(net) => IpAddr::V4(Ipv4Addr::from_bits(net.address)),
            Prefix::V6(net) => IpAddr::V6(Ipv6Addr::from_bits(net.address)),
        }
    }

    /// How many leading bits count.
    pub fn length(&self) -> u8 {
        match self {
            Prefix::V4(net) => net.length,
            Prefix::V6(net) => net.length,
        }
    }

    /// Whether it is an IPv4 prefix.
    pub fn is_ipv4(&self) -> bool {
        matches!(self, Prefix::V4(_))
    }

    /// Whether the address is in it. IPv4 and IPv6 never mix, not even as IPv4-mapped addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.covers(&Prefix::host(address))
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Prefix) -> bool {
        match (self, other) {
            (Prefix::V4(this), Prefix::V4(other)) => this.covers(*other),
            (Prefix::V6(this), Prefix::V6(other)) => this.covers(*other),
            _ => false,
        }
    }

    /// Reads an IPv4 prefix that is written in canonical form, or an address; `None` says nothing about the text.
    #[inline]
    pub(super) fn canonical4(text: &[u8]) -> Option<Net<u32>> {
        let (address, length) = plain_ipv4(text)?;
        let net = Net::holding(address, length);
        (net.address == address).then_some(net)
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address, which stands for itself alone.
    pub fn parse(text: &str) -> Result<ParsedPrefix, PrefixError> {
        if let Some((address, length)) = plain_ipv4(text.as_bytes()) {
            let net = Net::holding(address, length);
            return Ok(ParsedPrefix { prefix: Prefix::V4(net), host_bits: net.address != address });
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(not_an_address(text, address));
        };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => bits,
            Some(length) => parse_length(text, address, length, bits)?,
        };
        let prefix = match address {
            IpAddr::V4(address) => Prefix::V4(Net::holding(address.to_bits(), length)),
            IpAddr::V6(address) => {
                if length >= 96
                    && let Some(inner) = address.to_ipv4_mapped()
                {
                    return Err(mapped(text, inner, length - 96));
                }
                Prefix::V6(Net::holding(address.to_bits(), length))
            }
        };
        Ok(ParsedPrefix { prefix, host_bits: prefix.address() != address })
    }
}

/// Address and length of a well-formed IPv4 prefix; `None` leaves the verdict to the parser of the standard library. Lists have
/// a million of these, and this takes a tenth of the time.
fn plain_ipv4(text: &[u8]) -> Option<(u32, u8)> {
    let mut rest = text;
    let mut address = 0;
    for octet in 0..4 {
        if octet > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let (number, behind) = number(rest)?;
        address = address << 8 | u32::from(u8::try_from(number).ok()?);
        rest = behind;
    }
    if rest.is_empty() {
        return Some((address, 32));
    }
    let (length, rest) = number(rest.strip_prefix(b"/")?)?;
    (length <= 32 && rest.is_empty()).then_some((address, length as u8))
}

/// A decimal number of one to three digits without a leading zero, and what follows it.
#[inline]
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    match digits {
        [] | [b'0', _, ..] | [_, _, _, _, ..] => None,
        _ => Some((
            digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')),
            rest,
        )),
    }
}

fn parse_length(text: &str, address: IpAddr, length: &str, bits: u8) -> Result<u8, PrefixError> {
    let digits_only = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse::<u8>() {
        Ok(length) if digits_only && length <= bits => Ok(length),
        _ if digits_only => Err(PrefixError {
            message: format!("the prefix length of \"{text}\" is too large"),
            help: format!("an {} prefix has at most {bits} bits", version(address)),
        }),
        _ => Err(PrefixError {
            message: format!("\"{text}\" has no prefix length behind the slash"),
            help: match length.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4()) {
                Some(mask) if mask.to_bits().leading_ones() == mask.to_bits().count_ones() => {
                    format!(
                        "a netmask is not understood; write \"{address}/{}\"",
                        mask.to_bits().leading_ones()
                    )
                }
                _ => format!(
                    "write \"{address}/{bits}\" for the single address, or a smaller number for a network"
                ),
            },
        }),
    }
}

fn version(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn not_an_address(text: &str, address: &str) -> PrefixError {
    let help = if address.is_empty() {
        "write an address or a prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\"".to_owned()
    } else if address.trim() != address {
        "remove the space around the address".to_owned()
    } else if let Some((address, _zone)) = address.split_once('%') {
        format!("remove the zone: write \"{address}\"")
    } else if address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        "an IPv4 address has four numbers from 0 to 255, without leading zeros, such as \"192.0.2.10\"".to_owned()
    } else if is_range(address) {
        "a range is not understood; write the prefixes that it consists of".to_owned()
    } else if address.contains(':') {
        "an IPv6 address looks like \"2001:db8::1\"".to_owned()
    } else {
        "names are not looked up; write the address or prefix itself".to_owned()
    };
    PrefixError { message: format!("\"{text}\" is not an IP address or prefix"), help }
}

fn is_range(text: &str) -> bool {
    let is_address = |part: &str| part.trim().parse::<IpAddr>().is_ok();
    text.split_once('-').is_some_and(|(first, last)| is_address(first) && is_address(last))
}

fn mapped(text: &str, inner: Ipv4Addr, length: u8) -> PrefixError {
    let inner = Prefix::V4(Net::holding(inner.to_bits(), length));
    PrefixError {
        message: format!(
            "\"{text}\" is an IPv4-mapped address, which no packet on the wire may carry"
        ),
        help: format!("write \"{inner}\""),
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// As [`Prefix::parse`]; host bits are cleared silently.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        Ok(Prefix::parse(text)?.prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: PrefixError| D::Error::custom(format!("{error}; {}", error.help)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_what_it_became() {
        for (text, canonical, host_bits) in [
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.0.0.5/8", "10.0.0.0/8", true),
            ("192.0.2.10", "192.0.2.10/32", false),
            ("0.0.0.0/0", "0.0.0.0/0", false),
            ("255.255.255.255", "255.255.255.255/32", false),
            ("1.2.3.4/0", "0.0.0.0/0", true),
            ("2001:DB8::/32", "2001:db8::/32", false),
            ("2001:db8::1", "2001:db8::1/128", false),
            ("2001:db8::1/64", "2001:db8::/64", true),
            ("2001:db8::8000:0:0:1/65", "2001:db8:0:0:8000::/65", true),
            ("::/0", "::/0", false),
            ("::ffff:0:0/95", "::fffe:0:0/95", true),
        ] {
            let parsed = Prefix::parse(text).unwrap();
            assert_eq!(
                (parsed.prefix.to_string().as_str(), parsed.host_bits),
                (canonical, host_bits),
                "{text}"
            );
            assert_eq!(canonical.parse::<Prefix>().unwrap(), parsed.prefix);
        }
    }

    #[test]
    fn refused_with_a_remedy() {
        for (text, help) in [
            ("", "write an address"),
            ("10.0.0", "four numbers"),
            ("010.0.0.1", "leading zeros"),
            ("10.0.0.0/33", "at most 32"),
            ("10.0.0.0/999", "at most 32"),
            ("2001:db8::/129", "at most 128"),
            ("10.0.0.0/", "10.0.0.0/32"),
            ("10.0.0.0/+8", "10.0.0.0/32"),
            ("10.0.0.0/255.0.0.0", "\"10.0.0.0/8\""),
            ("10.0.0.0/255.0.255.0", "10.0.0.0/32"),
            ("fe80::1%eth0", "\"fe80::1\""),
            ("::ffff:192.0.2.1", "\"192.0.2.1/32\""),
            ("::ffff:10.0.0.0/104", "\"10.0.0.0/8\""),
            ("example.com", "names are not looked up"),
            ("10.0.0.1-10.0.0.9", "a range is not understood"),
            ("2001:db8::1-2001:db8::9", "a range is not understood"),
            ("2001:db8:::1", "looks like"),
            (" 10.0.0.1", "remove the space"),
        ] {
            let error = Prefix::parse(text).unwrap_err();
            assert!(error.help.contains(help), "{text}: {error} / {}", error.help);
        }
    }
}
