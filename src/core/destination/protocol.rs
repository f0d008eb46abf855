//! What a destination speaks: the table of what depends on it, but for the sending itself.

use secrecy::SecretString;
use url::Url;

use super::{invalid::InvalidDestination, rtmp};

/// What a destination speaks. Its address's scheme says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
}

/// A row of the table.
struct Row {
    /// The scheme of its addresses.
    scheme: &'static str,
    /// The port of an address without one.
    port: u16,
    /// Whether the other side shows a certificate, which holds only while the box's clock is right.
    encrypted: bool,
    /// What is wrong with an address, once its scheme is known.
    check_url: fn(&Url, &SecretString) -> Result<(), InvalidDestination>,
    /// A key as it is kept, or what is wrong with it.
    check_key: fn(SecretString) -> Result<SecretString, InvalidDestination>,
}

impl Protocol {
    /// All of them, in the order in which a person is told of them.
    pub const ALL: [Self; 2] = [Self::Rtmp, Self::Rtmps];

    const fn row(self) -> Row {
        let (check_url, check_key) = (rtmp::check_url, rtmp::check_key);
        match self {
            Self::Rtmp => Row { scheme: "rtmp", port: 1935, encrypted: false, check_url, check_key },
            Self::Rtmps => Row { scheme: "rtmps", port: 443, encrypted: true, check_url, check_key },
        }
    }

    /// The one that is spoken at `url`; none if the box does not speak it.
    pub fn of(url: &Url) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.scheme() == url.scheme())
    }

    /// The scheme of its addresses.
    pub const fn scheme(self) -> &'static str {
        self.row().scheme
    }

    /// The port of an address without one.
    pub const fn default_port(self) -> u16 {
        self.row().port
    }

    /// Whether the other side shows a certificate, which holds only while the box's clock is right.
    pub const fn is_encrypted(self) -> bool {
        self.row().encrypted
    }

    /// How the addresses of some of them begin, in words: `rtmp:// or rtmps://`.
    pub fn beginnings(which: impl Fn(Self) -> bool) -> String {
        let beginnings: Vec<_> =
            Self::ALL.into_iter().filter(|one| which(*one)).map(|one| format!("{}://", one.scheme())).collect();
        beginnings.join(" or ")
    }

    /// Whether `url`, whose scheme is this protocol's, is an address of its kind. `key` is looked for in it, and never told.
    ///
    /// # Errors
    /// What is wrong with it, with the fix.
    pub(super) fn check_url(self, url: &Url, key: &SecretString) -> Result<(), InvalidDestination> {
        (self.row().check_url)(url, key)
    }

    /// A key as it is kept: without what was pasted along with it.
    ///
    /// # Errors
    /// What is wrong with it, with the fix.
    pub(super) fn check_key(self, key: SecretString) -> Result<SecretString, InvalidDestination> {
        (self.row().check_key)(key)
    }
}

/// The port a URL leads to: its own, or its protocol's. None if the box does not speak it.
pub fn port_of(url: &Url) -> Option<u16> {
    Protocol::of(url).map(|protocol| url.port().unwrap_or_else(|| protocol.default_port()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{super::invalid::EXAMPLE, *};

    #[test]
    fn every_protocol_is_known_by_its_scheme_and_has_a_port_and_rules() {
        for (protocol, url, port, encrypted) in [
            (Protocol::Rtmp, "rtmp://h/app", 1935, false),
            (Protocol::Rtmps, "RTMPS://h/app", 443, true),
            (Protocol::Rtmp, "rtmp://h:443/app", 443, false),
            (Protocol::Rtmps, "rtmps://h:1935/app", 1935, true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(Protocol::of(&url), Some(protocol), "{url}");
            assert_eq!((port_of(&url), protocol.is_encrypted()), (Some(port), encrypted), "{url}");
            assert_eq!(protocol.check_url(&url, &"k".into()), Ok(()), "{url}");
            assert_eq!(protocol.check_url(&Url::parse("x://h").unwrap(), &"k".into()).unwrap_err().field, "url");
            assert_eq!(protocol.check_key(String::new().into()).unwrap_err().field, "key");
        }
        for protocol in Protocol::ALL {
            let of_its_own = Url::parse(&format!("{}://h", protocol.scheme())).unwrap();
            assert_eq!(Protocol::of(&of_its_own), Some(protocol), "two protocols have one scheme");
        }
    }

    #[test]
    fn what_the_box_does_not_speak_has_no_protocol_and_no_port() {
        for url in ["srt://h:10080", "http://h/app", "rtmpt://h:1935/app", "file:///tmp/x"] {
            let url = Url::parse(url).unwrap();
            assert_eq!((Protocol::of(&url), port_of(&url)), (None, None), "{url}");
        }
    }

    #[test]
    fn person_is_told_how_addresses_begin() {
        assert_eq!(Protocol::beginnings(|_| true), "rtmp:// or rtmps://");
        assert_eq!(Protocol::beginnings(Protocol::is_encrypted), "rtmps://");
        assert_eq!(Protocol::of(&Url::parse(EXAMPLE).unwrap()), Some(Protocol::Rtmp));
    }
}
