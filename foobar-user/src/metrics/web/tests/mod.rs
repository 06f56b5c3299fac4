//! The file, and what becomes of who asks. TLS over the network is tested with real clients in tests/tests/web_config.rs.

mod files;
mod passwords;

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair};

/// A certificate for localhost and its key, as PEM in `cert.pem` and `key.pem`.
fn write_certificate(folder: &Path) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(folder.join("cert.pem"), certificate.pem()).expect("cert.pem");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("key.pem");
}
