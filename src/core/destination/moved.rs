//! A platform that says that it is elsewhere, and whether the programme goes there.

use url::Url;

use super::{Destination, protocol::Protocol, redacted, told::Secret};

/// Where a platform says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The address, without a key; none if what it sent is none, or one that the box does not speak.
    to: Option<Url>,
    /// What it sent, as far as it can be shown.
    pub(super) shown: String,
}

impl Moved {
    /// Reads the address that a platform sent to a destination.
    pub fn read(text: &str, from: &Destination, secret: &Secret<'_>) -> Self {
        let to = Url::parse(text.trim()).ok().and_then(|url| address(url, from, secret));
        let shown = to.as_ref().map_or_else(|| secret.told(text), redacted);
        Self { to, shown }
    }

    /// Where to try again for `from`: only where the answer comes from whoever runs the new place too, and not with less
    /// protection than before. Anybody on the way can say such a thing, and the key goes where it leads.
    pub fn follow(&self, from: &Destination) -> Option<Destination> {
        let to = self.to.as_ref()?;
        let encrypted = |url: &Url| Protocol::of(url).is_some_and(Protocol::is_encrypted);
        let (old, new) = (from.url.host_str()?, to.host_str()?);
        let goes = same_owner(old, new) && (encrypted(to) || !encrypted(&from.url)) && *to != from.url;
        goes.then(|| Destination { url: to.clone(), ..from.clone() })
    }
}

/// An address that a platform sent, without the key and the query that may be at its end; none if it is no address of a server.
fn address(mut url: Url, from: &Destination, secret: &Secret<'_>) -> Option<Url> {
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_matches('/').to_owned();
    let path = match path.rsplit_once('/') {
        Some((application, last)) if secret.is(last) => application.to_owned(),
        _ if path.is_empty() => from.application().to_owned(),
        _ => path,
    };
    url.set_path(&path);
    Protocol::of(&url)?.check_url(&url, &from.key).is_ok().then_some(url)
}

/// Whether two hosts belong to the same people: one name, or names side by side or one below the other in one domain.
fn same_owner(old: &str, new: &str) -> bool {
    let (old, new) = (old.trim_end_matches('.').to_lowercase(), new.trim_end_matches('.').to_lowercase());
    if old == new {
        return true;
    }
    match (domain(&old), domain(&new)) {
        (Some(old), Some(new)) => old == new,
        _ => false,
    }
}

/// The part of a host's name that somebody can own; none of a number. Without the list of all registries: a short word before a
/// country's two letters (`co.uk`, `com.au`) is taken for one of theirs, which follows too seldom rather than too often.
fn domain(host: &str) -> Option<String> {
    let labels: Vec<_> = host.split('.').collect();
    let (top, second) = (labels.last()?, labels.iter().rev().nth(1)?);
    if host.contains(':') || top.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let owned = if top.len() == 2 && second.len() <= 3 { 3 } else { 2 };
    let skipped = labels.len().checked_sub(owned)?;
    Some(labels.into_iter().skip(skipped).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{super::DestinationId, *};

    fn destination(url: &str) -> Destination {
        let (name, url) = ("d".to_owned(), url.parse().unwrap());
        Destination { id: DestinationId(1), name, url, key: "a-secret-key".into(), enabled: true, locked: false }
    }

    fn moved(from: &str, to: &str) -> (Moved, Option<String>) {
        let from = destination(from);
        let moved = Moved::read(to, &from, &Secret::new("a-secret-key"));
        let followed = moved.follow(&from).map(|there| there.redacted());
        (moved, followed)
    }

    #[test]
    fn address_of_the_same_people_is_followed_and_any_other_shown_alone() {
        for (from, to, followed) in [
            (
                "rtmp://live.example.com/app",
                "rtmp://live.example.com:1936/app2",
                Some("rtmp://live.example.com:1936/app2"),
            ),
            ("rtmp://live.example.com/app", "rtmp://fra02.example.com/app/", Some("rtmp://fra02.example.com/app")),
            (
                "rtmp://live.example.com/app",
                "rtmps://FRA.edge.Example.com/app",
                Some("rtmps://FRA.edge.Example.com/app"),
            ),
            ("rtmp://127.0.0.1:5000/app", "rtmp://127.0.0.1:5001/app", Some("rtmp://127.0.0.1:5001/app")),
            (
                "rtmp://live.example.com/app",
                "rtmp://live.example.com:1936/app/a-secret-key",
                Some("rtmp://live.example.com:1936/app"),
            ),
            ("rtmp://live.example.com/app", "rtmp://live.example.com:1936", Some("rtmp://live.example.com:1936/app")),
            // Others'.
            ("rtmp://live.example.com/app", "rtmp://live.example.org/app", None),
            ("rtmp://live.example.com/app", "rtmp://notexample.com/app", None),
            ("rtmp://one.co.uk/app", "rtmp://two.co.uk/app", None),
            ("rtmp://10.0.0.1/app", "rtmp://20.0.0.1/app", None),
            ("rtmp://[::1]/app", "rtmp://[::2]/app", None),
            // With less protection, the same again, or nothing of the kind.
            ("rtmps://live.example.com/app", "rtmp://live.example.com/app", None),
            ("rtmp://live.example.com/app", "rtmp://live.example.com/app", None),
            ("rtmp://live.example.com/app", "https://live.example.com/app", None),
            ("rtmp://live.example.com/app", "somewhere else", None),
        ] {
            assert_eq!(moved(from, to).1.as_deref(), followed, "{from} {to}");
        }
    }

    #[test]
    fn address_is_shown_without_the_key_and_whatever_else_it_is() {
        for (to, shown) in [
            ("rtmp://h.example/app/a-secret-key?x=1", "rtmp://h.example/app"),
            ("rtmp://me:pw@h.example/app", "rtmp://h.example/app"),
            ("ask a-secret-key", "ask [key]"),
        ] {
            assert_eq!(moved("rtmp://live.example.com/app", to).0.shown, shown);
        }
    }
}
