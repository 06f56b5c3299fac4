//! One handshake, for the sake of the certificate.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    io::AsyncWriteExt as _,
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, crypto::ring, pki_types::ServerName},
};
use x509_parser::parse_x509_certificate;

use super::witness::Witness;
use crate::servers::connect::connect;

/// A server that needs longer for a handshake on loopback is as good as not there.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a certificate was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nobody accepts connections there.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    /// The server does not answer.
    #[error("{0} did not answer within {time} seconds", time = LIMIT.as_secs())]
    Silent(SocketAddr),
    /// The other side refuses, or does not speak TLS.
    #[error("no TLS handshake with {0}: {1}")]
    Handshake(SocketAddr, #[source] io::Error),
    /// No certificate came, or one that cannot be read.
    #[error("the certificate of {0} cannot be read: {1}")]
    Certificate(SocketAddr, String),
    /// TLS clients cannot ask for such a name.
    #[error("\"{0}\" cannot be asked for: {1}")]
    Name(String, String),
}

/// When the certificate expires that a server gives to clients that ask for this name (`None`: that ask for no name), in
/// seconds since 1970: the field `notAfter` (RFC 5280, section 4.1.2.5) of the server's own certificate, not of its chain.
///
/// # Errors
/// There is no answer within 5 seconds, or no certificate in it.
pub async fn expiry(server: SocketAddr, name: Option<&str>) -> Result<i64, ReadError> {
    let certificate = match timeout(LIMIT, certificate(server, name)).await {
        Ok(certificate) => certificate?,
        Err(Elapsed { .. }) => return Err(ReadError::Silent(server)),
    };
    let (_, parsed) = parse_x509_certificate(&certificate)
        .map_err(|error| ReadError::Certificate(server, error.to_string()))?;
    Ok(parsed.validity().not_after.timestamp())
}

/// The server's own certificate, DER.
async fn certificate(server: SocketAddr, name: Option<&str>) -> Result<Vec<u8>, ReadError> {
    // An address is no name that TLS could ask for (RFC 6066, section 3), so the library sends none.
    let name = match name {
        Some(name) => ServerName::try_from(name.to_owned())
            .map_err(|error| ReadError::Name(name.to_owned(), error.to_string()))?,
        None => ServerName::IpAddress(server.ip().into()),
    };
    let witness = Arc::new(Witness::default());
    let connector = connector(Arc::clone(&witness));
    let stream = connect(server).await.map_err(|error| ReadError::Connect(server, error))?;
    let outcome = connector.connect(name, stream).await;
    let seen = witness.certificate();
    match (outcome, seen) {
        (Ok(mut stream), Some(seen)) => {
            // A polite end; what becomes of it does not matter.
            let _ = stream.shutdown().await;
            Ok(seen)
        }
        // The server wanted a certificate of the client; it showed its own before.
        (Err(_), Some(seen)) => Ok(seen),
        (Ok(_), None) => Err(ReadError::Certificate(server, "the server sent none".to_owned())),
        (Err(error), None) => Err(ReadError::Handshake(server, error)),
    }
}

fn connector(witness: Arc<Witness>) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .expect("the library's own versions and ciphers go together")
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    // A session that is resumed would show no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_no_tls_server_is_said_to_be_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        };
        let (outcome, ()) = tokio::join!(expiry(address, None), server);
        assert!(matches!(outcome, Err(ReadError::Handshake(..))), "{outcome:?}");
        drop(listener);
        let outcome = expiry(address, Some("www.foobar.com")).await;
        assert!(matches!(outcome, Err(ReadError::Connect(..))), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outcome = expiry(listener.local_addr().unwrap(), None).await;
        assert!(matches!(outcome, Err(ReadError::Silent(_))), "{outcome:?}");
    }
}
