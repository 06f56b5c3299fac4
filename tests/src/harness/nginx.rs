//! A real nginx, on ports 80 and 443.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{Lan, Netns, Process, eventually, run, tcp_connects};

/// nginx in a namespace, with folders of its own and a certificate made for it.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx on ports 80 and 443, IPv4 and IPv6, and waits until it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(namespace: &Netns) -> Self {
        let folder = tempfile::Builder::new().prefix("foobar-nginx-").tempdir().expect("a folder");
        certificate(folder.path());
        fs::write(folder.path().join("nginx.conf"), configuration(folder.path()))
            .expect("nginx.conf");
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        let process = Process::start(command, &folder.path().join("output.log"));
        let mut nginx = Nginx { process, folder };
        eventually("nginx to listen", Duration::from_secs(10), || match nginx.process.ended() {
            Some(status) => panic!("nginx ended ({status}): {}", nginx.complaints()),
            None => ["127.0.0.1:80", "127.0.0.1:443", "[::1]:80", "[::1]:443"]
                .iter()
                .try_for_each(|address| tcp_connects(namespace, address, Duration::from_secs(1))),
        });
        nginx
    }

    /// The certificate that it serves, which clients have to trust.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The access log, a line a request: `PORT STATUS REQUEST`.
    pub fn access_log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn complaints(&self) -> String {
        let errors = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
        errors + &self.process.log()
    }
}

/// A self-signed certificate for the server's addresses.
fn certificate(folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let names =
        format!("subjectAltName=DNS:www.foobar.com,IP:{},IP:{}", Lan::SERVER4, Lan::SERVER6);
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=www.foobar.com",
            "-addext",
            &names,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
}

/// The lines of nginx's configuration by which what it writes beside its logs lands in this folder, and not in the machine's own.
pub fn nginx_folders(folder: &Path) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()))
        .join("\n")
}

fn configuration(folder: &Path) -> String {
    let (temporary, folder) = (nginx_folders(folder), folder.display());
    format!(
        r#"
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format short '$server_port $status $request';
    access_log {folder}/access.log short;
    {temporary}
    server {{
        listen 80;
        listen [::]:80;
        listen 443 ssl;
        listen [::]:443 ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{ default_type text/plain; return 200 "hello from nginx\n"; }}
    }}
}}
"#
    )
}
