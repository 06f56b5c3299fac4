//! Passwords are checked on a thread for blocking work, one at a time; those that wait are few, one of each source. So a flood of
//! wrong passwords costs one processor at most, and whoever was right before is not held up at all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::{Semaphore, watch};

use super::users::{Credentials, Tag, Users};

/// Checks that wait at most.
const QUEUE: usize = 8;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credentials, or wrong ones.
    Unauthorized,
    /// Too many that were not seen before, at the moment.
    Busy,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Denied::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Basic realm=\"foobar\", charset=\"UTF-8\"")],
                "name and password are needed (basic authentication)\n",
            )
                .into_response(),
            Denied::Busy => (
                StatusCode::TOO_MANY_REQUESTS,
                [(header::RETRY_AFTER, "1")],
                "too many passwords are being checked; try again\n",
            )
                .into_response(),
        }
    }
}

/// One check, for all who came with the same credentials meanwhile.
#[derive(Debug)]
struct Waiting {
    source: IpAddr,
    outcome: watch::Receiver<Option<bool>>,
}

/// The checks of a listener.
#[derive(Debug)]
pub struct Checks {
    turn: Semaphore,
    waiting: Mutex<HashMap<Tag, Waiting>>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), waiting: Mutex::default() }
    }
}

impl Checks {
    /// Whether a request from this source may be answered.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn admit(
        self: &Arc<Self>,
        users: &Arc<Users>,
        headers: &HeaderMap,
        source: IpAddr,
    ) -> Result<(), Denied> {
        if users.is_empty() {
            return Ok(());
        }
        let credentials = headers.get(header::AUTHORIZATION).and_then(Credentials::read);
        let credentials = credentials.ok_or(Denied::Unauthorized)?;
        let tag = users.tag(&credentials);
        if users.knows(&credentials.name, &tag) {
            return Ok(());
        }
        let mut outcome = self.enqueue(users, credentials, tag, network(source))?;
        let is_right =
            outcome.wait_for(Option::is_some).await.is_ok_and(|told| *told == Some(true));
        if is_right { Ok(()) } else { Err(Denied::Unauthorized) }
    }

    /// Has these credentials checked, unless they are being checked already.
    fn enqueue(
        self: &Arc<Self>,
        users: &Arc<Users>,
        credentials: Credentials,
        tag: Tag,
        source: IpAddr,
    ) -> Result<watch::Receiver<Option<bool>>, Denied> {
        let mut waiting = self.waiting();
        if let Some(same) = waiting.get(&tag) {
            return Ok(same.outcome.clone());
        }
        if waiting.len() >= QUEUE || waiting.values().any(|other| other.source == source) {
            return Err(Denied::Busy);
        }
        let (tell, outcome) = watch::channel(None);
        waiting.insert(tag, Waiting { source, outcome: outcome.clone() });
        drop(waiting);
        let (checks, users) = (Arc::clone(self), Arc::clone(users));
        // A task of its own: whoever asked may be gone before it is his turn, and the work goes on nevertheless.
        tokio::spawn(async move {
            let turn = checks.turn.acquire().await;
            let check = move || users.check(&credentials, tag);
            let is_right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
            drop(turn);
            checks.waiting().remove(&tag);
            tell.send_replace(Some(is_right));
        });
        Ok(outcome)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Tag, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who counts as one source: an IPv4 address, or a /64 of IPv6, which is what one host gets.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}
