//! What configurations mean, and what is noted about them.

use std::{fs, path::Path, time::Duration};

use super::{
    super::{
        Allow, Choice, Echo, Fragments, IcmpErrors, Interfaces, Observed, ObservedProtocol, Period,
        Rate, Requests, StatusAddress,
    },
    *,
};
use crate::policy::{
    lists::ListKind,
    model::{Action, Mode, Peers},
    protocol::{PortRange, Protocol},
};

fn notes(text: &str) -> Vec<(u32, String)> {
    parse(text).unwrap().notes.into_iter().map(|note| (note.line, note.message)).collect()
}

#[test]
fn the_shortest_file_lets_nobody_in_and_everything_out() {
    let Loaded { config, notes, .. } = parse("mode = \"enforce\"").unwrap();
    assert!(notes.is_empty());
    assert_eq!((config.interfaces, config.mode), (Interfaces::Default, Mode::Enforce));
    assert_eq!(config.metrics.listen.unwrap().to_string(), "127.0.0.1:9898");
    assert!(config.rules.is_empty() && config.lists.is_empty() && !config.egress.is_active());
    assert_eq!(config.choices.bits(), 0);
    assert_eq!(config.choices.echo.to_string(), "100/s (burst 200)");
    assert!(config.observe.is_empty(), "no rule lets anybody in");
    assert_eq!(config.log.drops.unwrap().to_string(), "10/s");
}

#[test]
fn a_file_without_anything_is_no_policy() {
    for text in ["", "\n\n", "# the policy\n"] {
        let error = parse(text).expect_err("it would close every port");
        assert!(error.to_string().contains("nothing in the configuration"), "{error}");
    }
}

