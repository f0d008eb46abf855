//! What a platform says, as it can be shown: without the key, and bounded.

use super::invalid::invisible;

/// Longest text of a platform's own that is shown, in characters.
const MAX_SAID: usize = 240;

/// A key of fewer characters is a word like any other: left out of a text wherever it stands, it takes others' letters with it.
const SHORT_KEY: usize = 6;

/// A key of this many characters stands in no text by chance, not even inside a word.
const LONG_KEY: usize = 12;

/// A key, as what is to be left out of texts.
#[derive(Clone, Copy, Debug)]
pub struct Secret<'a> {
    key: &'a str,
}

impl<'a> Secret<'a> {
    /// Of a destination's key.
    pub const fn new(key: &'a str) -> Self {
        Self { key }
    }

    /// What stands for the key in RTMP: its part before a query.
    fn name(&self) -> &'a str {
        self.key.split_once('?').map_or(self.key, |(name, _)| name)
    }

    /// Whether `text` is the key, or its part before a query.
    pub(super) fn is(&self, text: &str) -> bool {
        text == self.key || text == self.name()
    }

    /// A platform's own text as it can be shown: without the key, on one line, and no longer than a message may be.
    pub fn told(&self, text: &str) -> String {
        let line: String = text
            .chars()
            .map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c })
            .filter(|c| !invisible(*c))
            .collect();
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        shortened(&self.hidden(&line), MAX_SAID)
    }

    /// `text` without the key. One that is short is hidden only where it stands for itself: in quotes, or in an address.
    pub fn hidden(&self, text: &str) -> String {
        let query = self.key.split_once('?').map_or("", |(_, query)| query);
        let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let parts = [self.key, self.name(), query].into_iter().chain(values.filter(|value| value.len() >= SHORT_KEY));
        let mut parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        // The whole before its parts.
        parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        parts.iter().fold(text.to_owned(), |text, part| without(&text, part))
    }
}

/// `text` with `[key]` for each `part` that is the key there, and not only letters of something else.
fn without(text: &str, part: &str) -> String {
    let length = part.chars().count();
    let (mut out, mut rest, mut before) = (String::with_capacity(text.len()), text, None);
    while let Some((ahead, behind)) = rest.split_once(part) {
        out.push_str(ahead);
        let (left, right) = (ahead.chars().next_back().or(before), behind.chars().next());
        let in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let set_apart = |c: Option<char>| {
            c.is_some_and(|c| matches!(c, '"' | '\'' | '`' | '/' | '=' | '“' | '”' | '‘' | '’' | '<' | '>'))
        };
        let is_key = match length {
            0..SHORT_KEY => set_apart(left) && !in_word(right),
            SHORT_KEY..LONG_KEY => !in_word(left) && !in_word(right),
            _ => true,
        };
        out.push_str(if is_key { "[key]" } else { part });
        (rest, before) = (behind, part.chars().next_back());
    }
    out.push_str(rest);
    out
}

/// At most `limit` characters of `text`.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(key: &str, text: &str) -> String {
        Secret::new(key).told(text)
    }

    #[test]
    fn short_key_is_hidden_where_it_stands_for_itself_and_garbles_nothing() {
        assert_eq!(told("k", "check the stream key of /app/k"), "check the stream key of /app/[key]");
        assert_eq!(told("a", "a quota is used up at a place"), "a quota is used up at a place");
        assert_eq!(told("live", "'live' is live elsewhere, alive"), "'[key]' is live elsewhere, alive");
        assert_eq!(told("1", "no channel \"1\" of 12, /10"), "no channel \"[key]\" of 12, /10");
        assert_eq!(told("stream", "no stream of streams"), "no [key] of streams");
    }

    #[test]
    fn long_key_is_hidden_wherever_it_stands_with_its_query_and_without() {
        let key = "sk_us-west-2_AbCdEf?auth=0123456789&x=1";
        assert_eq!(told(key, "xsk_us-west-2_AbCdEf?auth=0123456789&x=1x"), "x[key]x");
        assert_eq!(told(key, "no stream sk_us-west-2_AbCdEf"), "no stream [key]");
        assert_eq!(told(key, "0123456789 is no token"), "[key] is no token");
    }

    #[test]
    fn platforms_text_is_one_line_of_bounded_length() {
        assert_eq!(told("k", " two\r\n\tlines \u{7}\u{202e} "), "two lines");
        let shown = told("k", &"word ".repeat(1000));
        assert!(shown.chars().count() <= MAX_SAID + 1 && shown.ends_with('…'), "{shown}");
    }

    proptest! {
        /// Whatever surrounds a key that is none of a language's words, it is not to be read.
        #[test]
        fn key_of_a_platform_is_never_told(before in ".{0,20}", behind in ".{0,20}", key in "[a-z0-9_-]{12,60}") {
            let text = format!("{before}{key}{behind}");
            prop_assert!(!told(&key, &text).contains(&key));
        }

        /// Nothing panics, and nothing grows without bound, whatever the two are.
        #[test]
        fn anything_can_be_said(key in ".{0,20}", text in ".{0,300}") {
            prop_assert!(told(&key, &text).chars().count() <= MAX_SAID + 1);
        }
    }
}
