//! Destinations: where the programme goes. Presets, URL rules, the redacted form, and the states of one.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use url::{Host, Url};
use utoipa::ToSchema;

/// How many destinations there can be: each costs upstream bandwidth of the venue, which is what runs out first.
pub const MAX_DESTINATIONS: usize = 8;

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// The longest key, in bytes. The longest known ones (Facebook's) have about 100.
pub const MAX_KEY: usize = 512;

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
    /// Its id.
    pub id: DestinationId,
    /// What people call it; unique among destinations.
    pub name: String,
    /// The server's address without the key: `rtmp://` or `rtmps://`.
    pub url: Url,
    /// The platform's stream key.
    pub key: SecretString,
    /// Whether it takes part in shows.
    pub enabled: bool,
    /// Whether it comes from the configuration and can not be edited on the page.
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

/// What is wrong with a destination, and what would be right. Never holds the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct InvalidDestination {
    /// `name`, `url`, `key`, or `destinations` when there are too many.
    pub field: &'static str,
    /// What is wrong and how to put it right, as one sentence for whoever typed it.
    pub reason: String,
}

fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, InvalidDestination> {
    Err(InvalidDestination { field, reason: reason.into() })
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
        let url = validate_url(&input.url, &input.key)?;
        let key = validate_key(input.key)?;
        Ok(Self { id, name, url, key, enabled: input.enabled, locked })
    }

    /// Where it goes, for logs and pages: scheme, host, port and application, never the key.
    pub fn redacted(&self) -> String {
        redacted(&self.url)
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

/// Control characters, and the spaces and marks that nobody sees.
fn invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn validate_url(text: &str, key: &SecretString) -> Result<Url, InvalidDestination> {
    const FIELD: &str = "url";
    let text = text.trim();
    if text.is_empty() {
        return invalid(FIELD, "give the server's address, for example rtmp://live.example.com/app");
    }
    if text.len() > MAX_URL {
        return invalid(FIELD, format!("use at most {MAX_URL} characters"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid(FIELD, "remove the spaces and line breaks");
    }
    let Ok(url) = Url::parse(text) else {
        return invalid(FIELD, "this is not an address; it should look like rtmp://live.example.com/app");
    };
    match url.scheme() {
        "rtmp" | "rtmps" => {}
        "http" | "https" => {
            return invalid(FIELD, "this is a web page; the server's address begins with rtmp:// or rtmps://");
        }
        other => {
            return invalid(
                FIELD,
                format!("{other}:// is not supported; the address must begin with rtmp:// or rtmps://"),
            );
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(FIELD, "remove the user name and password before the @: platforms know you by the key");
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return invalid(FIELD, "the host is missing; the address should look like rtmp://live.example.com/app");
    }
    if url.port() == Some(0) {
        return invalid(FIELD, "port 0 does not exist; leave the port out for the usual one");
    }
    if url.fragment().is_some() {
        return invalid(FIELD, "remove the # and what follows it");
    }
    if url.query().is_some() {
        return invalid(
            FIELD,
            "remove the ? and what follows it; if the platform gave it to you, it belongs at the end of the key",
        );
    }
    let path = url.path().trim_matches('/');
    if path.is_empty() {
        return invalid(FIELD, "the application is missing: most platforms want /app or /live after the host");
    }
    if path.split('/').any(str::is_empty) {
        return invalid(FIELD, "there is a doubled / in the path");
    }
    if let Some(without) = key_in_path(&url, path, key.expose_secret()) {
        return invalid(
            FIELD,
            format!(
                "the end of this address looks like a stream key; put it into the key field and leave {without} here"
            ),
        );
    }
    Ok(url)
}

/// If the last part of the path is a key, the address without it.
fn key_in_path(url: &Url, path: &str, key: &str) -> Option<String> {
    let (application, last) = path.rsplit_once('/')?;
    let platform = url.host_str().and_then(Platform::of_host);
    // The platforms of the presets have applications of one part; elsewhere two can be right (an application's instance).
    let is_key = platform.is_some() || last == key.trim() || looks_like_key(last);
    is_key.then(|| {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}{port}/{application}", url.scheme(), url.host_str().unwrap_or_default())
    })
}

/// Whether a word has the shape of a stream key: long, with letters and digits (all platforms'), or with a known beginning.
fn looks_like_key(word: &str) -> bool {
    let known = ["live_", "sk_", "FB-"].iter().any(|start| word.starts_with(start) && word.len() > start.len() + 8);
    let dense =
        word.len() >= 20 && word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(|c| c.is_ascii_alphabetic());
    known || dense
}

fn validate_key(key: SecretString) -> Result<SecretString, InvalidDestination> {
    const FIELD: &str = "key";
    let text = key.expose_secret();
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return invalid(FIELD, "give the stream key; the platform shows it on its page for going live");
    }
    if trimmed.len() > MAX_KEY {
        return invalid(FIELD, format!("use at most {MAX_KEY} characters"));
    }
    if trimmed.chars().any(|c| c.is_whitespace() || invisible(c)) {
        return invalid(FIELD, "remove the spaces and line breaks inside it; copy it once more");
    }
    if trimmed.contains("://") {
        return invalid(FIELD, "this is an address; the key is the other thing that the platform shows");
    }
    if trimmed.chars().all(|c| matches!(c, '*' | '•' | '●' | '.')) {
        return invalid(FIELD, "this is the hidden form of the key; use the platform's copy button");
    }
    if trimmed.len() == text.len() { Ok(key) } else { Ok(SecretString::from(trimmed.to_owned())) }
}

/// Whether `url` points at a port of this machine: then the programme would be sent to its own ingest, in a loop. `own` are this
/// machine's addresses, `own_port` is the ingest's. Another port on this machine is fine. Names other than `localhost` must be
/// looked up by the caller, and the addresses be given to [`is_own`].
pub fn points_at(url: &Url, own: &[IpAddr], own_port: u16) -> bool {
    let port = port_of(url);
    if port != own_port {
        return false;
    }
    // The URL's scheme is not one of the web's, so that its host is always kept as text: numbers are numbers here nevertheless.
    let host = url.host().map(|host| host.to_string()).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match (address, Host::parse(&host)) {
        (Ok(address), _) => is_own(address, own),
        (_, Ok(Host::Ipv4(address))) => is_own(address.into(), own),
        (_, Ok(Host::Ipv6(address))) => is_own(address.into(), own),
        _ => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            (name == "localhost" || name.ends_with(".localhost")) && own.iter().any(IpAddr::is_loopback)
        }
    }
}

/// Whether `address` is one of this machine's. All of 127.0.0.0/8 and the unspecified address lead to this machine when it has
/// a loopback address among its own.
pub fn is_own(address: IpAddr, own: &[IpAddr]) -> bool {
    let address = address.to_canonical();
    own.iter().any(|own| own.to_canonical() == address)
        || ((address.is_loopback() || address.is_unspecified())
            && own.iter().any(|own| own.to_canonical().is_loopback()))
}

/// The port a URL leads to: RTMP's is 1935, that of RTMPS 443.
pub fn port_of(url: &Url) -> u16 {
    url.port().unwrap_or(if url.scheme() == "rtmps" { 443 } else { 1935 })
}

/// A platform whose address the box knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Twitch, the nearest ingest by its own choice (help.twitch.tv, "Twitch ingest endpoints").
    Twitch,
    /// `YouTube` Live, encrypted (support.google.com/youtube, "Encrypt your live stream with RTMPS").
    YouTube,
    /// Kick, whose ingest is Amazon IVS (help.kick.com, "How to stream on Kick").
    Kick,
    /// Facebook Live, which takes RTMPS only (facebook.com/business/help, "Stream with an encoder").
    Facebook,
}

