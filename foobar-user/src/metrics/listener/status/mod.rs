//! The status page: one self-contained document, and the numbers that it asks for once a second.
//!
//! Nothing outside of the document is loaded and no script but its own runs: the Content-Security-Policy names the hashes of
//! its one style sheet and its one script, and allows requests to this listener alone.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::page::Pages;
use crate::live::Since;

const DOCUMENT: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("chart.js"), include_str!("page.js"));

/// Where the style sheet and the script go.
const PLACES: [(&str, &str); 2] = [("/*STYLE*/", STYLE), ("/*SCRIPT*/", SCRIPT)];

/// The document with everything in it.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    PLACES.iter().fold(DOCUMENT.to_owned(), |page, (place, content)| page.replace(place, content))
});

/// Nothing is allowed but what the page is made of (Content Security Policy Level 3).
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [style, script] = [STYLE, SCRIPT].map(|text| STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page.
pub async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another version of foobar has another page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE.as_str()).into_response()
}

/// What the page shows.
pub async fn live(
    State(pages): State<Arc<Pages>>,
    since: Result<Query<Since>, QueryRejection>,
) -> Response {
    match since {
        Ok(Query(since)) => {
            let headers =
                [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (headers, Json(pages.source().live(since))).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{}\n", error.body_text())).into_response(),
    }
}
