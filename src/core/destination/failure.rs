//! Why a destination has no session, and the words for it. They are the same for one that is live, for a trial and for the
//! doctor, and say what to do about it.

use super::{
    Destination,
    certificate::Doubtful,
    moved::Moved,
    protocol::{Protocol, port_of},
};

/// Where in a dialogue the other side closed without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedAt {
    /// Before it answered anything.
    Greeting,
    /// At the application.
    Connect,
    /// At the key.
    Publish,
    /// After it had accepted the publish, sooner than a stream is begun.
    Accepted,
    /// Later.
    Live,
}

/// A way of logging in that has nothing to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginScheme {
    /// `authmod=adobe`.
    Adobe,
    /// `authmod=llnw`, Limelight's.
    Llnw,
}

/// Why a destination has no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationFailure {
    /// The box does not speak what its address begins with.
    NotSpoken,
    /// The box could not begin at all, with the reason.
    NotBegun(String),
    /// The clock is not right yet, and no certificate holds before it is.
    Clock,
    /// This machine has nothing to encrypt with.
    NoTls,
    /// There is no such host, or nobody to ask for it.
    NoSuchHost,
    /// Nobody listens at its port.
    NobodyListens,
    /// The network has no way there.
    NoWay,
    /// It does not answer.
    Silent,
    /// It takes nothing more, with what was seen of it.
    Frozen(String),
    /// Its certificate is not accepted.
    Certificate(Doubtful),
    /// The address says `rtmps`, and the port speaks plain RTMP.
    NotEncrypted,
    /// The address says `rtmp`, and the port wants TLS.
    Encrypted,
    /// No encrypted connection, for another reason.
    Handshake(String),
    /// It closed and said nothing.
    Closed(ClosedAt),
    /// It closed at the application or the key again and again, and never said why.
    ClosesAgain(ClosedAt),
    /// It says that it is elsewhere.
    Moved(Moved),
    /// It wants a user name and a password.
    Login(LoginScheme),
    /// It answered, and said no.
    Refused {
        /// Its code, for example `NetStream.Publish.BadName`; empty if it gave none.
        code: String,
        /// Its own words, without the key; may be empty.
        said: String,
    },
    /// Anything else, in words.
    Other(String),
}

impl DestinationFailure {
    /// Whether the platform said no, in whatever way: then it is tried again slowly, because platforms count refusals.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::ClosesAgain(_) | Self::Moved(_) | Self::Login(_))
    }

    /// The words, for whoever typed the destination in: what happened, and what to do.
    pub fn words(&self, destination: &Destination) -> String {
        let host = destination.url.host_str().unwrap_or_default();
        let port = port_of(&destination.url).unwrap_or_default();
        match self {
            Self::NotSpoken => format!("the box does not speak {}://", destination.url.scheme()),
            Self::NotBegun(why) => format!("the box could not start it: {why}"),
            Self::Clock => "the box's clock is not right yet, and no certificate holds before it is".to_owned(),
            Self::NoTls => format!("{}; see `motherstream doctor`", no_tls()),
            Self::NoSuchHost => {
                format!(
                    "there is no host called {host}, or the box has no internet: check the address, then the network"
                )
            }
            Self::NobodyListens => {
                format!(
                    "{host} takes no connections on port {port} (connection refused): check the address and its port"
                )
            }
            Self::NoWay => format!("the network has no way to {host}: look whether the box has internet"),
            Self::Silent => format!(
                "{host} did not answer in time on port {port}: check the address, and whether the network lets it out"
            ),
            Self::Frozen(what) => format!("the platform seems frozen: {what}"),
            Self::Certificate(doubtful) => doubtful.words(host),
            Self::NotEncrypted => format!(
                "port {port} of {host} is not encrypted: it wants rtmp:// rather than rtmps://, or rtmps:// has another port there"
            ),
            Self::Encrypted => format!(
                "port {port} of {host} is encrypted: it wants rtmps:// rather than rtmp://, or rtmp:// has another port there"
            ),
            Self::Handshake(said) => format!(
                "no encrypted connection to {host} on port {port}: {said}. Does it want rtmp:// rather than rtmps://?"
            ),
            Self::Closed(stage) => closed(*stage).to_owned(),
            Self::ClosesAgain(stage) => closes_again(*stage).to_owned(),
            Self::Moved(moved) => format!(
                "the platform says that it is at {} now: if that is right, make it the destination's address",
                moved.shown
            ),
            Self::Login(login) => login_words(*login),
            Self::Refused { code, said } => {
                let answer = match (said.is_empty(), code.is_empty()) {
                    (true, _) => format!("the platform answered {code}"),
                    (false, true) => format!("the platform answered: {said}"),
                    (false, false) => format!("the platform answered: {said} ({code})"),
                };
                format!("{answer}. Check the key, and that the platform's page is ready to go live")
            }
            Self::Other(said) => said.clone(),
        }
    }
}

