//! Names and passwords (basic authentication, RFC 7617). Passwords are kept as bcrypt hashes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

/// A hash that takes longer to check than a scrape may last is a mistake: 2^14 rounds take about a second.
const MOST_COST: u32 = 14;

/// Stands for a name and a password, and tells nothing about them: a MAC under a key that this process alone has.
pub type Tag = [u8; 32];

/// Who may ask.
pub struct Users {
    hashes: BTreeMap<String, String>,
    key: hmac::Key,
    /// Of each user the one that was right last, so that a scrape each second does not cost a bcrypt each second.
    known: Mutex<HashMap<String, Tag>>,
}

impl Users {
    /// Users with the bcrypt hashes of their passwords.
    ///
    /// # Errors
    /// One is no bcrypt hash, or takes too long to check.
    pub fn new(hashes: BTreeMap<String, String>) -> Result<Self> {
        for (name, hash) in &hashes {
            let place = format!("basic_auth_users: the password of {name:?}");
            if name.contains(':') {
                bail!("basic_auth_users: the name {name:?} cannot have a colon");
            }
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| {
                anyhow!("{place} is no bcrypt hash; make one with: htpasswd -nBC 10 {name}")
            })?;
            if parts.get_cost() > MOST_COST {
                bail!(
                    "{place} has cost {}, which takes too long; {MOST_COST} is the most",
                    parts.get_cost()
                );
            }
        }
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| anyhow!("the kernel gives no random numbers"))
            .context("basic_auth_users")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self { hashes, key, known: Mutex::default() })
    }

    /// Whether nobody is named, and so everybody may ask.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// What stands for these credentials.
    pub fn tag(&self, Credentials { name, password }: &Credentials) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(password);
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Whether they were right before.
    pub fn knows(&self, name: &str, tag: &Tag) -> bool {
        // Of MACs under a secret key, a comparison that takes longer for what is more alike tells nobody anything.
        self.known().get(name) == Some(tag)
    }

    /// Checks a password, which takes the time that its hash was made for; an unknown name takes as long.
    pub fn check(&self, credentials: &Credentials, tag: Tag) -> bool {
        let Some(some) = self.hashes.values().next() else { return true };
        let own = self.hashes.get(&credentials.name);
        let is_right = bcrypt::verify(&credentials.password, own.unwrap_or(some)).unwrap_or(false);
        let is_right = is_right && own.is_some();
        if is_right {
            self.known().insert(credentials.name.clone(), tag);
        }
        is_right
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Tag>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Users {
    fn default() -> Self {
        Self {
            hashes: BTreeMap::new(),
            // Nobody has a tag here.
            key: hmac::Key::new(hmac::HMAC_SHA256, &[]),
            known: Mutex::default(),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hashes.keys()).finish()
    }
}

/// A name and a password as they came.
pub struct Credentials {
    pub name: String,
    pub password: Vec<u8>,
}

impl Credentials {
    /// Reads the header `Authorization`; `None` if it is of another kind.
    pub fn read(header: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        Some(Self { name, password: decoded[colon + 1..].to_vec() })
    }
}
