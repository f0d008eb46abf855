//! Reading the layers, one over the other, and blaming the right one.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format, Toml},
    value::{Dict, Value},
};

use super::{
    Config, ConfigError, KEYS, Problem, ValueKind, keys,
    keys::{DESTINATION_KEYS, Key},
    layer::{BUILT_IN, Layer, built_in, insert, merge, remove},
    salvage, validate,
    values::Values,
};

/// The file that is read when none is named, if it exists.
const DEFAULT_FILE: &str = "/etc/motherstream.toml";

/// The data partition's file, inside `data_dir`.
pub(super) const SETTINGS_FILE: &str = "settings.toml";

const PREFIX: &str = "MOTHERSTREAM_";

/// Variables with our prefix that are not configuration: those of tests, demo and benchmark, and of building.
const NOT_CONFIGURATION: [&str; 6] = ["TEST_", "DEMO_", "BENCH_", "SOAK_", "TARGET", "CONFIG"];

/// Who may register.
const REGISTRATION: &str = "accounts.registration";
/// What stands in for a data partition's file that cannot be read.
const NOBODY_REGISTERS: &str = "[accounts]\nregistration = \"closed\"";

/// What is shown of a secret.
const REDACTED: &str = "[redacted]";

/// Where configuration comes from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file somebody named; it must exist.
    pub file: Option<PathBuf>,
    /// The file that is read otherwise, if it exists.
    pub fallback: PathBuf,
    /// The environment, name and value.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// Those of this process; `file` is what `--config` names.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let environment: Vec<_> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let named = |(name, value): &(String, String)| {
            (name == "MOTHERSTREAM_CONFIG" && !value.is_empty()).then(|| PathBuf::from(value))
        };
        let file = file.or_else(|| environment.iter().find_map(named));
        Self { file, fallback: DEFAULT_FILE.into(), environment }
    }

    /// Reads, merges and checks everything. Nothing that is wrong in the data partition's file, which the page writes, keeps the box from
    /// starting: what is wrong there is left out, and told in [`LoadedConfig::ignored`].
    ///
    /// # Errors
    /// All problems that were found elsewhere, each with its source and field.
    pub fn load(&self) -> Result<LoadedConfig, ConfigError> {
        self.load_with(None).or_else(|error| self.without_wrong_settings(&error).ok_or(error))
    }

    /// Without the keys of the data partition's file that are to blame; without the file, where no key of it is. Deny by default: who may
    /// register is not known then, so nobody may.
    fn without_wrong_settings(&self, error: &ConfigError) -> Option<LoadedConfig> {
        // What is wrong elsewhere is for whoever wrote it.
        self.load_with(Some("")).ok()?;
        let mut bare = self.load_with(Some(NOBODY_REGISTERS)).ok()?;
        let file = bare.config.data_dir.join(SETTINGS_FILE).display().to_string();
        let mut left_out = Vec::new();
        let mut problems = error.problems.clone();
        for _ in 0..KEYS.len() {
            let blamed = problems.iter().filter(|problem| problem.source == file).filter_map(Problem::of_its_key);
            let before = left_out.len();
            left_out.extend(blamed);
            if left_out.len() == before {
                break;
            }
            match self.load_layers(None, &left_out) {
                Ok(loaded) => return Some(loaded.with_ignored(left_out)),
                Err(error) => problems = error.problems,
            }
        }
        // One of its keys does not go with a value from elsewhere, which is blamed for it.
        let other = problems.first().map(|problem| format!("does not go with {}", problem.field)).unwrap_or_default();
        for key in KEYS {
            let mut tried = left_out.clone();
            tried.push(Problem::new(&file, key.path, other.clone()));
            if let Ok(loaded) = self.load_layers(None, &tried) {
                return Some(loaded.with_ignored(tried));
            }
        }
        bare.ignored.extend(error.problems.iter().cloned());
        Some(bare)
    }

    /// As it stands, with `proposed` in place of what the data partition's file says.
    pub(super) fn load_with(&self, proposed: Option<&str>) -> Result<LoadedConfig, ConfigError> {
        self.load_layers(proposed, &[])
    }

    fn load_layers(&self, proposed: Option<&str>, left_out: &[Problem]) -> Result<LoadedConfig, ConfigError> {
        let mut problems = Vec::new();
        let mut ignored = Vec::new();
        let mut layers = vec![built_in()];
        match &self.file {
            Some(file) => layers.extend(read_file(file, true, &mut problems)),
            None => layers.extend(read_file(&self.fallback, false, &mut problems)),
        }
        let environment = environment_layers(&self.environment, &mut problems);
        // Where the data partition is cannot be said on it, but anywhere else.
        let data_dir: Option<PathBuf> =
            merge(layers.iter().chain(&environment)).extract_inner::<String>("data_dir").ok().map(PathBuf::from);
        if let Some(data_dir) = data_dir {
            let file = data_dir.join(SETTINGS_FILE);
            let mut settings = match proposed {
                Some(text) => parse_file(&file.display().to_string(), text, &mut problems),
                None => salvaged(&file, &mut ignored),
            };
            if let Some(layer) = &mut settings {
                for problem in left_out {
                    remove(&mut layer.dict, &problem.field);
                    if problem.field == REGISTRATION {
                        insert(&mut layer.dict, REGISTRATION, Value::from("closed"));
                    }
                }
            }
            if let Some(layer) = settings.as_ref().filter(|layer| layer.dict.contains_key("data_dir")) {
                problems.push(Problem::new(&layer.name, "data_dir", "this file lies in it and cannot name another"));
            }
            if let Some(layer) = &mut settings {
                // The box writes this file itself. After a rollback it may hold keys of the newer program: no reason not to start.
                let mut unusable = Vec::new();
                unknown_keys(layer, &mut unusable);
                lost_picture(layer, &mut unusable);
                for problem in &unusable {
                    remove(&mut layer.dict, &problem.field);
                }
                ignored.extend(unusable);
            }
            layers.extend(settings);
        }
        apply_rtmp_port(&mut layers, &environment, &self.environment, &mut problems);
        layers.extend(environment);
        for layer in &layers {
            unknown_keys(layer, &mut problems);
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }

        let figment = merge(&layers);
        let values = Values::new(figment.clone());
        let config = values.config()?;
        let mut problems = validate::rows(&figment);
        problems.extend(validate::validate(&config));
        let problems: Vec<_> = problems
            .into_iter()
            .map(|(field, reason)| Problem { source: origin(&figment, &field), field, reason })
            .collect();
        if problems.is_empty() {
            Ok(LoadedConfig { settings: settings(&figment), config, values, ignored, sources: self.clone() })
        } else {
            Err(ConfigError { problems })
        }
    }
}

