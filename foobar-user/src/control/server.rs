//! Routes of the control API.

use std::{future::Future, io, os::unix::net::UnixListener as StdListener};

use axum::{
    Json, Router,
    extract::{
        ConnectInfo, DefaultBodyLimit, Path, Query, Request, State,
        connect_info::Connected,
        rejection::{JsonRejection, QueryRejection},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::IncomingStream,
};
use tokio::net::UnixListener;
use tracing::warn;

use super::{
    Access, Peer, Refusal,
    api::{BODY_BYTES, Detached, ListEdit, ListEdited, ListPage, ListQuery, PAGE_ENTRIES, Status},
    command::{Caution, Command, EditRequest, Handle, ListRequest},
    edit, live,
    reload::{Confirmed, Reload, ReloadRequest, Reloaded},
    watch::{self, WatchQuery},
};
use crate::{
    explain::{Answer, Question},
    policy::ListKind,
};

/// Serves the control API until `shutdown`; requests under way are answered.
///
/// # Errors
/// Those of accept(2).
pub async fn serve(
    listener: StdListener,
    access: Access,
    keeper: Handle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let service = router(keeper, access).into_make_service_with_connect_info::<Caller>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

pub(super) fn router(keeper: Handle, access: Access) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/lists/{kind}/{name}", get(list))
        .route("/v1/lists/{kind}/{name}/{action}", post(edit_list))
        .route("/v1/explain", post(explain))
        .route("/v1/events", get(events))
        .route("/v1/live", get(live))
        .route("/v1/reload", post(reload))
        .route("/v1/confirm", post(confirm))
        .route("/v1/detach", post(detach))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(access, only_trusted))
        .with_state(keeper)
}

/// Who is connected; `None` if the kernel did not tell.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Option<Peer>);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(
            Peer::of(stream.io())
                .inspect_err(|error| warn!(%error, "cannot tell who is connected"))
                .ok(),
        )
    }
}

/// The mode of the socket keeps others out already; this holds where it was changed by hand.
async fn only_trusted(
    State(access): State<Access>,
    ConnectInfo(Caller(peer)): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    match peer {
        Some(peer) if access.allows(&peer) => {
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        Some(peer) => {
            warn!(%peer, "refused a control request");
            Refusal::forbidden(format!("{peer} may not control this daemon"))
                .help(format!("only {} may", access.words()))
                .into_response()
        }
        None => Refusal::forbidden("the kernel does not tell who is connected").into_response(),
    }
}

async fn status(State(keeper): State<Handle>) -> Result<Json<Status>, Refusal> {
    keeper.ask(Command::Status).await.map(Json)
}

async fn list(
    State(keeper): State<Handle>,
    Path((kind, name)): Path<(String, String)>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListPage>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    let after = query.after.as_deref().map(edit::one_prefix).transpose()?;
    let limit = query.limit.unwrap_or(PAGE_ENTRIES).clamp(1, PAGE_ENTRIES);
    let request = ListRequest { kind: list_kind(&kind)?, name, after, limit };
    keeper.ask(|reply| Command::List(request, reply)).await?.map(Json)
}

async fn edit_list(
    State(keeper): State<Handle>,
    axum::Extension(peer): axum::Extension<Peer>,
    Path((kind, name, action)): Path<(String, String, String)>,
    body: Result<Json<ListEdit>, JsonRejection>,
) -> Result<Json<ListEdited>, Refusal> {
    let kind = list_kind(&kind)?;
    let Json(wanted) = body.map_err(|error| Refusal::invalid(error.body_text()))?;
    let if_generation = wanted.if_generation;
    let caution = Caution { force: wanted.force, ssh_connection: wanted.ssh_connection.clone() };
    // A file of a million lines takes its time.
    let (edit, notes) = tokio::task::spawn_blocking(move || edit::understand(&action, &wanted))
        .await
        .map_err(|error| Refusal::failed(error.to_string()))??;
    let request = EditRequest { peer, kind, name, edit, notes, if_generation, caution };
    keeper.ask(|reply| Command::Edit(request, reply)).await?.map(Json)
}

async fn explain(
    State(keeper): State<Handle>,
    body: Result<Json<Question>, JsonRejection>,
) -> Result<Json<Answer>, Refusal> {
    let Json(question) = body.map_err(|error| Refusal::invalid(error.body_text()))?;
    keeper.ask(|reply| Command::Explain(question, reply)).await?.map(Json)
}

async fn live(State(keeper): State<Handle>) -> Result<Response, Refusal> {
    keeper.ask(Command::Live).await?.map(live::response)
}

async fn events(
    State(keeper): State<Handle>,
    query: Result<Query<WatchQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::invalid(error.body_text()))?;
    keeper.ask(|reply| Command::Watch(query, reply)).await?.map(watch::stream::response)
}

async fn reload(
    State(keeper): State<Handle>,
    axum::Extension(peer): axum::Extension<Peer>,
    body: Result<Json<Reload>, JsonRejection>,
) -> Result<Json<Reloaded>, Refusal> {
    let Json(wanted) = body.map_err(|error| Refusal::invalid(error.body_text()))?;
    let request = ReloadRequest { peer, wanted };
    keeper.ask(|reply| Command::Reload(request, reply)).await?.map(Json)
}

async fn confirm(
    State(keeper): State<Handle>,
    axum::Extension(peer): axum::Extension<Peer>,
) -> Result<Json<Confirmed>, Refusal> {
    keeper.ask(|reply| Command::Confirm(peer, reply)).await?.map(Json)
}

async fn detach(
    State(keeper): State<Handle>,
    axum::Extension(peer): axum::Extension<Peer>,
) -> Result<Json<Detached>, Refusal> {
    keeper.ask(|reply| Command::Detach(peer, reply)).await?.map(Json)
}

async fn no_such_route(request: Request) -> Refusal {
    Refusal::unknown(format!("there is no {} here", request.uri().path()))
}

async fn no_such_method(request: Request) -> Refusal {
    Refusal::invalid(format!("{} does not take {}", request.uri().path(), request.method()))
}

fn list_kind(word: &str) -> Result<ListKind, Refusal> {
    match word {
        "allow" => Ok(ListKind::Allow),
        "block" => Ok(ListKind::Block),
        other => Err(Refusal::unknown(format!(
            "there are no lists of the kind {other:?}, only allow and block"
        ))),
    }
}
