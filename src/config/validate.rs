//! Bounds and rules that types do not express. Each problem comes with its field, so that its source can be blamed.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    path::Path,
};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{Config, DestinationConfig};
use crate::core::destination::{Destination, DestinationId, DestinationInput, points_at};

/// The ingest drops a silent connection only after the queue has had time to end its turn by the stall rule.
const SILENCE_OVER_STALL: u64 = 5;

/// The shortest `admin.token`: 16 letters and digits hold over 80 bits.
const MIN_TOKEN: usize = 16;

const DAY: u64 = 24 * 3600;

/// Everything that is wrong, as field and reason.
pub(super) fn validate(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut wrong = |field: &str, reason: String| problems.push((field.to_owned(), reason));

    let mut within = |field: &str, value: u64, bounds: RangeInclusive<u64>| {
        if !bounds.contains(&value) {
            wrong(field, format!("{value} is out of bounds; write {} to {}", bounds.start(), bounds.end()));
        }
    };
    let (queue, ingest, program) = (&config.queue, &config.ingest, &config.program);
    within("queue.turn_seconds", queue.turn_seconds, 1..=DAY);
    within("queue.rejoin_seconds", queue.rejoin_seconds, 0..=3600);
    within("queue.restart_grace_seconds", queue.restart_grace_seconds, 0..=3600);
    within("queue.hold_off_seconds", queue.hold_off_seconds, 0..=DAY);
    within("queue.stall_limit_seconds", queue.stall_limit_seconds, 1..=600);
    within("ingest.max_publishers", ingest.max_publishers as u64, 1..=1000);
    within("ingest.handshake_seconds", ingest.handshake_seconds, 1..=60);
    within("ingest.silence_seconds", ingest.silence_seconds, 1..=DAY);
    within("program.latency_ms", program.latency_ms, 300..=10_000);
    within("program.idle_end_minutes", program.idle_end_minutes, 0..=DAY / 60);

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
    if config.web.listen.port() != 0 && config.web.listen.port() == ingest.rtmp_listen.port() {
        wrong(
            "web.listen",
            "this is the port of ingest.rtmp_listen as well; choose another for one of them".to_owned(),
        );
    }
    if let Some(host) = &config.web.public_host
        && let Err(reason) = public_host(host)
    {
        wrong("web.public_host", reason.to_owned());
    }
    if let Some(token) = &config.admin.token {
        let token = token.expose_secret();
        if token.chars().count() < MIN_TOKEN {
            wrong(
                "admin.token",
                format!("is too short; use {MIN_TOKEN} characters or more, for example from `openssl rand -hex 16`"),
            );
        } else if !token.chars().all(|c| c.is_ascii_graphic()) {
            wrong("admin.token", "use letters, digits and ASCII punctuation only, without spaces".to_owned());
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
    let mut file = std::fs::File::open(path).map_err(|error| format!("{} can not be read: {error}", path.display()))?;
    let read = file.read_exact(&mut start);
    if read.is_ok() && (start == *b"\x89PNG\r\n\x1a\n" || start.starts_with(&[0xff, 0xd8, 0xff])) {
        Ok(())
    } else {
        Err(format!("{} is neither a PNG nor a JPEG picture", path.display()))
    }
}