/// A configuration that is complete and right, and where it came from.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// Every key's value, checked.
    pub config: Config,
    /// What they were read from.
    pub(super) values: Values,
    /// Every key with its value and origin, to show.
    pub settings: Vec<Setting>,
    /// Keys of the data partition's file that this program does not know, and what else of it cannot be.
    pub ignored: Vec<Problem>,
    /// Where that came from.
    pub(super) sources: Sources,
}

impl LoadedConfig {
    /// What of the data partition's file cannot be, other than keys that this program does not know.
    pub fn damage(&self) -> impl Iterator<Item = &Problem> {
        self.ignored.iter().filter(|problem| problem.is_damage())
    }

    fn with_ignored(mut self, mut left_out: Vec<Problem>) -> Self {
        self.ignored.append(&mut left_out);
        self
    }

    /// On an image: addresses to listen on in the data partition's file that this machine does not have now, so that it could not start. Its
    /// network may give them in a moment, or never again.
    pub fn foreign_addresses(&self) -> Vec<Problem> {
        if self.config.machine.boot_dir.is_none() {
            return Vec::new();
        }
        let file = self.config.data_dir.join(SETTINGS_FILE).display().to_string();
        let ours = |field: &str| self.settings.iter().any(|setting| setting.key == field && setting.origin == file);
        foreign_addresses(&self.config, ours).into_iter().map(|(field, why)| Problem::new(&file, field, why)).collect()
    }

