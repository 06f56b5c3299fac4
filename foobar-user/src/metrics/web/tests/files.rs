//! What a file may say.

use std::{fs, sync::Arc, time::Duration};

use super::write_certificate;
use crate::metrics::web::{Gate, exposure, gate::Stamps};

const TLS: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";

/// What is wrong with this text, next to a certificate and its key.
fn problem(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let path = folder.path().join("web.yml");
    fs::write(&path, text).unwrap();
    let error = Gate::try_load(Some(&path)).err()?;
    let text = format!("{error:#}");
    assert!(text.contains("web.yml"), "it names the file: {text}");
    Some(text)
}

#[test]
fn what_exporter_toolkit_takes_is_taken() {
    for text in [
        "",
        "# nothing\n",
        "tls_server_config: {}\n",
        TLS,
        &format!(
            "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n"
        ),
        &format!(
            "{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n  client_allowed_sans: [prometheus, 192.0.2.7]\n"
        ),
        &format!(
            "{TLS}  client_auth_type: NoClientCert\n  min_version: TLS13\n  max_version: TLS13\n"
        ),
        &format!(
            "{TLS}  min_version: TLS12\n  prefer_server_cipher_suites: true\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP256, X25519]\n"
        ),
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000\n",
        "basic_auth_users:\n  alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n",
    ] {
        assert_eq!(problem(text), None, "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    let tls = |more: &str| format!("{TLS}  {more}\n");
    let cases = [
        ("tls_config:\n  cert_file: cert.pem\n".to_owned(), "tls_config"),
        (tls("cert_fil: x"), "cert_fil"),
        ("basic_auth_users: [alice]\n".to_owned(), "line 1"),
        (":\n  - [".to_owned(), "line"),
        ("tls_server_config:\n  cert_file: cert.pem\n".to_owned(), "`key_file` is missing"),
        ("tls_server_config:\n  key_file: key.pem\n".to_owned(), "`cert_file` is missing"),
        (TLS.replace("key.pem", "none.pem"), "none.pem"),
        (TLS.replace("key.pem", "cert.pem"), "no private key"),
        (TLS.replace("cert.pem", "key.pem"), "no certificate"),
        (TLS.replace("cert.pem", "web.yml"), "no certificate"),
        (tls("min_version: TLS10"), "TLS10 is not secure"),
        (tls("max_version: SSL3"), "\"SSL3\""),
        (tls("min_version: TLS13\n  max_version: TLS12"), "higher than"),
        (tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), "TLS_RSA_WITH_RC4_128_SHA"),
        (tls("curve_preferences: [CurveP521]"), "CurveP521"),
        (tls("client_ca_file: cert.pem"), "no use without `client_auth_type`"),
        (tls("client_auth_type: RequireAndVerifyClientCert"), "`client_ca_file` is missing"),
        (tls("client_auth_type: RequireAnyClientCert"), "verifies nothing"),
        (tls("client_auth_type: Sometimes"), "\"Sometimes\""),
        (tls("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n  client_allowed_sans: [a@example.com]"), "mail address"),
        (tls("cert: x"), "exclude each other"),
        ("http_server_config:\n  headers:\n    Server: foobar\n".to_owned(), "\"Server\""),
        ("http_server_config:\n  headers:\n    X-Frame-Options: \"a\\nb\"\n".to_owned(), "X-Frame-Options"),
        ("basic_auth_users:\n  alice: hunter2\n".to_owned(), "no bcrypt hash"),
        ("basic_auth_users:\n  alice: $2y$20$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n".to_owned(), "cost 20"),
    ];
    for (text, expected) in cases {
        let problem = problem(&text).unwrap_or_else(|| panic!("nothing is wrong with:\n{text}"));
        assert!(problem.contains(expected), "no {expected:?} in {problem:?} of:\n{text}");
        assert!(!problem.contains("hunter2"), "a password in a message: {problem}");
    }
    // A certificate and the key of another one.
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let key = fs::read(folder.path().join("key.pem")).unwrap();
    write_certificate(folder.path());
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let path = folder.path().join("web.yml");
    fs::write(&path, TLS).unwrap();
    let error = format!("{:#}", Gate::try_load(Some(&path)).unwrap_err());
    assert!(error.contains("do not belong together"), "{error}");
}

#[test]
fn a_file_that_cannot_be_used_lets_nobody_in_and_one_that_breaks_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let path = folder.path().join("web.yml");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gate = Arc::new(Gate::new(Some(&path)));
    assert!(
        gate.current().is_none() && gate.error().is_some_and(|error| error.contains("web.yml"))
    );

    let look = || {
        std::thread::sleep(Duration::from_millis(1100));
        runtime.block_on(gate.fresh())
    };
    fs::write(&path, TLS).unwrap();
    let first = look().expect("it is usable now").tls.clone().expect("TLS is on");
    assert_eq!(gate.error(), None);
    fs::write(&path, "tls_server_config: [").unwrap();
    assert!(Arc::ptr_eq(&first, look().unwrap().tls.as_ref().unwrap()), "the one before stays");
    assert!(gate.error().is_some());
    fs::write(&path, TLS).unwrap();
    let second = look().unwrap().tls.clone().unwrap();
    assert!(!Arc::ptr_eq(&first, &second) && gate.error().is_none());
    // Another certificate under the same name, as renewal makes it.
    write_certificate(folder.path());
    assert!(!Arc::ptr_eq(&second, look().unwrap().tls.as_ref().unwrap()));

    gate.set(None, Gate::try_load(None).unwrap());
    assert!(runtime.block_on(gate.fresh()).unwrap().tls.is_none());
}

#[test]
fn who_listens_beyond_this_host_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let path = folder.path().join("web.yml");
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        super::super::Web::load(&path, &mut Stamps::default()).unwrap()
    };
    let users =
        "basic_auth_users:\n  a: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n";
    let everywhere = "0.0.0.0:9898".parse().unwrap();
    let words = |text: &str| exposure(everywhere, Some(&load(text))).unwrap_or_default();
    assert!(words("").contains("everybody who reaches it, or the network"));
    assert!(words(TLS).contains("everybody who reaches it can read"));
    assert!(words(users).contains("in clear"));
    assert_eq!(words(&format!("{TLS}{users}")), "");
    assert_eq!(
        words(&format!(
            "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n"
        )),
        ""
    );
    for own in ["127.0.0.1:9898", "[::1]:9898", "[::ffff:127.0.0.1]:9898"] {
        assert_eq!(exposure(own.parse().unwrap(), Some(&load(""))), None);
    }
    assert_eq!(exposure(everywhere, None), None, "nobody is let in");
}
