//! Lists, flows, programs, policy and configuration.

use super::site;
use super::text::page;
use crate::metrics::{List, Snapshot};

#[test]
fn lists_are_shown_by_ip_version() {
    let mut snapshot = site::three_ports();
    snapshot.lists[0] = List {
        name: "admins".into(),
        entries_v4: 3,
        entries_v6: 0,
        capacity_v4: 100,
        capacity_v6: 50,
    };
    let page = page(&snapshot);
    let of = |name, ip_version| page.value(name, &[("list", "admins"), ("ip_version", ip_version)]);
    assert_eq!(of("foobar_list_entries", "4"), Some(3.0));
    assert_eq!(of("foobar_list_entries", "6"), Some(0.0));
    assert_eq!(of("foobar_list_capacity", "4"), Some(100.0));
    assert_eq!(of("foobar_list_capacity", "6"), Some(50.0));
    assert_eq!(page.value("foobar_flow_table_entries", &[]), Some(12.0));
    assert_eq!(page.value("foobar_flow_table_max_entries", &[]), Some(131_072.0));
}

#[test]
fn programs_are_shown_where_they_are_attached() {
    let mut snapshot = site::three_ports();
    snapshot.attachments[0].attached = false;
    let page = page(&snapshot);
    let attached = |program, interface| {
        page.value("foobar_bpf_program_attached", &[("program", program), ("interface", interface)])
    };
    assert_eq!(attached("ingress", "eth0"), Some(0.0));
    assert_eq!(attached("egress", "eth0"), Some(1.0));
    assert_eq!(attached("sock_state", ""), Some(1.0));
    let info = [("program", "ingress"), ("interface", "eth0"), ("attach_mode", "native")];
    assert_eq!(page.value("foobar_bpf_program_info", &info), Some(1.0));
}

#[test]
fn policy_and_configuration_tell_their_state() {
    let page = page(&site::three_ports());
    assert_eq!(page.value("foobar_policy_generation", &[]), Some(7.0));
    assert_eq!(
        page.value("foobar_policy_last_apply_timestamp_seconds", &[]),
        Some(1_700_000_000.5)
    );
    assert_eq!(page.value("foobar_policy_enforcing", &[]), Some(1.0));
    assert_eq!(page.value("foobar_config_last_reload_successful", &[]), Some(1.0));
    assert_eq!(
        page.value("foobar_config_last_reload_success_timestamp_seconds", &[]),
        Some(1_700_000_000.0)
    );
    assert_eq!(page.value("foobar_state_last_write_successful", &[]), Some(1.0));
    let build = [("version", "0.1.0"), ("revision", "0123456789ab")];
    assert_eq!(page.value("foobar_build_info", &build), Some(1.0));
    assert_eq!(page.value("foobar_bpf_map_update_failures_total", &[("map", "policy")]), Some(0.0));
    assert_eq!(page.value("foobar_events_lost_total", &[("buffer", "events")]), Some(0.0));
}

#[test]
fn before_the_first_policy_the_page_is_whole() {
    let page = page(&Snapshot::default());
    assert_eq!(page.value("foobar_policy_last_apply_timestamp_seconds", &[]), Some(0.0));
    assert_eq!(page.value("foobar_config_last_reload_successful", &[]), Some(0.0));
    assert_eq!(page.value("foobar_connections_open", &[("port", "other")]), Some(0.0));
}