    /// The same, read anew without some keys of the data partition's file, and without what was left out of it before.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn without(&self, more: &[Problem]) -> Result<Self, ConfigError> {
        let left_out = [self.ignored.as_slice(), more].concat();
        let mut loaded = self.sources.load_layers(None, &left_out)?;
        loaded.ignored = left_out;
        Ok(loaded)
    }

    /// The same files and variables, read anew.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn reload(&self) -> Result<Self, ConfigError> {
        self.sources.load()
    }
}

impl fmt::Display for LoadedConfig {
    /// A line for each key; secrets are redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.settings.iter().map(|setting| setting.key.len()).max().unwrap_or_default();
        let value_width =
            self.settings.iter().map(|setting| setting.value.chars().count()).max().unwrap_or_default().min(40);
        for Setting { key, value, origin, .. } in &self.settings {
            writeln!(f, "{key:width$} = {value:value_width$}  # {origin}")?;
        }
        Ok(())
    }
}

/// One key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// Its value as TOML; secrets are redacted.
    pub value: String,
    /// Its value as JSON, null when it is unset; secrets are redacted, and of destinations only the names are told.
    pub json: serde_json::Value,
    /// The file or variable it came from, or `built in`.
    pub origin: String,
}

fn read_file(path: &Path, must_exist: bool, problems: &mut Vec<Problem>) -> Option<Layer> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => return None,
        Err(error) => {
            problems.push(Problem::new(&name, "", format!("cannot be read: {error}")));
            return None;
        }
    };
    parse_file(&name, &text, problems)
}

/// What can be read of the data partition's file. Deny by default: where some of it is lost and the rest does not say who may register,
/// nobody may.
fn salvaged(file: &Path, ignored: &mut Vec<Problem>) -> Option<Layer> {
    let name = file.display().to_string();
    let read = salvage::read(file)?;
    let mut layer = parse_file(&name, &read.text, ignored)?;
    if !read.problems.is_empty() && merge([&layer]).find_value(REGISTRATION).is_err() {
        insert(&mut layer.dict, REGISTRATION, Value::from("closed"));
    }
    ignored.extend(read.problems);
    Some(layer)
}

fn parse_file(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Layer> {
    match <Toml as Format>::from_str::<Dict>(text) {
        Ok(dict) => Some(Layer { name: name.to_owned(), dict }),
        Err(error) => {
            // The error's own text quotes the line, which may hold a secret.
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1);
            problems.push(Problem::new(name, &format!("line {line}"), error.message()));
            None
        }
    }
}

/// Variables with plain names, which others of the full names override.
const PLAIN: &[(&str, &str)] = &[
    ("HOST", "web.public_host"),
    ("OBS_HOST", "obs.host"),
    ("OBS_PORT", "obs.port"),
    ("OBS_PASSWORD", "obs.password"),
];

/// One layer for each variable, so that each is blamed by its own name; the plain names before the rest.
fn environment_layers(environment: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut variables: Vec<_> = environment.iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    variables.sort();
    for (plain, path) in PLAIN {
        let Some((_, value)) = variables.iter().find(|(name, _)| name == plain) else { continue };
        let source = format!("environment variable {plain}");
        match variable_value(keys::find(path), value.trim()) {
            Ok(value) => {
                let mut dict = Dict::new();
                insert(&mut dict, path, value);
                layers.push(Layer { name: source, dict });
            }
            Err(reason) => problems.push(Problem::new(&source, path, reason)),
        }
    }
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if NOT_CONFIGURATION.iter().any(|other| rest == *other || (other.ends_with('_') && rest.starts_with(other))) {
            continue;
        }
        let path = rest.to_ascii_lowercase().replace("__", ".");
        let source = format!("environment variable {name}");
        match variable_value(keys::find(&path), value) {
            Ok(value) => {
                let mut dict = Dict::new();
                insert(&mut dict, &path, value);
                layers.push(Layer { name: source, dict });
            }
            Err(reason) => problems.push(Problem::new(&source, &path, reason)),
        }
    }
    layers
}

