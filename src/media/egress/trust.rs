//! Whom encrypted connections trust: those of the system's authorities that vouch for this box's platforms.
//!
//! glib-networking parses the whole list of the system, some 140 certificates and 4 MB, anew for each connection, and keeps it as long as
//! the connection is there (measured on 2.74: 4.1 MB each). So a server is looked at once before it is connected to; the authorities that
//! its certificate's chain names are picked from the system's list, and their short list becomes GIO's. Nothing is decided here: each
//! connection judges its certificate itself, and by a part of what the system trusts, so that nobody is trusted who was not before. Where
//! the system's list is not found, GIO goes by its own; so it does where a server could not be looked at, for as long as a connection to it may
//! be under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gio::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};

use super::look::chain;

/// Where systems keep the certificates of the authorities they trust, as one file.
pub const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Servers that are remembered; destinations are few, but their addresses change.
const MOST_SERVERS: usize = 64;

/// A connection has judged its certificate after this long, or is given up.
const CONNECTS: Duration = Duration::from_secs(15);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// GIO's list is one for the whole process, so this is too.
static TRUST: LazyLock<Mutex<Trust>> = LazyLock::new(|| {
    let bundle = BUNDLES.iter().map(PathBuf::from).find(|bundle| bundle.exists());
    Mutex::new(Trust::new(bundle))
});

/// The short list, and for whom it was made.
#[derive(Debug, Default)]
struct Trust {
    bundle: Option<PathBuf>,
    /// Servers whose authorities are in it.
    servers: BTreeSet<String>,
    /// The authorities, by what they are called in the system's list.
    authorities: BTreeSet<String>,
    /// Each list that there has been. A connection that is just being made may read one of the earlier ones; there are never more of
    /// them than the system has authorities.
    lists: Vec<File>,
    /// Servers that could not be looked at, and until when a connection to them may be under way. Meanwhile GIO goes by its own list, and
    /// nobody is looked at: that takes the short one.
    away: BTreeMap<String, Instant>,
    /// GIO goes by its own list, and not by the last of `lists`.
    whole: bool,
}

/// Sees to it that `server`'s authorities are in GIO's list. `anew` looks at the server although it is known: it may have got a
/// certificate of another authority. Blocks for seconds.
pub(super) fn introduce(server: &str, anew: bool) {
    if let Err(error) = introduce_to(&TRUST, server, anew) {
        tracing::debug!(server, %error, "the system's whole list of authorities is used");
        // GIO's own list again.
        gio::TlsBackend::default().set_default_database(gio::TlsDatabase::NONE);
        let mut trust = lock(&TRUST);
        *trust = Trust::new(trust.bundle.take());
    }
}

fn introduce_to(trust: &Mutex<Trust>, server: &str, anew: bool) -> io::Result<()> {
    if !lock(trust).begin(server, anew, Instant::now())? {
        return Ok(());
    }
    // Without the lock: a server that is slow is in nobody else's way.
    let named = chain(server);
    let mut trust = lock(trust);
    match named {
        // That nothing is doubtful says nothing where another's look brought the whole list back meanwhile.
        Some(named) if !(named.is_empty() && trust.whole) => trust.add(server, &named),
        // Whoever does not answer now is looked at the next time. A server that is only slow is trusted all the same.
        _ => {
            trust.step_back(server, Instant::now());
            Ok(())
        }
    }
}

