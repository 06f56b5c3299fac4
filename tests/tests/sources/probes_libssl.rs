//! Requests read where a server hands them to libssl, against the server's access log.

use std::fs;

use foobar_tests::harness::{Daemon, Lan, Leaks, Netns, Process, eventually, try_run};

use super::{
    probed::{Counts, PATIENCE, Probed, configuration},
    servers::{Server, apache_folder, certificate, folder, haproxy_folder},
    table::Table,
    workloads,
};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";

const SITES: &str = r#"
log_format short '$server_port $status $bytes_sent $request';
access_log FOLDER/access.log short;
keepalive_requests 100000;
client_max_body_size 4m;
server {
    listen 443 ssl http2;
    listen 8443 ssl;
    listen 80;
    ssl_certificate FOLDER/www.pem;
    ssl_certificate_key FOLDER/www.key;
    location = /missing { return 404; }
    location = /upload { proxy_pass http://127.0.0.1:8082; }
    location = /large { root FOLDER; }
    location = /chunked { alias FOLDER/large; gzip on; gzip_types *; gzip_proxied any; }
    location = /elsewhere { proxy_pass https://127.0.0.1:8443/; }
    location / { default_type text/plain; return 200 "hello\n"; }
}
server {
    listen 127.0.0.1:8082;
    access_log off;
    client_max_body_size 4m;
    location / { return 204; }
}
"#;

/// Asks three times over one connection, and again when the file is there.
const PATIENT: &str = "
import http.client, os, ssl, sys, time
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection(sys.argv[1], context=context)
for batch in range(2):
    for method, path in (('GET', '/'), ('HEAD', '/large'), ('GET', '/missing')):
        connection.request(method, path)
        connection.getresponse().read()
    if batch == 0:
        print('asked', flush=True)
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.05)
print('done', flush=True)
";

/// nginx with a private copy of the library, so that its probes concern nobody else on this machine.
fn nginx(lan: &Lan) -> Server {
    let folder = folder();
    certificate(folder.path(), "www", "www.foobar.com", 2);
    fs::copy(LIBRARY, folder.path().join("libssl.so.3")).expect("a copy of the library");
    fs::write(folder.path().join("large"), vec![b'x'; 1 << 20]).expect("a large file");
    let sites = SITES.replace("FOLDER", &folder.path().display().to_string());
    let program = format!("LD_LIBRARY_PATH={} nginx", folder.path().display());
    let listens = ["127.0.0.1:443", "127.0.0.1:8443", "127.0.0.1:80"];
    Server::nginx_from(&program, &lan.server, folder, &sites, &listens)
}

/// The server, and a daemon that observes one of its ports.
fn observed<'a>(lan: &'a Lan, server: Server) -> Probed<'a> {
    let library = format!("program = \"{}/libssl.so.3\"", server.path().display());
    let daemon = Daemon::start(
        &lan.server,
        &configuration(&[(443, "https", "libssl-probe", &library), (8443, "https", "off", "")]),
    );
    let site = Probed { daemon, server, ports: &["443"] };
    site.ready();
    site
}

fn curl(client: &Netns, arguments: &[&str]) {
    let common = ["--silent", "--show-error", "--insecure", "--noproxy", "*"];
    let mut command = client.command("timeout");
    let output = try_run(command.args(["60", "curl"]).args(common).args(arguments));
    assert_eq!(output.code, Some(0), "{}", output.text());
}

#[test]
fn slow_what_nginx_hands_to_libssl_is_counted_exactly() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let site = observed(&lan, nginx(&lan));
    let mut table = Table::new("libssl-probe");
    let client = lan.client(10);
    for workload in workloads::ALL {
        site.row(&mut table, workload.name, || (workload.run)(&client));
    }
    let url = |path: &str| format!("https://{}{path}", Lan::SERVER4);
    site.row(&mut table, "HEAD between GET, one connection", || {
        for _ in 0..10 {
            let (large, small) = (url("/large"), url("/"));
            curl(&client, &["--http1.1", "--head", &large, &small, &large]);
        }
    });
    for (name, version) in [("HTTP/1.1", "--http1.1"), ("HTTP/2", "--http2")] {
        let output = ["--output", "/dev/null"].repeat(4);
        site.row(&mut table, &format!("bodies of 1 MB, plain and chunked, {name}"), || {
            let (plain, chunked) = (url("/large"), url("/chunked"));
            let urls = [plain.as_str(), &chunked, &plain, &chunked];
            curl(&client, &[&[version], &output[..], &urls].concat());
        });
    }
    site.row(&mut table, "the server asks another one over TLS", || {
        for _ in 0..5 {
            curl(&client, &["--output", "/dev/null", &url("/elsewhere")]);
        }
    });
    table.write();

    let page = site.daemon.scrape();
    let first = page.sum("foobar_http_time_to_first_byte_seconds_count", &[("port", "443")]);
    let answered = page.sum("foobar_http_requests_total", &[("port", "443")]);
    // Pipelined requests have a beginning as well, as no more than 16 of a connection wait.
    assert_eq!(first, answered, "each answer has its time");
    assert_eq!(page.sum("foobar_http_unparsed_total", &[("port", "443")]), 0.0);
    assert_eq!(page.find("foobar_http_requests_total", &[("port", "8443")]), None);
}