impl Platform {
    /// All of them, in the order in which a page offers them.
    pub const ALL: [Self; 4] = [Self::Twitch, Self::YouTube, Self::Kick, Self::Facebook];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twitch => "Twitch",
            Self::YouTube => "YouTube",
            Self::Kick => "Kick",
            Self::Facebook => "Facebook",
        }
    }

    /// Its name for programs.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Twitch => "twitch",
            Self::YouTube => "youtube",
            Self::Kick => "kick",
            Self::Facebook => "facebook",
        }
    }

    /// Where it shows the stream key, for whoever adds it as a destination.
    pub const fn key_help(self) -> &'static str {
        match self {
            Self::Twitch => {
                "In the Creator Dashboard (dashboard.twitch.tv) under Settings, Stream: \"Primary stream key\". It begins with live_."
            }
            Self::YouTube => {
                "In YouTube Studio (studio.youtube.com) under Create, Go live, Stream: \"Stream key\". Live streaming has to be \
                 enabled a day before the first stream."
            }
            Self::Kick => {
                "In the Creator Dashboard (kick.com/dashboard) under Settings, Stream URL & Key. If the address there differs from \
                 this one, take that one. The key begins with sk_."
            }
            Self::Facebook => {
                "In Live Producer (facebook.com/live/producer) under Streaming software: \"Stream key\". Choose a persistent key, \
                 or it is good for one stream only. It begins with FB-."
            }
        }
    }

    /// Its ingest's address, without the key. Kick gives each channel an address of its own on its page; this one serves all.
    pub const fn url(self) -> &'static str {
        match self {
            Self::Twitch => "rtmp://live.twitch.tv/app",
            Self::YouTube => "rtmps://a.rtmps.youtube.com/live2",
            Self::Kick => "rtmps://fa723fc1b171.global-contribute.live-video.net/app",
            Self::Facebook => "rtmps://live-api-s.facebook.com:443/rtmp",
        }
    }

    /// The platform a host belongs to.
    pub fn of_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        if within("twitch.tv") {
            Some(Self::Twitch)
        } else if within("youtube.com") {
            Some(Self::YouTube)
        } else if within("live-video.net") || within("kick.com") {
            Some(Self::Kick)
        } else if within("facebook.com") {
            Some(Self::Facebook)
        } else {
            None
        }
    }
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
}

