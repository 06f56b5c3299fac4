//! The client side of the control API.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time};

use super::{
    Refusal,
    api::{Detached, ListEdit, ListEdited, ListEntry, ListPage, Status},
    refusal::Body,
    socket,
};

/// The longest that an answer may take: a change of a million entries while the daemon starts.
const PATIENCE: Duration = Duration::from_secs(60);

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
            io::ErrorKind::PermissionDenied => "use root or the user that runs the daemon".to_owned(),
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
    pub async fn edit(&self, kind: &str, name: &str, action: &str, edit: &ListEdit) -> Result<ListEdited> {
        self.post(&format!("{}/{action}", list_path(kind, name)), edit).await
    }

    /// Takes the filter off the interfaces and stops the daemon.
    pub async fn detach(&self) -> Result<Detached> {
        self.post("/v1/detach", &serde_json::json!({})).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| NotRunning { socket: self.socket.clone(), error })?;
        let (status, answer) = time::timeout(PATIENCE, exchange(stream, method, path, body))
            .await
            .with_context(|| format!("the daemon on {} did not answer within {PATIENCE:?}", self.socket.display()))?
            .with_context(|| format!("the connection to {} broke", self.socket.display()))?;
        if status.is_success() {
            return serde_json::from_slice(&answer).context("the daemon's answer is of another version of foobar");
        }
        match serde_json::from_slice::<Body>(&answer) {
            Ok(body) => Err(Refusal { status, error: body.error, help: body.help }.into()),
            Err(_) => bail!("the daemon answered {status}: {}", String::from_utf8_lossy(&answer)),
        }
    }
}

/// One request and its answer, on a connection of its own.
async fn exchange(stream: UnixStream, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "foobar")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let response: hyper::Response<Incoming> = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    drop(sender);
    driver.abort();
    Ok((status, answer))
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