fn lock(trust: &Mutex<Trust>) -> MutexGuard<'_, Trust> {
    trust.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trust {
    fn new(bundle: Option<PathBuf>) -> Self {
        Self { bundle, ..Self::default() }
    }

    /// Whether a server is to be looked at; then there is a list of our own to do it by.
    fn begin(&mut self, server: &str, anew: bool, now: Instant) -> io::Result<bool> {
        let Some(bundle) = self.bundle.clone() else { return Ok(false) };
        self.away.retain(|other, until| other != server && now < *until);
        let is_known = self.servers.contains(server);
        if !self.away.is_empty() {
            if !is_known {
                self.step_back(server, now);
            }
            return Ok(false);
        }
        if self.whole {
            self.stand()?;
        }
        if is_known && !anew {
            return Ok(false);
        }
        if self.lists.is_empty() {
            // A list must not be empty, and without one of its own GIO would read the whole one for this look already.
            let any = authorities(&bundle)?.into_keys().next().ok_or_else(|| io::Error::other("the list is empty"))?;
            self.authorities.insert(any);
            self.publish(&bundle)?;
        }
        Ok(true)
    }

    /// Adds a server, and those authorities that its certificates name.
    fn add(&mut self, server: &str, named: &BTreeSet<String>) -> io::Result<()> {
        let Some(bundle) = self.bundle.clone() else { return Ok(()) };
        let before = self.authorities.len();
        self.authorities.extend(authorities(&bundle)?.into_keys().filter(|name| named.contains(name)));
        if self.authorities.len() > before {
            self.publish(&bundle)?;
        }
        if self.servers.len() >= MOST_SERVERS {
            self.servers.clear();
        }
        self.servers.insert(server.to_owned());
        Ok(())
    }

    /// Makes the authorities that were picked GIO's list.
    fn publish(&mut self, bundle: &Path) -> io::Result<()> {
        let mut list = File::from(memfd_create("authorities", MemfdFlags::CLOEXEC)?);
        for (name, certificates) in authorities(bundle)? {
            if self.authorities.contains(&name) {
                list.write_all(certificates.as_bytes())?;
            }
        }
        self.lists.push(list);
        if self.away.is_empty() { self.stand() } else { Ok(()) }
    }

    /// Makes the last list GIO's.
    fn stand(&mut self) -> io::Result<()> {
        let Some(list) = self.lists.last() else { return Ok(()) };
        let path = format!("/proc/self/fd/{}", list.as_raw_fd());
        let database = gio::TlsFileDatabase::new(path).map_err(io::Error::other)?;
        gio::TlsBackend::default().set_default_database(Some(&database));
        self.whole = false;
        Ok(())
    }

    /// Gives GIO its own list for a connection to `server`, whose authorities are not known.
    fn step_back(&mut self, server: &str, now: Instant) {
        self.servers.remove(server);
        self.away.insert(server.to_owned(), now + CONNECTS);
        self.whole = true;
        gio::TlsBackend::default().set_default_database(gio::TlsDatabase::NONE);
    }
}

