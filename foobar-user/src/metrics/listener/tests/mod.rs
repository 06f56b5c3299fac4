//! The listener over real sockets on loopback.

mod answers;
mod limits;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Listener, ListenerLimits, Source};
use crate::live::{Live, Since};
use crate::metrics::{Gate, Snapshot};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that runs until it is dropped.
struct Running {
    address: SocketAddr,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Running {
    fn start(source: impl Source, limits: ListenerLimits) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = Some(runtime.spawn(listener.serve(
            Arc::new(source),
            Arc::new(Gate::new(None)),
            limits,
            shutdown,
        )));
        Running { address, runtime, stop: Some(stop), serving }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the listener accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends a request that asks for the connection to be closed, and reads all of the answer.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Begins the shutdown, and does not wait for it.
    fn stop(&mut self) {
        self.stop.take();
    }

    /// Waits for the end of the shutdown.
    fn ended(&mut self) {
        let serving = self.serving.take().expect("it was started");
        let ended = async { tokio::time::timeout(PATIENCE, serving).await };
        self.runtime.block_on(ended).expect("it ends in time").expect("it does not panic");
    }
}

/// A source that always works.
struct Quiet;

impl Source for Quiet {
    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Ok(crate::metrics::tests::site::three_ports())
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn live(&self, _: Since) -> Live {
        Live::default()
    }
}

/// Status line, headers, body.
fn parts(answer: &str) -> (&str, &str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let (status, headers) = head.split_once("\r\n").expect("headers");
    (status, headers, body)
}

/// Whether the other side closed the connection, without an answer.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
