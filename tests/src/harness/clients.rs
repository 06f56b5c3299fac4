//! Clients with time limits.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Netns, Output, try_run};

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// curl in a namespace.
#[derive(Clone, Debug)]
pub struct Curl<'a> {
    namespace: &'a Netns,
    limit: Duration,
    certificate: Option<PathBuf>,
    resolved: Option<String>,
}

/// curl in a namespace, which gives up after two seconds.
pub fn curl(namespace: &Netns) -> Curl<'_> {
    Curl { namespace, limit: Duration::from_secs(2), certificate: None, resolved: None }
}

impl Curl<'_> {
    /// Exit code of curl where a time limit was reached.
    pub const TIMED_OUT: i32 = 28;

    /// Gives up after this time.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Trusts this certificate.
    pub fn trusting(mut self, certificate: &Path) -> Self {
        self.certificate = Some(certificate.to_owned());
        self
    }

    /// Takes this address for that of `host:port`.
    pub fn resolving(mut self, host: &str, address: &str) -> Self {
        self.resolved = Some(format!("{host}:{address}"));
        self
    }

    /// Fetches a page over a connection of its own.
    ///
    /// # Errors
    /// curl's exit code and message.
    pub fn get(&self, url: &str) -> Result<Fetched, (i32, String)> {
        let mut command = self.namespace.command("curl");
        command
            .args(["--silent", "--show-error", "--globoff", "--noproxy", "*"])
            .args(["--max-time", &self.limit.as_secs_f32().to_string()])
            .args(["--write-out", "\n%{http_code}", url]);
        if let Some(certificate) = &self.certificate {
            command.arg("--cacert").arg(certificate);
        }
        if let Some(resolved) = &self.resolved {
            command.args(["--resolve", resolved]);
        }
        let output = try_run(&mut command);
        if output.code != Some(0) {
            return Err((output.code.unwrap_or(-1), output.stderr));
        }
        let (body, status) = output.stdout.rsplit_once('\n').expect("the status that curl wrote");
        Ok(Fetched { status: status.parse().expect("a status"), body: body.to_owned() })
    }
}

/// Opens a TCP connection from inside the namespace and closes it.
///
/// # Errors
/// What the kernel said, `TimedOut` where nobody answered.
pub fn tcp_connects(namespace: &Netns, address: &str, limit: Duration) -> io::Result<()> {
    let address: SocketAddr = address.parse().expect("an address and a port");
    namespace.enter(|| TcpStream::connect_timeout(&address, limit).map(drop))
}

/// Runs a Python script in the namespace, for at most `limit`.
pub fn python(namespace: &Netns, script: &str, arguments: &[&str], limit: Duration) -> Output {
    let mut command = namespace.command("timeout");
    command.arg(limit.as_secs_f32().to_string()).args(["python3", "-c", script]).args(arguments);
    try_run(&mut command)
}
