//! An error on its way to the client: `{"error": "...", "help": "..."}` with an HTTP status.

use std::fmt;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    kernel::KernelError,
    policy::{compile::CompileError, lists::ListError},
    replay::capture::CaptureError,
};

/// Why a request was not done. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, which says whose fault it is.
    pub status: StatusCode,
    /// What failed, on which object, and why.
    pub error: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A refusal as it crosses the socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Body {
    /// What failed, on which object, and why.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), help: None }
    }

    /// The request makes no sense as it stands.
    pub fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// What it names does not exist.
    pub fn unknown(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// The client may not ask.
    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// The policy is not the one that the client thinks it is.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// The daemon tried and could not.
    pub fn failed(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// The daemon is stopping.
    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")
            .help("start it again with `foobar run`; the filter stays in force meanwhile")
    }

    /// The daemon tried and could not, for this reason.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let refusal = Self::failed(explain(error));
        match remedy(error) {
            Some(help) => refusal.help(help),
            None => refusal,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Refusal {}

impl From<ListError> for Refusal {
    fn from(error: ListError) -> Self {
        let refusal = match error {
            ListError::UnknownList { .. } => Self::unknown(error.to_string()),
            _ => Self::invalid(error.to_string()),
        };
        refusal.help(error.help())
    }
}

/// An error with everything that led to it; what a message repeats of its cause is left out.
pub fn explain(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            let separator = if cause.contains('\n') { ":\n" } else { ": " };
            message = format!("{message}{separator}{cause}");
        }
    }
    message
}

/// What to do about an error, if anything that led to it knows.
pub fn remedy(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            refusal.help.clone()
        } else if let Some(kernel) = cause.downcast_ref::<KernelError>() {
            kernel.help().map(str::to_owned)
        } else if let Some(compile) = cause.downcast_ref::<CompileError>() {
            Some(compile.help().to_owned())
        } else if let Some(capture) = cause.downcast_ref::<CaptureError>() {
            Some(capture.help())
        } else {
            cause.downcast_ref::<super::client::NotRunning>().map(super::client::NotRunning::help)
        }
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Body { error: self.error, help: self.help })).into_response()
    }
}