#[test]
fn everything_that_can_be_said() {
    let text = r#"
        interfaces = ["eth0", "wg*", "eth0"]
        mode = "audit"
        [metrics]
        listen = "[::1]:9000"
        ports = [443, 80, 443]
        [allowlists.admins]
        entries = ["198.51.100.0/24", "2001:db8:ad::/48"]
        [blocklists.abuse]
        entries = ["203.0.113.0/24"]
        [[rules]]
        name = "web"
        ports = [443, 80, "8000-8099", "8050-8200"]
        protocols = ["tcp", "udp"]
        from = "any"
        limit = { per_source = "20/s", burst = 40 }
        [[rules]]
        name = "tunnel"
        protocols = ["gre", 50]
        from = ["admins", "admins"]
        [egress]
        default = "deny"
        [[egress.rules]]
        name = "dns"
        protocols = ["udp"]
        ports = [53]
        action = "allow"
        [[egress.rules]]
        name = "no-abuse"
        to = ["abuse"]
        action = "deny"
        [[egress.rules]]
        name = "smtp"
        ports = [25]
        action = "deny"
        [limits]
        packets_per_source = "10000/s"
        [choices]
        fragments = "drop"
        echo = { rate = "5/m", burst = 3 }
        invalid_flags = "pass"
        icmp_errors = "all"
        mld = "drop"
        [flows]
        max_entries = 4096
        tcp_idle = "2h"
        udp_idle = "90s"
        [[observe]]
        port = 8080
        protocol = "http"
        status = "http://[::1]:8081/server-status?auto"
        [[observe]]
        port = 8443
        protocol = "https"
        server_names = ["WWW.foobar.com", "foobar.com"]
        requests = "haproxy-status"
        status = "unix:/run/haproxy/admin.sock"
        frontend = "www"
        [[observe]]
        port = 443
        protocol = "https"
        [[observe]]
        port = 80
        protocol = "http"
        requests = "nginx-probe"
        [[observe]]
        port = 4433
        protocol = "https"
        requests = "apache-probe"
        program = "/opt/httpd/bin/httpd"
        status = "http://127.0.0.1:8081/server-status?auto"
        [[observe]]
        port = 5432
        protocol = "tcp"
        [log]
        drops = 0
    "#;
    let Loaded { config, notes, .. } = parse(text).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(config.interfaces, Interfaces::Patterns(vec!["eth0".into(), "wg*".into()]));
    assert_eq!(config.mode, Mode::Audit);
    assert_eq!(config.metrics.ports, Some(vec![443, 80]));
    assert_eq!(config.named_ports(), [443, 80, 8080, 8443, 4433]);
    let lists: Vec<_> = config
        .lists
        .iter()
        .map(|list| (list.kind, list.name.as_str(), list.entries.len()))
        .collect();
    assert_eq!(lists, [(ListKind::Block, "abuse", 1), (ListKind::Allow, "admins", 2)]);

    let [web, tunnel] = &config.rules[..] else { panic!("{:?}", config.rules) };
    assert_eq!(web.protocols, [Protocol::TCP, Protocol::UDP]);
    let range = |first, last| PortRange { first, last };
    assert_eq!(web.ports, [range(80, 80), range(443, 443), range(8000, 8200)]);
    assert_eq!(web.from, Peers::Any);
    assert_eq!(web.limit.unwrap().to_string(), "20/s (burst 40)");
    assert_eq!((&tunnel.protocols[..], tunnel.ports.len()), (&[Protocol(47), Protocol(50)][..], 0));
    assert_eq!(tunnel.from, Peers::Lists(vec!["admins".into()]));

    assert_eq!(config.egress.default, Action::Deny);
    let [dns, abuse, smtp] = &config.egress.rules[..] else { panic!("{:?}", config.egress) };
    assert_eq!(
        (&dns.to, &dns.protocols[..], dns.action),
        (&Peers::Any, &[Protocol::UDP][..], Action::Allow)
    );
    assert_eq!(
        (&abuse.to, abuse.protocols.len(), abuse.ports.len()),
        (&Peers::Lists(vec!["abuse".into()]), 0, 0)
    );
    assert_eq!(smtp.protocols, [Protocol::TCP], "ports alone mean TCP, as in the other rules");

    let packets = config.limits.packets_per_source.unwrap();
    assert_eq!(
        (packets.rate, packets.burst),
        (Rate { count: 10000, period: Period::Second }, 10000)
    );
    assert_eq!(
        (config.choices.fragments, config.choices.invalid_flags),
        (Fragments::Drop, Choice::Pass)
    );
    assert_eq!((config.choices.icmp_errors, config.choices.mld), (IcmpErrors::All, Allow::Drop));
    assert_eq!((config.choices.dhcp, config.choices.martians), (Allow::Allow, Choice::Drop));
    assert!(
        matches!(config.choices.echo, Echo::Limited(limit) if limit.to_string() == "5/m (burst 3)")
    );
    assert_eq!(
        (config.flows.max_entries, config.flows.tcp_idle),
        (4096, Duration::from_secs(7200))
    );
    assert_eq!(config.flows.udp_idle, Duration::from_secs(90));
    let [http, https, turns, nginx, apache, tcp] = &config.observe[..] else {
        panic!("{:?}", config.observe)
    };
    assert_eq!((http.port, http.requests), (8080, Requests::Wire));
    let page = http.status.as_ref().unwrap();
    assert_eq!(page.address.to_string(), "http://[::1]:8081/server-status?auto");
    assert_eq!(https.server_names, ["www.foobar.com", "foobar.com"]);
    assert_eq!(https.requests, Requests::HaproxyStatus);
    let page = https.status.as_ref().unwrap();
    assert_eq!(page.address, StatusAddress::Unix("/run/haproxy/admin.sock".into()));
    assert_eq!(page.frontend.as_deref(), Some("www"));
    assert_eq!(turns.requests, Requests::Turns);
    let program = |observed: &Observed| observed.program.clone().unwrap();
    assert_eq!((nginx.requests, program(nginx)), (Requests::NginxProbe, "/usr/sbin/nginx".into()));
    assert_eq!(nginx.flags(), 0, "nothing is read off the packets");
    assert_eq!(program(apache), Path::new("/opt/httpd/bin/httpd"));
    assert!(apache.status.is_some() && turns.program.is_none());
    assert_eq!(*tcp, Observed::new(5432, ObservedProtocol::Tcp));
    assert_eq!(tcp.requests, Requests::Off);
    assert_eq!(config.log.drops, None);
}

