//! The control API, spoken without the command line: many requests over one connection.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one daemon.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

impl Control {
    pub(super) fn new(socket: PathBuf) -> Self {
        Control { socket, connection: None }
    }

    /// Adds an entry to a list, or does something else with it: `allow/friends/add`.
    ///
    /// # Errors
    /// The connection cannot be made, or breaks.
    pub fn edit(&mut self, list_and_action: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.request("POST", &format!("/v1/lists/{list_and_action}"), body.to_string().as_bytes())
    }

    /// Sends a request, and returns status and body of the answer; null where that is no JSON.
    ///
    /// # Errors
    /// The connection cannot be made, or breaks.
    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Value)> {
        let answer = self.exchange(method, path, body);
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Value)> {
        if self.connection.is_none() {
            let stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().expect("it was just made");
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: foobar\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        connection.get_mut().write_all(&request)?;

        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let status =
            line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
        let (mut length, mut closes) = (0, false);
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let lower = line.trim_end().to_ascii_lowercase();
            match lower.split_once(':') {
                Some(("content-length", value)) => {
                    length = value.trim().parse().map_err(|_| broken())?;
                }
                Some(("connection", value)) => closes = value.trim() == "close",
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length];
        connection.read_exact(&mut answer)?;
        if closes {
            self.connection = None;
        }
        Ok((status, serde_json::from_slice(&answer).unwrap_or(Value::Null)))
    }
}
