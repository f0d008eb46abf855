//! Bounds and rules that types do not express. Each problem comes with its field, so that its source can be blamed.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use figment::Figment;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Config, DestinationConfig, IngestKind, KEYS, Key, ValueKind};
use crate::core::{
    destination::{Destination, DestinationId, DestinationInput, points_at},
    network::wifi,
};

/// The ingest drops a silent connection only after the queue has had time to end its turn by the stall rule.
const SILENCE_OVER_STALL: u64 = 5;

/// The shortest bearer token: 16 letters and digits hold over 80 bits.
const MIN_TOKEN: usize = 16;

/// What does not fit its row, as field and reason: numbers out of their bounds, and names that nothing in OBS can have.
pub(super) fn rows(values: &Figment) -> Vec<(String, String)> {
    let wrong = |key: &Key| match &key.kind {
        ValueKind::Number { bounds, .. } => {
            let value = values.extract_inner::<u64>(key.path).ok().filter(|value| !bounds.contains(value))?;
            Some(format!("{value} is out of bounds; write {} to {}", bounds.start(), bounds.end()))
        }
        ValueKind::Port { .. } => {
            let none = values.extract_inner::<u16>(key.path).is_ok_and(|port| port == 0);
            none.then(|| format!("write {}", key.kind.shape()))
        }
        ValueKind::ObsName { .. } => obs_names(values.extract_inner(key.path).ok().as_slice()),
        ValueKind::ObsSources => obs_names(&values.extract_inner::<Vec<String>>(key.path).unwrap_or_default()),
        _ => None,
    };
    KEYS.iter().filter_map(|key| Some((key.path.to_owned(), wrong(key)?))).collect()
}

/// What is wrong with names of the venue's OBS. That its scenes and sources exist is for the adapter to say, which reads them.
fn obs_names(names: &[String]) -> Option<String> {
    let none = |name: &String| name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control);
    if names.iter().any(none) {
        Some("write a name of 1 to 200 visible characters".to_owned())
    } else {
        (names.len() > 50).then(|| "name 50 at most".to_owned())
    }
}

/// Everything else that is wrong, as field and reason.
pub(super) fn validate(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut wrong = |field: &str, reason: String| problems.push((field.to_owned(), reason));
    let (queue, ingest, program) = (&config.queue, &config.ingest, &config.program);

    let least = queue.stall_limit_seconds.saturating_add(SILENCE_OVER_STALL);
    if ingest.silence_seconds < least {
        wrong(
            "ingest.silence_seconds",
            format!("must be at least queue.stall_limit_seconds + {SILENCE_OVER_STALL}, which is {least}"),
        );
    }
    if !is_word(&ingest.app) {
        wrong("ingest.app", "write 1 to 64 letters, digits, - or _, such as \"live\"".to_owned());
    }
    ports(config, &mut wrong);
    srs(config, &mut wrong);
    if let Some(zone) = &config.venue.timezone
        && !is_timezone(zone)
    {
        wrong("venue.timezone", "this is not a time zone such as \"Europe/Berlin\"".to_owned());
    }
    if let Some(host) = &config.web.public_host
        && let Err(reason) = public_host(host)
    {
        wrong("web.public_host", reason.to_owned());
    }
    for host in &config.web.hosts {
        if let Err(reason) = public_host(host) {
            wrong("web.hosts", format!("{host:?}: {reason}"));
        }
    }
    if config.web.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        wrong("web.trusted_proxies", "this would believe everybody; name the proxies alone".to_owned());
    }
    for (field, token) in [("admin.token", &config.admin.token), ("web.metrics_token", &config.web.metrics_token)] {
        if let Some(reason) = token.as_ref().and_then(|token| bad_token(token.expose_secret())) {
            wrong(field, reason);
        }
    }
    if config.data_dir.as_os_str().is_empty() {
        wrong("data_dir", "name a folder".to_owned());
    }
    let name = config.venue.name.trim();
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        wrong("venue.name", "write 1 to 64 visible characters".to_owned());
    }
    if let Some(slate) = &program.slate
        && let Err(reason) = picture(slate)
    {
        wrong("program.slate", reason);
    }
    if let Some(host) = &config.obs.host
        && let Err(reason) = public_host(host)
    {
        wrong("obs.host", reason.to_owned());
    }
    network(config, &mut wrong);
    match destinations(&config.destinations) {
        Err((index, field, reason)) => wrong(&format!("destinations.{index}.{field}"), reason),
        Ok(list) => {
            let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            for (index, destination) in list.iter().enumerate() {
                if points_at(&destination.url, &own, ingest.rtmp_listen.port()) {
                    wrong(
                        &format!("destinations.{index}.url"),
                        "this is the box itself: the programme would come back as an input; name another server"
                            .to_owned(),
                    );
                }
            }
        }
    }
    problems
}

