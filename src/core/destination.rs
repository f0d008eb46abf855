//! Destinations: where the programme goes. URL rules, the redacted form, and the states of one.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use url::Url;
use utoipa::ToSchema;

use self::invalid::{EXAMPLE, invalid, invisible};

mod certificate;
mod failure;
mod invalid;
mod moved;
mod own;
mod platform;
mod protocol;
mod rtmp;
mod told;

pub use certificate::{Doubt, Doubtful};
pub use failure::{ClosedAt, DestinationFailure, LoginScheme, no_tls};
pub use invalid::InvalidDestination;
pub use moved::Moved;
pub use own::{OwnIngest, is_own, points_at};
pub use platform::Platform;
pub use protocol::{Protocol, port_of};
pub use told::Secret;

/// How many destinations there can be: each costs upstream bandwidth of the venue, which is what runs out first.
pub const MAX_DESTINATIONS: usize = 8;

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// The longest URL, in bytes.
pub const MAX_URL: usize = 1024;

/// One destination. Those of the configuration file have ids derived from their names; see `Destination::locked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct DestinationId(pub u64);

impl std::fmt::Display for DestinationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A destination as it is wanted. What it does at the moment is a `DestinationStatus`.
#[derive(Clone, Debug)]
pub struct Destination {
    /// By which orders, status and the store name it.
    pub id: DestinationId,
    /// What people call it; unique among destinations.
    pub name: String,
    /// The server's address without the key. Its scheme says what is spoken there: see [`Protocol`].
    pub url: Url,
    /// The platform's stream key.
    pub key: SecretString,
    /// Whether it takes part in shows.
    pub enabled: bool,
    /// Whether it comes from the configuration and cannot be edited on the page.
    pub locked: bool,
}

/// A destination as somebody typed it.
#[derive(Clone, Debug)]
pub struct DestinationInput {
    /// What people call it.
    pub name: String,
    /// The server's address without the key.
    pub url: String,
    /// The platform's stream key.
    pub key: SecretString,
    /// Whether it takes part in shows.
    pub enabled: bool,
}

impl Destination {
    /// Checks what somebody typed. `others` are all destinations there are; the one with the same id is the one that is edited.
    ///
    /// # Errors
    /// The first field that is wrong, with the fix.
    pub fn validate(
        id: DestinationId,
        input: DestinationInput,
        locked: bool,
        others: &[Self],
    ) -> Result<Self, InvalidDestination> {
        let mut count = 0;
        let name = validate_name(&input.name)?;
        for other in others.iter().filter(|other| other.id != id) {
            count += 1;
            if folded(&other.name) == folded(&name) {
                return invalid("name", format!("there is already a destination called \"{}\"", other.name));
            }
        }
        if count >= MAX_DESTINATIONS {
            return invalid("destinations", format!("there can be {MAX_DESTINATIONS} at most; remove one first"));
        }
        let (protocol, url) = parse_url(&input.url)?;
        protocol.check_url(&url, &input.key)?;
        let key = protocol.check_key(input.key)?;
        Ok(Self { id, name, url, key, enabled: input.enabled, locked })
    }

    /// Where it goes, for logs and pages: scheme, host, port and application, never the key.
    pub fn redacted(&self) -> String {
        redacted(&self.url)
    }

    /// What it speaks; none if the box does not speak it.
    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::of(&self.url)
    }

    /// The RTMP application: the URL's path without its slashes at both ends.
    pub fn application(&self) -> &str {
        self.url.path().trim_matches('/')
    }
}

/// An address for logs and pages: scheme, host, port and application. Whatever else it might hold is left out.
pub fn redacted(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}/{}", url.scheme(), url.host_str().unwrap_or("?"), url.path().trim_matches('/'))
}

