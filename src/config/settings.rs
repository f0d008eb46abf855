//! The configuration while the box runs: what is in force, and changes of it, which the box writes into the data partition's file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;
use serde_json::Value as Json;
use thiserror::Error;
use tokio::sync::watch;
use toml_edit::{DocumentMut, Item, Table, Value};
use utoipa::ToSchema;

use super::{
    Applies, Config, ConfigError, Key, LoadedConfig, Problem, Setting, Sources, keys,
    layer::BUILT_IN,
    load::{SETTINGS_FILE, foreign_addresses},
    salvage,
    values::Values,
};
use crate::files::{self, Readers};

/// What is added to the name of a damaged file that is kept aside; then a number, from the second one on.
const DAMAGED: &str = ".damaged";
/// So many of them are kept.
const MOST_DAMAGED: usize = 100;

/// How the origin of a value begins that comes from the environment, which no file overrides.
const ENVIRONMENT: &str = "environment variable";

/// One key for the page that shows and changes it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SettingView {
    /// `section.key`.
    pub key: &'static str,
    /// What is wanted; null when it is unset. Secrets are redacted, and of destinations the names are told.
    #[schema(value_type = serde_json::Value)]
    pub value: Json,
    /// What it is when nobody sets it.
    #[schema(value_type = serde_json::Value)]
    pub default: Json,
    /// What its number counts.
    pub unit: Option<&'static str>,
    /// What may stand there, as the end of "write ...".
    pub shape: String,
    /// What it means.
    pub about: String,
    /// The file or variable it comes from, or `built in`.
    pub origin: String,
    /// When a change takes effect: `at_once`, `next_start` or `never`.
    pub applies: &'static str,
    /// Why it cannot be changed here, if so.
    pub locked: Option<String>,
    /// Whether it was changed, and the change takes effect at the next start.
    pub waits_for_start: bool,
    /// Its row, for the page; the API tells what it is needed for.
    #[serde(skip)]
    pub row: &'static Key,
}

