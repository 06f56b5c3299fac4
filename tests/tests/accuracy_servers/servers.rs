//! nginx, Apache and HAProxy, and what their logs say: `PORT PROTOCOL STATUS ...` in each line.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::harness::{Netns, Process, eventually, nginx_folders, tcp_connects};
use tempfile::TempDir;

/// nginx.
pub const NGINX: u16 = 80;
/// nginx, HTTP/2 without TLS.
pub const NGINX_H2C: u16 = 8081;
/// Apache: HTTP/1.1, HTTP/2 without TLS by prior knowledge, and the upgrade to it.
pub const APACHE: u16 = 8082;
/// HAProxy.
pub const HAPROXY: u16 = 8083;
/// HAProxy, HTTP/2 without TLS.
pub const HAPROXY_H2C: u16 = 8084;
/// All of them.
pub const PORTS: [u16; 5] = [NGINX, NGINX_H2C, APACHE, HAPROXY, HAPROXY_H2C];
/// What is behind them, on loopback.
const BACKEND: u16 = 9001;

/// Names of the logs.
const LOGS: [&str; 3] = ["nginx-access.log", "apache-access.log", "haproxy.log"];

/// All servers, in one namespace.
pub struct Servers {
    folder: TempDir,
    _processes: Vec<Process>,
}

impl Servers {
    /// Starts them and waits until they listen.
    pub fn start(namespace: &Netns) -> Self {
        let folder =
            tempfile::Builder::new().prefix("foobar-servers-").tempdir().expect("a folder");
        // Apache's workers are not root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let path = folder.path().display().to_string();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text.replace("{folder}", &path)).expect("a file");
        };
        // A body that looks like a row of responses.
        let big = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(9000) + "the end\n";
        write("www/big", &big);
        write("www/index.html", "hello, GET / HTTP/1.1\n");
        write("backend.py", include_str!("backend.py"));
        write("client.py", include_str!("client.py"));
        write("nginx.conf", &nginx());
        write("apache.conf", &apache());
        write("haproxy.cfg", &haproxy());
        let start = |program: &str, arguments: &[&str], log: &str| {
            let mut command = namespace.command(program);
            command.args(arguments).current_dir(folder.path());
            Process::start(command, &folder.path().join(log))
        };
        let processes = vec![
            start("python3", &["backend.py", &BACKEND.to_string()], "backend.log"),
            start("nginx", &["-p", &path, "-c", "nginx.conf", "-e", "nginx.log"], "output.log"),
            start("apache2", &["-X", "-d", &path, "-f", "apache.conf"], "output.log"),
            start("haproxy", &["-db", "-f", "haproxy.cfg"], LOGS[2]),
        ];
        for port in PORTS.into_iter().chain([BACKEND]) {
            eventually("a server to listen", Duration::from_secs(30), || {
                tcp_connects(namespace, &format!("127.0.0.1:{port}"), Duration::from_secs(1))
                    .map_err(|error| (port, error))
            });
        }
        Servers { folder, _processes: processes }
    }

    /// A file of theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What they logged so far, log after log. Their listening was tried by connections without a request, which HAProxy alone logs.
    pub fn logged(&self) -> Vec<Vec<String>> {
        let lines = |name: &&str| {
            let log = fs::read_to_string(self.file(name)).unwrap_or_default();
            // The last line may be written at this moment.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole
                .lines()
                .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
                .map(str::to_owned)
                .collect()
        };
        LOGS.iter().map(lines).collect()
    }
}

fn nginx() -> String {
    let temporary = nginx_folders(Path::new("{folder}"));
    format!(
        r#"
user root;
daemon off;
worker_processes 2;
pid {{folder}}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    log_format short '$server_port $server_protocol $status $request_time';
    access_log {{folder}}/nginx-access.log short;
    {temporary}
    keepalive_requests 1000000;
    server {{
        listen {NGINX};
        listen [::]:{NGINX};
        listen {NGINX_H2C} http2;
        root {{folder}}/www;
        proxy_http_version 1.1;
        location / {{ default_type text/plain; return 200 "hello from nginx, GET / HTTP/1.1\n"; }}
        location /big {{ default_type text/plain; }}
        location /up {{ proxy_pass http://127.0.0.1:8085; }}
        location /delay {{ proxy_pass http://127.0.0.1:{BACKEND}; }}
        location /never {{ proxy_pass http://127.0.0.1:{BACKEND}; }}
        location /ws {{
            proxy_pass http://127.0.0.1:{BACKEND};
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
    server {{
        listen 127.0.0.1:8085;
        access_log off;
        location / {{ return 200 "got it\n"; }}
    }}
}}
"#
    )
}

fn apache() -> String {
    let modules = [
        "mpm_event", "authz_core", "http2", "log_config", "dir", "proxy", "proxy_http", "rewrite",
    ]
    .map(|name| format!("<IfModule !{name}_module>\nLoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n</IfModule>\n"))
    .concat();
    format!(
        r#"{modules}
ServerName a
Listen {APACHE}
PidFile {{folder}}/apache.pid
ErrorLog {{folder}}/apache.log
LogFormat "%{{local}}p %H %>s %{{Upgrade}}i" short
CustomLog {{folder}}/apache-access.log short
DocumentRoot {{folder}}/www
DirectoryIndex index.html
Mutex file:{{folder}}
User www-data
Group www-data
MaxKeepAliveRequests 0
Protocols h2c http/1.1
H2EarlyHints on
<Location /early>
    H2EarlyHint Link "</a.css>;rel=preload"
</Location>
<Directory {{folder}}/www>
    Require all granted
</Directory>
RewriteEngine on
RewriteRule ^/up /index.html
RewriteRule ^/early /index.html
RewriteRule ^/missing - [R=404]
RewriteRule ^/broken - [R=503]
RewriteRule ^/moved / [R=302]
ProxyPass /ws http://127.0.0.1:{BACKEND}/ws upgrade=websocket
"#
    )
}

fn haproxy() -> String {
    format!(
        r#"
global
    # Threads that log at the same time leave out lines.
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    timeout client 20s
    timeout connect 5s
    timeout server 20s
    option dontlognull
    option abortonclose
    log global
    log-format "%fp %HV %ST %Ta"
frontend plain
    bind :::{HAPROXY} v4v6
    bind :::{HAPROXY_H2C} v4v6 proto h2
    http-request return status 404 if {{ path /missing }}
    http-request return status 503 if {{ path /broken }}
    http-request redirect location / if {{ path /moved }}
    http-request early-hint Link "</a.css>;rel=preload" if {{ path /early }}
    use_backend behind if {{ path_beg /ws /never /delay }}
    http-request wait-for-body time 5s if METH_POST
    http-request return status 200 content-type text/plain string "hello from HAProxy, GET / HTTP/1.1\n" unless {{ path_beg /ws /never /delay }}
backend behind
    server behind 127.0.0.1:{BACKEND}
"#
    )
}
