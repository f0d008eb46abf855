//! The values of each source, and one over the other.

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::KEYS;

/// The name of the layer below all others, as the origin of its values.
pub(super) const BUILT_IN: &str = "built in";

/// The values of one file or variable.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

pub(super) fn merge<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Figment {
    layers.into_iter().fold(Figment::new(), |figment, layer| figment.merge(layer))
}

pub(super) fn built_in() -> Layer {
    let mut dict = Dict::new();
    for key in KEYS {
        if let Some(value) = key.kind.built_in() {
            insert(&mut dict, key.path, value);
        } else if let Some((section, _)) = key.path.split_once('.') {
            // Its section has to be there nevertheless.
            dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
        }
    }
    Layer { name: BUILT_IN.to_owned(), dict }
}

/// Puts a value at `section.key`.
pub(super) fn insert(dict: &mut Dict, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            dict.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

/// Takes the value at `section.key` out.
pub(super) fn remove(dict: &mut Dict, path: &str) {
    match path.split_once('.') {
        Some((section, rest)) => {
            if let Some(Value::Dict(_, inner)) = dict.get_mut(section) {
                remove(inner, rest);
                if inner.is_empty() {
                    dict.remove(section);
                }
            }
        }
        None => drop(dict.remove(path)),
    }
}