fn folded(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn validate_name(name: &str) -> Result<String, InvalidDestination> {
    let name: String = name.nfc().collect::<String>().trim().to_owned();
    if name.is_empty() {
        return invalid("name", "give it a name, for example the platform's");
    }
    if name.chars().count() > MAX_NAME {
        return invalid("name", format!("use at most {MAX_NAME} characters"));
    }
    if name.chars().any(invisible) || !name.chars().any(char::is_alphanumeric) {
        return invalid("name", "use visible characters, with at least one letter or digit");
    }
    Ok(name)
}

/// Reads an address and what it speaks. The rest of its rules are the protocol's.
fn parse_url(text: &str) -> Result<(Protocol, Url), InvalidDestination> {
    const FIELD: &str = "url";
    let text = text.trim();
    if text.is_empty() {
        return invalid(FIELD, format!("give the server's address, for example {EXAMPLE}"));
    }
    if text.len() > MAX_URL {
        return invalid(FIELD, format!("use at most {MAX_URL} characters"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid(FIELD, "remove the spaces and line breaks");
    }
    let Ok(url) = Url::parse(text) else {
        return invalid(FIELD, format!("this is not an address; it should look like {EXAMPLE}"));
    };
    let Some(protocol) = Protocol::of(&url) else {
        let spoken = Protocol::beginnings(|_| true);
        return match url.scheme() {
            "http" | "https" => {
                invalid(FIELD, format!("this is a web page; the server's address begins with {spoken}"))
            }
            other => invalid(FIELD, format!("{other}:// is not supported; the address must begin with {spoken}")),
        };
    };
    Ok((protocol, url))
}

/// `name`, with a number behind it if one of `taken` is called so already.
pub fn free_name<'a>(name: &str, taken: impl IntoIterator<Item = &'a str>) -> String {
    let taken: Vec<_> = taken.into_iter().map(folded).collect();
    let is_free = |name: &String| !taken.contains(&folded(name));
    if is_free(&name.to_owned()) {
        return name.to_owned();
    }
    let kept: String = name.chars().take(MAX_NAME - 4).collect();
    (2..100).map(|number| format!("{kept} {number}")).find(is_free).unwrap_or(kept)
}

/// Makes those of the configuration and those that were stored fit together: what was stored fits by itself, but the configuration may
/// have got a destination since. A stored one whose name is taken gets a number behind it, and those for which there is no place are
/// switched off; each is told with a reason. None is lost, and an admin can put it right.
pub fn fit_together(
    configured: Vec<Destination>,
    stored: Vec<Destination>,
) -> (Vec<Destination>, Vec<(String, String)>) {
    let (mut all, mut told) = (configured, Vec::new());
    for mut destination in stored {
        if all.iter().any(|other| folded(&other.name) == folded(&destination.name)) {
            let before = std::mem::take(&mut destination.name);
            destination.name = free_name(&before, all.iter().map(|other| other.name.as_str()));
            told.push((before, format!("there is another of this name, so it is called \"{}\" now", destination.name)));
        }
        if all.len() >= MAX_DESTINATIONS && destination.enabled {
            destination.enabled = false;
            told.push((
                destination.name.clone(),
                format!("there can be {MAX_DESTINATIONS} at most, so it is switched off; remove one first"),
            ));
        }
        all.push(destination);
    }
    (all, told)
}

/// What a destination does at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DestinationState {
    /// Switched off by hand.
    Disabled,
    /// Waits for a show to begin.
    WaitingForShow,
    /// RTMPS, and the box's clock is not right yet.
    WaitingForClock,
    /// Connecting.
    Connecting,
    /// The platform takes the programme.
    Live,
    /// Failed, and tries again.
    BackingOff {
        /// What went wrong, in words.
        reason: String,
        /// Seconds until the next try.
        retry_in_seconds: u64,
    },
    /// The platform refused the key; it is tried again slowly.
    Refused {
        /// What the platform said.
        reason: String,
        /// Seconds until the next try.
        retry_in_seconds: u64,
    },
}

/// A destination's state and figures.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DestinationStatus {
    /// What it does.
    #[serde(flatten)]
    pub state: DestinationState,
    /// Bytes sent in all sessions.
    pub bytes: u64,
    /// Kilobits per second over the last 5 s.
    pub kbps: f64,
    /// Sessions after the first.
    pub reconnects: u64,
    /// Frames left out because the platform did not take them in time.
    pub dropped_frames: u64,
    /// Accepted, and sent sound alone: whoever is on air has sent no key frame for so long that there is none to begin with.
    #[serde(skip)]
    pub waits_for_key_frame: bool,
}

