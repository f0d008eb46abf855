//! What is wrong with a configuration, and whose source is to blame.

use std::fmt;

use figment::error::Kind;
use thiserror::Error;

use super::{KEYS, Key, keys, layer::BUILT_IN};

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or variable to change.
    pub source: String,
    /// The key in it; empty when the file as a whole is meant.
    pub field: String,
    /// What is wrong and what would be right. Never holds a secret.
    pub reason: String,
}

impl Problem {
    /// The same, of the whole key that it is about: `destinations` for `destinations.0.url`.
    pub(super) fn of_its_key(&self) -> Option<Self> {
        let within =
            |key: &&Key| self.field.strip_prefix(key.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let key = KEYS.iter().find(within)?;
        let reason =
            if self.field == key.path { self.reason.clone() } else { format!("{}: {}", self.field, self.reason) };
        Some(Self { source: self.source.clone(), field: key.path.to_owned(), reason })
    }

    /// Whether something is wrong that was meant for this program: a part of a file that cannot be read, or a key that it knows.
    pub(super) fn is_damage(&self) -> bool {
        self.field.is_empty() || self.field.starts_with("line ") || self.of_its_key().is_some()
    }

    pub(super) fn new(source: &str, field: &str, reason: impl Into<String>) -> Self {
        Self { source: source.to_owned(), field: field.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, field, reason } = self;
        if field.is_empty() { write!(f, "{source}: {reason}") } else { write!(f, "{source}: {field}: {reason}") }
    }
}

/// A type that does not fit. The value found is not repeated where it may be a secret.
pub(super) fn of_figment(error: &figment::Error) -> Problem {
    let source = error.metadata.as_ref().map_or_else(|| BUILT_IN.to_owned(), |metadata| metadata.name.to_string());
    let field = error.path.join(".");
    let key = keys::find(&field).or_else(|| keys::find(error.path.first().map_or("", String::as_str)));
    let reason = match (&error.kind, key.map(|key| &key.kind)) {
        (Kind::MissingField(name), _) => format!("`{name}` is missing"),
        (_, Some(key)) if key.is_secret() => format!("write {}", key.shape()),
        (Kind::UnknownVariant(found, _), Some(key)) => format!("\"{found}\" is not known; write {}", key.shape()),
        (Kind::InvalidType(found, _) | Kind::InvalidValue(found, _), Some(key)) => {
            format!("found {found}; write {}", key.shape())
        }
        (kind, Some(key)) => format!("{kind}; write {}", key.shape()),
        (kind, None) => kind.to_string(),
    };
    Problem { source, field, reason }
}
