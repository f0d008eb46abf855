//! Accounts: ids, names, stream keys, roles and their rules.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use utoipa::ToSchema;

pub mod hash;

/// The shortest name, in visible characters.
pub const MIN_NAME: usize = 2;

/// The longest name, in visible characters.
pub const MAX_NAME: usize = 32;

/// Symbols of a stream key: 26 of five bits each are 130 bits.
pub const KEY_SYMBOLS: usize = 26;

/// Symbols of a setup code: eight of five bits each are 40 bits, which is enough for something that is tried a few times a
/// minute.
pub const CODE_SYMBOLS: usize = 8;

/// Digits and small letters without i, l, o and u: what is left is not taken for another when it is read aloud, typed or seen
/// in a bad font (Douglas Crockford's Base32).
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p',
    'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];

/// What is longer than this is no key or code; it is not even looked at.
const LONGEST_TYPED: usize = 128;

/// A streamer's account. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AccountId(pub u64);

/// A stream key as an encoder sends it. Shows itself to nobody: `Debug` is redacted.
#[derive(Clone)]
pub struct StreamKey(SecretString);

impl StreamKey {
    /// Wraps what somebody sent as a key; says nothing about whether it is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The key that these random bytes make.
    pub fn from_random(bytes: [u8; KEY_SYMBOLS]) -> Self {
        Self::new(symbols(&bytes))
    }

    /// The key itself, for comparing, storing and showing to its owner.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The form in which keys are compared: see [`folded`].
    pub fn folded(&self) -> Option<String> {
        folded(self.expose())
    }
}

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey([redacted])")
    }
}

/// The setup code that these random bytes make.
pub fn setup_code(bytes: [u8; CODE_SYMBOLS]) -> SecretString {
    SecretString::from(symbols(&bytes))
}

/// The code of an invitation that these random bytes make: 16 symbols of five bits each are 80 bits, in groups of four, for those
/// who type it.
pub fn invitation_code(bytes: [u8; 16]) -> SecretString {
    let symbols: Vec<char> = symbols(&bytes).chars().collect();
    let groups: Vec<String> = symbols.chunks(4).map(|group| group.iter().collect()).collect();
    SecretString::from(groups.join("-"))
}

/// A key or code as it was meant, however it was typed: capitals, dashes, spaces, and letters taken for digits. None for what
/// is too long to be one.
pub fn folded(typed: &str) -> Option<String> {
    if typed.len() > LONGEST_TYPED {
        return None;
    }
    let meant = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    };
    Some(typed.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_')).map(meant).collect())
}

/// Whether text has the form of a stream key, so that it must not be said.
pub fn looks_like_key(text: &str) -> bool {
    folded(text).is_some_and(|text| text.len() == KEY_SYMBOLS)
}

/// Whether a word may have a key in it, alone or glued to something else: then it is not repeated to anybody.
pub const fn may_hold_key(text: &str) -> bool {
    text.len() >= KEY_SYMBOLS
}

/// Five bits of each byte as a symbol.
fn symbols(bytes: &[u8]) -> String {
    bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31))).collect()
}

/// What an account may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes, and edits its own account.
    #[default]
    Streamer,
    /// Runs the night: queue, turns, show. No settings, no secrets, no accounts but for a ban.
    Operator,
    /// Runs the box.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Streamer, Self::Operator, Self::Admin];

    /// Whether it may run the night.
    pub fn runs_the_night(self) -> bool {
        self >= Self::Operator
    }
}

/// A name as its owner wrote it, put into its normal form: NFKC, spaces at the ends removed, several made one.
///
/// # Errors
/// What is wrong with it, as a sentence for its owner.
pub fn name(typed: &str) -> Result<String, &'static str> {
    // Normalising can lengthen text, by 18 times at most.
    if typed.len() > 1024 {
        return Err(TOO_LONG);
    }
    let normal: String = typed.nfkc().filter(|c| !is_variation_selector(*c)).collect();
    let name = normal.split_whitespace().collect::<Vec<_>>().join(" ");
    if typed.trim().chars().any(char::is_control) || name.chars().any(is_invisible) {
        return Err("use visible characters only");
    }
    if name.starts_with(is_combining_mark) {
        return Err("begin with a letter, a digit or a sign of its own");
    }
    let visible = name.chars().filter(|c| *c != ' ').count();
    if visible < MIN_NAME {
        return Err("use at least 2 visible characters");
    }
    if name.chars().count() > MAX_NAME {
        return Err(TOO_LONG);
    }
    Ok(name)
}