impl DestinationStatus {
    /// A destination that has done nothing yet.
    pub const fn new(state: DestinationState) -> Self {
        Self { state, bytes: 0, kbps: 0.0, reconnects: 0, dropped_frames: 0, waits_for_key_frame: false }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use secrecy::ExposeSecret;

    use super::{rtmp::MAX_KEY, *};

    fn input(name: &str, url: &str, key: &str) -> DestinationInput {
        DestinationInput { name: name.into(), url: url.into(), key: key.into(), enabled: true }
    }

    fn validate(name: &str, url: &str, key: &str) -> Result<Destination, InvalidDestination> {
        Destination::validate(DestinationId(1), input(name, url, key), false, &[])
    }

    fn reason(name: &str, url: &str, key: &str) -> (&'static str, String) {
        let error = validate(name, url, key).unwrap_err();
        (error.field, error.reason)
    }

    #[test]
    fn stored_ones_give_way_to_configured_ones_and_none_is_lost() {
        let one = |id: u64, name: &str, locked| {
            let name = name.to_owned();
            Destination {
                id: DestinationId(id),
                name,
                url: "rtmp://h/app".parse().unwrap(),
                key: "k".into(),
                enabled: true,
                locked,
            }
        };
        let configured = vec![one(100, "Twitch", true), one(101, "Twitch 2", true)];
        let stored: Vec<_> = ["twitch", "B", "C", "D", "E", "F", "G", "H"]
            .iter()
            .zip(1..)
            .map(|(name, id)| one(id, name, false))
            .collect();
        let (all, told) = fit_together(configured, stored);
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.enabled)).collect();
        let expected = ["Twitch", "Twitch 2", "twitch 3", "B", "C", "D", "E", "F"].map(|name| (name, true));
        assert_eq!(names, [&expected[..], &[("G", false), ("H", false)]].concat());
        assert_eq!(told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["twitch", "G", "H"]);
        assert!(fit_together(all.clone(), Vec::new()).1.is_empty());
    }

    #[test]
    fn every_preset_is_valid() {
        for platform in Platform::ALL {
            let destination = validate(platform.name(), platform.url(), "some-key").unwrap();
            assert_eq!(Platform::of_host(destination.url.host_str().unwrap()), Some(platform));
        }
    }

    #[test]
    fn wrong_field_is_named_with_its_fix() {
        for (name, url, key, field, fix) in [
            ("", "rtmp://h/app", "k", "name", "give it a name"),
            ("a\u{200b}b", "rtmp://h/app", "k", "name", "visible"),
            ("--", "rtmp://h/app", "k", "name", "letter or digit"),
            ("x", "", "k", "url", "rtmp://live.example.com/app"),
            ("x", "live.example.com/app", "k", "url", "not an address"),
            ("x", "https://twitch.tv/me", "k", "url", "web page"),
            ("x", "srt://h/app", "k", "url", "rtmp://"),
            ("x", "rtmp:///app", "k", "url", "host is missing"),
            ("x", "rtmp://h", "k", "url", "application is missing"),
            ("x", "rtmp://h/", "k", "url", "application is missing"),
            ("x", "rtmp://h/a//b", "k", "url", "doubled /"),
            ("x", "rtmp://me:pw@h/app", "k", "url", "user name and password"),
            ("x", "rtmp://h/app?x=1", "k", "url", "end of the key"),
            ("x", "rtmp://h/app#x", "k", "url", "remove the #"),
            ("x", "rtmp://h:0/app", "k", "url", "port 0"),
            ("x", "rtmp://h/a b", "k", "url", "spaces"),
            ("x", "rtmp://h/app", "", "key", "give the stream key"),
            ("x", "rtmp://h/app", "a b", "key", "spaces"),
            ("x", "rtmp://h/app", "a\u{7}b", "key", "spaces"),
            ("x", "rtmp://h/app", "rtmp://h/app", "key", "address"),
            ("x", "rtmp://h/app", "••••••••", "key", "copy button"),
        ] {
            let (wrong, says) = reason(name, url, key);
            assert_eq!(wrong, field, "{name:?} {url:?} {key:?}: {says}");
            assert!(says.contains(fix), "{says:?} does not say {fix:?}");
        }
    }

    #[test]
    fn long_names_and_keys_are_refused() {
        assert!(validate(&"x".repeat(MAX_NAME), "rtmp://h/app", "k").is_ok());
        assert_eq!(reason(&"x".repeat(MAX_NAME + 1), "rtmp://h/app", "k").0, "name");
        assert!(validate("x", "rtmp://h/app", &"k".repeat(MAX_KEY)).is_ok());
        assert_eq!(reason("x", "rtmp://h/app", &"k".repeat(MAX_KEY + 1)).0, "key");
        assert_eq!(reason("x", &format!("rtmp://h/{}", "a".repeat(MAX_URL)), "k").0, "url");
    }

    #[test]
    fn key_pasted_into_the_url_is_recognised_and_explained() {
        for url in [
            "rtmp://live.twitch.tv/app/live_123456789_abcdefghijklmnop",
            "rtmps://a.rtmps.youtube.com/live2/abcd-1234-efgh-5678-ijkl",
            "rtmp://ingest.example.com/app/0123456789abcdef0123",
            "rtmp://ingest.example.com/app/my-own-key",
            "rtmps://live-api-s.facebook.com:443/rtmp/FB-12345-0-AbCdEfGh",
        ] {
            let (field, says) = reason("x", url, "my-own-key");
            assert_eq!(field, "url");
            assert!(says.contains("stream key"), "{says}");
            let without = url.rsplit_once('/').unwrap().0;
            assert!(says.contains(without), "{says:?} does not say {without:?}");
            assert!(!says.contains(url), "{says:?} repeats the key");
        }
        assert!(validate("x", "rtmp://media.example.com/live/hall", "my-own-key").is_ok());
    }

    #[test]
    fn pasted_spaces_and_slashes_at_the_ends_are_dropped() {
        let destination = validate("x", " rtmp://h//app/ ", " key\n").unwrap();
        assert_eq!(destination.key.expose_secret(), "key");
        assert_eq!(destination.application(), "app");
    }

    #[test]
    fn names_are_unique_but_for_the_edited_one() {
        let first = validate("Twitch", "rtmp://h/app", "k").unwrap();
        let others = [first];
        let again = Destination::validate(DestinationId(2), input(" twitch", "rtmp://h/app", "k"), false, &others);
        assert_eq!(again.unwrap_err().field, "name");
        assert!(Destination::validate(DestinationId(1), input("twitch", "rtmp://h/app", "k"), false, &others).is_ok());
    }

    #[test]
    fn ninth_destination_is_refused() {
        let mut all: Vec<Destination> = Vec::new();
        for id in 0..8 {
            let made =
                Destination::validate(DestinationId(id), input(&format!("d{id}"), "rtmp://h/app", "k"), false, &all);
            all.push(made.unwrap());
        }
        let ninth = Destination::validate(DestinationId(9), input("d9", "rtmp://h/app", "k"), false, &all);
        assert_eq!(ninth.unwrap_err().field, "destinations");
        assert!(Destination::validate(DestinationId(7), input("d7", "rtmp://h/app", "k"), false, &all).is_ok());
    }

    #[test]
    fn redacted_form_and_debug_never_hold_the_key() {
        let destination = validate("x", "rtmps://h.example:8443/app", "hush-hush").unwrap();
        assert_eq!(destination.redacted(), "rtmps://h.example:8443/app");
        assert!(!format!("{destination:?}").contains("hush"));
    }
}
