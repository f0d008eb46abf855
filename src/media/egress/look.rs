//! A second look at a server that no session came about with. rtmp2sink says of a certificate only that it is not accepted, of a
//! port that wants TLS only that it closed, and nothing of the address that a platform sends along with its *no*.
//!
//! Everything here blocks, within [`PATIENCE`] a step; it belongs on a thread that may wait.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use gio::{
    glib::{self, error::ErrorDomain},
    prelude::*,
};
use secrecy::ExposeSecret;

use super::inquiry::{Answer, Asked, ask};
use crate::core::destination::{
    ClosedAt, Destination, DestinationFailure, Doubt, Doubtful, Moved, Protocol, Secret, port_of,
};

/// How long each step may take, in seconds. Whoever is slower than this is known to be slow already.
const PATIENCE: u32 = 2;

/// The same for a greeting after a server kept silent: a byte there, a byte back.
const GREETING_PATIENCE: u32 = 1;

/// Certificates of a chain; more than a handful is nothing of use.
const CHAIN: usize = 10;

/// The first byte of RTMP's greeting, both ways.
const VERSION: u8 = 3;

/// What was seen of a handshake.
#[derive(Debug)]
pub struct Handshake {
    /// What is wrong with the certificate that was shown; none if nothing is, or none was.
    pub doubtful: Option<Doubtful>,
    /// Why it did not come to its end; none if it did.
    pub failure: Option<DestinationFailure>,
}

/// What a failure really was; none if nothing more is to be seen.
pub(super) fn closer(destination: &Destination, failure: &DestinationFailure) -> Option<DestinationFailure> {
    let encrypted = destination.protocol().is_some_and(Protocol::is_encrypted);
    match failure {
        DestinationFailure::Certificate(_) => {
            shake_hands(&server(destination)?, false).doubtful.map(DestinationFailure::Certificate)
        }
        DestinationFailure::Handshake(_)
        | DestinationFailure::Silent
        | DestinationFailure::Closed(ClosedAt::Greeting)
            if encrypted =>
        {
            speaks_rtmp(destination).then_some(DestinationFailure::NotEncrypted)
        }
        DestinationFailure::Silent | DestinationFailure::Closed(ClosedAt::Greeting) | DestinationFailure::Other(_)
            if !encrypted =>
        {
            speaks_tls(destination).then_some(DestinationFailure::Encrypted)
        }
        DestinationFailure::Refused { code, .. } if code.starts_with("NetConnection.Connect.") => {
            answer(destination, Asked::Application)
        }
        DestinationFailure::ClosesAgain(ClosedAt::Publish | ClosedAt::Accepted) => answer(destination, Asked::Publish),
        _ => None,
    }
}

/// Whether a destination's server can be reached, and is who it says it is; if not, why. Asks for nothing there, so that nobody is
/// disturbed. Blocks for seconds.
pub fn reach(destination: &Destination) -> Option<DestinationFailure> {
    let Some(server) = server(destination) else { return Some(DestinationFailure::NotSpoken) };
    let failure = if destination.protocol().is_some_and(Protocol::is_encrypted) {
        shake_hands(&server, false).failure?
    } else {
        match connect(destination, false, PATIENCE) {
            Ok(_) if speaks_rtmp(destination) => return None,
            Ok(_) => DestinationFailure::Closed(ClosedAt::Greeting),
            Err(error) => meaning(&error),
        }
    };
    Some(closer(destination, &failure).unwrap_or(failure))
}

/// A handshake with `server`, a name or an address and a port, against what this machine trusts, as rtmp2sink does it. `accept` what
/// is not to be trusted: nothing is said after it anyway. Blocks for seconds.
pub fn shake_hands(server: &str, accept: bool) -> Handshake {
    let seen: Arc<Mutex<Option<Doubtful>>> = Arc::default();
    let noted = seen.clone();
    let connected = handshake(server, move |certificate, errors| {
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubtful(certificate, errors));
        accept
    });
    let doubtful = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let failure = match (connected, &doubtful) {
        (Ok(()), _) => None,
        (Err(_), Some(doubtful)) if !accept => Some(DestinationFailure::Certificate(doubtful.clone())),
        (Err(error), _) => Some(meaning(&error)),
    };
    Handshake { doubtful, failure }
}

/// The names in the chain that `server` shows: of the owner and the issuer of each certificate. None if it shows none.
pub(super) fn chain(server: &str) -> Option<BTreeSet<String>> {
    let seen: Arc<Mutex<Option<BTreeSet<String>>>> = Arc::default();
    let noted = seen.clone();
    // Every certificate is doubtful by a list that is as good as empty, and one that is not has its authority in the list.
    let known = handshake(server, move |certificate, _| {
        let mut names = BTreeSet::new();
        let mut next = Some(certificate.clone());
        for _ in 0..CHAIN {
            let Some(certificate) = next else { break };
            names.extend(
                [certificate.subject_name(), certificate.issuer_name()].into_iter().flatten().map(String::from),
            );
            next = certificate.issuer();
        }
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        false
    });
    let names = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    names.or_else(|| known.is_ok().then(BTreeSet::new))
}