const TOO_LONG: &str = "use at most 32 characters";

/// The form in which names are compared: two that differ in case, spacing or invisible characters only are the same.
pub fn canonical_name(name: &str) -> String {
    // By way of capitals, one character at a time: so "ß" is "ss" and a final sigma is a sigma.
    let fold = |text: &str| -> String {
        text.nfkc()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .filter(|c| !c.is_whitespace() && !is_invisible(*c) && !is_variation_selector(*c))
            .collect()
    };
    let mut canonical = fold(name);
    // What was taken out may have kept apart what now becomes one sign; it settles after a round or two.
    for _ in 0..4 {
        let again = fold(&canonical);
        if again == canonical {
            break;
        }
        canonical = again;
    }
    canonical
}

/// They choose between the black and white and the coloured form of a sign; phones write them behind many.
const fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// Controls, format and direction marks, blanks that are no spaces, private use: Unicode's `Default_Ignorable_Code_Point` and
/// what else nobody sees.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_put_into_their_normal_form() {
        for (typed, expected) in [
            ("Ada", "Ada"),
            ("  Ada   Lovelace ", "Ada Lovelace"),
            ("Ａｄａ", "Ada"),
            ("Zoe\u{308}", "Zoë"),
            ("DJ ❤\u{fe0f}", "DJ ❤"),
            ("初音", "初音"),
            ("a\u{a0}b", "a b"),
        ] {
            assert_eq!(name(typed), Ok(expected.to_owned()), "{typed:?}");
        }
    }

    #[test]
    fn names_nobody_can_read_are_refused() {
        let long = "x".repeat(33);
        for typed in [
            "",
            "a",
            " a ",
            "\u{200b}\u{200b}",
            "Ad\u{200d}a",
            "Ada\u{202e}",
            "Ad\u{7}a",
            "Ad\na",
            "\u{2800}\u{2800}",
            "\u{e000}ab",
            "\u{301}ab",
            "A\u{ad}da",
            &long,
        ] {
            assert!(name(typed).is_err(), "{typed:?}");
        }
        assert!(name(&"x".repeat(32)).is_ok());
        assert!(name(&"\u{fdfa}".repeat(30_000)).is_err());
    }

    #[test]
    fn look_alikes_by_case_and_spacing_are_the_same_name() {
        let same = |one: &str, other: &str| canonical_name(one) == canonical_name(other);
        for other in [
            "ada lovelace",
            "ADA LOVELACE",
            "AdaLovelace",
            "A d a Lovelace",
            "Ａda\u{3000}Lovelace",
            "Ada\u{200b}Lovelace",
        ] {
            assert!(same("Ada Lovelace", other), "{other:?}");
        }
        assert!(same("Straße", "STRASSE") && same("Οδος", "ΟΔΟΣ") && same("Zoë", "ZOE\u{308}"));
        assert!(!same("Ada", "Adam"));
    }

    #[test]
    fn keys_are_what_was_promised() {
        let key = StreamKey::from_random(std::array::from_fn(|index| u8::try_from(index * 9).unwrap_or(0)));
        assert_eq!(key.expose().len(), KEY_SYMBOLS);
        assert!(!key.expose().contains(['i', 'l', 'o', 'u']));
        assert_eq!(format!("{key:?}"), "StreamKey([redacted])");
    }

    #[test]
    fn keys_survive_being_read_aloud_and_typed() {
        assert_eq!(folded("01ab-CDef 11"), folded("OLABCDEFIl"));
        assert_eq!(folded(&"0".repeat(200)), None);
    }

    proptest! {
        /// A name's normal form is a name, and stays as it is.
        #[test]
        fn normal_form_is_stable(typed in "\\PC{0,40}") {
            if let Ok(once) = name(&typed) {
                prop_assert_eq!(name(&once), Ok(once.clone()));
                prop_assert_eq!(canonical_name(&once), canonical_name(&typed));
                prop_assert_eq!(canonical_name(&canonical_name(&once)), canonical_name(&once));
            }
        }

        /// Whatever the random bytes: a key folds to itself.
        #[test]
        fn fresh_key_folds_to_itself(bytes in any::<[u8; KEY_SYMBOLS]>()) {
            let key = StreamKey::from_random(bytes);
            prop_assert_eq!(key.folded(), Some(key.expose().to_owned()));
        }
    }
}
