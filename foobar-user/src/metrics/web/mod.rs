//! TLS and authentication of the metrics listener, from a file in the format of Prometheus's exporter-toolkit
//! (<https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>), so that what protects the other
//! exporters of a site protects this one.
//!
//! - [`file`]: the format; unknown keys are errors.
//! - [`tls`]: what it says about TLS; [`clients`]: which certificates of clients are let in.
//! - [`users`]: names and passwords; [`checks`]: how passwords are checked without giving the processor away.
//! - [`gate`]: the one that is in force, read again when a file changes.

mod checks;
mod clients;
mod file;
mod gate;
#[cfg(test)]
mod tests;
mod tls;
mod users;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use axum::http::HeaderMap;
use tokio_rustls::rustls::ServerConfig;

pub use checks::{Checks, Denied};
pub use gate::Gate;

use self::{file::Text, gate::Stamps, users::Users};

/// What a web configuration means.
#[derive(Debug, Default)]
pub struct Web {
    /// TLS, if it is on.
    pub tls: Option<Arc<ServerConfig>>,
    /// Headers of every answer.
    pub headers: HeaderMap,
    /// Who may ask; everybody if nobody is named.
    pub users: Arc<Users>,
    /// Whether clients need a certificate.
    pub wants_certificates: bool,
    /// What it was read from, and the state of those files then.
    stamps: Stamps,
}

impl Web {
    /// Reads a file and those that it names; notes the state of each before it is read.
    ///
    /// # Errors
    /// The first mistake, with file and place.
    fn load(path: &Path, stamps: &mut Stamps) -> Result<Self> {
        let text = Text::read(path, stamps)?;
        let mut read = || {
            let file = text.parse()?;
            let tls = file.tls_server_config.map(|tls| tls::load(tls, &text, stamps));
            let tls = tls.transpose().context("tls_server_config")?.flatten();
            let wants_certificates = tls.as_ref().is_some_and(|(_, wants)| *wants);
            let headers = file.http_server_config.unwrap_or_default().headers()?;
            let users = Users::new(file.basic_auth_users.unwrap_or_default())?;
            let tls = tls.map(|(config, _)| Arc::new(config));
            Ok((tls, headers, users, wants_certificates))
        };
        let read: Result<_> = read();
        let (tls, headers, users, wants_certificates) =
            read.with_context(|| format!("{} cannot be used", path.display()))?;
        let users = Arc::new(users);
        Ok(Self { tls, headers, users, wants_certificates, stamps: stamps.clone() })
    }

    /// Whether somebody who reaches the port needs more than that to read the metrics.
    pub fn is_closed_to_strangers(&self) -> bool {
        self.wants_certificates || !self.users.is_empty()
    }
}

/// What an operator must know of a listener that others than this host can reach; `None` for `web`: nobody is let in.
pub fn exposure(listen: SocketAddr, web: Option<&Web>) -> Option<String> {
    let web = web?;
    if listen.ip().to_canonical().is_loopback() {
        return None;
    }
    let what = match (web.tls.is_some(), web.is_closed_to_strangers()) {
        (true, true) => return None,
        (true, false) => "everybody who reaches it can read the metrics",
        (false, true) => "passwords and metrics cross the network in clear",
        (false, false) => "everybody who reaches it, or the network between, can read the metrics",
    };
    Some(format!("metrics are served on {listen}, beyond this host, and {what}"))
}

/// What to do about [`exposure`].
pub const EXPOSURE_HELP: &str = "set `web_config` under [metrics] to a file with tls_server_config and basic_auth_users or client certificates, or listen on 127.0.0.1";