/// A handshake, and nothing after it. What is not to be trusted is shown to `look`, which says whether it is taken all the same.
fn handshake(
    server: &str,
    look: impl Fn(&gio::TlsCertificate, gio::TlsCertificateFlags) -> bool + 'static,
) -> Result<(), glib::Error> {
    let client = client(PATIENCE, true);
    let look = Rc::new(look);
    client.connect_event(move |_, event, _, connection| {
        let tls = connection.and_then(|connection| connection.downcast_ref::<gio::TlsConnection>());
        if let (gio::SocketClientEvent::TlsHandshaking, Some(tls)) = (event, tls) {
            let look = look.clone();
            tls.connect_accept_certificate(move |_, certificate, errors| look(certificate, errors));
        }
    });
    let connection = client.connect_to_host(server, 0, gio::Cancellable::NONE)?;
    let _ = connection.close(gio::Cancellable::NONE);
    Ok(())
}

/// What an error of GIO's means.
fn meaning(error: &glib::Error) -> DestinationFailure {
    let is = |kinds: &[gio::IOErrorEnum]| kinds.iter().any(|kind| error.matches(*kind));
    if error.matches(gio::TlsError::Unavailable) {
        DestinationFailure::NoTls
    } else if error.matches(gio::TlsError::NotTls) {
        DestinationFailure::NotEncrypted
    } else if error.domain() == gio::ResolverError::domain() || is(&[gio::IOErrorEnum::HostNotFound]) {
        DestinationFailure::NoSuchHost
    } else if is(&[gio::IOErrorEnum::TimedOut]) {
        DestinationFailure::Silent
    } else if is(&[gio::IOErrorEnum::ConnectionRefused]) {
        DestinationFailure::NobodyListens
    } else if is(&[gio::IOErrorEnum::HostUnreachable, gio::IOErrorEnum::NetworkUnreachable]) {
        DestinationFailure::NoWay
    } else {
        DestinationFailure::Handshake(error.message().to_owned())
    }
}

/// What is wrong with a certificate, by what GIO found. It promises one fault at least, not all there are.
fn doubtful(certificate: &gio::TlsCertificate, errors: gio::TlsCertificateFlags) -> Doubtful {
    let (issuer, subject) = (certificate.issuer_name(), certificate.subject_name());
    let unknown = if issuer.is_some() && issuer == subject { Doubt::SelfSigned } else { Doubt::Untrusted };
    let table = [
        (gio::TlsCertificateFlags::BAD_IDENTITY, Doubt::WrongHost),
        (gio::TlsCertificateFlags::EXPIRED, Doubt::Expired),
        (gio::TlsCertificateFlags::NOT_ACTIVATED, Doubt::NotYet),
        (gio::TlsCertificateFlags::UNKNOWN_CA, unknown),
        (gio::TlsCertificateFlags::REVOKED, Doubt::Revoked),
        (gio::TlsCertificateFlags::INSECURE, Doubt::Weak),
    ];
    Doubtful {
        doubts: table.into_iter().filter(|(flag, _)| errors.contains(*flag)).map(|(_, doubt)| doubt).collect(),
        hosts: certificate.dns_names().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
        issuer: issuer.map(String::from).unwrap_or_default(),
    }
}

/// Whether a server speaks TLS, whoever it is.
fn speaks_tls(destination: &Destination) -> bool {
    server(destination).is_some_and(|server| shake_hands(&server, true).failure.is_none())
}

/// Whether a server greets in RTMP without encryption.
fn speaks_rtmp(destination: &Destination) -> bool {
    let greeted = || -> Option<u8> {
        let connection = connect(destination, false, GREETING_PATIENCE).ok()?;
        let mut greeting = vec![0; 1537];
        *greeting.first_mut()? = VERSION;
        connection.output_stream().into_write().write_all(&greeting).ok()?;
        let mut answer = [0];
        connection.input_stream().into_read().read_exact(&mut answer).ok()?;
        Some(answer[0])
    };
    greeted() == Some(VERSION)
}

/// What a platform says to a question by hand.
fn answer(destination: &Destination, asked: Asked) -> Option<DestinationFailure> {
    let encrypted = destination.protocol().is_some_and(Protocol::is_encrypted);
    let connection = connect(destination, encrypted, PATIENCE).ok()?;
    let (mut from, mut to) = (connection.input_stream().into_read(), connection.output_stream().into_write());
    let answer = ask(destination, asked, &mut from, &mut to);
    let _ = connection.close(gio::Cancellable::NONE);
    let secret = Secret::new(destination.key.expose_secret());
    Some(match answer.ok()?? {
        Answer::Elsewhere(address) => DestinationFailure::Moved(Moved::read(&address, destination, &secret)),
        Answer::No { code, said } => DestinationFailure::Refused { code: secret.told(&code), said: secret.told(&said) },
    })
}

fn connect(destination: &Destination, encrypted: bool, patience: u32) -> Result<gio::SocketConnection, glib::Error> {
    let server = server(destination)
        .ok_or_else(|| glib::Error::new(gio::IOErrorEnum::InvalidArgument, "the address has no host"))?;
    client(patience, encrypted).connect_to_host(&server, 0, gio::Cancellable::NONE)
}

/// A client that waits so many seconds at each step. It asks for no proxy: where a desktop's module for that finds no settings of a desktop,
/// it ends the process.
fn client(patience: u32, encrypted: bool) -> gio::SocketClient {
    let client = gio::SocketClient::new();
    client.set_enable_proxy(false);
    client.set_timeout(patience);
    client.set_tls(encrypted);
    client
}

/// Host and port; an address of IPv6 is in brackets.
pub(super) fn server(destination: &Destination) -> Option<String> {
    Some(format!("{}:{}", destination.url.host_str()?, port_of(&destination.url)?))
}
