//! Clients with time limits.

use std::{
    io::{self, Write as _},
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

/// Fetches a page in clear over a connection of its own, without a process of its own: to be asked again and again. What a real
/// client makes of a page is asked with [`curl`].
///
/// # Errors
/// What the kernel said, also where nothing came for twenty seconds; `InvalidData` where the answer is no HTTP.
pub fn fetch(namespace: &Netns, address: &str, path: &str) -> io::Result<Fetched> {
    let limit = Duration::from_secs(20);
    let address: SocketAddr = address.parse().expect("an address and a port");
    let answer = namespace.enter(|| {
        let mut connection = TcpStream::connect_timeout(&address, limit)?;
        connection.set_read_timeout(Some(limit))?;
        // HTTP/1.0: the answer is neither compressed nor in pieces, and ends with the connection.
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        io::read_to_string(&connection)
    })?;
    let parts = || {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Fetched { status, body: body.to_owned() })
    };
    parts().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer.clone()))
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