/// The certificates of a list by the names of their owners. One is read after the other, so that they never lie side by side.
fn authorities(bundle: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(bundle)?;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for part in text.split(BEGIN).skip(1) {
        let Some((body, _)) = part.split_once(END) else { continue };
        let certificate = format!("{BEGIN}{body}{END}\n");
        let name = gio::TlsCertificate::from_pem(&certificate).ok().and_then(|certificate| certificate.subject_name());
        if let Some(name) = name {
            found.entry(name.into()).or_default().push_str(&certificate);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{net::TcpListener, sync::Arc, thread};

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
    use tempfile::TempDir;
    use tokio_rustls::rustls::{
        ServerConfig, ServerConnection, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    };

    use super::{super::look::shake_hands, *};
    use crate::core::destination::{DestinationFailure, Doubt};

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn params(name: &str, hosts: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::new(hosts.iter().copied().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn authority(name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> String {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let _ = io::Read::read(&mut StreamOwned::new(connection, socket), &mut [0]);
            }
        });
        server
    }

    /// A server whose certificate `authority` made.
    fn server(authority: &Authority, hosts: &[&str], valid: (i32, i32)) -> String {
        let mut params = params("server", hosts);
        (params.not_before, params.not_after) = (date_time_ymd(valid.0, 1, 1), date_time_ymd(valid.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        serve(params.signed_by(&key, &authority.issuer).unwrap().der().clone(), &key)
    }

    fn doubts(server: &str) -> Vec<Doubt> {
        match shake_hands(server, false).failure {
            None => Vec::new(),
            Some(DestinationFailure::Certificate(doubtful)) => doubtful.doubts,
            Some(other) => unreachable!("{other:?}"),
        }
    }

    /// GIO's list is one for the whole process; `nextest` gives each test one of its own.
    #[test]
    fn short_list_trusts_whom_the_long_one_does_and_each_fault_is_told_apart() {
        let now = (2020, 2049);
        let here: &[&str] = &["127.0.0.1"];
        let (first, ours, stranger) = (authority("A first"), authority("Ours"), authority("A stranger"));
        let folder = TempDir::new().unwrap();
        let bundle = folder.path().join("bundle");
        std::fs::write(&bundle, format!("# A comment\n{}{}", first.pem, ours.pem)).unwrap();
        let trust = Mutex::new(Trust::new(Some(bundle.clone())));
        let good = server(&ours, here, now);
        for anew in [false, false, true] {
            introduce_to(&trust, &good, anew).unwrap();
            assert_eq!(doubts(&good), []);
        }
        assert_eq!(lock(&trust).lists.len(), 2, "the first, and one for the server");
        let key = KeyPair::generate().unwrap();
        let itself = params("itself", here).self_signed(&key).unwrap();
        for (server, doubt) in [
            (server(&stranger, here, now), Doubt::Untrusted),
            (serve(itself.der().clone(), &key), Doubt::SelfSigned),
            (server(&ours, &["other.example"], now), Doubt::WrongHost),
            (server(&ours, here, (2020, 2021)), Doubt::Expired),
            (server(&ours, here, (2048, 2049)), Doubt::NotYet),
        ] {
            introduce_to(&trust, &server, false).unwrap();
            assert_eq!(doubts(&server), [doubt]);
        }
        assert_eq!(lock(&trust).lists.len(), 2, "nothing new is trusted");
        // Who is added to the system's list is found when a server is looked at anew.
        let late = server(&stranger, here, now);
        introduce_to(&trust, &late, false).unwrap();
        assert_eq!(doubts(&late), [Doubt::Untrusted]);
        std::fs::write(&bundle, format!("{}{}{}", first.pem, ours.pem, stranger.pem)).unwrap();
        introduce_to(&trust, &late, true).unwrap();
        assert_eq!((doubts(&late), doubts(&good)), (vec![], vec![]));
    }

    #[test]
    fn server_that_is_away_is_looked_at_the_next_time() {
        let folder = TempDir::new().unwrap();
        let bundle = folder.path().join("bundle");
        let ours = authority("Ours");
        std::fs::write(&bundle, &ours.pem).unwrap();
        let trust = Mutex::new(Trust::new(Some(bundle.clone())));
        let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        introduce_to(&trust, &away, false).unwrap();
        assert!(lock(&trust).servers.is_empty());
        std::fs::write(&bundle, "").unwrap();
        assert!(introduce_to(&Mutex::new(Trust::new(Some(bundle))), &away, false).is_err(), "an empty list is none");
    }

    #[test]
    fn server_that_is_too_slow_for_the_first_look_is_judged_by_all_that_the_system_trusts() {
        let folder = TempDir::new().unwrap();
        let bundle = folder.path().join("bundle");
        let (first, ours) = (authority("A first"), authority("Ours"));
        std::fs::write(&bundle, format!("{}{}", first.pem, ours.pem)).unwrap();
        let trust = Mutex::new(Trust::new(Some(bundle)));
        let is_short = || gio::TlsBackend::default().default_database().is::<gio::TlsFileDatabase>();
        let known = server(&ours, &["127.0.0.1"], (2020, 2049));
        introduce_to(&trust, &known, false).unwrap();
        assert!(is_short());
        let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        introduce_to(&trust, &away, false).unwrap();
        assert!(!is_short());
        // Others leave that list to it as long as it may be connecting.
        let other = server(&ours, &["127.0.0.1"], (2020, 2049));
        for server in [&known, &other] {
            introduce_to(&trust, server, false).unwrap();
            assert!(!is_short());
        }
        assert_eq!(lock(&trust).servers.iter().collect::<Vec<_>>(), [&known], "nobody is looked at meanwhile");
        let now = Instant::now();
        for until in lock(&trust).away.values_mut() {
            *until = now;
        }
        introduce_to(&trust, &other, false).unwrap();
        assert!(is_short() && lock(&trust).servers.contains(&other));
        assert_eq!((doubts(&known), doubts(&other)), (vec![], vec![]));
    }
}
