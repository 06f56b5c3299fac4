//! ICMP and ICMPv6.

use std::net::IpAddr;

use super::{
    IcmpErrors, Model, Opinion,
    Opinion::{Drop, Either, Pass},
    memory::{Known, Tuple},
    read::{Datagram, quoted},
};

pub(super) fn judge(model: &mut Model, datagram: &Datagram<'_>, now: u64) -> Opinion {
    let [kind, _, _, _, high, low, _, _, ref body @ ..] = *datagram.payload else {
        return Drop(datagram.too_short());
    };
    if model.policy.allows(datagram.icmp(), None, datagram.source) {
        return Pass("rule");
    }
    let choices = model.policy.choices;
    let (is_link_local, is_unspecified) = match datagram.source {
        IpAddr::V4(address) => (false, address.is_unspecified()),
        IpAddr::V6(address) => (address.is_unicast_link_local(), address.is_unspecified()),
    };
    let on_link = datagram.hop_limit == 255 && datagram.fragment.is_whole();
    match (datagram.is_v6(), kind) {
        (false, 8) | (true, 128) if choices.drop_echo => Drop("disabled"),
        (false, 8) | (true, 128) => Pass("echo_request"),
        (false, 0) | (true, 129) => {
            let tuple = Tuple {
                protocol: datagram.icmp(),
                local: datagram.destination,
                local_port: u16::from_be_bytes([high, low]),
                remote: datagram.source,
                remote_port: 0,
            };
            match model.memory.knows(&tuple, now) {
                Known::Yes if model.policy.refuses(datagram.source) => Drop("blocklist"),
                Known::Yes => {
                    model.memory.answered(&tuple, false, now);
                    Pass("reply")
                }
                Known::No => Drop("unsolicited"),
                Known::Perhaps => {
                    model.memory.perhaps_answered(&tuple);
                    Either("a flow at the end of its time")
                }
            }
        }
        (false, 3 | 11 | 12) | (true, 1..=4) => match choices.icmp_errors {
            IcmpErrors::Drop => Drop("disabled"),
            IcmpErrors::All => Pass("icmp_error"),
            IcmpErrors::Related => error(model, datagram, body, now),
        },
        (true, 133 | 135 | 136) if on_link => Pass("neighbor_discovery"),
        (true, 133..=136) if !on_link => Drop("not_on_link"),
        (true, 134) if choices.drop_router_advertisements => Drop("disabled"),
        (true, 134) if is_link_local => Pass("neighbor_discovery"),
        (true, 134) => Drop("not_on_link"),
        (true, 130..=132 | 143) if choices.drop_mld => Drop("disabled"),
        (true, 130..=132 | 143) => {
            let may_ask = is_link_local || is_unspecified && kind != 130;
            if datagram.hop_limit == 1 && may_ask { Pass("mld") } else { Drop("not_on_link") }
        }
        _ => Drop("icmp_type"),
    }
}

/// An error passes if the packet that it quotes may have been sent by this server.
fn error(model: &Model, datagram: &Datagram<'_>, body: &[u8], now: u64) -> Opinion {
    let Some(quoted) = quoted(body, datagram.destination) else { return Drop("icmp_unrelated") };
    let tuple = Tuple {
        protocol: quoted.protocol,
        local: datagram.destination,
        local_port: quoted.local_port,
        remote: quoted.remote,
        remote_port: quoted.remote_port,
    };
    let is_served = quoted.protocol != datagram.icmp()
        && model.policy.admits(quoted.protocol, Some(quoted.local_port), quoted.remote).is_ok();
    match model.memory.knows(&tuple, now) {
        _ if is_served && model.policy.is_own(quoted.remote) => {
            Either("own addresses are looked up only where sources are")
        }
        _ if is_served => Pass("icmp_error"),
        Known::Yes => Pass("icmp_error"),
        Known::No => Drop("icmp_unrelated"),
        Known::Perhaps => Either("a flow at the end of its time"),
    }
}
