//! Requests counted by probes on Apache's functions, against its access log.

use foobar_tests::harness::{Daemon, Lan, Leaks, try_run};

use super::{
    probed::{Probed, configuration, copy_of},
    servers::{Server, apache_folder, folder},
    table::Table,
    workloads,
};

const APACHE: &str = r#"
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
Listen 443
Listen 80
Listen 8081
CustomLog FOLDER/access.log "%{local}p %>s - %D %r"
ErrorDocument 404 /index.html
RedirectMatch 302 ^/moved$ /
RedirectMatch 503 ^/broken$
<VirtualHost *:443>
    SSLEngine on
    SSLCertificateFile FOLDER/www.pem
    SSLCertificateKeyFile FOLDER/www.key
    Protocols h2 http/1.1
    ProxyPass /upload http://127.0.0.1:8082/upload
</VirtualHost>
"#;

const UPSTREAM: &str = "access_log off; server { listen 127.0.0.1:8082; client_max_body_size 4m; location / { return 204; } }";

#[test]
fn slow_apache_is_counted_exactly() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let _upstream = Server::nginx(&lan.server, self::folder(), UPSTREAM, &["127.0.0.1:8082"]);
    let folder = apache_folder(APACHE);
    let program = copy_of("/usr/sbin/apache2", folder.path());
    let listens = ["127.0.0.1:443", "127.0.0.1:80"];
    let server =
        Server::apache(&lan.server, folder, &program.display().to_string(), &listens, |_| {});
    let more = format!("program = \"{}\"", program.display());
    let text = configuration(&[
        (443, "https", "apache-probe", &more),
        (80, "http", "apache-probe", &more),
    ]);
    let ports = &["443", "80"];
    let site = Probed { daemon: Daemon::start(&lan.server, &text), server, ports };
    site.ready();
    let mut table = Table::new("apache-probe");
    let client = lan.client(10);
    for workload in workloads::ALL {
        site.row(&mut table, workload.name, || (workload.run)(&client));
    }
    site.row(&mut table, "HTTP in clear: redirects, errors, an error page", || {
        for path in ["", "moved", "broken", "missing"] {
            let url = format!("http://{}/{path}?[1-10]", Lan::SERVER4);
            let output = try_run(client.command("curl").args(["-s", "--noproxy", "*", &url]));
            assert_eq!(output.code, Some(0), "{}", output.text());
        }
    });
    let load = || (workloads::ALL[0].run)(&client);
    site.row(&mut table, "a graceful restart of Apache in the middle", || {
        site.disturbed(&load, || site.server.signal("apache.pid", "USR1"));
    });
    // A port that is not observed.
    let before = site.counted();
    let mut curl = lan.server.command("curl");
    let output = try_run(curl.args(["-s", "--noproxy", "*", "http://127.0.0.1:8081/?[1-20]"]));
    assert_eq!(output.code, Some(0), "{}", output.text());
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(site.counted(), before);

    // Durations, which Apache logs in microseconds. Its own end comes a little before the log's.
    let log = site.server.log("access.log");
    let times = log.lines().filter(|line| line.starts_with("80 ") || line.starts_with("443 "));
    let times: Vec<f64> = times.filter_map(|line| line.split(' ').nth(3)?.parse().ok()).collect();
    let page = site.daemon.scrape();
    let total = |name: &str| page.sum(&format!("foobar_http_request_duration_seconds_{name}"), &[]);
    assert_eq!(total("count"), times.len() as f64);
    let (sum, logged) = (total("sum"), times.iter().sum::<f64>() / 1e6);
    assert!((sum - logged).abs() <= 0.1 * logged + 0.05, "{sum} s, logged {logged} s");
    table.write();
}