/// Why a change did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// There is no such key.
    #[error("there is no such key")]
    Unknown {
        /// As it was named.
        key: String,
    },
    /// It cannot be changed here.
    #[error("{reason}")]
    Locked {
        /// The key that was to be changed.
        key: String,
        /// Why, and where it can be changed.
        reason: String,
    },
    /// The value does not fit, by itself or with the others.
    #[error("{reason}")]
    Invalid {
        /// The key that is to blame.
        key: String,
        /// What would be right.
        reason: String,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    File {
        /// The data partition's file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// A change that was checked and is not written yet.
#[derive(Debug)]
pub struct Proposal {
    /// What the file will say.
    text: String,
    /// Some of what stands there is lost by that, and has to be kept aside first.
    damaged: bool,
    loaded: LoadedConfig,
    /// The keys that were named.
    pub keys: Vec<&'static str>,
}

impl Proposal {
    /// The configuration as it would be.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Settings {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Sources,
    /// As it was when the box started.
    started: Vec<Setting>,
    /// The values of that.
    values: Values,
    /// What was left out of the data partition's file when the box started.
    ignored: Vec<Problem>,
    /// Whether that file is still as it was then, with something in it that cannot be.
    damaged: AtomicBool,
    /// What is wanted: what the next start would find.
    wanted: RwLock<Vec<Setting>>,
    /// What is in force.
    now: watch::Sender<Arc<Config>>,
    path: PathBuf,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Settings {
    /// What the box was started with.
    pub fn new(loaded: LoadedConfig) -> Self {
        let path = loaded.config.data_dir.join(SETTINGS_FILE);
        let damaged = AtomicBool::new(loaded.damage().next().is_some());
        let inner = Inner {
            sources: loaded.sources,
            started: loaded.settings.clone(),
            values: loaded.values,
            damaged,
            ignored: loaded.ignored,
            wanted: RwLock::new(loaded.settings),
            now: watch::Sender::new(Arc::new(loaded.config)),
            path,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What is in force. To be asked anew each time: it changes.
    pub fn now(&self) -> Arc<Config> {
        Arc::clone(&self.inner.now.borrow())
    }

    /// What is in force, to be followed. Whoever is late sees the last change alone, and each compares what concerns it: a change of any
    /// setting is told.
    pub fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.inner.now.subscribe()
    }

    /// What this start left out of the page's own settings, as key and reason.
    pub fn ignored(&self) -> Vec<String> {
        let told = |problem: &Problem| match problem.field.as_str() {
            "" => problem.reason.clone(),
            field => format!("{field}: {}", problem.reason),
        };
        self.inner.ignored.iter().map(told).collect()
    }

    /// Every key, in the order of the reference.
    pub fn view(&self) -> Vec<SettingView> {
        let wanted = self.inner.wanted.read().unwrap_or_else(PoisonError::into_inner);
        let found = |settings: &[Setting], key: &Key| settings.iter().find(|setting| setting.key == key.path).cloned();
        keys::KEYS
            .iter()
            .map(|key| {
                let setting = found(&wanted, key);
                let at_start = found(&self.inner.started, key);
                let value = setting.as_ref().map_or(Json::Null, |setting| setting.json.clone());
                let waits = key.applies == Applies::NextStart && at_start.is_some_and(|start| start.json != value);
                let origin = setting.map_or_else(|| BUILT_IN.to_owned(), |setting| setting.origin);
                SettingView {
                    key: key.path,
                    value,
                    default: default(key),
                    unit: key.kind.unit(),
                    shape: key.kind.shape(),
                    about: key.about(),
                    applies: match key.applies {
                        Applies::AtOnce => "at_once",
                        Applies::NextStart => "next_start",
                        Applies::Elsewhere(_) | Applies::Never(_) => "never",
                    },
                    locked: lock(key, &origin),
                    origin,
                    waits_for_start: waits,
                    row: key,
                }
            })
            .collect()
    }

    /// Checks a change as the start would, and changes nothing. Null takes a key out of the file, so that it is again what it was
    /// without the page. Blocks for as long as a file is read.
    ///
    /// # Errors
    /// The first key that is unknown, locked or wrong.
    pub fn propose(&self, edits: &BTreeMap<String, Json>) -> Result<Proposal, ChangeError> {
        self.propose_with(edits, false)
    }

    /// The same for the keys that the page sets by other ways than writing their values: the slate's picture.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub fn propose_own(&self, edits: &BTreeMap<String, Json>) -> Result<Proposal, ChangeError> {
        self.propose_with(edits, true)
    }

    fn propose_with(&self, edits: &BTreeMap<String, Json>, own: bool) -> Result<Proposal, ChangeError> {
        let (document, damaged) = self.document();
        let mut document = document.unwrap_or_default();
        let view = self.view();
        let mut named = Vec::new();
        for (name, value) in edits {
            let key = keys::find(name).ok_or_else(|| ChangeError::Unknown { key: name.clone() })?;
            let locked = view.iter().find(|setting| setting.key == key.path).and_then(|setting| setting.locked.clone());
            let own = own && matches!(key.applies, Applies::Elsewhere(_)) && !is_of_environment(&view, key);
            if let Some(reason) = locked.filter(|_| !own) {
                return Err(ChangeError::Locked { key: name.clone(), reason });
            }
            let wrong = || ChangeError::Invalid { key: name.clone(), reason: format!("write {}", key.kind.shape()) };
            let value = if value.is_null() { None } else { Some(toml(value).ok_or_else(wrong)?) };
            edit(document.as_table_mut(), key.path, value).ok_or_else(wrong)?;
            named.push(key.path);
        }
        let text = document.to_string();
        let loaded = self.inner.sources.load_with(Some(&text)).map_err(|error| blamed(&error, &named))?;
        let foreign = foreign_addresses(&loaded.config, |key| named.contains(&key));
        if let Some((key, reason)) = foreign.into_iter().next() {
            return Err(ChangeError::Invalid { key: key.to_owned(), reason });
        }
        Ok(Proposal { text, damaged, loaded, keys: named })
    }

    /// Whether the box would start with `text` as the data partition's file. Blocks for as long as files are read.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(&self, text: &str) -> Result<(), ConfigError> {
        self.inner.sources.load_with(Some(text)).map(drop)
    }

    /// The settings of a backup with this box's own in the place of those that neither the page nor a backup may set, and which of the
    /// backup's are left out so. Blocks for as long as a file is read.
    ///
    /// # Errors
    /// When `text` is not TOML.
    pub fn restorable(&self, text: &str) -> Result<(String, Vec<&'static str>), ChangeError> {
        let not_toml = || ChangeError::Invalid { key: "settings.toml".to_owned(), reason: "it is not TOML".to_owned() };
        let mut document: DocumentMut = text.parse().map_err(|_| not_toml())?;
        let present = self.document().0.unwrap_or_default();
        let mut left_out = Vec::new();
        for key in keys::KEYS.iter().filter(|key| !key.is_restored()) {
            let (wanted, own) = (value_at(document.as_table(), key.path), value_at(present.as_table(), key.path));
            if wanted.as_ref().map(bare) == own.as_ref().map(bare) {
                continue;
            }
            left_out.extend(wanted.is_some().then_some(key.path));
            edit(document.as_table_mut(), key.path, own).ok_or_else(not_toml)?;
        }
        // An SRS elsewhere is of no use without its secret, and refused without.
        if left_out.contains(&"ingest.srs.hooks_secret")
            && value_at(document.as_table(), "ingest.srs.hooks_secret").is_none()
        {
            for path in ["ingest.srs.api_url", "ingest.srs.rtmp_url", "ingest.srs.http_url", "ingest.srs.hooks_allow"] {
                left_out.extend(value_at(document.as_table(), path).is_some().then_some(path));
                edit(document.as_table_mut(), path, None).ok_or_else(not_toml)?;
            }
        }
        Ok((document.to_string(), left_out))
    }

    /// Writes a change: durable, all of it or nothing. What takes effect at once is in force when this returns; whoever acts upon it
    /// is the caller's to tell. Blocks for as long as the disk takes. One at a time: a proposal is worth nothing once another was
    /// written after it was made.
    ///
    /// # Errors
    /// [`ChangeError::File`], and [`ChangeError::Invalid`] where it could not be in force; then nothing has changed.
    pub fn write(&self, proposal: &Proposal) -> Result<Arc<Config>, ChangeError> {
        let now = self.in_force_with(&proposal.loaded).map_err(|error| blamed(&error, &proposal.keys))?;
        if proposal.damaged {
            keep_aside(&self.inner.path).map_err(|error| self.file_error(&error))?;
        }
        write(&self.inner.path, &proposal.text).map_err(|error| self.file_error(&error))?;
        self.inner.damaged.store(false, Ordering::Relaxed);
        self.put_in_force(now, &proposal.loaded);
        Ok(self.now())
    }

    /// The data partition's file as far as it can be read, without what was left out of it at the start; none where there is none. True: some
    /// of it is lost by that.
    fn document(&self) -> (Option<DocumentMut>, bool) {
        let Some(read) = salvage::read(&self.inner.path) else { return (None, false) };
        let mut document: DocumentMut = read.text.parse().unwrap_or_default();
        let damaged = self.inner.damaged.load(Ordering::Relaxed);
        for problem in self.inner.ignored.iter().filter(|problem| damaged && problem.is_damage()) {
            let _not_there = edit(document.as_table_mut(), &problem.field, None);
        }
        (Some(document), damaged || !read.problems.is_empty())
    }

    /// What the page has set, as TOML; none where nothing was. Blocks for as long as a file is read.
    pub fn text(&self) -> Option<String> {
        self.document().0.map(|document| document.to_string())
    }

    /// What is in force once `loaded` is wanted: the rest of it waits for the next start.
    fn in_force_with(&self, loaded: &LoadedConfig) -> Result<Config, ConfigError> {
        self.inner.values.overlaid(&loaded.values).config()
    }

    fn put_in_force(&self, now: Config, loaded: &LoadedConfig) {
        self.inner.now.send_replace(Arc::new(now));
        self.inner.wanted.write().unwrap_or_else(PoisonError::into_inner).clone_from(&loaded.settings);
    }

    fn file_error(&self, error: &io::Error) -> ChangeError {
        ChangeError::File { path: self.inner.path.clone(), reason: error.to_string() }
    }
}

fn is_of_environment(view: &[SettingView], key: &Key) -> bool {
    view.iter().any(|setting| setting.key == key.path && setting.origin.starts_with(ENVIRONMENT))
}

fn lock(key: &Key, origin: &str) -> Option<String> {
    let by_environment =
        || origin.starts_with(ENVIRONMENT).then(|| format!("it is set by the {origin}; change it there"));
    key.applies.locked().map(str::to_owned).or_else(by_environment)
}

fn default(key: &Key) -> Json {
    key.kind.built_in().and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// The change that an error is about: a key that was named, if one is to blame; else whatever does not go with it.
fn blamed(error: &ConfigError, named: &[&str]) -> ChangeError {
    let of_named = error.problems.iter().find(|problem| named.contains(&problem.field.as_str()));
    match of_named.or(error.problems.first()) {
        Some(problem) => ChangeError::Invalid { key: problem.field.clone(), reason: problem.reason.clone() },
        None => ChangeError::Invalid { key: String::new(), reason: "this cannot be".to_owned() },
    }
}

/// Texts, whole numbers, flags, and lists of texts.
fn toml(value: &Json) -> Option<Value> {
    match value {
        Json::String(text) => Some(text.as_str().into()),
        Json::Bool(flag) => Some((*flag).into()),
        Json::Number(number) => Some(number.as_i64()?.into()),
        Json::Array(list) => {
            let texts: Option<toml_edit::Array> = list.iter().map(|text| text.as_str()).collect();
            texts.map(Value::Array)
        }
        Json::Null | Json::Object(_) => None,
    }
}

/// What stands at `section.key`.
fn value_at(table: &dyn toml_edit::TableLike, path: &str) -> Option<Value> {
    match path.split_once('.') {
        Some((section, rest)) => value_at(table.get(section)?.as_table_like()?, rest),
        None => table.get(path)?.as_value().cloned(),
    }
}

/// A value as it is read, whatever quotes and comments are around it.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.clone().decorated("", "").to_string(), |text| format!("{text:?}"))
}

/// Sets or removes `section.key`, and leaves everything else as it is. None when something else stands where a section belongs.
fn edit(table: &mut Table, path: &str, value: Option<Value>) -> Option<()> {
    if let Some((section, rest)) = path.split_once('.') {
        if value.is_none() && !table.contains_key(section) {
            return Some(());
        }
        // Somebody may have written `queue = { block = true }` by hand.
        if let Some(inline) = table.get(section).and_then(Item::as_inline_table).cloned() {
            let comment = table.key(section).and_then(|key| key.leaf_decor().prefix()).cloned();
            let mut unfolded = inline.into_table();
            for (mut key, item) in unfolded.iter_mut() {
                key.leaf_decor_mut().clear();
                if let Some(value) = item.as_value_mut() {
                    value.decor_mut().clear();
                }
            }
            table.remove(section);
            unfolded.decor_mut().set_prefix(comment.unwrap_or_default());
            table.insert(section, Item::Table(unfolded));
        }
        let item = table.entry(section).or_insert_with(|| Item::Table(Table::new()));
        return edit(item.as_table_mut()?, rest, value);
    }
    match value {
        Some(value) => {
            // The comment behind it stays.
            let decor = table.get(path).and_then(Item::as_value).map(|old| old.decor().clone());
            let mut item = value;
            if let Some(decor) = decor {
                *item.decor_mut() = decor;
            }
            table.insert(path, Item::Value(item));
        }
        None => drop(table.remove(path)),
    }
    Some(())
}

/// Keeps a damaged file, or whatever stands in its place, under another name. A file stays in its place too, until it is replaced.
fn keep_aside(path: &Path) -> io::Result<()> {
    let name = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(DAMAGED);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let free = (1..=MOST_DAMAGED).map(name).find(|name| fs::symlink_metadata(name).is_err());
    let aside = free.ok_or_else(|| io::Error::other("too many damaged files lie beside it; remove some"))?;
    let kept = fs::symlink_metadata(path).and_then(|there| {
        if there.is_file() {
            // Who may not read a file may not link it either.
            fs::hard_link(path, &aside).or_else(|_| fs::rename(path, &aside))
        } else {
            fs::rename(path, &aside)
        }
    });
    kept.inspect(|()| tracing::warn!(kept = %aside.display(), "the damaged settings were kept aside"))
}

/// It may hold an address with a password.
fn write(path: &Path, text: &str) -> io::Result<()> {
    files::replace(path, text.as_bytes(), Readers::Owner)
}