/// A text key takes the variable as it is; anything else is written as in the file.
fn variable_value(key: Option<&Key>, text: &str) -> Result<Value, String> {
    let Some(key) = key.filter(|key| !key.kind.is_text()) else {
        return Ok(Value::from(text));
    };
    let parsed: Option<Dict> = <Toml as Format>::from_str(&format!("value = {}", text.trim())).ok();
    parsed.and_then(|mut dict| dict.remove("value")).ok_or_else(|| format!("write {}", key.kind.shape()))
}

/// Those of the keys `asked` for whose address this machine does not have, each with what would be right. Only addresses without which the
/// box does not start.
pub(super) fn foreign_addresses(config: &Config, asked: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
    let addresses = [
        ("web.listen", config.web.listen),
        ("ingest.rtmp_listen", config.ingest.rtmp_listen),
        ("ingest.srs.hooks_listen", config.ingest.srs.hooks_listen),
    ];
    let foreign = addresses.into_iter().filter(|(field, address)| asked(field) && !is_of_this_machine(address.ip()));
    foreign.map(|(field, address)| (field, no_such_address(address))).collect()
}

/// Whether this machine could listen there now.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_unspecified()
        || !UdpSocket::bind((address, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn no_such_address(address: SocketAddr) -> String {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), address.port());
    format!("this machine does not have the address {}; write one that it has, or \"{any}\" for all", address.ip())
}

/// `RTMP_PORT` changes the port of whatever address the files name.
fn apply_rtmp_port(
    layers: &mut Vec<Layer>,
    environment: &[Layer],
    variables: &[(String, String)],
    problems: &mut Vec<Problem>,
) {
    const KEY: &str = "ingest.rtmp_listen";
    const SOURCE: &str = "environment variable RTMP_PORT";
    let variable = variables.iter().find(|(name, value)| name == "RTMP_PORT" && !value.trim().is_empty());
    let Some((_, port)) = variable else { return };
    // The address in full, by its own variable, says more.
    if environment.iter().any(|layer| layer.name.ends_with("MOTHERSTREAM_INGEST__RTMP_LISTEN")) {
        return;
    }
    let Ok(port) = port.trim().parse::<u16>() else {
        problems.push(Problem::new(SOURCE, KEY, "write a port from 1 to 65535"));
        return;
    };
    // An address that cannot be read is blamed on its own source.
    let Ok(Ok(mut address)) = merge(layers.iter()).extract_inner::<String>(KEY).map(|text| text.parse::<SocketAddr>())
    else {
        return;
    };
    address.set_port(port);
    let mut dict = Dict::new();
    insert(&mut dict, KEY, Value::from(address.to_string()));
    layers.push(Layer { name: SOURCE.to_owned(), dict });
}

/// A picture that was uploaded and is gone from the data folder is no reason not to start: the built-in one stands in.
fn lost_picture(layer: &Layer, problems: &mut Vec<Problem>) {
    let Some(Value::Dict(_, program)) = layer.dict.get("program") else { return };
    if let Some(path) = program.get("slate").and_then(Value::as_str)
        && !Path::new(path).exists()
    {
        problems.push(Problem::new(&layer.name, "program.slate", format!("{path} is gone")));
    }
}

