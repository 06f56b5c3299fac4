//! Asking a server for its statistics: over HTTP, on one connection that is kept, or on HAProxy's socket.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::page::{Page, PageError};
use crate::{
    policy::config::{StatusAddress, StatusPage},
    servers::connect::connect,
};

/// A server that takes longer is asked again.
const LIMIT: Duration = Duration::from_secs(2);

/// Bytes of an answer at most: some thousand frontends of HAProxy.
const MAX_BYTES: usize = 4 << 20;

/// What HAProxy is told: who it is, and the counts of frontends alone (management guide, section 9.3, `show stat`).
const HAPROXY: &[u8] = b"show info;show stat -1 1 -1\n";

/// Why there are no statistics.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody accepts connections there, or they break.
    #[error("cannot ask {0}: {1}")]
    Connect(StatusAddress, #[source] io::Error),
    /// The connection broke, or it is no HTTP.
    #[error("{0} does not answer in HTTP: {1}")]
    Http(StatusAddress, String),
    /// Another status than 200.
    #[error("{0} answers {1}")]
    Refused(StatusAddress, StatusCode),
    /// No answer.
    #[error("{0} did not answer within {time} seconds", time = LIMIT.as_secs())]
    Silent(StatusAddress),
    /// An answer, but of another kind.
    #[error("{0}: {1}")]
    Page(StatusAddress, #[source] PageError),
}

impl AskError {
    /// Whether the server may have counted a request although no count came back.
    pub const fn may_have_counted(&self) -> bool {
        !matches!(self, AskError::Connect(..))
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Asked {
    /// The server's totals.
    pub page: Page,
    /// Whether it came over the connection of the one before: then the same process wrote both.
    pub same_connection: bool,
}

/// Asks one server, again and again.
pub struct Asker {
    page: StatusPage,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Asker {
    /// For a page that is not asked yet.
    pub fn new(page: StatusPage) -> Self {
        Asker { page, connection: None }
    }

    /// The page.
    pub fn page(&self) -> &StatusPage {
        &self.page
    }

    /// Asks once.
    ///
    /// # Errors
    /// There is no answer within 2 seconds, or no count in it.
    pub async fn ask(&mut self) -> Result<Asked, AskError> {
        let address = self.page.address.clone();
        let asked = match timeout(LIMIT, self.text()).await {
            Ok(asked) => asked,
            Err(_) => {
                self.connection = None;
                return Err(AskError::Silent(address));
            }
        };
        let (text, same_connection) = asked?;
        let over_http = matches!(address, StatusAddress::Http { .. });
        let page = Page::parse(&text, self.page.frontend.as_deref(), over_http)
            .map_err(|error| AskError::Page(address, error))?;
        Ok(Asked { page, same_connection })
    }

    async fn text(&mut self) -> Result<(String, bool), AskError> {
        let page = self.page.clone();
        let failed = |error| AskError::Connect(page.address.clone(), error);
        match &page.address {
            StatusAddress::Unix(path) => Ok((socket(path).await.map_err(failed)?, false)),
            StatusAddress::Http { address, host, path } => {
                let kept = self.connection.take();
                // A connection that was kept may have ended meanwhile, which is not the server's fault.
                if let Some(mut kept) = kept.filter(|kept| !kept.is_closed()) {
                    match self.get(&mut kept, host, path).await {
                        Err(AskError::Http(..)) => {}
                        answered => {
                            self.connection = Some(kept);
                            return Ok((answered?, true));
                        }
                    }
                }
                let mut fresh = self.connect(*address).await?;
                let text = self.get(&mut fresh, host, path).await?;
                self.connection = Some(fresh);
                Ok((text, false))
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, AskError> {
        let failed = |error| AskError::Connect(self.page.address.clone(), error);
        let stream = connect(address).await.map_err(failed)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.no_http(&error))?;
        // It ends with the sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn get(
        &self,
        sender: &mut SendRequest<Empty<Bytes>>,
        host: &str,
        path: &str,
    ) -> Result<String, AskError> {
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("foobar/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| self.no_http(&error))?;
        sender.ready().await.map_err(|error| self.no_http(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.no_http(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| self.no_http(&*error))?;
        if status != StatusCode::OK {
            return Err(AskError::Refused(self.page.address.clone(), status));
        }
        Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    }

    fn no_http(&self, error: &dyn std::error::Error) -> AskError {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        AskError::Http(self.page.address.clone(), text)
    }
}

/// One question on HAProxy's socket, which it closes behind the answer.
async fn socket(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(HAPROXY).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES as u64).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const NGINX: &str = "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 0 \n";

    fn asker(port: u16) -> Asker {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let host = address.to_string();
        let address = StatusAddress::Http { address, host, path: "/s".into() };
        Asker::new(StatusPage { address, frontend: None })
    }

    /// Answers as it is told, an answer a request, `None` ends the connection.
    async fn serve(listener: TcpListener, answers: &[Option<String>]) {
        let mut answers = answers.iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                match answers.next() {
                    Some(Some(answer)) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    Some(None) => break,
                    None => return,
                }
            }
        }
    }

    fn answer(status: &str, body: &str) -> Option<String> {
        Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_made_anew_when_it_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut asker = asker(listener.local_addr().unwrap().port());
        let answers = [
            answer("200 OK", NGINX),
            answer("200 OK", NGINX),
            None,
            answer("200 OK", NGINX),
            answer("403 Forbidden", ""),
            answer("200 OK", "hello"),
        ];
        tokio::spawn(async move { serve(listener, &answers).await });
        let mut same = Vec::new();
        for _ in 0..3 {
            same.push(asker.ask().await.unwrap().same_connection);
        }
        assert_eq!(same, [false, true, false]);
        let refused = asker.ask().await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(_, StatusCode::FORBIDDEN)), "{refused}");
        let other = asker.ask().await.unwrap_err().to_string();
        assert!(other.contains("no statistics of nginx, Apache or HAProxy: \"hello\""), "{other}");
    }

    #[tokio::test]
    async fn nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = asker(port).ask().await.unwrap_err();
        assert!(matches!(error, AskError::Connect(..)), "{error}");
    }
}
