//! Real web servers with certificates made on the spot, and what their logs say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::harness::{Netns, Process, eventually, nginx_folders, run, tcp_connects};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// nginx: TLS 1.2 and 1.3, HTTP/2.
pub const NGINX: u16 = 443;
/// nginx: HTTP/1.1 alone, early data.
pub const EARLY: u16 = 8443;
/// nginx: TLS 1.2 alone.
pub const OLD: u16 = 9443;
/// nginx: a group for which no client sends a key share, so that each is asked for another hello.
pub const RETRY: u16 = 7443;
/// HAProxy: asks for a client certificate.
pub const MUTUAL: u16 = 5443;
/// HAProxy.
pub const HAPROXY: u16 = 5444;
/// Apache.
pub const APACHE: u16 = 6443;
/// UDP: a server that validates addresses first.
pub const QUIC_RETRY: u16 = 4433;

/// All servers, on one namespace.
pub struct Servers {
    processes: Vec<Process>,
    folder: TempDir,
}

impl Servers {
    /// Starts them and waits until they listen.
    pub fn start(namespace: &Netns) -> Self {
        let folder = tempfile::Builder::new().prefix("foobar-tls-").tempdir().expect("a folder");
        certificates(folder.path());
        fs::create_dir(folder.path().join("www")).expect("a folder");
        // Apache's workers are not root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let mut servers = Servers { processes: Vec::new(), folder };
        servers.write("nginx.conf", &nginx(servers.folder.path()));
        servers.write("haproxy.cfg", &haproxy(servers.folder.path()));
        servers.write("apache.conf", &apache(servers.folder.path()));
        let path = |name: &str| servers.file(name).display().to_string();
        let folder = servers.folder.path().display().to_string();
        let commands: [(&str, Vec<String>); 5] = [
            (
                "nginx",
                ["-p", &folder, "-c", "nginx.conf", "-e", "nginx.log"].map(Into::into).into(),
            ),
            ("haproxy", ["-db", "-f", &path("haproxy.cfg")].map(Into::into).into()),
            ("apache2", ["-X", "-d", &folder, "-f", &path("apache.conf")].map(Into::into).into()),
            ("python3", quic(&path("server.pem"), &path("server.key"), NGINX, false)),
            ("python3", quic(&path("server.pem"), &path("server.key"), QUIC_RETRY, true)),
        ];
        let mut processes = Vec::new();
        for (program, arguments) in commands {
            let mut command = namespace.command(program);
            command.args(arguments).env("PYTHONPATH", PACKAGES);
            processes.push(Process::start(command, &servers.file("output.log")));
        }
        servers.processes = processes;
        for port in [NGINX, EARLY, OLD, RETRY, MUTUAL, HAPROXY, APACHE] {
            eventually("a server to listen", Duration::from_secs(30), || {
                tcp_connects(namespace, &format!("127.0.0.1:{port}"), Duration::from_secs(1))
                    .map_err(|error| (port, error, servers.read("output.log")))
            });
        }
        eventually("QUIC servers", Duration::from_secs(30), || {
            let log = servers.read("output.log");
            if log.matches("ready").count() == 2 { Ok(()) } else { Err(log) }
        });
        servers
    }

