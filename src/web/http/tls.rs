//! HTTPS: the page on a second listener, with a certificate that the box makes itself at its first start and keeps. Nobody vouches for
//! it, so browsers warn once; its fingerprint, which the box prints, is how to be sure. Venue Wi-Fi is shared, and a password is
//! better off here.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{net::TcpListener, task::spawn_blocking};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::hosts::Hosts;
use crate::{
    config::Config,
    control::addresses::own_addresses,
    files::{self, Readers},
};

/// Key and certificate, in one file, so that they always belong together.
const FILE: &str = "https.pem";

/// The largest such file that is read.
const LARGEST: u64 = 64 * 1024;

/// Why there is no HTTPS.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// The certificate cannot be made or read.
    #[error("the certificate {}: {reason}", file.display())]
    Certificate {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The port cannot be opened.
    #[error("{address} cannot be listened on: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// The second listener, before it serves.
pub struct Https {
    pub(in crate::web) listener: TcpListener,
    pub(in crate::web) acceptor: TlsAcceptor,
    /// Its port.
    pub port: u16,
    /// SHA-256 of the certificate, as browsers show it: `AB:CD:...`.
    pub fingerprint: String,
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Https {
    /// Opens the listener at `web.https_listen`, with the certificate of the data folder; none if that is `off`. Makes the certificate
    /// where there is none, or none that can be used.
    ///
    /// # Errors
    /// See [`HttpsError`]. The box does without: its page is on plain HTTP as well.
    pub async fn open(config: &Config) -> Result<Option<Self>, HttpsError> {
        let Some(address) = config.web.https_listen else { return Ok(None) };
        let file = config.data_dir.join(FILE);
        let public_host = config.web.public_host.clone();
        let failed = |reason: String| HttpsError::Certificate { file: config.data_dir.join(FILE), reason };
        let identity = spawn_blocking(move || Identity::of(&file, public_host.as_deref()))
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        let fingerprint = identity.fingerprint();
        let acceptor = identity.acceptor().map_err(failed)?;
        let listener = TcpListener::bind(address).await.map_err(|error| HttpsError::Listen { address, error })?;
        let port = listener.local_addr().map_or(address.port(), |address| address.port());
        Ok(Some(Self { listener, acceptor, port, fingerprint }))
    }
}

/// The fingerprint of the certificate in a data folder, if there is one that can be read.
pub fn fingerprint(data_dir: &Path) -> Option<String> {
    Identity::read(&data_dir.join(FILE)).ok().map(|identity| identity.fingerprint())
}

/// A certificate and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn of(file: &Path, public_host: Option<&str>) -> io::Result<Self> {
        match Self::read(file) {
            Ok(identity) => return Ok(identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "certificate cannot be used, another one is made");
            }
        }
        let text = make(public_host)?;
        files::replace(file, text.as_bytes(), Readers::Owner)?;
        Self::read(file)
    }

    fn read(file: &Path) -> io::Result<Self> {
        if fs::metadata(file)?.len() > LARGEST {
            return Err(io::Error::other("it is too large"));
        }
        Self::parse(&fs::read(file)?)
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("it holds no {what}"));
        let identity = Self {
            certificate: CertificateDer::from_pem_slice(text).map_err(|_| bad("certificate"))?,
            key: PrivateKeyDer::from_pem_slice(text).map_err(|_| bad("key"))?,
        };
        // One that does not go with its key is no certificate either.
        identity.acceptor().map_err(io::Error::other)?;
        Ok(identity)
    }

    fn fingerprint(&self) -> String {
        let bytes: Vec<_> = Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }

    /// TLS 1.2 and 1.3.
    fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A new key and a certificate for it, as PEM. With the names and addresses that this machine has now: later ones are not in it, which
/// makes no difference to a browser that has to be told to trust it anyway, and a new fingerprint would.
fn make(public_host: Option<&str>) -> io::Result<String> {
    let mut names: Vec<String> = Hosts::of_this_machine().names().to_vec();
    names.extend(public_host.filter(|host| host.parse::<IpAddr>().is_err()).map(str::to_ascii_lowercase));
    names.dedup();
    let mut addresses: Vec<IpAddr> = own_addresses();
    addresses.extend(["127.0.0.1", "::1"].iter().filter_map(|address| address.parse::<IpAddr>().ok()));
    addresses.extend(public_host.and_then(|host| host.parse::<IpAddr>().ok()));
    let mut params = CertificateParams::default();
    // A name that cannot stand in a certificate is left out.
    let names = names.into_iter().filter_map(|name| name.try_into().ok()).map(SanType::DnsName);
    params.subject_alt_names = names.chain(addresses.into_iter().map(SanType::IpAddress)).collect();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Motherstream");
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // The box may have no clock that is right, and nobody there to renew anything.
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31));
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// An acceptor with a certificate that nobody keeps.
#[cfg(test)]
pub(crate) fn acceptor_for_tests() -> TlsAcceptor {
    let text = make(None).unwrap_or_default();
    let read = Identity::parse(text.as_bytes()).and_then(|identity| identity.acceptor().map_err(io::Error::other));
    read.expect("a certificate made here is a certificate")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn certificate_is_made_once_and_its_key_is_nobody_elses() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(fingerprint(folder.path()), None);
        let first = Identity::of(&file, Some("stream.example.org")).unwrap().fingerprint();
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::of(&file, None).unwrap().fingerprint(), first);
        assert_eq!(fingerprint(folder.path()).as_deref(), Some(first.as_str()));
    }

    #[test]
    fn damaged_certificate_is_replaced() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(FILE);
        let first = Identity::of(&file, None).unwrap().fingerprint();
        let other = make(None).unwrap();
        let (_, key) = other.split_once("-----BEGIN PRIVATE KEY-----").unwrap();
        let (certificate, _) = fs::read_to_string(&file)
            .unwrap()
            .split_once("-----BEGIN PRIVATE KEY-----")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        for damaged in ["", "what is this", &format!("{certificate}-----BEGIN PRIVATE KEY-----{key}")] {
            fs::write(&file, damaged).unwrap();
            assert_ne!(Identity::of(&file, None).unwrap().fingerprint(), first);
        }
    }
}