#[test]
fn entries_of_the_configuration_and_of_a_file_add_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lists")).unwrap();
    fs::write(
        folder.path().join("lists/abuse.txt"),
        "10.0.0.1\n10.0.0.2 # again\n203.0.113.7/24\n",
    )
    .unwrap();
    let path = folder.path().join("foobar.toml");
    fs::write(&path, "[blocklists.abuse]\nentries = [\"10.0.0.1\", \"2001:db8::1/32\"]\nfile = \"lists/abuse.txt\"\n").unwrap();
    let Loaded { config, notes, .. } = Config::load(&path).unwrap();
    assert_eq!(
        config.lists[0].entries.to_text(),
        "10.0.0.1/32\n10.0.0.2/32\n203.0.113.0/24\n2001:db8::/32\n"
    );
    assert_eq!(config.lists[0].file.as_deref(), Some(&*folder.path().join("lists/abuse.txt")));
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 2);
    assert!(notes[0].ends_with("foobar.toml:2:24: note: \"2001:db8::1/32\" became 2001:db8::/32: the bits behind the prefix length do not count"));
    assert!(notes[1].contains("abuse.txt:3:1: note: \"203.0.113.7/24\" became 203.0.113.0/24"));
}

#[test]
fn ports_that_are_named_by_themselves() {
    let rule = |name: &str, ports: &str| {
        format!("[[rules]]\nname = \"{name}\"\nports = {ports}\nfrom = \"any\"\n")
    };
    let named = |text: &str| parse(text).unwrap().config.named_ports();
    assert_eq!(
        named(&(rule("a", "[22]") + &rule("b", "[443, 80, \"8000-8001\"]"))),
        [80, 443, 22, 8000, 8001],
        "observed ones first"
    );
    let text = rule("all", "[\"1-65535\"]") + &rule("b", "[22]");
    assert_eq!(
        named(&text),
        [80, 443, 22],
        "a range that does not fit takes no single port's place"
    );
    assert!(notes(&text).iter().any(|(_, note)| note.contains("more than 16 ports are named")));
    let text = "[metrics]\nports = [25]\n".to_owned() + &text;
    assert_eq!(named(&text), [25, 80, 443], "observed ports are always told apart");
    assert!(!notes(&text).iter().any(|(_, note)| note.contains("more than 16")));
    let many: Vec<_> = (1..=20).map(|port| port.to_string()).collect();
    assert_eq!(named(&rule("a", &format!("[{}]", many.join(", ")))), (1..=16).collect::<Vec<_>>());
}

#[test]
fn rules_that_do_less_or_more_than_they_seem_to_are_noted() {
    let text = r#"
[allowlists.admins]
[allowlists.ops]
[allowlists.nobody]
[[rules]]
name = "open"
ports = ["80-90"]
from = "any"
[[rules]]
name = "late"
ports = [85]
from = ["admins"]
[[rules]]
name = "staff"
ports = [22]
from = ["admins", "ops"]
[[rules]]
name = "part"
ports = [22, 23]
from = ["ops"]
[[rules]]
name = "other"
protocols = ["udp"]
ports = [85]
from = ["ops"]
[[rules]]
name = "ops"
ports = [22]
from = ["ops"]
[[rules]]
name = "wide"
protocols = ["udp"]
ports = ["30000-40000"]
from = "any"
"#;
    let found = notes(text);
    let expected = [
        (0, "more than 16 ports are named"),
        (4, "no rule names the allowlist \"nobody\""),
        (10, "rule \"late\" is never reached: \"open\" before it"),
        (27, "rule \"ops\" is never reached: \"staff\" and \"part\" before it"),
        (31, "rule \"wide\" serves ports from which this server opens connections"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((line, message), (expected_line, expected)) in found.iter().zip(expected) {
        assert_eq!(*line, expected_line, "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

/// The example as it is, and with everything uncommented that it says are the defaults.
#[test]
fn the_example_configuration() {
    let example = include_str!("../../../../../deploy/foobar.example.toml");
    let Loaded { config, notes, .. } = parse(example).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!((config.mode, &config.interfaces), (Mode::Audit, &Interfaces::Default));
    let names: Vec<_> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["web", "http3", "ssh", "mysql"]);

    let (head, tail) = example.split_once("# What follows are the defaults").unwrap();
    let is_setting =
        |line: &&str| line.starts_with("# [") || line.starts_with("# ") && line.contains(" = ");
    let uncommented: Vec<_> = tail.lines().filter(is_setting).map(|line| &line[2..]).collect();
    let full = parse(&format!("{head}\n{}", uncommented.join("\n"))).unwrap().config;
    assert_eq!(full.choices, config.choices);
    assert_eq!(full.flows, config.flows);
    assert_eq!(full.log, config.log);
    assert_eq!(full.egress.default, config.egress.default);
}
