//! What is served under which path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::page::Pages;
use super::status;
use crate::metrics::collector::CONTENT_TYPE;

/// All routes.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/api/live", get(status::live))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(pages)
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    match pages.current().await {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(failure) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot read the metrics: {failure}\n"))
                .into_response()
        }
    }
}

async fn healthz(State(pages): State<Arc<Pages>>) -> Response {
    match pages.source().health() {
        Ok(()) => "ok\n".into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn no_such_path() -> Response {
    (
        StatusCode::NOT_FOUND,
        "there is nothing here; foobar serves / (for people), /metrics (for Prometheus), /api/live and /healthz\n",
    )
        .into_response()
}

async fn no_such_method(request: Request) -> Response {
    let hint = format!("{} is not for reading; use GET or HEAD\n", request.method());
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], hint).into_response()
}
