//! The merged values that a configuration is read from.

use std::fmt;

use figment::{Figment, value::Value};

use super::{
    Config, ConfigError, KEYS,
    layer::{built_in, insert, merge},
    problem::of_figment,
};

/// A value for every key that somebody has set, or that has a default. Secrets are among them.
#[derive(Clone)]
pub(super) struct Values(Figment);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl Values {
    pub(super) const fn new(merged: Figment) -> Self {
        Self(merged)
    }

    /// The value of the key at `path`; none when it is unset.
    fn find(&self, path: &str) -> Option<Value> {
        self.0.find_value(path).ok()
    }

    /// The configuration that they are.
    ///
    /// # Errors
    /// Everything that is missing, unknown, or of another type than its field.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let problems = |error: figment::Error| error.into_iter().map(|error| of_figment(&error)).collect();
        self.0.extract().map_err(|error| ConfigError { problems: problems(error) })
    }

    /// These, with which the box has started, under what of `wanted` takes effect at once: what is in force while it runs.
    pub(super) fn overlaid(&self, wanted: &Self) -> Self {
        let mut layer = built_in();
        for key in KEYS {
            let from = if key.applies.is_at_once() { wanted } else { self };
            if let Some(value) = from.find(key.path) {
                insert(&mut layer.dict, key.path, value);
            }
        }
        Self(merge([&layer]))
    }
}
