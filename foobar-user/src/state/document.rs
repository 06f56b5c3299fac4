//! Version and checksum around what is stored:
//!
//! ```json
//! {"version":1,"checksum":"crc32:89abcdef","content":{…}}
//! ```
//!
//! The checksum is over the bytes of `content` as they stand in the file. It finds torn and edited files; it is no protection
//! against somebody who may write to the folder.

use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::Problem;

/// Version of everything in the state folder. Increase it with every change that an older foobar would misread.
///
/// - 1: the document is all there is.
/// - 2: the document has a journal, whose steps come after it.
pub const VERSION: u64 = 2;
/// Version of a document without a journal.
pub const ALONE: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    version: u64,
    checksum: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Only the version, so that a document of another version is recognised whatever else it holds.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// The checksum of some bytes, as it stands in a document.
pub fn checksum(bytes: &[u8]) -> String {
    format!("crc32:{:08x}", crc32fast::hash(bytes))
}

/// The bytes of a document that holds `content`. The version is the lowest that tells all of it, so that an older foobar reads
/// whatever it can.
pub fn encode<T: Serialize>(content: &T, version: u64) -> Vec<u8> {
    let content = serde_json::value::to_raw_value(content).expect("state has string keys only");
    let envelope =
        Envelope { version, checksum: checksum(content.get().as_bytes()), content: &content };
    let mut bytes = serde_json::to_vec(&envelope).expect("an envelope of plain fields");
    bytes.push(b'\n');
    bytes
}

/// What a document holds; `path` is for the error.
///
/// # Errors
/// [`Problem::Damaged`], [`Problem::Version`].
pub fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Problem> {
    let damaged = |why: String| Problem::Damaged { path: path.to_owned(), why };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(damaged("it is empty".to_owned()));
    }
    let versioned: Versioned =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if !(1..=VERSION).contains(&versioned.version) {
        return Err(Problem::Version {
            path: path.to_owned(),
            found: versioned.version,
            reads: VERSION,
        });
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let found = checksum(envelope.content.get().as_bytes());
    if found != envelope.checksum {
        return Err(damaged(format!("its checksum is {found}, not {}", envelope.checksum)));
    }
    serde_json::from_str(envelope.content.get()).map_err(|error| damaged(error.to_string()))
}
