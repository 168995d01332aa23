//! TLS by the binary itself, with certificates made here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use api::http::envelope::Envelope;
use api::http::server;
use api::http::tls::{Certificates, Look};
use domain::clock::Clock;
use domain::config::TlsFiles;
use rustls::pki_types::CertificateDer;
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::https::config;

/// A certificate for localhost, and its key.
struct Made {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Made {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }
}

struct Rig {
    folder: PathBuf,
    files: TlsFiles,
    certificates: Arc<Certificates>,
    address: SocketAddr,
}

impl Drop for Rig {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Rig {
    fn start(made: &Made) -> Self {
        domain::crypto::install_crypto_provider();
        let folder = std::env::temp_dir().join(format!("crm-tls-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, &made.certificate).unwrap();
        std::fs::write(&key, &made.key).unwrap();
        let settings = [
            ("PUBLIC_URL", "https://localhost"),
            ("TLS_CERT_FILE", certificate.to_str().unwrap()),
            ("TLS_KEY_FILE", key.to_str().unwrap()),
        ];
        let config = config("development", &settings);
        let files = config.tls.clone().unwrap();
        let certificates = Certificates::load(&files).unwrap();
        let routes = |config: &mut web::ServiceConfig| {
            config.route("/", web::get().to(|| async { HttpResponse::Ok().body("hello") }));
        };
        let envelope = Envelope::new(&config, Clock::system());
        let never = std::future::pending();
        let listening =
            server::listen_with("127.0.0.1:0", Some(&certificates), &envelope, routes, never).unwrap();
        actix_web::rt::spawn(listening.server);
        Self {
            folder,
            files,
            certificates,
            address: listening.addresses[0],
        }
    }

    fn put(&self, certificate: &str, key: &str) -> Look {
        std::fs::write(&self.files.certificate, certificate).unwrap();
        std::fs::write(&self.files.key, key).unwrap();
        self.certificates.look()
    }

    async fn connect(&self, trusted: &Made) -> Connection {
        Connection::open(self.address, trusted, &[&rustls::version::TLS13], &[]).await
    }
}

/// A connection whose certificate and protocol can be looked at.
struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    async fn open(
        address: SocketAddr,
        trusted: &Made,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let open = move || {
            let connection =
                ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
            let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            Self(stream)
        };
        tokio::task::spawn_blocking(open).await.unwrap()
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Asks once, and leaves the connection open.
    async fn ask(mut self) -> Self {
        let ask = move || {
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            self.0.write_all(request).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut byte = [0];
                self.0.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"));
            self
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }
}

#[actix_web::test]
async fn it_speaks_tls_1_3_and_1_2_and_both_versions_of_http() {
    let made = Made::new();
    let rig = Rig::start(&made);
    for (version, name) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let plain = Connection::open(rig.address, &made, &[version], &[]).await;
        assert_eq!(plain.0.conn.protocol_version(), Some(name));
        plain.ask().await;
        for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
            let connection = Connection::open(rig.address, &made, &[version], protocols).await;
            assert_eq!(connection.0.conn.alpn_protocol(), Some(protocols[0].as_bytes()));
        }
    }
    let certificate = reqwest::Certificate::from_pem(made.certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([certificate])
        .resolve("localhost", rig.address)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/", rig.address.port());
    assert_eq!(
        client.get(url).send().await.unwrap().text().await.unwrap(),
        "hello"
    );
}

#[actix_web::test]
async fn it_speaks_neither_plain_text_nor_what_is_out_of_date() {
    let rig = Rig::start(&Made::new());
    let address = rig.address;
    let exchange = move |sent: Vec<u8>| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&sent).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        answer
    };
    // A ClientHello of TLS 1.1 with the suites of its time.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x0a, 0xc0, 0x14, 0x00, 0x2f, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let old = tokio::task::spawn_blocking(move || exchange(record))
        .await
        .unwrap();
    assert_eq!(old[0], 21, "an alert");
    assert_eq!(old[5], 2, "a fatal one");
    let plain = move || exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec());
    let plain = tokio::task::spawn_blocking(plain).await.unwrap();
    assert!(!plain.starts_with(b"HTTP"));
}

#[actix_web::test]
async fn a_new_certificate_is_served_and_open_connections_stay() {
    let (first, second, third) = (Made::new(), Made::new(), Made::new());
    let rig = Rig::start(&first);
    let open = rig.connect(&first).await.ask().await;
    assert!(matches!(rig.certificates.look(), Look::Unchanged));
    assert!(matches!(rig.put(&second.certificate, &second.key), Look::Renewed));
    let new = rig.connect(&second).await;
    assert_eq!(new.certificate(), second.der);
    let open = open.ask().await;
    assert_eq!(open.certificate(), first.der);

    // Half written, not a pair, empty, gone: the old one is served on.
    for (certificate, key) in [
        (third.certificate.as_str(), second.key.as_str()),
        (second.certificate.as_str(), "-----BEGIN PRIVATE KEY-----"),
        ("", third.key.as_str()),
        ("no certificate", "no key"),
    ] {
        assert!(matches!(rig.put(certificate, key), Look::Broken(_)));
        let going_on = rig.connect(&second).await;
        assert_eq!(going_on.certificate(), second.der);
    }
    std::fs::remove_file(&rig.files.key).unwrap();
    let broken = rig.certificates.look();
    assert!(matches!(&broken, Look::Broken(error) if error.to_string().contains("TLS_KEY_FILE")));
    assert!(matches!(rig.put(&third.certificate, &third.key), Look::Renewed));
    assert_eq!(rig.connect(&third).await.certificate(), third.der);
    open.ask().await;
    new.ask().await;
}

#[actix_web::test]
async fn what_is_no_certificate_is_said_at_the_start_without_its_contents() {
    let (made, other) = (Made::new(), Made::new());
    let rig = Rig::start(&made);
    for (certificate, key) in [
        (made.certificate.as_str(), other.key.as_str()),
        (made.key.as_str(), made.key.as_str()),
        (made.certificate.as_str(), made.certificate.as_str()),
    ] {
        rig.put(certificate, key);
        let error = Certificates::load(&rig.files).unwrap_err().to_string();
        assert!(error.contains("TLS_") && !error.contains("BEGIN"), "{error}");
    }
}
