//! TLS and authentication of the metrics, with real clients.

use std::{fs, path::Path, time::Duration};

use foobar_tests::harness::{Daemon, Lan, Leaks, Output, Prometheus, eventually, try_run};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const URL: &str = "https://127.0.0.1:9898/metrics";
const ONLY_ALICE: &str = "basic_auth_users:\n  alice: HASH\n";
const MUTUAL: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n  \
    client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [prometheus]\n";

const PASSWORD: &str = "open sesame";
/// Its hash, of cost 5.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";

fn configuration(more: &str) -> String {
    format!(
        "interfaces = [\"eth0\"]\n[metrics]\nlisten = \"127.0.0.1:9898\"\n{more}\n\
         [[rules]]\nname = \"web\"\nports = [80]\nfrom = \"any\"\n"
    )
}

/// An authority and what it signs, as PEM files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes `NAME.pem` and `NAME-key.pem`, for these alternative names.
    fn sign(&self, folder: &Path, name: &str, names: &[&str]) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        // Renewal replaces files in one step, and so does this.
        for (file, content) in [
            (format!("{name}.pem"), certificate.pem()),
            (format!("{name}-key.pem"), key.serialize_pem()),
        ] {
            let new = folder.join(format!("{file}.new"));
            fs::write(&new, content).expect("a file");
            fs::rename(new, folder.join(file)).expect("its place");
        }
    }
}

fn web_yml(daemon: &Daemon<'_>, text: &str) {
    let text = text.replace("HASH", HASH);
    fs::write(daemon.folder().join("web.yml"), text).expect("web.yml");
}

/// curl inside the server, with these further arguments; the last line of what it prints is the status.
fn curl(daemon: &Daemon<'_>, lan: &Lan, arguments: &[&str]) -> Output {
    let mut command = lan.server.command("curl");
    command
        .current_dir(daemon.folder())
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"])
        .args(["--write-out", "\n%{http_code}"])
        .args(arguments);
    try_run(&mut command)
}

fn http_status(output: &Output) -> &str {
    output.stdout.rsplit('\n').next().unwrap_or_default()
}

const WITH_CERTIFICATE: [&str; 6] =
    ["--cacert", "ca.pem", "--cert", "prometheus.pem", "--key", "prometheus-key.pem"];
const WITH_PASSWORD: [&str; 2] = ["--user", "alice:open sesame"];

