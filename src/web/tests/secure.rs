//! HTTPS beside plain HTTP.

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::*;

/// A browser whose user has clicked the warning away, and looked at the fingerprint.
#[derive(Debug)]
struct Clicked;

impl ServerCertVerifier for Clicked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A box with both doors.
struct Both {
    site: Site,
    https: u16,
    fingerprint: String,
}

impl Both {
    async fn start(folder: &Path) -> Self {
        let settings = [("WEB__HTTPS_LISTEN", "127.0.0.1:0")];
        let Whole { state, ingest, door, stage, network, token } = a_box(folder, &settings, None).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let https = Https::open(&state.settings.now()).await.unwrap().unwrap();
        let (port, fingerprint) = (https.port, https.fingerprint.clone());
        let doors = Doors { plain: address.port(), https: Some((https.port, https.fingerprint.clone())) };
        let control = control_room(Parts { doors, ..state.clone() });
        let served = tokio::spawn(serve(listener, Some(https), control, stop.clone()));
        let site =
            Site { address, client: reqwest::Client::new(), state, ingest, door, stage, network, token, stop, served };
        Self { site, https: port, fingerprint }
    }

    /// A connection by HTTP/2, as browsers make it.
    async fn by_streams(&self) -> hyper::client::conn::http2::SendRequest<axum::body::Body> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Clicked))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = TcpStream::connect(("127.0.0.1", self.https)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let socket = hyper_util::rt::TokioIo::new(socket);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, socket).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A request for a path by HTTP/2, with cookies in lines of their own.
    fn request_by_streams(&self, path: &str, cookies: &[&str]) -> axum::http::Request<axum::body::Body> {
        let mut request =
            axum::http::Request::builder().uri(format!("https://localhost:{}{path}", self.https)).method("GET");
        for cookie in cookies {
            request = request.header("cookie", *cookie);
        }
        request.body(axum::body::Body::empty()).unwrap()
    }

    /// One request over TLS; the answer as it came, and the certificate's fingerprint.
    async fn ask(
        &self,
        versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
        head: &str,
        body: &str,
    ) -> (String, String) {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Clicked))
            .with_no_client_auth();
        let socket = TcpStream::connect(("127.0.0.1", self.https)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
        let (_, session) = socket.get_ref();
        let certificate = session.peer_certificates().unwrap()[0].clone();
        assert!(matches!(session.protocol_version(), Some(ProtocolVersion::TLSv1_2 | ProtocolVersion::TLSv1_3)));
        let (host, length) = (format!("localhost:{}", self.https), body.len());
        let request = format!(
            "{head}\r\nhost: {host}\r\norigin: https://{host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end may come without TLS's goodbye.
        let _ = socket.read_to_end(&mut answer).await;
        let digest: Vec<_> = sha2::Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        (String::from_utf8_lossy(&answer).into_owned(), digest.join(":"))
    }
}

use sha2::Digest as _;
use tokio_rustls::rustls::{ALL_VERSIONS, version};

