//! Which application and which stream key an encoder means, wherever it puts them.
//!
//! `live` and the key are two fields in most encoders and one address in others, and people paste with slashes and spaces. An
//! application is one word here and a key has no slash, so there is one way to understand each form.

use crate::core::account::{StreamKey, looks_like_key};

/// The application and the key, from what `connect` and `publish` name.
///
/// | application | name | is |
/// |---|---|---|
/// | `live` | `KEY`, `/KEY`, `KEY/`, `KEY?token=1`, `live/KEY` | `live`, `KEY` |
/// | `live` | `?key=KEY`, `anything?key=KEY` | `live`, `KEY` |
/// | `live/KEY`, `live?key=KEY` | nothing | `live`, `KEY` |
/// | `live/instance` | `KEY` | `live`, `KEY` |
/// | nothing | `live/KEY` | `live`, `KEY` |
///
/// What is returned as the application is never the key. It may have one in it, where somebody left the slash between the two out.
pub(super) fn meant(app: &str, name: &str) -> (String, StreamKey) {
    let (app, app_query) = parts(app);
    let (mut name, name_query) = parts(name);
    let mut segments = app.split('/').map(str::trim).filter(|segment| !segment.is_empty());
    let mut app = segments.next().unwrap_or_default();
    let instance = segments.next_back();
    if let Some((first, rest)) = name.split_once('/')
        && (app.is_empty() || app == first)
    {
        (app, name) = (first, rest);
    }
    let named = Some(name).filter(|name| !name.is_empty());
    let key = key_in(name_query).or(named).or_else(|| key_in(app_query)).or(instance);
    let key = match key {
        Some(key) => key,
        // The server's address ends with the key, and the application is missing.
        None if looks_like_key(app) => std::mem::take(&mut app),
        None => "",
    };
    (app.to_owned(), StreamKey::new(key))
}

/// What stands before and behind the question mark, without the slashes and spaces around it.
fn parts(text: &str) -> (&str, &str) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    (path.trim_matches(|c: char| c == '/' || c == '\0' || c.is_whitespace()), query)
}

/// The key that a query names.
fn key_in(query: &str) -> Option<&str> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == "key"));
    value.map(|(_, value)| value.trim_matches(|c: char| c == '/' || c.is_whitespace())).filter(|key| !key.is_empty())
}

/// The path of the address of a server (`rtmp://host/live`), which some encoders send instead of an application.
pub(super) fn path_of(address: &str) -> &str {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    behind.split_once('/').map_or("", |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "abcd0123efgh4567jkmn89pqrs";

    #[test]
    fn each_form_in_which_encoders_send_it_is_understood() {
        let forms = [
            ("live", "KEY"),
            ("live", "/KEY"),
            ("live", "KEY/"),
            ("live", " KEY\n"),
            ("/live/", "KEY?token=1"),
            ("live?x=1", "KEY"),
            ("live/?x=1", "KEY/?x=1"),
            ("live", "live/KEY"),
            ("live", "/live/KEY"),
            ("live", "?key=KEY"),
            ("live", "stream?x=1&key=KEY&y=2"),
            ("live/KEY", ""),
            ("live/KEY/", "/"),
            ("live/KEY?x=1", ""),
            ("live?key=KEY", ""),
            ("live?key=KEY", "?"),
            ("live/_definst_", "KEY"),
            ("live/KEY", "KEY"),
            ("", "live/KEY"),
            ("", "/live/KEY?x=1"),
        ];
        for (app, name) in forms {
            let (app, name) = (app.replace("KEY", KEY), name.replace("KEY", KEY));
            let (meant_app, key) = meant(&app, &name);
            assert_eq!((meant_app.as_str(), key.expose()), ("live", KEY), "{app:?}, {name:?}");
        }
    }

    #[test]
    fn what_is_missing_stays_missing() {
        for (app, name, expected) in [
            ("live", "", ("live", "")),
            ("", "", ("", "")),
            ("", KEY, ("", KEY)),
            (KEY, "", ("", KEY)),
            ("other", KEY, ("other", KEY)),
            ("live", "a/b", ("live", "a/b")),
            ("live", "?key=", ("live", "")),
        ] {
            let (meant_app, key) = meant(app, name);
            assert_eq!((meant_app.as_str(), key.expose()), expected, "{app:?}, {name:?}");
        }
        for (address, path) in
            [("rtmp://box/live", "live"), ("rtmp://box:1935/live/KEY", "live/KEY"), ("rtmp://box", ""), ("", "")]
        {
            assert_eq!(path_of(address), path);
        }
    }

    proptest! {
        #[test]
        fn no_form_makes_the_key_an_application(
            app in "[/ ]{0,2}(live[/?]{1,2}|(live)?[?]key=)?/?",
            in_app in any::<bool>(),
            name in "[/ ]?(live/|x)?[?]?(key=)?",
        ) {
            let (app, name) = if in_app { (app + KEY, String::new()) } else { (app, name + KEY) };
            let (meant_app, _) = meant(&app, &name);
            prop_assert!(!meant_app.contains(KEY), "{:?}", (app, name));
        }
    }
}