#[test]
fn slow_prometheus_scrapes_over_mutual_tls_with_a_password_and_nobody_else_does() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let mut daemon = Daemon::prepare(&lan.server, &configuration("web_config = \"web.yml\""));
    let folder = daemon.folder().to_owned();
    let authority = Authority::new();
    fs::write(folder.join("ca.pem"), &authority.pem).expect("ca.pem");
    authority.sign(&folder, "server", &["127.0.0.1"]);
    authority.sign(&folder, "prometheus", &["prometheus"]);
    authority.sign(&folder, "mallory", &["mallory"]);
    Authority::new().sign(&folder, "stranger", &["prometheus"]);
    web_yml(
        &daemon,
        &format!(
            "{MUTUAL}{ONLY_ALICE}http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        ),
    );
    daemon.launch();
    assert!(daemon.ok(&["status"]).contains(URL), "{}", daemon.ok(&["status"]));

    let good =
        curl(&daemon, &lan, &[&WITH_CERTIFICATE[..], &WITH_PASSWORD, &["--include", URL]].concat());
    assert_eq!(http_status(&good), "200", "{}", good.text());
    assert!(good.stdout.contains("foobar_policy_generation"));
    assert!(good.stdout.to_lowercase().contains("x-frame-options: deny"), "{}", good.stdout);
    let no_password = curl(&daemon, &lan, &[&WITH_CERTIFICATE[..], &["--include", URL]].concat());
    assert_eq!(http_status(&no_password), "401", "{}", no_password.text());
    assert!(no_password.stdout.to_lowercase().contains("www-authenticate: basic"));
    assert!(!no_password.stdout.contains("foobar_policy"));
    let wrong = ["--user", "alice:open sesam"];
    let wrong = curl(&daemon, &lan, &[&WITH_CERTIFICATE[..], &wrong, &[URL]].concat());
    assert_eq!(http_status(&wrong), "401", "{}", wrong.text());
    // No certificate, one of another authority, one with another name, TLS 1.1, no TLS.
    let as_one = |name: &str| {
        let [certificate, key] = ["", "-key"].map(|end| format!("{name}{end}.pem"));
        let with = ["--cacert", "ca.pem", "--cert", &certificate, "--key", &key];
        curl(&daemon, &lan, &[&with[..], &WITH_PASSWORD, &[URL]].concat())
    };
    for refused in [
        curl(&daemon, &lan, &[&["--cacert", "ca.pem"][..], &WITH_PASSWORD, &[URL]].concat()),
        as_one("stranger"),
        as_one("mallory"),
        curl(
            &daemon,
            &lan,
            &[&WITH_CERTIFICATE[..], &WITH_PASSWORD, &["--tls-max", "1.1", URL]].concat(),
        ),
        curl(&daemon, &lan, &[&WITH_PASSWORD[..], &["http://127.0.0.1:9898/metrics"]].concat()),
    ] {
        assert!(refused.code != Some(0) && http_status(&refused) == "000", "{}", refused.text());
    }

    let job = format!(
        "  scheme: https\n  basic_auth: {{ username: alice, password: '{PASSWORD}' }}\n  tls_config: {{ ca_file: {0}/ca.pem, cert_file: {0}/prometheus.pem, key_file: {0}/prometheus-key.pem }}\n",
        folder.display()
    );
    let prometheus = Prometheus::start_with(&lan.server, Daemon::METRICS, &job);
    let is_up = |wanted: f64| {
        eventually("Prometheus to scrape", PATIENCE, || {
            let up = prometheus.query("up");
            if up == Some(wanted) { Ok(()) } else { Err((up, daemon.log())) }
        });
    };
    is_up(1.0);

    // A renewed certificate is used without anybody saying so. Prometheus keeps its connection, so curl looks.
    let serial = || {
        let script = "openssl s_client -connect 127.0.0.1:9898 -CAfile ca.pem -cert prometheus.pem -key prometheus-key.pem < /dev/null 2> /dev/null | openssl x509 -noout -serial";
        let mut command = lan.server.command("sh");
        try_run(command.current_dir(&folder).args(["-c", script])).stdout
    };
    let before = serial();
    assert!(before.starts_with("serial="), "{before}");
    authority.sign(&folder, "server", &["127.0.0.1"]);
    eventually("the renewed certificate", PATIENCE, || {
        let now = serial();
        if now.starts_with("serial=") && now != before { Ok(()) } else { Err(now) }
    });

    // A file that is wrong changes nothing, neither by itself nor by a reload.
    web_yml(&daemon, "tls_server_config:\n  cert: [\n");
    let reload = daemon.foobar(&["reload"]);
    assert!(reload.code == Some(1) && reload.stderr.contains("web.yml"), "{}", reload.text());
    let check =
        daemon.foobar(&["check", "--config", &daemon.configuration().display().to_string()]);
    assert!(check.code == Some(1) && check.stdout.contains("web.yml"), "{}", check.text());
    eventually("a warning", PATIENCE, || {
        let again = curl(&daemon, &lan, &[&WITH_CERTIFICATE[..], &WITH_PASSWORD, &[URL]].concat());
        assert_eq!(http_status(&again), "200", "{}", again.text());
        let status = daemon.ok(&["status"]);
        if status.contains("as it was before") && status.contains("web.yml") {
            Ok(())
        } else {
            Err(status)
        }
    });
    is_up(1.0);

    // A reload takes it away, and brings it back.
    daemon.configure(&configuration(""));
    daemon.ok(&["reload"]);
    assert!(
        daemon.scrape().sum("foobar_policy_generation", &[]) > 0.0,
        "in clear, as the configuration says"
    );
    web_yml(&daemon, ONLY_ALICE);
    daemon.configure(&configuration("web_config = \"web.yml\""));
    daemon.ok(&["reload"]);
    let url = "http://127.0.0.1:9898/metrics";
    assert_eq!(http_status(&curl(&daemon, &lan, &[url])), "401");
    assert_eq!(http_status(&curl(&daemon, &lan, &[&WITH_PASSWORD[..], &[url]].concat())), "200");
}

#[test]
fn a_web_configuration_that_broke_keeps_the_filter_and_closes_the_metrics() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let text = configuration("web_config = \"web.yml\"").replace("127.0.0.1:9898", "0.0.0.0:9898");
    let mut daemon = Daemon::prepare(&lan.server, &text);
    web_yml(&daemon, "basic_auth_users: 7\n");
    let refused = daemon.run_to_end();
    assert!(refused.code == Some(1) && refused.stderr.contains("web.yml"), "{}", refused.text());

    web_yml(&daemon, "");
    daemon.launch();
    let warnings = |daemon: &Daemon<'_>| {
        let status: Value =
            serde_json::from_str(&daemon.ok(&["status", "--output", "json"])).expect("JSON");
        status["warnings"].to_string()
    };
    assert!(warnings(&daemon).contains("beyond this host"), "{}", warnings(&daemon));
    assert!(daemon.log().contains("beyond this host"), "{}", daemon.log());
    daemon.process().kill();
    // Broken while no daemon runs: the filter is more important, and open metrics are not what the file asked for.
    fs::remove_file(daemon.folder().join("web.yml")).expect("web.yml");
    daemon.launch();
    assert!(lan.server.ip("-details link show eth0").contains("xdp"));
    assert!(warnings(&daemon).contains("lets nobody in"), "{}", warnings(&daemon));
    let url = "http://127.0.0.1:9898/metrics";
    assert_eq!(http_status(&curl(&daemon, &lan, &[url])), "000");
    web_yml(&daemon, ONLY_ALICE);
    eventually("the mended file to be used", PATIENCE, || {
        let answer = curl(&daemon, &lan, &[&WITH_PASSWORD[..], &[url]].concat());
        if http_status(&answer) == "200" { Ok(()) } else { Err(answer) }
    });
}
