//! Encryption to platforms, tried for real: a handshake with a server of the doctor's own, whom nobody vouches for, in the same way in
//! which destinations are reached. Then whether the configured destinations are.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gio::prelude::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::finding::{Finding, Grade, bad, good, note};
use crate::{
    core::destination::{Destination, DestinationFailure, Doubt, Protocol, no_tls},
    media::egress::{BUNDLES, Handshake, reach, shake_hands},
};

const STORE: &str = "apt-get install ca-certificates (and `update-ca-certificates` if it is there)";
const TAKES_ANYBODY: &str = "takes a certificate that nobody vouches for";
/// So long the doctor's own server waits for the handshake, which comes at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Authorities that are looked for in what encryption trusts. A few of a list may have expired.
const SAMPLE: usize = 20;

/// Everything about it. `configured` are the destinations of the configuration.
pub(super) fn examine(configured: &[Destination]) -> Vec<Finding> {
    let needed = configured.iter().filter_map(Destination::protocol).any(Protocol::is_encrypted);
    let backend = gio::TlsBackend::default();
    let mut findings = if backend.supports_tls() {
        vec![handshake(&tried()), authorities(&BUNDLES, &backend)]
    } else {
        vec![missing()]
    };
    // Where nothing is encrypted yet, nothing is out of order; but whoever takes anybody for a platform must not begin at all.
    if !needed && !findings.iter().any(|finding| finding.what.contains(TAKES_ANYBODY)) {
        for finding in findings.iter_mut().filter(|finding| finding.grade == Grade::Bad) {
            finding.grade = Grade::Note;
        }
    }
    findings.extend(reached(configured));
    findings
}

/// GIO puts a dummy in the place of a module that is not there.
fn missing() -> Finding {
    bad(format!("{}; GIO has a dummy in its place", no_tls()), "apt-get install glib-networking")
}

/// What became of the handshake with a server that nobody vouches for.
fn handshake(tried: &io::Result<Handshake>) -> Finding {
    let what = format!("TLS for {} destinations", Protocol::beginnings(Protocol::is_encrypted));
    match tried {
        Ok(Handshake { doubtful: Some(doubtful), failure: Some(_) })
            if doubtful.doubts.iter().any(|doubt| matches!(doubt, Doubt::SelfSigned | Doubt::Untrusted)) =>
        {
            good(format!("{what} works: a certificate that nobody vouches for is refused"))
        }
        Ok(Handshake { failure: None, .. }) => bad(
            format!("{what} {TAKES_ANYBODY}: anybody on the way can read the keys"),
            "look what stands in the place of glib-networking (`gio` modules, GIO_EXTRA_MODULES), and put it right before any show",
        ),
        Ok(Handshake { failure: Some(DestinationFailure::NoTls), .. }) => missing(),
        Ok(Handshake { failure: Some(failure), .. }) => {
            let why = match failure {
                DestinationFailure::Handshake(why) => why.clone(),
                other => format!("{other:?}"),
            };
            bad(
                format!("{what} does not work: a handshake on this machine fails ({why})"),
                format!("apt-get install --reinstall glib-networking; {STORE}"),
            )
        }
        Err(error) => note(
            format!("{what} could not be tried: {error}"),
            "it needs a free port on this machine, and the right to listen",
        ),
    }
}

/// A handshake with a server of our own on this machine.
fn tried() -> io::Result<Handshake> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
        .map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let server = listener.local_addr()?.to_string();
    Ok(thread::scope(|scope| {
        scope.spawn(|| serve(&listener, config));
        shake_hands(&server, false)
    }))
}

