//! The loop that accepts connections, and what becomes of each.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::clients::{Activity, Clients};
use super::host;
use super::page::Pages;
use super::routes::router;
use super::{Listener, ListenerLimits, Source};
use crate::metrics::web::{Gate, Web};

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// How long to leave connections to the kernel while this process has no room for one more.
const EXHAUSTED: Duration = Duration::from_millis(100);

impl Listener {
    /// Answers until `shutdown`; answers under way are finished then, within [`ListenerLimits::drain`].
    pub async fn serve(
        self,
        source: Arc<dyn Source>,
        gate: Arc<Gate>,
        limits: ListenerLimits,
        shutdown: impl Future<Output = ()>,
    ) {
        let Listener { socket, address } = self;
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!("no scrapes are answered on {address}: {error}"),
        };
        let routes = router(Arc::new(Pages::new(source)));
        let (open, closing) = watch::channel(());
        let mut clients = Clients::default();
        let mut tasks = JoinSet::new();
        let mut most = limits.connections.max(1);
        let mut is_exhausted = false;
        tokio::pin!(shutdown);
        loop {
            let is_full = tasks.len() >= most;
            let pause = match (is_full, is_exhausted) {
                (true, _) => clients.make_room(),
                (false, true) => EXHAUSTED,
                (false, false) => Duration::ZERO,
            };
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    clients.remove(id);
                    if tasks.is_empty() {
                        most = limits.connections.max(1);
                    }
                }
                () = sleep(pause), if !pause.is_zero() => is_exhausted = false,
                accepted = socket.accept(), if pause.is_zero() => match accepted {
                    Ok((stream, peer)) => {
                        let activity = Activity::new();
                        let client = Client {
                            address: peer.ip(),
                            on_loopback: address.ip().to_canonical().is_loopback(),
                            activity: activity.clone(),
                            routes: routes.clone(),
                            gate: Arc::clone(&gate),
                            limits,
                            closing: closing.clone(),
                        };
                        clients.insert(tasks.spawn(client.greet(stream)), activity);
                    }
                    Err(error) if is_of_client(&error) => {}
                    Err(error) => {
                        // Out of file descriptors, most likely. The rest of the daemon needs some as well, so fewer
                        // connections must do until all of these are gone.
                        most = (tasks.len() * 3 / 4).max(1);
                        is_exhausted = true;
                        tracing::warn!("cannot accept a scrape: {error}; {most} connections at a time must do");
                    }
                },
            }
        }
        drop(socket);
        drop(open);
        let drained = async { while tasks.join_next().await.is_some() {} };
        // Each connection ends itself in that time; the second one is for those that hang.
        let _ = timeout(limits.drain * 2, drained).await;
        tasks.shutdown().await;
    }
}

/// Whether accept(2) reports what went wrong with a connection that is gone already, as Linux does.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
    )
}

/// One connection.
struct Client {
    address: IpAddr,
    /// Whether the listener is for this host alone.
    on_loopback: bool,
    activity: Activity,
    routes: Router,
    gate: Arc<Gate>,
    limits: ListenerLimits,
    closing: watch::Receiver<()>,
}

impl Client {
    /// Shakes hands if TLS is on, and answers.
    async fn greet(self, stream: TcpStream) {
        let Some(web) = self.gate.fresh().await else { return };
        match &web.tls {
            None => self.converse(stream, web).await,
            Some(tls) => {
                let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
                // An error is the client's.
                if let Ok(Ok(stream)) = timeout(self.limits.header_timeout, handshake).await {
                    self.converse(stream, web).await;
                }
            }
        }
    }

    /// Answers the requests of the connection.
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin, web: Arc<Web>) {
        let Client { address, on_loopback, activity, routes, gate, limits, mut closing } = self;
        let by_own_name = on_loopback && web.tls.is_none() && !web.is_closed_to_strangers();
        let routes = TowerToHyperService::new(routes);
        let service = service_fn(move |request: Request<Incoming>| {
            let (web, gate, activity) = (Arc::clone(&web), Arc::clone(&gate), activity.clone());
            let routes = routes.clone();
            async move {
                let admitted = gate.checks.admit(&web.users, request.headers(), address).await;
                // Who waits to be admitted counts as idle, and makes room for others.
                let answering = activity.answering();
                let mut answer = match admitted {
                    Ok(()) if by_own_name && !host::is_own(&request) => host::misdirected(),
                    Ok(()) => routes.call(request).await?,
                    Err(denied) => denied.into_response(),
                };
                answer.headers_mut().extend(web.headers.clone());
                drop(answering);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // An error is the client's: it is gone, late, or speaks no HTTP.
            _ = connection.as_mut() => return,
            () = sleep(limits.lifetime) => {}
            _ = closing.changed() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.drain, connection).await;
    }
}
