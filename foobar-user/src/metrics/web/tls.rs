//! What the file says about TLS.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use tokio_rustls::rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{
    clients::{Names, OnlyNamed},
    file::{Text, Tls, read},
    gate::Stamps,
};

/// Curves by the names that the file has for them.
const CURVES: [(&str, NamedGroup); 3] = [
    ("X25519", NamedGroup::X25519),
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
];

/// The configuration of the server, and whether clients need a certificate; none where no certificate is named.
pub fn load(tls: Tls, text: &Text, stamps: &mut Stamps) -> Result<Option<(ServerConfig, bool)>> {
    let mut pem = |file: &Option<PathBuf>, inline: &Option<String>, what: &str| match (
        file.as_ref().filter(|path| !path.as_os_str().is_empty()),
        inline,
    ) {
        (Some(_), Some(_)) => bail!("`{what}_file` and `{what}` exclude each other"),
        (Some(path), None) => read(&text.beside(path), stamps).map(Some),
        (None, inline) => Ok(inline.as_ref().map(|pem| pem.clone().into_bytes())),
    };
    let certificate = pem(&tls.cert_file, &tls.cert, "cert")?;
    let key = pem(&tls.key_file, &tls.key, "key")?;
    let authority = pem(&tls.client_ca_file, &tls.client_ca, "client_ca")?;
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if authority.is_none() && tls.client_auth_type.is_none() => return Ok(None),
        (None, _) => bail!("`cert_file` is missing"),
        (_, None) => bail!("`key_file` is missing"),
    };
    let chain = certificates(&certificate).context("`cert_file`")?;
    let key =
        PrivateKeyDer::from_pem_slice(&key).context("`key_file` holds no private key in PEM")?;
    let provider = Arc::new(provider(&tls)?);
    let verifier = verifier(&tls, authority, &provider)?;
    let wants = verifier.as_ref().is_some_and(|verifier| verifier.client_auth_mandatory());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&tls)?)
        .context("`min_version`, `max_version` and `cipher_suites` do not go together")?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .context("`cert_file` and `key_file` do not belong together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some((config, wants)))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| anyhow!("it is no PEM: {error}"))?;
    if found.is_empty() {
        bail!("there is no certificate in it");
    }
    Ok(found)
}

/// Versions from the least to the highest that the file allows.
fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let number = |key: &str, version: &Option<String>, default| match version.as_deref() {
        None => Ok(default),
        Some("TLS12") => Ok(ProtocolVersion::TLSv1_2),
        Some("TLS13") => Ok(ProtocolVersion::TLSv1_3),
        Some(old @ ("TLS10" | "TLS11")) => {
            bail!("`{key}`: {old} is not secure; write TLS12 or TLS13")
        }
        Some(other) => bail!("`{key}` cannot be {other:?}; write TLS12 or TLS13"),
    };
    let least = number("min_version", &tls.min_version, ProtocolVersion::TLSv1_2)?;
    let most = number("max_version", &tls.max_version, ProtocolVersion::TLSv1_3)?;
    let all = [&TLS13, &TLS12].into_iter();
    let number = |version: ProtocolVersion| u16::from(version);
    let versions: Vec<_> = all
        .filter(|known| (number(least)..=number(most)).contains(&number(known.version)))
        .collect();
    if versions.is_empty() {
        bail!("`min_version` is higher than `max_version`");
    }
    Ok(versions)
}

/// Cipher suites and curves. As in Go, those of TLS 1.3 cannot be chosen: all of them are good.
fn provider(tls: &Tls) -> Result<CryptoProvider> {
    let mut provider = ring::default_provider();
    let is_tls13 = |name: CipherSuite| name.as_str().is_some_and(|name| name.starts_with("TLS13_"));
    if let Some(wanted) = &tls.cipher_suites {
        let known: Vec<_> = provider
            .cipher_suites
            .iter()
            .map(|suite| suite.suite())
            .filter(|name| !is_tls13(*name))
            .filter_map(|name| name.as_str())
            .collect();
        // Go calls those of TLS 1.3 without the number; naming them changes nothing.
        let is_of_tls13 = |name: &str| {
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
                .contains(&name)
        };
        if let Some(other) =
            wanted.iter().find(|name| !known.contains(&name.as_str()) && !is_of_tls13(name))
        {
            bail!("`cipher_suites`: there is no {other:?} here, only {}", known.join(", "));
        }
        provider.cipher_suites.retain(|suite| {
            let name = suite.suite();
            is_tls13(name)
                || name.as_str().is_some_and(|name| wanted.iter().any(|wanted| wanted == name))
        });
    }
    if let Some(wanted) = &tls.curve_preferences {
        let groups: Result<Vec<_>> = wanted
            .iter()
            .map(|name| {
                let known = CURVES.iter().find(|(known, _)| known == name);
                let (_, group) = known.with_context(|| {
                    format!("`curve_preferences`: there is no {name:?} here, only X25519, CurveP256, CurveP384")
                })?;
                let mut all = provider.kx_groups.iter();
                all.find(|known| known.name() == *group).copied().context("`curve_preferences`")
            })
            .collect();
        provider.kx_groups = groups?;
    }
    Ok(provider)
}

/// How certificates of clients are verified; `None` if none are asked for.
fn verifier(
    tls: &Tls,
    authority: Option<Vec<u8>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let optional = match tls.client_auth_type.as_deref() {
        None | Some("" | "NoClientCert") if authority.is_some() => bail!(
            "`client_ca_file` is of no use without `client_auth_type`: write RequireAndVerifyClientCert"
        ),
        None | Some("" | "NoClientCert") if !tls.client_allowed_sans.is_empty() => bail!(
            "`client_allowed_sans` is of no use without `client_auth_type`: write RequireAndVerifyClientCert"
        ),
        None | Some("" | "NoClientCert") => return Ok(None),
        Some("VerifyClientCertIfGiven") => true,
        Some("RequireAndVerifyClientCert") => false,
        Some(asks @ ("RequestClientCert" | "RequireAnyClientCert")) => bail!(
            "`client_auth_type`: {asks} verifies nothing, so it keeps nobody out; write RequireAndVerifyClientCert or NoClientCert"
        ),
        Some(other) => bail!(
            "`client_auth_type` cannot be {other:?}; write NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        ),
    };
    let authority =
        authority.context("`client_ca_file` is missing: whose certificates shall be taken?")?;
    let mut roots = RootCertStore::empty();
    for root in certificates(&authority).context("`client_ca_file`")? {
        roots.add(root).context("`client_ca_file`: this cannot be a certificate authority")?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    let verifier = builder.build().context("`client_ca_file`")?;
    if tls.client_allowed_sans.is_empty() {
        return Ok(Some(verifier));
    }
    Ok(Some(Arc::new(OnlyNamed::new(verifier, Names::of(&tls.client_allowed_sans)?))))
}