/// Takes one connection, to the end of its handshake.
fn serve(listener: &TcpListener, config: ServerConfig) -> io::Result<()> {
    let began = Instant::now();
    let socket = loop {
        match listener.accept() {
            Ok((socket, _)) => break socket,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || began.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    // The other side hangs up after the handshake, if not before.
    StreamOwned::new(connection, socket).read(&mut [0]).map(drop)
}

/// Whether this machine knows anybody who vouches for platforms: a list, and that encryption goes by it.
fn authorities(bundles: &[&str], backend: &gio::TlsBackend) -> Finding {
    let Some(bundle) = bundles.iter().find(|bundle| Path::new(bundle).exists()) else {
        return bad("no certificate of an authority is on this machine: ca-certificates is missing", STORE);
    };
    let known = gio::TlsCertificate::list_new_from_file(bundle).unwrap_or_default();
    if known.is_empty() {
        return bad(format!("{bundle} holds no certificate: ca-certificates is empty or damaged"), STORE);
    }
    let database = backend.default_database();
    let trusted = known.iter().take(SAMPLE).any(|root| {
        let purpose = "1.3.6.1.5.5.7.3.1";
        let flags = gio::TlsDatabaseVerifyFlags::NONE;
        let nobody = (gio::SocketConnectable::NONE, gio::TlsInteraction::NONE, gio::Cancellable::NONE);
        let verdict = database.verify_chain(root, purpose, nobody.0, nobody.1, flags, nobody.2);
        verdict.is_ok_and(|wrong| !wrong.contains(gio::TlsCertificateFlags::UNKNOWN_CA))
    });
    if trusted {
        good(format!("{} authorities are trusted to vouch for platforms ({bundle})", known.len()))
    } else {
        bad(format!("{bundle} has {} certificates, and encryption goes by none of them", known.len()), STORE)
    }
}

/// Whether each is there, in the words in which the page says it. A platform that is away is no fault of this machine's.
fn reached(configured: &[Destination]) -> Vec<Finding> {
    let look = |destination: &Destination| {
        let name = format!("destination \"{}\"", destination.name);
        match reach(destination) {
            None => good(format!("{name} is reached at {}", destination.redacted())),
            Some(failure) => note(
                format!("{name}: {}", failure.words(destination)),
                "look again with *Test* on the page Destinations, which asks the platform about the key, too",
            ),
        }
    };
    thread::scope(|scope| {
        let looks: Vec<_> = configured
            .iter()
            .filter(|destination| destination.enabled)
            .map(|destination| scope.spawn(move || look(destination)))
            .collect();
        looks.into_iter().filter_map(|look| look.join().ok()).collect()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::core::destination::Doubtful;

    #[test]
    fn this_machine_refuses_who_nobody_vouches_for_and_knows_authorities() {
        let findings = examine(&[]);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.grade == Grade::Good), "{findings:?}");
    }

    #[test]
    fn whoever_takes_any_certificate_is_a_fault() {
        let found = handshake(&Ok(Handshake { doubtful: None, failure: None }));
        assert!(found.grade == Grade::Bad && found.what.contains("anybody on the way"), "{found}");
        // One that is refused for its host alone was trusted.
        let doubtful = Some(Doubtful { doubts: vec![Doubt::WrongHost], ..Doubtful::default() });
        let failure = doubtful.clone().map(DestinationFailure::Certificate);
        assert_eq!(handshake(&Ok(Handshake { doubtful, failure })).grade, Grade::Bad);
    }

    #[test]
    fn missing_module_and_missing_list_are_named_with_their_packages() {
        let found = handshake(&Ok(Handshake { doubtful: None, failure: Some(DestinationFailure::NoTls) }));
        assert!(found.to_string().contains("dummy") && found.to_string().contains("glib-networking"), "{found}");
        let folder = tempfile::TempDir::new().unwrap();
        let (nowhere, empty) = (folder.path().join("nowhere"), folder.path().join("empty"));
        std::fs::write(&empty, "").unwrap();
        for (bundle, says) in [(&nowhere, "ca-certificates is missing"), (&empty, "empty or damaged")] {
            let found = authorities(&[bundle.to_str().unwrap()], &gio::TlsBackend::default());
            assert!(found.grade == Grade::Bad && found.what.contains(says), "{found}");
            assert!(found.to_string().contains("apt-get install ca-certificates"), "{found}");
        }
    }

    #[test]
    fn configured_destination_that_is_away_is_told_in_the_pages_words() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: url::Url = format!("rtmps://{}/app", taken.local_addr().unwrap()).parse().unwrap();
        drop(taken);
        let id = crate::core::destination::DestinationId(1);
        let away = Destination { id, name: "Away".to_owned(), url, key: "k".into(), enabled: true, locked: true };
        let findings = reached(&[away]);
        let [found] = findings.as_slice() else { unreachable!("one finding for one destination") };
        assert!(
            found.grade == Grade::Note && found.what.contains("\"Away\": 127.0.0.1 takes no connections"),
            "{found}"
        );
    }
}