/// `[network]`. What stands there is handed to programs that run as root: so it is held to what it can be.
fn network(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let network = &config.network;
    if let Some(password) = &network.setup_password
        && let Err(error) = wifi::check_passphrase(password.expose_secret())
    {
        wrong("network.setup_password", error.to_string());
    }
    let two_letters = |country: &String| country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    if network.country.as_ref().is_some_and(|country| !two_letters(country)) {
        wrong("network.country", "write two capital letters, such as DE, FR or US".to_owned());
    }
    if let Some(url) = &network.check_url {
        let plain = url.len() <= 200 && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\`$;".contains(&byte));
        let http = Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.host().is_some());
        // As root's helper reads it, letter by letter.
        let begins = url
            .strip_prefix("http://")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['));
        if !plain || !http || !begins {
            let reason = "write an address that begins with http://, 200 characters at most, or off: a sign-in page cannot answer for https";
            wrong("network.check_url", reason.to_owned());
        }
    }
    for server in &network.time_servers {
        let plain = server.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-".contains(&byte))
            && !server.starts_with(['-', '.'])
            && (1..=253).contains(&server.len());
        if !plain {
            let reason = "write a name of letters, digits, dots and hyphens, or an address without brackets";
            wrong("network.time_servers", format!("{server:?}: {reason}"));
        } else if let Err(reason) = public_host(server) {
            wrong("network.time_servers", format!("{server:?}: {reason}"));
        }
    }
    if network.time_servers.len() > 4 {
        wrong("network.time_servers", "name four at most".to_owned());
    }
}

/// What is wrong with a bearer token.
fn bad_token(token: &str) -> Option<String> {
    if token.chars().count() < MIN_TOKEN {
        return Some(format!(
            "is too short; use {MIN_TOKEN} characters or more, for example from `openssl rand -hex 16`"
        ));
    }
    let visible = token.chars().all(|c| c.is_ascii_graphic());
    (!visible).then(|| "use letters, digits and ASCII punctuation only, without spaces".to_owned())
}

/// No two listeners on one port, as far as those of the ingest that may run are concerned.
fn ports(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let (ingest, srs) = (&config.ingest, &config.ingest.srs);
    let own = ingest.kind != IngestKind::Embedded && srs.api_url.is_none();
    let hooks = ingest.kind != IngestKind::Embedded;
    let tcp = [
        ("ingest.rtmp_listen", ingest.rtmp_listen, srs.api_url.is_none() || ingest.kind == IngestKind::Embedded),
        ("web.listen", config.web.listen, true),
        ("web.https_listen", config.web.https_listen.unwrap_or(config.web.listen), config.web.https_listen.is_some()),
        ("ingest.srs.api_listen", srs.api_listen, own),
        ("ingest.srs.http_listen", srs.http_listen, own),
        ("ingest.srs.hooks_listen", srs.hooks_listen, hooks),
    ];
    let udp = [("ingest.srs.srt_listen", srs.srt_listen, own), ("ingest.srs.rtc_listen", srs.rtc_listen, own)];
    for listeners in [&tcp[..], &udp[..]] {
        for (index, (field, address, used)) in listeners.iter().enumerate() {
            let port = address.port();
            let mut before = listeners.iter().take(index).filter(|(_, other, used)| *used && other.port() == port);
            if *used
                && port != 0
                && let Some((other, ..)) = before.next()
            {
                wrong(field, format!("this is the port of {other} as well; choose another for one of them"));
            }
        }
    }
}

/// `[ingest.srs]`.
fn srs(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let srs = &config.ingest.srs;
    let inward = [("ingest.srs.api_listen", srs.api_listen), ("ingest.srs.http_listen", srs.http_listen)];
    for (field, address) in inward {
        if !address.ip().is_loopback() {
            wrong(
                field,
                format!(
                    "must be a loopback address, such as 127.0.0.1:{}: whoever reaches it can watch and disconnect everybody",
                    address.port()
                ),
            );
        }
    }
    if !srs.hooks_listen.ip().is_loopback() && srs.hooks_allow.is_empty() {
        wrong(
            "ingest.srs.hooks_listen",
            "must be a loopback address, or name in ingest.srs.hooks_allow who may call".to_owned(),
        );
    }
    for (field, address) in [("ingest.srs.srt_listen", srs.srt_listen), ("ingest.srs.rtc_listen", srs.rtc_listen)] {
        if !address.ip().is_unspecified() {
            wrong(
                field,
                format!("SRS takes this on all addresses of the machine or on none; write 0.0.0.0:{}", address.port()),
            );
        }
    }
    if let Some(secret) = &srs.hooks_secret {
        let secret = secret.expose_secret();
        if secret.len() < MIN_TOKEN || !secret.chars().all(|c| c.is_ascii_alphanumeric()) {
            wrong(
                "ingest.srs.hooks_secret",
                format!("write {MIN_TOKEN} letters and digits or more, for example from `openssl rand -hex 16`"),
            );
        }
    }
    let urls = [("ingest.srs.http_url", &srs.http_url, "http"), ("ingest.srs.rtmp_url", &srs.rtmp_url, "rtmp")];
    for (field, url, scheme) in urls {
        let Some(url) = url else { continue };
        if let Err(reason) = address(url, scheme) {
            wrong(field, reason);
        } else if srs.api_url.is_none() {
            wrong(field, "this belongs to an SRS that the box does not run; set ingest.srs.api_url too".to_owned());
        }
    }
    let Some(api_url) = &srs.api_url else { return };
    if let Err(reason) = address(api_url.expose_secret(), "http") {
        wrong("ingest.srs.api_url", reason);
    }
    if srs.http_url.is_none() && srs.rtmp_url.is_none() {
        wrong(
            "ingest.srs.api_url",
            "the box has to know from where to pull; set ingest.srs.http_url or ingest.srs.rtmp_url too".to_owned(),
        );
    }
    if srs.hooks_secret.is_none() {
        wrong(
            "ingest.srs.api_url",
            "its owner has to write the hooks' address into its configuration; set ingest.srs.hooks_secret too"
                .to_owned(),
        );
    }
    if srs.unit.is_some() {
        wrong("ingest.srs.unit", "with ingest.srs.api_url the box runs no SRS; remove one of them".to_owned());
    }
}

/// Whether this is `SCHEME://HOST[:PORT]/...`. The reason does not repeat it: it may hold a password.
fn address(text: &str, scheme: &str) -> Result<(), String> {
    let example = if scheme == "rtmp" { "rtmp://10.0.0.5/live" } else { "http://10.0.0.5:1985" };
    let Ok(url) = Url::parse(text) else { return Err(format!("this is no address; write \"{example}\"")) };
    match url.scheme() {
        secure if secure == format!("{scheme}s") => Err(format!(
            "{secure} is not spoken here; write {scheme}:// and keep the way there private (a cable, a VLAN, a VPN)"
        )),
        other if other != scheme => Err(format!("begin with {scheme}://, such as \"{example}\"")),
        _ if url.host_str().is_none_or(str::is_empty) => Err(format!("name a host, such as \"{example}\"")),
        _ if scheme == "rtmp" && url.path().trim_matches('/').is_empty() => {
            Err(format!("name the application too, such as \"{example}\""))
        }
        _ => Ok(()),
    }
}

impl Config {
    /// The configured destinations, which the page shows locked.
    pub fn locked_destinations(&self) -> Vec<Destination> {
        // Checked when the configuration was loaded.
        destinations(&self.destinations).unwrap_or_default()
    }
}

/// The configured destinations, or which of them is wrong in which field and why.
pub(super) fn destinations(
    configured: &[DestinationConfig],
) -> Result<Vec<Destination>, (usize, &'static str, String)> {
    let mut list = Vec::new();
    for (index, destination) in configured.iter().enumerate() {
        let input = DestinationInput {
            name: destination.name.clone(),
            url: destination.url.clone(),
            key: destination.key.clone(),
            enabled: destination.enabled,
        };
        match Destination::validate(locked_id(&destination.name), input, true, &list) {
            Ok(destination) if list.iter().any(|other| other.id == destination.id) => {
                return Err((index, "name", "there is already a destination of this name".to_owned()));
            }
            Ok(destination) => list.push(destination),
            Err(error) => return Err((index, error.field, error.reason)),
        }
    }
    Ok(list)
}

/// The same name has the same id at every start. Ids of the page's own destinations count up from 1 and stay far below.
fn locked_id(name: &str) -> DestinationId {
    let digest = Sha256::digest(name.trim().as_bytes());
    let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // 53 bits: what a browser's numbers hold exactly.
    DestinationId((number >> 12) | (1 << 52))
}

/// Whether it is the name of a time zone (IANA), such as `Europe/Berlin`. The program brings the zones where the system has none.
pub(crate) fn is_timezone(name: &str) -> bool {
    let shape = (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/'));
    shape && jiff::tz::db().get(name).is_ok()
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A name or an address that a streamer's encoder can connect to.
fn public_host(host: &str) -> Result<(), &'static str> {
    if host.contains("://") || host.contains('/') {
        return Err("write the host alone, without rtmp:// and without a path");
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) if address.is_unspecified() => Err("nobody can connect to this address; write the box's own"),
        Ok(_) => Ok(()),
        Err(_) if host.contains(':') => Err("write the host alone, without a port"),
        Err(_) => match url::Host::parse(host) {
            Ok(url::Host::Domain(_)) if !host.contains(char::is_whitespace) => Ok(()),
            _ => Err("this is neither a host's name nor an address"),
        },
    }
}

/// Whether the venue's picture is there and of a kind that can be read. Decoding it is the slate's work.
fn picture(path: &Path) -> Result<(), String> {
    let mut start = [0; 8];
    let mut file = std::fs::File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let read = file.read_exact(&mut start);
    if read.is_ok() && (start == *b"\x89PNG\r\n\x1a\n" || start.starts_with(&[0xff, 0xd8, 0xff])) {
        Ok(())
    } else {
        Err(format!("{} is neither a PNG nor a JPEG picture", path.display()))
    }
}
