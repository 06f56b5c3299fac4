//! The client side of the control API.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinHandle, time};

use super::{
    Refusal,
    api::{Detached, ListEdit, ListEdited, ListEntry, ListPage, Status},
    refusal::Body,
    reload::{Confirmed, Reload, Reloaded},
    socket,
    watch::{Line, WatchQuery},
};
use crate::{
    explain::{Answer, Question},
    live::Live,
};

/// The longest that an answer may take: a change of a million entries while the daemon starts.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wrong with an answer that cannot be understood.
const OTHER_VERSION: &str = "the daemon's answer is of another version of foobar; restart it with this one: systemctl restart foobar";

/// Speaks to the daemon of one runtime folder.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// The control socket is not there, nobody listens on it, or this user may not connect.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a foobar daemon on {}: {error}", socket.display())]
pub struct NotRunning {
    /// The socket.
    pub socket: PathBuf,
    /// What connect(2) said.
    pub error: io::Error,
}

impl NotRunning {
    /// Whether there is no daemon; otherwise it cannot be told.
    pub fn is_certain(&self) -> bool {
        matches!(self.error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self.error.kind() {
            io::ErrorKind::PermissionDenied => "use root, the user that runs the daemon, or a member of the group in [control] of its configuration".to_owned(),
            _ => "start it with `foobar run --config F` as root, or name its folder with --runtime-dir".to_owned(),
        }
    }
}

impl Client {
    /// A client for the daemon of this runtime folder.
    pub fn new(runtime_dir: &Path) -> Self {
        Self { socket: socket::path(runtime_dir) }
    }

    /// What runs, how, and with which policy.
    ///
    /// # Errors
    /// [`NotRunning`], [`Refusal`], or a broken connection; so for all requests.
    pub async fn status(&self) -> Result<Status> {
        self.get("/v1/status").await
    }

    /// All entries of a list, and the generation of the policy that held the last of them.
    pub async fn list(&self, kind: &str, name: &str) -> Result<(u64, Vec<ListEntry>)> {
        let path = list_path(kind, name);
        let mut page: ListPage = self.get(&path).await?;
        let mut entries = page.entries;
        while let Some(after) = page.next {
            page = self.get(&format!("{path}?after={}", encode(&after))).await?;
            entries.extend(page.entries);
        }
        Ok((page.generation, entries))
    }

    /// Changes a list; `action` is `add`, `remove` or `replace`.
    pub async fn edit(
        &self,
        kind: &str,
        name: &str,
        action: &str,
        edit: &ListEdit,
    ) -> Result<ListEdited> {
        self.post(&format!("{}/{action}", list_path(kind, name)), edit).await
    }

    /// Takes the filter off the interfaces and stops the daemon.
    pub async fn detach(&self) -> Result<Detached> {
        self.post("/v1/detach", &serde_json::json!({})).await
    }

    /// Reads the configuration again and puts it in force.
    pub async fn reload(&self, wanted: &Reload) -> Result<Reloaded> {
        self.post("/v1/reload", wanted).await
    }

    /// The last change stays.
    pub async fn confirm(&self) -> Result<Confirmed> {
        self.post("/v1/confirm", &serde_json::json!({})).await
    }

    /// What becomes of a packet, and why.
    pub async fn explain(&self, question: &Question) -> Result<Answer> {
        self.post("/v1/explain", question).await
    }

    /// Sampled packets from now on, each handed to `each`, until that returns `false` or the daemon stops.
    pub async fn watch(
        &self,
        query: &WatchQuery,
        each: impl FnMut(Line) -> Result<bool>,
    ) -> Result<()> {
        let port = query.port.map_or_else(String::new, |port| format!("&port={port}"));
        let WatchQuery { dropped, requests, .. } = query;
        let path = format!("/v1/events?dropped={dropped}&requests={requests}{port}");
        self.lines(&path, each).await
    }

    /// What is shown live, with each reading of the counters, handed to `each` until that returns `false` or the daemon stops.
    pub async fn live(&self, each: impl FnMut(Live) -> Result<bool>) -> Result<()> {
        self.lines("/v1/live", each).await
    }

    /// An answer of one value a line.
    async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        mut each: impl FnMut(T) -> Result<bool>,
    ) -> Result<()> {
        let mut answer = self.begin(Method::GET, path, Bytes::new()).await?;
        if !answer.response.status().is_success() {
            let status = answer.response.status();
            return Err(refused(status, &answer.collect().await?));
        }
        let mut rest = Vec::new();
        while let Some(frame) = answer.response.frame().await {
            let frame = frame
                .with_context(|| format!("the connection to {} broke", self.socket.display()))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line = rest.drain(..=end).collect::<Vec<_>>();
                let line = serde_json::from_slice(&line).context(OTHER_VERSION)?;
                if !each(line)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T> {
        let whole = async {
            let answer = self.begin(method, path, body).await?;
            Ok::<_, anyhow::Error>((answer.response.status(), answer.collect().await?))
        };
        let (status, answer) = time::timeout(PATIENCE, whole).await.with_context(|| {
            format!(
                "the daemon on {} did not answer within {PATIENCE:?}; its log may say why: journalctl -u foobar",
                self.socket.display()
            )
        })??;
        if status.is_success() {
            return serde_json::from_slice(&answer).context(OTHER_VERSION);
        }
        Err(refused(status, &answer))
    }

    /// Sends a request, on a connection of its own.
    async fn begin(&self, method: Method, path: &str, body: Bytes) -> Result<Answering> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| NotRunning { socket: self.socket.clone(), error })?;
        begin(stream, method, path, body)
            .await
            .with_context(|| format!("the connection to {} broke", self.socket.display()))
    }
}

/// An answer that is arriving, and the task that drives its connection.
struct Answering {
    response: hyper::Response<Incoming>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Answering {
    /// All of it.
    async fn collect(mut self) -> Result<Bytes> {
        Ok(self.response.body_mut().collect().await.context("the answer broke off")?.to_bytes())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The daemon's own words.
fn refused(status: StatusCode, answer: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Body>(answer) {
        Ok(body) => Refusal { status, error: body.error, help: body.help }.into(),
        Err(_) => anyhow!("the daemon answered {status}: {}", String::from_utf8_lossy(answer)),
    }
}

async fn begin(stream: UnixStream, method: Method, path: &str, body: Bytes) -> Result<Answering> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "foobar")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    Ok(Answering { response, driver })
}

fn list_path(kind: &str, name: &str) -> String {
    format!("/v1/lists/{kind}/{}", encode(name))
}

/// Percent-encodes what must not stand in a path segment or query value (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