    /// Tells nginx to read its configuration again, and waits until another worker serves.
    pub fn reload_nginx(&self) {
        let workers = || {
            let log = self.read("access.log");
            let last = log.lines().rev().take(5).filter_map(|line| line.split(' ').nth(5));
            last.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let before = workers();
        // The first of them.
        self.processes[0].signal(Signal::SIGHUP);
        eventually("another worker of nginx", Duration::from_secs(60), || {
            let now = workers();
            if now.is_disjoint(&before) { Ok(()) } else { Err(now) }
        });
    }

    /// A file of theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Connections of a port that asked for something, by nginx's log: version, and whether the session was resumed.
    pub fn nginx_connections(&self, port: u16) -> Vec<(String, bool)> {
        let mut connections = BTreeMap::new();
        for line in self.read("access.log").lines() {
            let fields: Vec<_> = line.split(' ').collect();
            if fields[0] == port.to_string() {
                connections.insert(fields[1].to_owned(), (fields[2].to_owned(), fields[3] == "r"));
            }
        }
        connections.into_values().collect()
    }

    /// Requests of a port, by nginx's log.
    pub fn nginx_requests(&self, port: u16) -> usize {
        let port = format!("{port} ");
        self.read("access.log").lines().filter(|line| line.starts_with(&port)).count()
    }

    /// Lines of the log of HAProxy or Apache: `VERSION RESUMED`, the latter as each puts it.
    pub fn lines(&self, log: &str, needle: &str) -> usize {
        self.read(log).lines().filter(|line| line.contains(needle)).count()
    }
}

/// Where aioquic is.
pub const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-python");
/// Both sides of QUIC.
pub const QUIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/quic.py");

fn quic(certificate: &str, key: &str, port: u16, retry: bool) -> Vec<String> {
    assert!(Path::new(PACKAGES).exists(), "aioquic is missing: run `cargo xtask setup --tests`");
    let port = port.to_string();
    let mut arguments = vec![QUIC, "serve", &port, certificate, key];
    if retry {
        arguments.push("retry");
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// The servers' certificate, an authority for clients, a client of it, and a stranger.
fn certificates(folder: &Path) {
    let folder = folder.display();
    let script = format!(
        "set -e; cd {folder}
        new() {{ openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \"$@\"; }}
        new -x509 -subj /CN=www.example.test -addext 'subjectAltName=DNS:www.example.test,DNS:shop.example.test,IP:192.0.2.1,IP:2001:db8::1' -keyout server.key -out server.pem
        new -x509 -subj /CN=authority -keyout authority.key -out authority.pem
        new -x509 -subj /CN=stranger -keyout stranger.key -out stranger.pem
        new -subj /CN=client -keyout client.key -out client.csr
        openssl x509 -req -in client.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -out client.pem
        cat server.pem server.key > both.pem"
    );
    run("sh", &["-c", &script]);
}

fn nginx(folder: &Path) -> String {
    let (temporary, folder) = (nginx_folders(folder), folder.display());
    let server = |port: u16, words: &str, more: &str| {
        format!(
            "server {{ listen {port} ssl {words}; listen [::]:{port} ssl {words}; {more} location / {{ default_type text/plain; return 200 'hello from nginx\\n'; }} }}"
        )
    };
    let servers = [
        server(NGINX, "http2", ""),
        server(EARLY, "", "ssl_early_data on; ssl_session_cache shared:a:1m;"),
        server(OLD, "", "ssl_protocols TLSv1.2; ssl_session_cache shared:b:1m;"),
        server(RETRY, "", "ssl_ecdh_curve secp384r1;"),
    ]
    .join("\n");
    format!(
        "user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        events {{ worker_connections 512; }}
        http {{
            log_format tls '$server_port $connection $ssl_protocol $ssl_session_reused $status $pid';
            access_log {folder}/access.log tls;
            {temporary}
            keepalive_requests 1000000;
            ssl_protocols TLSv1.2 TLSv1.3;
            ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
            {servers}
        }}"
    )
}

fn haproxy(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "global
            # Threads that log at the same time leave out lines.
            nbthread 1
            log stdout format raw local0
            ssl-default-bind-options ssl-min-ver TLSv1.2
        defaults
            mode http
            timeout client 20s
            timeout connect 5s
            timeout server 20s
            log global
            log-format \"haproxy %fp %sslv %[ssl_fc_is_resumed] %ST\"
        frontend mutual
            bind :::{MUTUAL} v4v6 ssl crt {folder}/both.pem ca-file {folder}/authority.pem verify required alpn h2,http/1.1
            http-request return status 200
        frontend plain
            bind :::{HAPROXY} v4v6 ssl crt {folder}/both.pem alpn h2,http/1.1
            http-request return status 200
"
    )
}

fn apache(folder: &Path) -> String {
    let folder = folder.display();
    let modules = ["mpm_event", "authz_core", "ssl", "http2", "socache_shmcb", "log_config"]
        .map(|name| format!("<IfModule !{name}_module>\nLoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n</IfModule>\n"))
        .concat();
    format!(
        "{modules}
        ServerName www.example.test
        Listen {APACHE}
        PidFile {folder}/apache.pid
        ErrorLog {folder}/apache.log
        LogFormat \"%{{SSL_PROTOCOL}}x %{{SSL_SESSION_RESUMED}}x %>s\" tls
        CustomLog {folder}/apache-access.log tls
        DocumentRoot {folder}/www
        Mutex file:{folder}
        User www-data
        Group www-data
        <Directory {folder}/www>
            Require all granted
        </Directory>
        Protocols h2 http/1.1
        SSLEngine on
        SSLSessionCache shmcb:{folder}/apache-sessions(512000)
        SSLCertificateFile {folder}/server.pem
        SSLCertificateKeyFile {folder}/server.key
        "
    )
}