#[test]
fn counting_begins_in_the_middle_of_a_connection_and_outlives_the_daemon() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let server = nginx(&lan);
    let go = server.path().join("go");
    let mut python = client.command("python3");
    python.args(["-c", PATIENT, Lan::SERVER4]).arg(&go);
    let asker = Process::start(python, &server.path().join("asker"));
    eventually("the first requests", PATIENCE, || {
        if asker.log().contains("asked") { Ok(()) } else { Err(asker.log()) }
    });
    let mut site = observed(&lan, server);
    site.compare("a connection that was open before", || {
        fs::write(&go, "").expect("a file");
        eventually("the other requests", PATIENCE, || {
            if asker.log().contains("done") { Ok(()) } else { Err(asker.log()) }
        });
    });
    let load = || (workloads::ALL[0].run)(&client);
    let total = |counts: &Counts| counts.values().sum::<u64>();
    let (logged, counted) = (total(&site.logged()), total(&site.counted()));
    site.daemon.process().stop();
    load();
    site.daemon.launch();
    site.ready();
    eventually("what came without a daemon", PATIENCE, || {
        let news = (total(&site.logged()) - logged, total(&site.counted()) - counted);
        if news.0 == news.1 && news.0 >= 400 { Ok(()) } else { Err(news) }
    });
    site.compare("a new worker in the middle", || {
        site.disturbed(&load, || site.server.signal("nginx.pid", "HUP"));
    });
}

const APACHE: &str = r#"
Listen 443
CustomLog FOLDER/access.log "%{local}p %>s %O"
<VirtualHost *:443>
    SSLEngine on
    SSLCertificateFile FOLDER/www.pem
    SSLCertificateKeyFile FOLDER/www.key
    Protocols h2 http/1.1
</VirtualHost>
"#;

const HAPROXY: &str = r#"
global
    # With more of them, lines that two write at the same time can be lost.
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend www
    bind :443 ssl crt FOLDER/www-both.pem alpn h2,http/1.1
    log-format "%fp %ST %B"
    http-request return status 404 if { path /missing }
    http-request return status 200 content-type text/plain string "hello"
"#;

/// Runs the workloads that need no other server behind this one.
fn workloads_of(site: &Probed<'_>, lan: &Lan, name: &'static str) {
    let client = lan.client(10);
    let mut table = Table::new(name);
    for workload in workloads::ALL.iter().filter(|workload| !workload.name.starts_with("uploads")) {
        site.row(&mut table, workload.name, || (workload.run)(&client));
    }
    table.write();
}

#[test]
fn slow_what_apache_hands_to_libssl_is_counted_exactly() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let folder = apache_folder(APACHE);
    fs::copy(LIBRARY, folder.path().join("libssl.so.3")).expect("a copy of the library");
    let path = folder.path().to_owned();
    let server =
        Server::apache(&lan.server, folder, "/usr/sbin/apache2", &["127.0.0.1:443"], |command| {
            command.env("LD_LIBRARY_PATH", path);
        });
    workloads_of(&observed(&lan, server), &lan, "libssl-probe, Apache");
}

#[test]
fn slow_what_haproxy_hands_to_libssl_is_counted_exactly() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let folder = haproxy_folder(HAPROXY);
    fs::copy(LIBRARY, folder.path().join("libssl.so.3")).expect("a copy of the library");
    let mut command = lan.server.command("sh");
    let path = folder.path().display();
    command.arg("-c").arg(format!("exec haproxy -db -f {path}/haproxy.cfg > {path}/access.log"));
    command.env("LD_LIBRARY_PATH", folder.path());
    let server = Server::started(&lan.server, folder, command, &["127.0.0.1:443"]);
    workloads_of(&observed(&lan, server), &lan, "libssl-probe, HAProxy");
}

/// Python calls `SSL_read_ex` and `SSL_write_ex`.
const PYTHON: &str = "
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(('', 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + '/www.pem', sys.argv[1] + '/www.key')
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
";

#[test]
fn what_cannot_be_read_in_libssl_is_said_to_be_there() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(10);
    let folder = folder();
    certificate(folder.path(), "www", "www.foobar.com", 2);
    fs::copy(LIBRARY, folder.path().join("libssl.so.3")).expect("a copy of the library");
    let mut command = lan.server.command("python3");
    command.args(["-c", PYTHON]).arg(folder.path()).env("LD_LIBRARY_PATH", folder.path());
    let server = Server::started(&lan.server, folder, command, &["127.0.0.1:443"]);
    let site = observed(&lan, server);
    let unread = || site.daemon.scrape().sum("foobar_http_unparsed_total", &[("port", "443")]);
    let before = unread();
    for _ in 0..3 {
        let url = format!("https://{}/", Lan::SERVER4);
        curl(&client, &["--output", "/dev/null", &url]);
    }
    eventually("the connections", PATIENCE, || match unread() - before {
        3.0 => Ok(()),
        other => Err(other),
    });
    assert_eq!(site.counted(), Counts::new(), "no request is guessed");
}
