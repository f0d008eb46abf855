//! Simulated platforms: they answer `connect` and `publish` as they are told, and know no more of RTMP than that.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use bytes::BytesMut;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::super::inquiry::{COMMAND, Chunks, GREETING, chunked};
use crate::core::amf::{Reader, Writer};

/// What a simulated platform does.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// It takes the stream.
    Yes,
    /// It says to `connect` that it is elsewhere.
    Moved(String),
    /// It rejects `connect` with these words.
    Rejects(&'static str),
    /// It closes at `publish`.
    ClosesAtPublish,
    /// It accepts the publish, says this code and these words, and closes.
    ThinksAgain(&'static str, &'static str),
    /// It refuses the publish with this code and these words.
    Refuses(&'static str, &'static str),
}

/// Starts one. It listens as long as the test runs.
pub(super) fn start(answers: Answers) -> String {
    listen(move |socket| talk(socket, &answers))
}

/// A port that wants TLS, with a certificate that nobody vouches for, and says nothing after it.
pub(super) fn start_tls() -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    listen(move |socket| {
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        StreamOwned::new(connection, socket).read(&mut [0]).map(drop)
    })
}

fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let serve = serve.clone();
            thread::spawn(move || serve(socket));
        }
    });
    address
}

fn talk(mut socket: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut greeting = vec![0; 1 + GREETING];
    socket.read_exact(&mut greeting)?;
    socket.write_all(&[&greeting[..], &greeting[1..]].concat())?;
    socket.read_exact(&mut greeting[1..])?;
    let mut chunks = Chunks::new(socket.try_clone()?);
    loop {
        let (kind, body) = chunks.message()?;
        if kind != COMMAND {
            continue;
        }
        let mut reader = Reader::new(&body);
        let (name, transaction) = (reader.value().unwrap(), reader.value().unwrap().as_number().unwrap());
        match (name.as_str().unwrap(), answers) {
            ("connect", Answers::Moved(to)) => {
                let said = [("code", "NetConnection.Connect.Rejected"), ("description", "[ Server.Reject ] : moved")];
                socket.write_all(&reply("_error", transaction, &said, Some(to)))?;
            }
            ("connect", Answers::Rejects(words)) => {
                let said = [("code", "NetConnection.Connect.Rejected"), ("description", words)];
                socket.write_all(&reply("_error", transaction, &said, None))?;
            }
            ("connect", _) => {
                let said = [("code", "NetConnection.Connect.Success")];
                socket.write_all(&reply("_result", transaction, &said, None))?;
            }
            ("createStream", _) => {
                let mut body = BytesMut::new();
                let mut writer = Writer::new(&mut body);
                writer.string("_result");
                writer.number(transaction);
                writer.null();
                writer.number(1.0);
                socket.write_all(&chunked(COMMAND, 0, &body))?;
            }
            ("publish", Answers::ClosesAtPublish) => return Ok(()),
            ("publish", Answers::Refuses(code, words)) => {
                let said = [("level", "error"), ("code", code), ("description", words)];
                socket.write_all(&reply("onStatus", 0.0, &said, None))?;
            }
            ("publish", Answers::ThinksAgain(code, words)) => {
                let yes = [("level", "status"), ("code", "NetStream.Publish.Start")];
                socket.write_all(&reply("onStatus", 0.0, &yes, None))?;
                let no = [("level", "error"), ("code", code), ("description", words)];
                socket.write_all(&reply("onStatus", 0.0, &no, None))?;
                return Ok(());
            }
            ("publish", _) => {
                let said = [("level", "status"), ("code", "NetStream.Publish.Start")];
                socket.write_all(&reply("onStatus", 0.0, &said, None))?;
            }
            _ => {}
        }
    }
}

/// A command with one object, which may say where the platform is.
fn reply(name: &str, transaction: f64, said: &[(&str, &str)], moved: Option<&str>) -> Vec<u8> {
    let mut body = BytesMut::new();
    let mut writer = Writer::new(&mut body);
    writer.string(name);
    writer.number(transaction);
    writer.null();
    writer.begin_object();
    for (key, value) in said {
        writer.key(key);
        writer.string(value);
    }
    if let Some(moved) = moved {
        writer.key("ex");
        writer.begin_object();
        writer.key("code");
        writer.number(302.0);
        writer.key("redirect");
        writer.string(moved);
        writer.end_object();
    }
    writer.end_object();
    chunked(COMMAND, u8::from(name == "onStatus"), &body)
}
