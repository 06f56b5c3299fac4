//! A web site behind a filter: nginx in one namespace, wrk in another.
//!
//! What the server spends on a request is the CPU time of nginx's worker, and of a kernel thread that receives its packets (threaded
//! NAPI): else the work of the filter would be done, and counted, on behalf of the client.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use foobar_tests::harness::{Netns, Process, add_address, eventually, tcp_connects, veth};
use rcgen::{CertificateParams, KeyPair};

use crate::{peers, processes};

/// The server's interface.
pub const INTERFACE: &str = "web0";
const SERVER: &str = "198.51.100.1";
const CLIENT: &str = "198.51.100.2";
/// Where nginx and the thread that receives for it run, and where the client does. Left to themselves they would change places in the
/// middle of a round, which costs more than what is measured.
const SERVER_CPU: usize = 1;
const CLIENT_CPU: usize = 0;

/// How the page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// nginx and a client.
pub struct Site {
    /// Where nginx and the filter run.
    pub server: Netns,
    client: Netns,
    nginx: Process,
    _folder: tempfile::TempDir,
}

/// Kernel threads that receive a server's packets.
pub struct Receivers<'s> {
    site: &'s Site,
    threads: Vec<u32>,
}

impl Drop for Receivers<'_> {
    fn drop(&mut self) {
        // In a namespace that is about to go it does not matter whether that can be done.
        let _ = self.site.set_threaded(false);
    }
}

/// What a series of requests cost.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Microseconds of the server's CPU a request.
    pub cost: f64,
}

impl Site {
    /// Starts nginx, with one worker and without a log.
    pub fn start() -> Result<Self> {
        for program in ["nginx", "wrk"] {
            peers::wants(program)?;
        }
        let (server, client) = (Netns::new(), Netns::new());
        veth(&server, INTERFACE, &client, "eth0");
        add_address(&server, INTERFACE, &format!("{SERVER}/24"));
        add_address(&client, "eth0", &format!("{CLIENT}/24"));
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("nginx.conf"), configuration(folder.path()))?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([SERVER.to_owned()])?.self_signed(&key)?;
        fs::write(folder.path().join("certificate.pem"), certificate.pem())?;
        fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
        let mut command = server.command("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        let nginx = Process::start(command, &folder.path().join("output.log"));
        eventually("nginx to listen", Duration::from_secs(10), || {
            ["127.0.0.1:80", "127.0.0.1:443"]
                .iter()
                .try_for_each(|address| tcp_connects(&server, address, Duration::from_secs(1)))
        });
        Ok(Site { server, client, nginx, _folder: folder })
    }

    /// As long as what is given back lives, a thread of its own receives the server's packets. To be called when the filter is attached.
    pub fn receive_by_thread(&self) -> Result<Receivers<'_>> {
        let name = format!("napi/{INTERFACE}");
        let before = processes::kernel_threads(&name);
        self.set_threaded(true)?;
        let mut receivers = Receivers { site: self, threads: Vec::new() };
        thread::sleep(Duration::from_millis(50));
        receivers.threads = processes::kernel_threads(&name);
        receivers.threads.retain(|thread| !before.contains(thread));
        ensure!(!receivers.threads.is_empty(), "no thread receives the packets of {INTERFACE}");
        Ok(receivers)
    }

    fn set_threaded(&self, threaded: bool) -> Result<()> {
        // `ip netns exec` mounts the /sys of the namespace.
        let script = format!("echo {} > /sys/class/net/{INTERFACE}/threaded", u8::from(threaded));
        peers::succeed(std::process::Command::new("ip").args([
            "netns",
            "exec",
            &self.server.name(),
            "sh",
            "-c",
            &script,
        ]))
    }

    /// Asks for a small page over 16 connections for so many seconds.
    pub fn load(&self, scheme: Scheme, seconds: u32, receivers: &Receivers<'_>) -> Result<Load> {
        let workers = processes::children(self.nginx.id())?;
        for process in workers.iter().chain(&receivers.threads) {
            processes::keep_on(*process, SERVER_CPU)?;
        }
        let spent = || -> Result<Duration> {
            workers
                .iter()
                .chain(&receivers.threads)
                .map(|process| processes::cpu_time(*process))
                .sum()
        };
        let before = spent()?;
        let output = self
            .client
            .command("taskset")
            .args(["-c", &CLIENT_CPU.to_string(), "wrk"])
            .args(["-t", "1", "-c", "16", "-d", &format!("{seconds}s")])
            .arg(match scheme {
                Scheme::Http => format!("http://{SERVER}/"),
                Scheme::Https => format!("https://{SERVER}/"),
            })
            .output()?;
        let spent = spent()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        let requests =
            number_in(&text, |line| line.trim().split_once(" requests in").map(|(n, _)| n));
        let rate = number_in(&text, |line| line.strip_prefix("Requests/sec:"));
        let (requests, rate) = requests.zip(rate).with_context(|| format!("wrk says: {text}"))?;
        ensure!(requests > 0.0, "no request was answered: {text}");
        ensure!(!text.contains("Non-2xx"), "requests failed: {text}");
        Ok(Load { rate, cost: spent.as_secs_f64() * 1e6 / requests })
    }
}

fn number_in(text: &str, part: impl Fn(&str) -> Option<&str>) -> Option<f64> {
    text.lines().find_map(&part)?.trim().parse().ok()
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 80;
        listen 443 ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{ default_type text/plain; return 200 "hello from nginx\n"; }}
    }}
}}
"#
    )
}
