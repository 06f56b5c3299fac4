//! One row for each mistake: where it is reported, what is said, and what to do about it.
//!
//! Long because it is one table, in the order of the configuration.

use std::path::Path;

use super::*;
use crate::policy::diagnostic::Severity;

struct Row {
    text: &'static str,
    line: u32,
    column: u32,
    message: &'static str,
    help: &'static str,
}

const fn row(
    text: &'static str,
    line: u32,
    column: u32,
    message: &'static str,
    help: &'static str,
) -> Row {
    Row { text, line, column, message, help }
}

/// The start of a rule that has all it needs but ports.
macro_rules! rule {
    ($rest:literal) => {
        concat!("[[rules]]\nname = \"r\"\nfrom = \"any\"\n", $rest)
    };
}

/// A port that speaks https, and more about it.
macro_rules! https {
    ($rest:literal) => {
        concat!("[[observe]]\nport = 443\nprotocol = \"https\"\n", $rest)
    };
}

const ROWS: &[Row] = &[
    // Syntax.
    row("mode = audit", 1, 8, "this is not TOML", "strings need quotes"),
    row("mode = \"audit\"\n[metrics\n", 2, 9, "this is not TOML", "toml.io"),
    row("mode = \"audit\"\nmode = \"audit\"", 2, 1, "duplicate key", "toml.io"),
    // Keys and words.
    row("mod = \"audit\"", 1, 1, "unknown key `mod` in the configuration", "did you mean `mode`?"),
    row("zzz = 1", 1, 1, "unknown key `zzz`", "known keys are `interfaces`, `mode`"),
    row(
        "[metrics]\nlisten = \"off\"\nport = [80]",
        3,
        1,
        "unknown key `port` in [metrics]",
        "did you mean `ports`?",
    ),
    row(
        "[allowlists.a]\nentry = []",
        2,
        1,
        "unknown key `entry` in [allowlists.a]",
        "did you mean `entries`?",
    ),
    row(
        rule!("ports = [1]\nlimits = 1"),
        5,
        1,
        "unknown key `limits` in [[rules]]",
        "did you mean `limit`?",
    ),
    row("mode = \"auditt\"", 1, 8, "`mode` cannot be \"auditt\"", "did you mean \"audit\"?"),
    row("mode = \"off\"", 1, 8, "`mode` cannot be \"off\"", "\"enforce\" or \"audit\""),
    row("mode = 1", 1, 8, "`mode` must be a string, not an integer", "\"enforce\""),
    row("metrics = 5", 1, 11, "[metrics] must be a table, not an integer", "[metrics]"),
    row("[rules]\nname = \"x\"", 1, 1, "[rules] must be an array of tables", "[[rules]]"),
    row("rules = 5", 1, 9, "`rules` must be an array of tables, not an integer", "[[rules]]"),
    row("rules = [5]", 1, 10, "[[rules]] must be a table, not an integer", "[[rules]]"),
    row(
        "[choices]\nfragments = \"pass\"",
        2,
        13,
        "`fragments` cannot be \"pass\"",
        "\"track\" or \"drop\"",
    ),
    row("[choices]\necho = \"allow\"", 2, 8, "`echo` is neither", "echo = \"drop\""),
    row(
        "[choices]\necho = { rate = \"1/s\", bursts = 2 }",
        2,
        24,
        "unknown key `bursts` in `echo` of [choices]",
        "`burst`",
    ),
    // Interfaces and listener.
    row("interfaces = []", 1, 14, "names no interface", "\"default\""),
    row(
        "interfaces = [\"eth0\", \"default\"]",
        1,
        23,
        "\"default\" stands by itself",
        "names only",
    ),
    row(
        "interfaces = [\"a-name-that-is-long\"]",
        1,
        15,
        "cannot be the name of an interface",
        "ip link",
    ),
    row("interfaces = 5", 1, 14, "`interfaces` must be an array, not an integer", "\"default\""),
    row(
        "[metrics]\nlisten = \"9898\"",
        2,
        10,
        "\"9898\" is no address to listen on",
        "127.0.0.1:9898",
    ),
    row("[metrics]\nlisten = \"localhost:9898\"", 2, 10, "is no address to listen on", "\"off\""),
    row("[metrics]\nports = [0]", 2, 10, "port 0 cannot be served", "1 to 65535"),
    row("[metrics]\nports = [\"1-2\"]", 2, 10, "one port, not the range 1-2", "by itself"),
    row(
        "[metrics]\nports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
        2,
        9,
        "17 ports are named here, at most 16",
        "\"other\"",
    ),
    // Lists.
    row(
        "[allowlists.a]\nentries = [\"10.0.0.0/33\"]",
        2,
        12,
        "prefix length of \"10.0.0.0/33\" is too large",
        "at most 32",
    ),
    row(
        "[allowlists.a]\nentries = [\"1.2.3.4\",\n  \"host.example\"]",
        3,
        3,
        "\"host.example\" is not an IP address",
        "names are not looked up",
    ),
    row("[allowlists.a]\nentries = [\"::ffff:10.0.0.1\"]", 2, 12, "IPv4-mapped", "\"10.0.0.1/32\""),
    row(
        "[allowlists.a]\nentries = [7]",
        2,
        12,
        "an entry must be a string, not an integer",
        "entries = [",
    ),
    row(
        "[allowlists.a]\nentries = \"10.0.0.1\"",
        2,
        11,
        "`entries` must be an array, not a string",
        "entries = [",
    ),
    row(
        "[allowlists.\"a b\"]\nentries = []",
        1,
        13,
        "\"a b\" cannot be the name of a list",
        "letters, digits",
    ),
    row(
        "[allowlists.any]\nentries = []",
        1,
        13,
        "\"any\" cannot be the name of a list",
        "meaning of its own",
    ),
    row("[allowlists.\"\"]\nentries = []", 1, 13, "\"\" cannot be the name", "1 to 64"),
    row("[allowlists]\na = 5", 2, 5, "[allowlists.a] must be a table", "[allowlists.a]"),
    row(
        "[allowlists.a]\nentries = []\n[blocklists.a]\nentries = []",
        3,
        13,
        "\"a\" is the name of an allowlist and of a blocklist",
        "another name",
    ),
    row(
        "[allowlists.a]\nfile = \"no/such/file.txt\"",
        2,
        8,
        "cannot read the list file no/such/file.txt",
        "relative to the folder",
    ),
    row("[allowlists.a]\nfile = \"/\"", 2, 8, "it is not a regular file", "correct the path"),
    row("[allowlists.a]\nfile = 1", 2, 8, "`file` must be a string", "abuse.txt"),
    // Ports.
    row(rule!("ports = [0]"), 4, 10, "port 0 cannot be served", "1 to 65535"),
    row(rule!("ports = [80, \"0-10\"]"), 4, 14, "port 0 cannot be served", "1 to 65535"),
    row(rule!("ports = [65536]"), 4, 10, "65536 is no port", "1 to 65535"),
    row(rule!("ports = [-1]"), 4, 10, "-1 is no port", "1 to 65535"),
    row(
        rule!("ports = [\"8099-8000\"]"),
        4,
        10,
        "the range \"8099-8000\" is upside down",
        "\"8000-8099\"",
    ),
    row(rule!("ports = [\"http\"]"), 4, 10, "\"http\" is no port", "services are not looked up"),
    row(rule!("ports = [\"80:90\"]"), 4, 10, "\"80:90\" is no port", "write a number such as 443"),
    row(rule!("ports = [8.5]"), 4, 10, "must be a number or a range, not a float", "443"),
    row(rule!("ports = 80"), 4, 9, "`ports` must be an array, not an integer", "ports = [80"),
    row(rule!("ports = []"), 4, 9, "`ports` names no port", "ports = [80"),
    row(rule!(""), 1, 1, "[[rules]] has no `ports`", "ports = [443]"),
    // Rules.
    row(
        "[[rules]]\nports = [80]\nfrom = \"any\"",
        1,
        1,
        "[[rules]] has no `name`",
        "name = \"web\"",
    ),
    row("[[rules]]\nports = [80]\nname = \"w\"", 1, 1, "[[rules]] has no `from`", "from = \"any\""),
    row(
        "[[rules]]\nname = \"a/b\"\nports = [80]\nfrom = \"any\"",
        2,
        8,
        "\"a/b\" cannot be the name of a rule",
        "letters, digits",
    ),
    row(
        "[[rules]]\nname = \"w\"\nports = [80]\nfrom = \"any\"\n[[rules]]\nname = \"w\"\nports = [81]\nfrom = \"any\"",
        6,
        8,
        "two rules of the name \"w\"",
        "on line 2",
    ),
    row(
        "[[rules]]\nname = \"w\"\nports = [80]\nfrom = \"any\"\n[[egress.rules]]\nname = \"w\"\naction = \"deny\"",
        6,
        8,
        "two rules of the name \"w\"",
        "on line 2",
    ),
    row(
        "[allowlists.admins]\n[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"admin\"]",
        5,
        9,
        "there is no list \"admin\"",
        "did you mean \"admins\"?",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"ops\"]",
        4,
        9,
        "there is no list \"ops\"",
        "add [allowlists.ops]",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"192.0.2.0/24\"]",
        4,
        9,
        "`from` names lists, and \"192.0.2.0/24\" is an address or prefix",
        "entries = [\"192.0.2.0/24\"]",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = \"2001:db8::1\"",
        4,
        8,
        "`from` names lists, and \"2001:db8::1\" is an address or prefix",
        "from = [\"admins\"]",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"office.example\"]",
        4,
        9,
        "there is no list \"office.example\"",
        "a name consists of letters, digits",
    ),
    row(
        "[blocklists.bad]\n[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"bad\"]",
        5,
        9,
        "\"bad\" is a blocklist",
        "blocklists are applied before all rules",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = []",
        4,
        8,
        "`from` names nobody",
        "from = \"any\"",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = \"admins\"",
        4,
        8,
        "`from` cannot be \"admins\"",
        "from = [\"admins\"]",
    ),
    row(
        "[[rules]]\nname = \"s\"\nports = [22]\nfrom = [\"any\"]",
        4,
        9,
        "\"any\" is no list",
        "without brackets",
    ),
    row(
        rule!("ports = [1]\nprotocols = [\"tpc\"]"),
        5,
        14,
        "unknown protocol \"tpc\"",
        "did you mean \"tcp\"?",
    ),
    row(
        rule!("ports = [1]\nprotocols = [300]"),
        5,
        14,
        "unknown protocol \"300\"",
        "a name (tcp, udp",
    ),
    row(
        rule!("ports = [1]\nprotocols = []"),
        5,
        13,
        "`protocols` names no protocol",
        "a name (tcp, udp",
    ),
    row(rule!("ports = [1]\nprotocols = [\"gre\"]"), 4, 9, "gre has no ports", "leave `ports` out"),
    row(
        rule!("ports = [1]\nprotocols = [\"tcp\", \"gre\"]"),
        5,
        13,
        "stand in one rule",
        "a rule each",
    ),
    row(
        rule!("protocols = [44]"),
        4,
        14,
        "44 is a header in front of what a packet carries",
        "extension_headers",
    ),
    row(
        rule!("protocols = [\"ah\"]"),
        4,
        14,
        "ah is a header in front of what",
        "what comes behind it",
    ),
    // Limits, times, numbers.
    row(
        rule!("ports = [1]\nlimit = \"20/s\""),
        5,
        9,
        "`limit` must be a table, not a string",
        "per_source",
    ),
    row(
        rule!("ports = [1]\nlimit = { burst = 4 }"),
        5,
        9,
        "`limit` of [[rules]] has no `per_source`",
        "per_source = \"20/s\"",
    ),
    row(
        rule!("ports = [1]\nlimit = { per_source = \"20\" }"),
        5,
        24,
        "`per_source`: \"20\" is no rate",
        "\"20/s\"",
    ),
    row(
        rule!("ports = [1]\nlimit = { per_source = \"20/h\" }"),
        5,
        24,
        "\"20/h\" is no rate",
        "\"30/m\"",
    ),
    row(
        rule!("ports = [1]\nlimit = { per_source = \"0/s\" }"),
        5,
        24,
        "lets nothing through",
        "at least 1",
    ),
    row(
        rule!("ports = [1]\nlimit = { per_source = \"99999999/s\" }"),
        5,
        24,
        "is too high",
        "at most 10000000",
    ),
    row(
        rule!("ports = [1]\nlimit = { per_source = \"1/s\", burst = 0 }"),
        5,
        39,
        "0 is out of bounds",
        "from 1 to",
    ),
    row(
        "[limits]\nburst = 5",
        2,
        9,
        "`burst` says nothing without `packets_per_source`",
        "packets_per_source =",
    ),
    row("[flows]\nmax_entries = 1", 2, 15, "`max_entries`: 1 is out of bounds", "from 1024 to"),
    row(
        "[flows]\nmax_entries = \"many\"",
        2,
        15,
        "`max_entries` must be a number, not a string",
        "from 1024 to",
    ),
    row("[flows]\ntcp_idle = \"5\"", 2, 12, "`tcp_idle`: \"5\" is no time", "\"5m\""),
    row("[flows]\nudp_idle = \"0s\"", 2, 12, "`udp_idle`: \"0s\" is no time at all", "\"1s\""),
    row("[log]\ndrops = \"many\"", 2, 9, "`drops`: \"many\" is no rate", "\"off\" stands for none"),
    row("[log]\ndrops = false", 2, 9, "`drops` must be a string, not a boolean", "\"off\""),
    row("[log]\ndrops = \"0/s\"", 2, 9, "lets nothing through", "\"off\" stands for none"),
    row("[reload]\nwatch = \"yes\"", 2, 9, "`watch` must be true or false", "without quotes"),
    // Egress and observing.
    row(
        "[egress]\ndefault = \"drop\"",
        2,
        11,
        "`default` cannot be \"drop\"",
        "\"allow\" or \"deny\"",
    ),
    row(
        "[[egress.rules]]\nname = \"o\"",
        1,
        1,
        "[[egress.rules]] has no `action`",
        "action = \"deny\"",
    ),
    row(
        "[[egress.rules]]\nname = \"o\"\naction = \"deny\"\nto = [\"x\"]",
        4,
        7,
        "there is no list \"x\"",
        "add [allowlists.x]",
    ),
    row(
        "[[egress.rules]]\nname = \"o\"\naction = \"deny\"\nports = [1]\nprotocols = [\"esp\"]",
        4,
        9,
        "esp has no ports",
        "leave `ports` out",
    ),
    row("[[observe]]\nprotocol = \"http\"", 1, 1, "[[observe]] has no `port`", "port = 8080"),
    row("[[observe]]\nport = 80", 1, 1, "[[observe]] has no `protocol`", "protocol = \"http\""),
    row(
        "[[observe]]\nport = 80\nprotocol = \"htp\"",
        3,
        12,
        "`protocol` cannot be \"htp\"",
        "did you mean \"http\"?",
    ),
    row(
        "[[observe]]\nport = 80\nprotocol = \"http\"\n[[observe]]\nport = 80\nprotocol = \"tcp\"",
        5,
        8,
        "port 80 is observed twice",
        "one [[observe]]",
    ),
    // Server names.
    row(
        https!("server_names = \"a.example\""),
        4,
        16,
        "`server_names` must be an array, not a string",
        "www.example.com",
    ),
    row(
        https!("server_names = [\"*.foobar.com\"]"),
        4,
        17,
        "\"*.foobar.com\" is no server name",
        "patterns cannot be asked for",
    ),
    row(https!("server_names = [\"192.0.2.1\"]"), 4, 17, "is no server name", "host names"),
    row(https!("server_names = [\"a.example:443\"]"), 4, 17, "is no server name", "without a port"),
    row(https!("server_names = [\"b\u{fc}cher.example\"]"), 4, 17, "is no server name", "xn--"),
    row(
        https!("server_names = [\"a.example\", \"A.example\"]"),
        4,
        30,
        "\"a.example\" is named twice",
        "once",
    ),
    row(
        "[[observe]]\nport = 80\nprotocol = \"http\"\nserver_names = [\"a.example\"]",
        4,
        16,
        "server names are told apart by TLS",
        "protocol = \"https\"",
    ),
    row(
        https!(
            "server_names = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]\n[[observe]]\nport = 444\nprotocol = \"https\"\nserver_names = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]"
        ),
        8,
        45,
        "more than 16 server names are told apart",
        "\"other\"",
    ),
    // Probes.
    row(
        https!("program = \"/usr/sbin/nginx\""),
        4,
        11,
        "requests = \"turns\" does not do",
        "requests = \"nginx-probe\"",
    ),
    row(
        https!(
            "requests = \"nginx-status\"\nstatus = \"http://127.0.0.1/s\"\nprogram = \"/usr/sbin/nginx\""
        ),
        6,
        11,
        "`program` is an executable to probe",
        "leave it out",
    ),
    row(
        https!("requests = \"nginx-probe\"\nprogram = \"sbin/nginx\""),
        5,
        11,
        "\"sbin/nginx\" is no absolute path",
        "program = \"/usr/sbin/nginx\"",
    ),
    row(
        https!("requests = \"apache-probe\"\nprogram = 5"),
        5,
        11,
        "`program` must be a string",
        "program = \"/usr/sbin/apache2\"",
    ),
    row(
        "[[observe]]\nport = 25\nprotocol = \"tcp\"\nrequests = \"nginx-probe\"",
        4,
        12,
        "a port that speaks \"tcp\" has no requests",
        "protocol = \"http\"",
    ),
    row(
        https!("requests = \"nginx-probe\"\nfrontend = \"www\""),
        5,
        12,
        "and there are none",
        "leave `frontend` out",
    ),
    // What counts requests.
    row(
        https!("requests = \"nginx-stat\""),
        4,
        12,
        "`requests` cannot be \"nginx-stat\"",
        "did you mean \"nginx-status\"?",
    ),
    row(
        https!("requests = \"wire\""),
        4,
        12,
        "requests of a port that speaks \"https\" are encrypted",
        "\"turns\" for an estimate",
    ),
    row(
        "[[observe]]\nport = 80\nprotocol = \"http\"\nrequests = \"turns\"",
        4,
        12,
        "turns are an estimate for encrypted connections",
        "leave `requests` out",
    ),
    row(
        "[[observe]]\nport = 25\nprotocol = \"tcp\"\nrequests = \"wire\"",
        4,
        12,
        "a port that speaks \"tcp\" has no requests",
        "protocol = \"http\"",
    ),
    row(
        https!("requests = \"apache-status\""),
        4,
        12,
        "requests = \"apache-status\" needs to know where to ask",
        "add status = \"http://127.0.0.1:8081/server-status?auto\"",
    ),
    row(
        https!("requests = \"off\"\nstatus = \"http://127.0.0.1/s\""),
        5,
        10,
        "requests of this port are not counted",
        "leave `status` out",
    ),
    row(https!("status = 5"), 4, 10, "`status` must be a string, not an integer", "on loopback"),
    row(https!("status = \"/stub_status\""), 4, 10, "is no address of a status page", "loopback"),
    row(
        https!("status = \"http://192.0.2.1/stub_status\""),
        4,
        10,
        "is not on this server's loopback",
        "127.0.0.0/8",
    ),
    row(https!("status = \"http://status.example/\""), 4, 10, "is not on this", "127.0.0.0/8"),
    row(https!("status = \"https://127.0.0.1/s\""), 4, 10, "asks for TLS", "in clear"),
    row(https!("status = \"http://a:b@127.0.0.1/s\""), 4, 10, "holds a password", "loopback"),
    row(https!("status = \"unix:admin.sock\""), 4, 10, "is no absolute path", "unix:/run"),
    row(
        https!("requests = \"nginx-status\"\nstatus = \"unix:/run/a.sock\""),
        5,
        10,
        "a socket is asked in the language of HAProxy",
        "http://127.0.0.1:8081/stub_status",
    ),
    row(
        https!("requests = \"nginx-status\"\nstatus = \"http://127.0.0.1/s\"\nfrontend = \"www\""),
        6,
        12,
        "`frontend` belongs to HAProxy",
        "leave it out",
    ),
    row(https!("frontend = \"www\""), 4, 12, "and there are none", "add status"),
    row(
        https!("status = \"unix:/a.sock\"\nfrontend = \"a b\""),
        5,
        12,
        "\"a b\" cannot be the name of a frontend",
        "haproxy.cfg",
    ),
    row(
        https!(
            "requests = \"nginx-status\"\nstatus = \"http://127.0.0.1/s\"\n[[observe]]\nport = 80\nprotocol = \"http\"\nrequests = \"nginx-status\"\nstatus = \"http://127.0.0.1/s\""
        ),
        10,
        10,
        "port 443 has its counts from there already",
        "`frontend`",
    ),
];

#[test]
fn each_mistake_has_its_place_its_reason_and_its_remedy() {
    for row in ROWS {
        let error = parse(row.text).expect_err(row.text);
        let errors: Vec<_> =
            error.diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{}\n{error}", row.text);
        let found = errors[0];
        assert_eq!((found.line, found.column), (row.line, row.column), "{}\n{found}", row.text);
        assert!(found.message.contains(row.message), "{}\n{found}", row.text);
        let help = found.help.as_deref().unwrap_or_default();
        assert!(help.contains(row.help), "{}\n{found}", row.text);
        assert_eq!(found.file, Path::new("foobar.toml"));
    }
}
