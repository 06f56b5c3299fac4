//! The format of the file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::gate::Stamps;

/// A file of more bytes is none.
const MOST_BYTES: u64 = 1 << 20;

/// Headers that exporter-toolkit lets one set, and no others.
const HEADERS: [&str; 5] = [
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
];

/// All of it. What is absent is off.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub tls_server_config: Option<Tls>,
    pub http_server_config: Option<Http>,
    /// Names, and the bcrypt hashes of their passwords.
    pub basic_auth_users: Option<BTreeMap<String, String>>,
}

/// `tls_server_config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The same, in the file itself.
    pub cert: Option<String>,
    pub key: Option<String>,
    pub client_auth_type: Option<String>,
    pub client_ca_file: Option<PathBuf>,
    pub client_ca: Option<String>,
    pub client_allowed_sans: Vec<String>,
    pub min_version: Option<String>,
    pub max_version: Option<String>,
    pub cipher_suites: Option<Vec<String>>,
    /// The server's order always counts.
    pub prefer_server_cipher_suites: Option<bool>,
    pub curve_preferences: Option<Vec<String>>,
}

/// `http_server_config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Offered or not, this listener speaks HTTP/1.1, which every client does.
    pub http2: Option<bool>,
    pub headers: BTreeMap<String, String>,
}

/// The text of a file.
pub struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    /// Reads a file.
    pub fn read(path: &Path, stamps: &mut Stamps) -> Result<Self> {
        let bytes = read(path, stamps)?;
        let text =
            String::from_utf8(bytes).map_err(|_| anyhow!("{} is no text", path.display()))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Understands it. What it says is not repeated in errors: it may be a secret.
    pub fn parse(&self) -> Result<File> {
        let options = serde_saphyr::options! { with_snippet: false };
        let parsed = serde_saphyr::from_str_with_options::<Option<File>>(&self.text, options);
        parsed.map(Option::unwrap_or_default).map_err(|error| match error.location() {
            Some(place) => anyhow!("line {}: {error}", place.line()),
            None => anyhow!("{error}"),
        })
    }

    /// Where a file is that this one names.
    pub fn beside(&self, name: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }
}

/// Reads a whole file, and notes its state before.
pub fn read(path: &Path, stamps: &mut Stamps) -> Result<Vec<u8>> {
    stamps.note(path);
    let read = || {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            bail!("it is not a regular file");
        }
        if found.len() > MOST_BYTES {
            bail!("it has more than {MOST_BYTES} bytes");
        }
        Ok(fs::read(path)?)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

impl Http {
    /// The headers of every answer.
    pub fn headers(&self) -> Result<HeaderMap> {
        let header = |(name, value): (&String, &String)| {
            if !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                bail!(
                    "http_server_config: the header {name:?} cannot be set, only {}",
                    HEADERS.join(", ")
                );
            }
            let value = HeaderValue::from_str(value)
                .with_context(|| format!("http_server_config: the value of the header {name}"))?;
            Ok((HeaderName::from_bytes(name.as_bytes())?, value))
        };
        self.headers.iter().map(header).collect()
    }
}