#[tokio::test]
async fn page_is_on_https_too_with_a_cookie_of_its_own() {
    let folder = folder();
    let both = Both::start(folder.path()).await;
    both.site.account("Ada").await;
    let (page, fingerprint) = both.ask(ALL_VERSIONS, "GET /login HTTP/1.1\r\naccept: text/html", "").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("You are on HTTPS"), "{page}");
    assert_eq!(fingerprint, both.fingerprint);
    assert!(page.contains(&both.fingerprint));
    let form = "POST /login HTTP/1.1\r\naccept: text/html\r\ncontent-type: application/x-www-form-urlencoded";
    let (entered, _) = both.ask(&[&version::TLS12], form, "name=Ada&password=correct+horse").await;
    assert!(entered.starts_with("HTTP/1.1 303"), "{entered}");
    let cookie = entered.lines().find(|line| line.starts_with("set-cookie: __Host-motherstream=")).expect("a cookie");
    for word in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(word) && !cookie.contains("Domain"), "{cookie}");
    }
    let cookie = cookie.trim_start_matches("set-cookie: ").split(';').next().unwrap();
    let me = format!("GET /api/v1/me HTTP/1.1\r\ncookie: {cookie}");
    let (me, _) = both.ask(&[&version::TLS13], &me, "").await;
    assert!(me.starts_with("HTTP/1.1 200") && me.contains("\"Ada\""), "{me}");
    let form = "POST /register HTTP/1.1\r\naccept: text/html\r\ncontent-type: application/x-www-form-urlencoded";
    let (welcome, _) = both.ask(ALL_VERSIONS, form, "name=Bert&password=correct+horse").await;
    let message = welcome.lines().find(|line| line.starts_with("set-cookie: motherstream_flash=")).expect("a message");
    assert!(message.contains("; Secure"), "{message}");
    // Encoders are told the plain address, whose port is another.
    assert!(!me.contains("https://"), "{me}");
    // On plain HTTP as ever, and the one door does not take the other's cookie.
    let plain = both.site.session("Ada").await;
    both.site.get("/api/v1/me", &plain).await.is(200);
    both.site.get("/api/v1/me", &As::Cookie(cookie.to_owned())).await.is(401);
    let (_, _, login) = both.site.look("/login", &As::Nobody).await;
    assert!(
        login.contains("plain HTTP") && login.contains(&format!("https://127.0.0.1:{}/login", both.https)),
        "{login}"
    );
    let system = both.site.get("/api/v1/system", &As::Token).await.body;
    assert_eq!(
        (&system["https"]["port"], &system["https"]["fingerprint"]),
        (&json!(both.https), &json!(both.fingerprint))
    );
    both.site.end().await;
}

#[tokio::test]
async fn one_connection_by_http_2_carries_many_lines_and_orders_beside_them() {
    let folder = folder();
    let both = Both::start(folder.path()).await;
    both.site.admin("Root").await;
    let form = "POST /api/v1/session HTTP/1.1\r\ncontent-type: application/json";
    let body = json!({"name": "Root", "password": PASSWORD}).to_string();
    let (entered, _) = both.ask(ALL_VERSIONS, form, &body).await;
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap();
    let mut browser = both.by_streams().await;
    let mut lines = Vec::new();
    for number in 0..20 {
        let path = if number % 2 == 0 { "/live/overlay" } else { "/live/admin" };
        let request = both.request_by_streams(path, &["a=1", cookie, "b=2"]);
        let answer = browser.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, axum::http::Version::HTTP_2), "{path}");
        lines.push(answer.into_body());
    }
    let request = both.request_by_streams("/api/v1/me", &["a=1", cookie, "b=2"]);
    let answer = browser.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200, "an order finds its way beside twenty lines");
    // All of them hear of a change.
    both.site.post("/api/v1/queue/hold", &As::Token, json!({"on": true})).await.is(204);
    for (number, line) in lines.into_iter().enumerate().filter(|(number, _)| number % 2 == 1) {
        let mut line = axum::body::Body::new(line).into_data_stream();
        let mut heard = String::new();
        let changed = async {
            while !heard.contains("id=\"hold\" type=\"submit\" role=\"switch\" aria-checked=\"true\"") {
                heard.push_str(std::str::from_utf8(&line.next().await.unwrap().unwrap()).unwrap());
            }
        };
        assert!(tokio::time::timeout(std::time::Duration::from_secs(5), changed).await.is_ok(), "line {number}");
    }
    both.site.end().await;
}

#[tokio::test]
async fn port_that_is_taken_is_an_error_that_says_which() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with = |address: &str| config(folder.path(), &[("WEB__HTTPS_LISTEN", address)]).config;
    let error = Https::open(&with(&address)).await.unwrap_err().to_string();
    assert!(error.contains(&address), "{error}");
    assert!(Https::open(&with("off")).await.unwrap().is_none());
}
