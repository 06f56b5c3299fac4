//! Which certificates of clients are let in: those of the authority, and of them only those that are named, if any is.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Result, bail};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::EndEntityCert;

/// Alternative names of certificates, of which one must match (`client_allowed_sans`).
#[derive(Debug)]
pub struct Names {
    addresses: Vec<IpAddr>,
    /// DNS names and URIs, to the letter.
    words: Vec<String>,
}

impl Names {
    /// The names as the file has them.
    pub fn of(names: &[String]) -> Result<Self> {
        let mut all = Self { addresses: Vec::new(), words: Vec::new() };
        for name in names {
            if name.contains('@') && !name.contains("://") {
                bail!(
                    "`client_allowed_sans`: {name:?} is a mail address; DNS names, IP addresses and URIs are compared"
                );
            }
            match name.parse() {
                Ok(address) => all.addresses.push(address),
                Err(_) => all.words.push(name.clone()),
            }
        }
        Ok(all)
    }

    fn match_one_of(&self, certificate: &EndEntityCert<'_>) -> bool {
        let is_wanted = |name: &str| self.words.iter().any(|wanted| wanted == name);
        certificate.valid_dns_names().any(is_wanted)
            || certificate.valid_uri_names().any(is_wanted)
            || self.addresses.iter().any(|address| {
                let name = ServerName::from(*address);
                certificate.verify_is_valid_for_subject_name(&name).is_ok()
            })
    }
}

/// Verifies as another one does, and then asks for a name.
#[derive(Debug)]
pub struct OnlyNamed {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Names,
}

impl OnlyNamed {
    /// Only certificates that `verifier` takes and that have one of these names.
    pub fn new(verifier: Arc<dyn ClientCertVerifier>, names: Names) -> Self {
        Self { verifier, names }
    }
}

impl ClientCertVerifier for OnlyNamed {
    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.names.match_one_of(&certificate) {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