/// The words for a machine without TLS, in which the doctor says it, too.
pub fn no_tls() -> String {
    let needed = Protocol::beginnings(Protocol::is_encrypted);
    format!("this box cannot speak {needed} yet: glib-networking is missing")
}

const fn closed(stage: ClosedAt) -> &'static str {
    match stage {
        ClosedAt::Greeting => {
            "the platform closed the connection without an answer: check the address and its port; some also shut out for a while \
             whoever comes too often"
        }
        ClosedAt::Connect => {
            "the platform closed the connection at once; some refuse a wrong application, the part of the address behind the host, \
             this way"
        }
        ClosedAt::Publish => "the platform closed the connection at once; some refuse a wrong key this way",
        ClosedAt::Accepted => "the platform accepted the publish and closed at once: this is how some refuse a key",
        ClosedAt::Live => "the platform closed the connection",
    }
}

const fn closes_again(stage: ClosedAt) -> &'static str {
    match stage {
        ClosedAt::Greeting | ClosedAt::Connect => {
            "the platform refuses: it closes each time before the key is asked for, and does not say why. Check the address, above all \
             the part behind the host"
        }
        ClosedAt::Publish | ClosedAt::Accepted | ClosedAt::Live => {
            "the platform refuses: it closes each time as soon as it has the key, and does not say why. Either the key is wrong or \
             worn out, or another encoder is live with it, or the platform's page is not ready to go live"
        }
    }
}

fn login_words(login: LoginScheme) -> String {
    let whose = match login {
        LoginScheme::Adobe => "Adobe's, authmod=adobe",
        LoginScheme::Llnw => "Limelight's, authmod=llnw",
    };
    format!(
        "the platform wants a user name and a password ({whose}), which the box does not support: ask it for an address that needs a \
         stream key only, or send to a relay of your own that logs in"
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{super::DestinationId, *};

    fn words(failure: &DestinationFailure) -> String {
        let (name, url) = ("d".to_owned(), "rtmps://live.example.com/app".parse().unwrap());
        let key = "a-secret-key".into();
        failure.words(&Destination { id: DestinationId(1), name, url, key, enabled: true, locked: false })
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for (failure, part) in [
            (DestinationFailure::NoTls, "glib-networking is missing"),
            (DestinationFailure::NoSuchHost, "no host called live.example.com"),
            (DestinationFailure::NobodyListens, "takes no connections on port 443 (connection refused)"),
            (DestinationFailure::NoWay, "no way to live.example.com"),
            (DestinationFailure::Silent, "did not answer in time on port 443"),
            (DestinationFailure::NotEncrypted, "it wants rtmp:// rather than rtmps://"),
            (DestinationFailure::Encrypted, "it wants rtmps:// rather than rtmp://"),
            (DestinationFailure::Closed(ClosedAt::Greeting), "closed the connection without an answer"),
            (DestinationFailure::Closed(ClosedAt::Accepted), "accepted the publish and closed at once"),
            (DestinationFailure::ClosesAgain(ClosedAt::Publish), "another encoder is live with it"),
            (DestinationFailure::ClosesAgain(ClosedAt::Connect), "the part behind the host"),
            (DestinationFailure::Login(LoginScheme::Adobe), "authmod=adobe), which the box does not support: ask"),
            (DestinationFailure::Login(LoginScheme::Llnw), "authmod=llnw), which the box does not support: ask"),
            (DestinationFailure::Other("something new".to_owned()), "something new"),
        ] {
            assert!(words(&failure).contains(part), "{failure:?}: {}", words(&failure));
        }
    }

    #[test]
    fn platforms_own_words_come_first() {
        let refused = |code: &str, said: &str| {
            words(&DestinationFailure::Refused { code: code.to_owned(), said: said.to_owned() })
        };
        let advice = ". Check the key, and that the platform's page is ready to go live";
        assert_eq!(
            refused("NetStream.Publish.BadName", "no channel"),
            format!("the platform answered: no channel (NetStream.Publish.BadName){advice}")
        );
        assert_eq!(refused("NetStream.Failed", ""), format!("the platform answered NetStream.Failed{advice}"));
        assert_eq!(refused("", "no"), format!("the platform answered: no{advice}"));
    }
}