impl DestinationStatus {
    /// A destination that has done nothing yet.
    pub const fn new(state: DestinationState) -> Self {
        Self { state, bytes: 0, kbps: 0.0, reconnects: 0, dropped_frames: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

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

    #[test]
    fn own_ingest_is_a_loop_and_other_ports_are_not() {
        let own: Vec<IpAddr> =
            ["127.0.0.1", "::1", "192.168.1.5", "fe80::1"].iter().map(|a| a.parse().unwrap()).collect();
        for (url, looped) in [
            ("rtmp://127.0.0.1/live", true),
            ("rtmp://127.0.0.1:1935/live", true),
            ("rtmp://127.9.9.9/live", true),
            ("rtmp://0.0.0.0/live", true),
            ("rtmp://localhost/live", true),
            ("rtmp://LOCALHOST./live", true),
            ("rtmp://x.localhost/live", true),
            ("rtmp://[::1]/live", true),
            ("rtmp://[::ffff:192.168.1.5]/live", true),
            ("rtmp://192.168.1.5/live", true),
            ("rtmp://127.1/live", true),
            ("rtmp://127.0.0.1:1936/live", false),
            ("rtmps://127.0.0.1/live", false),
            ("rtmps://127.0.0.1:1935/live", true),
            ("rtmp://192.168.1.6/live", false),
            ("rtmp://live.twitch.tv/app", false),
        ] {
            assert_eq!(points_at(&Url::parse(url).unwrap(), &own, 1935), looped, "{url}");
        }
        let elsewhere: Vec<IpAddr> = vec!["192.168.1.5".parse().unwrap()];
        assert!(!points_at(&Url::parse("rtmp://127.0.0.1/live").unwrap(), &elsewhere, 1935));
    }
}