fn unknown_keys(layer: &Layer, problems: &mut Vec<Problem>) {
    for (name, value) in &layer.dict {
        match value {
            Value::Array(_, tables) if name == "destinations" => {
                for (index, table) in tables.iter().enumerate() {
                    let Value::Dict(_, table) = table else { continue };
                    for key in table.keys().filter(|key| !DESTINATION_KEYS.contains(&key.as_str())) {
                        let reason = format!("there is no such key; a destination has {}", DESTINATION_KEYS.join(", "));
                        problems.push(Problem::new(&layer.name, &format!("destinations.{index}.{key}"), reason));
                    }
                }
            }
            Value::Dict(_, section) if keys::is_section(name) => {
                unknown_in_section(layer, name, section, problems);
            }
            Value::Dict(_, section) if !section.is_empty() => {
                problems.extend(section.keys().map(|key| unknown(layer, &format!("{name}.{key}"))));
            }
            _ if keys::find(name).is_some() => {}
            _ => problems.push(unknown(layer, name)),
        }
    }
}

fn unknown_in_section(layer: &Layer, section: &str, keys: &Dict, problems: &mut Vec<Problem>) {
    for (key, value) in keys {
        let path = format!("{section}.{key}");
        match value {
            Value::Dict(_, inner) if keys::is_section(&path) => unknown_in_section(layer, &path, inner, problems),
            _ if keys::find(&path).is_some() => {}
            _ => problems.push(unknown(layer, &path)),
        }
    }
}

fn unknown(layer: &Layer, path: &str) -> Problem {
    let variable = layer.name.starts_with("environment");
    let spelled = |path: &str| {
        if variable { format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase()) } else { path.to_owned() }
    };
    let reason = match keys::suggestion(path) {
        Some(known) => format!("there is no such key; did you mean {}?", spelled(known)),
        None => "there is no such key; `motherstream config` lists them all".to_owned(),
    };
    Problem::new(&layer.name, path, reason)
}

/// Where the value of a field comes from: its own source, or that of the section above.
fn origin(figment: &Figment, field: &str) -> String {
    let mut path = field;
    loop {
        if let Some(metadata) = figment.find_metadata(path) {
            return metadata.name.to_string();
        }
        match path.rsplit_once('.') {
            Some((above, _)) => path = above,
            None => return BUILT_IN.to_owned(),
        }
    }
}

fn settings(figment: &Figment) -> Vec<Setting> {
    KEYS.iter()
        .map(|key| {
            let value = figment.find_value(key.path).ok();
            Setting {
                key: key.path.to_owned(),
                value: value.as_ref().map_or_else(|| "(none)".to_owned(), |value| shown(key, value)),
                json: value.as_ref().map_or(serde_json::Value::Null, |value| as_json(key, value)),
                origin: if value.is_some() { origin(figment, key.path) } else { BUILT_IN.to_owned() },
            }
        })
        .collect()
}

fn as_json(key: &Key, value: &Value) -> serde_json::Value {
    match (&key.kind, value) {
        (ValueKind::Secret { .. }, _) => REDACTED.into(),
        (ValueKind::Tables { .. }, Value::Array(_, tables)) => {
            tables.iter().filter_map(|table| Some(table.find_ref("name")?.as_str()?.to_owned())).collect()
        }
        (_, value) => serde_json::to_value(value).unwrap_or_default(),
    }
}

fn shown(key: &Key, value: &Value) -> String {
    match (&key.kind, value) {
        (ValueKind::Secret { .. }, _) => REDACTED.to_owned(),
        (ValueKind::Tables { .. }, Value::Array(_, tables)) => {
            let names: Vec<_> = tables.iter().filter_map(|table| table.find_ref("name")?.as_str()).collect();
            if names.is_empty() { "(none)".to_owned() } else { format!("{} ({})", names.len(), names.join(", ")) }
        }
        (_, Value::Array(_, texts)) => {
            let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
            if texts.is_empty() { "(none)".to_owned() } else { texts.join(", ") }
        }
        (_, Value::String(_, text)) => format!("{text:?}"),
        (_, Value::Bool(_, flag)) => flag.to_string(),
        (_, value) => match (value.to_u128(), value.to_i128()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => String::new(),
        },
    }
}
