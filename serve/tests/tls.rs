//! TLS, with a certificate that is made here.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{SAFE, mini, on, options, start};
use duoguard_serve::{Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version,
};

/// Writes a certificate for `localhost`, signed by itself, and its key.
fn certificate(folder: &Path) -> Tls {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    tls
}

/// A client of one version of TLS that trusts one certificate, or none.
fn connector(trusted: Option<&Path>, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    if let Some(path) = trusted {
        roots
            .add(CertificateDer::from_pem_file(path).unwrap())
            .unwrap();
    }
    let config = ClientConfig::builder_with_protocol_versions(&[version]);
    let config = config.with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn host() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_answered_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let mut secure = options();
    secure.tls = Some(tls.clone());
    secure.limits.head_timeout = Duration::from_millis(500);
    let server = start(&secure).await;
    // One that never shakes hands takes nobody's place.
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    for (asked, found) in [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let socket = TcpStream::connect(&server.address).await.unwrap();
        let trusting = connector(Some(&tls.certificate), asked);
        let mut stream = trusting.connect(host(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(found));
        let body = format!("{{\"input\": {SAFE:?}}}");
        let request = format!(
            "POST /v1/moderations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\"flagged\":false"), "{answer}");

        let socket = TcpStream::connect(&server.address).await.unwrap();
        let error = connector(None, asked).connect(host(), socket).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("UnknownIssuer"), "{error}");
    }
    // HTTP without TLS gets no answer in HTTP, and is cut off like one that is silent.
    let mut plain = TcpStream::connect(&server.address).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    for socket in [&mut plain, &mut silent] {
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert!(read.is_ok(), "the connection is still open");
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_key_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let other = certificate(other.path());
    let model = mini();
    let wrong = [
        (&first.certificate, &other.key),
        (&first.certificate, &first.certificate),
        (&first.key, &first.key),
    ];
    for (certificate, key) in wrong {
        let mut secure = options();
        secure.tls = Some(Tls {
            certificate: certificate.clone(),
            key: key.clone(),
        });
        let bound = Server::bind(&model, &on("native"), &secure).await;
        let error = bound.err().expect("it is refused").to_string();
        assert!(error.contains(".pem: expected"), "{error}");
    }
}
