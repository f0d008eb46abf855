//! Configuration: built-in <- file <- data partition <- environment; validation names file and field.
//!
//! The file is the one named by `--config` or `MOTHERSTREAM_CONFIG`, else `/etc/motherstream.toml` where that exists. The data
//! partition's is `settings.toml` in `data_dir`. A variable `MOTHERSTREAM_SECTION__KEY` sets `section.key`; `HOST` sets
//! `web.public_host` and `RTMP_PORT` the port of `ingest.rtmp_listen`. An empty variable sets nothing.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::network::Hotspot;

mod keys;
mod layer;
mod load;
mod problem;
mod salvage;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
mod values;

pub(crate) use self::validate::is_timezone;
pub use self::{
    keys::{Applies, KEYS, Key, SECTIONS, ValueKind, label},
    load::{LoadedConfig, Setting, Sources},
    problem::{ConfigError, Problem},
    settings::{ChangeError, Proposal, SettingView, Settings},
};

/// Everything that can be configured. `config/motherstream.toml` is the commented reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the store and generated secrets lie.
    pub data_dir: PathBuf,
    /// The page and the API.
    pub web: WebConfig,
    /// The administrator's token.
    pub admin: AdminConfig,
    /// Registration.
    pub accounts: AccountsConfig,
    /// The front door.
    pub ingest: IngestConfig,
    /// The queue's rules.
    pub queue: QueueConfig,
    /// The programme.
    pub program: ProgramConfig,
    /// The venue's OBS.
    pub obs: ObsConfig,
    /// The network, where NetworkManager has it.
    pub network: NetworkConfig,
    /// The machine, where the box is an image of its own.
    #[serde(rename = "box")]
    pub machine: MachineConfig,
    /// Destinations that the page shows locked.
    pub destinations: Vec<DestinationConfig>,
    /// The venue.
    pub venue: VenueConfig,
}

/// `[web]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebConfig {
    /// Address and port of the page and the API.
    pub listen: SocketAddr,
    /// The same over HTTPS, with a certificate of the box's own; none for `off`.
    #[serde(deserialize_with = "or_off")]
    pub https_listen: Option<SocketAddr>,
    /// What streamers are told to connect to.
    pub public_host: Option<String>,
    /// More names by which the page is opened, without a port.
    pub hosts: Vec<String>,
    /// The proxies whose word counts for whom they ask for.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Bearer token that opens health and metrics and nothing else; at least 16 characters.
    pub metrics_token: Option<SecretString>,
    /// Whether the room may watch the programme on the page; else operators and admins only.
    pub open_preview: bool,
    /// Whoever is not seen for so many hours has to sign in again.
    pub session_idle_hours: u32,
    /// So many days after signing in, everybody has to sign in again.
    pub session_max_days: u32,
}

impl WebConfig {
    /// The names that it gives the box.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.public_host.iter().chain(&self.hosts).map(String::as_str)
    }
}

/// Addresses, and networks such as `10.0.0.0/8`.
fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        address.or_else(|_| text.parse()).map_err(|_| {
            let wrong = serde::de::Unexpected::Str(text);
            serde::de::Error::invalid_value(wrong, &"an address, or a network such as \"10.0.0.0/8\"")
        })
    };
    texts.iter().map(network).collect()
}

/// An address, or `off`.
fn or_off<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"an address"))
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Bearer token with admin rights; at least 16 characters.
    pub token: Option<SecretString>,
}

/// `[accounts]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsConfig {
    /// Who may register.
    pub registration: Registration,
    /// With so many accounts nobody registers any more; admins may still make some.
    pub most: u64,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anyone.
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Anyone; an admin enables the account.
    Approval,
    /// Nobody; admins make accounts.
    Closed,
}

/// `[ingest]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Which ingest runs.
    pub kind: IngestKind,
    /// The RTMP application streamers publish to.
    pub app: String,
    /// Address and port of RTMP.
    pub rtmp_listen: SocketAddr,
    /// Connections that may publish at once.
    pub max_publishers: usize,
    /// From TCP accept to an accepted publish, in seconds.
    pub handshake_seconds: u64,
    /// A publisher that sends nothing for this long is dropped, in seconds.
    pub silence_seconds: u64,
    /// The SRS that the box runs, or one elsewhere.
    pub srs: SrsConfig,
}

/// `[ingest.srs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrsConfig {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub binary: PathBuf,
    /// Its configuration file, which is never rewritten.
    pub config: PathBuf,
    /// Where its HTTP API listens; loopback only.
    pub api_listen: SocketAddr,
    /// Where its HTTP-FLV server listens; loopback only.
    pub http_listen: SocketAddr,
    /// Where the box listens for its hooks; loopback only, unless `hooks_allow` names who may call.
    pub hooks_listen: SocketAddr,
    /// Where it takes SRT (UDP).
    pub srt_listen: SocketAddr,
    /// Where it takes WebRTC's media (UDP).
    pub rtc_listen: SocketAddr,
    /// The systemd unit that runs it; none: the box starts it itself.
    pub unit: Option<String>,
    /// The HTTP API of an SRS that the box does not run. May hold a name and a password.
    pub api_url: Option<SecretString>,
    /// Where streamers publish to that one, `rtmp://HOST:PORT/APP`; also pulled from when `http_url` is not set.
    pub rtmp_url: Option<String>,
    /// Its HTTP-FLV server, `http://HOST:PORT`.
    pub http_url: Option<String>,
    /// The addresses whose hooks are taken, besides loopback.
    pub hooks_allow: Vec<IpAddr>,
    /// The secret in the hooks' path. Unset: the box makes one and keeps it in `data_dir`.
    pub hooks_secret: Option<SecretString>,
}

/// Which ingest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IngestKind {
    /// SRS where it is installed, else embedded.
    Auto,
    /// SRS.
    Srs,
    /// The RTMP listener in the process.
    Embedded,
}

/// `[queue]`; see `docs/queue.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// Length of a turn in seconds.
    pub turn_seconds: u64,
    /// How long a place is kept for a streamer who lost the connection, in seconds.
    pub rejoin_seconds: u64,
    /// The same after a restart of the box, in seconds.
    pub restart_grace_seconds: u64,
    /// How long a kick or the block toggle holds a streamer off, in seconds.
    pub hold_off_seconds: u64,
    /// How long a stall is borne, in seconds.
    pub stall_limit_seconds: u64,
    /// Whether a turn whose time is up goes on while nobody else is ready.
    pub overtime: bool,
    /// Whether the last streamer must let somebody else go first.
    pub block: bool,
}

/// `[program]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramConfig {
    /// The programme's buffer in milliseconds, 300 to 10000.
    pub latency_ms: u64,
    /// What is done to the tracks behind the switcher.
    pub house_format: HouseFormat,
    /// PNG or JPEG of the venue's own slate.
    pub slate: Option<PathBuf>,
    /// What is heard under the slate.
    pub slate_sound: SlateSound,
    /// The show ends after so many minutes without anybody on air; 0: by hand only.
    pub idle_end_minutes: u64,
    /// After so many minutes without power a show that was on does not go on by itself.
    pub resume_minutes: u64,
}

impl ProgramConfig {
    /// The buffer as a duration.
    pub const fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// After a darkness longer than this a show that was on does not go on by itself. In the dark nobody is on air, so the other limit
    /// counts where it is the shorter one.
    pub fn resume_limit(&self) -> Duration {
        let limit = Duration::from_mins(self.resume_minutes);
        self.idle_end().map_or(limit, |idle| idle.min(limit))
    }

    /// After how long without anybody on air the show ends; none: by hand only.
    pub const fn idle_end(&self) -> Option<Duration> {
        match self.idle_end_minutes {
            0 => None,
            minutes => Some(Duration::from_mins(minutes)),
        }
    }
}

/// What is done to the tracks behind the switcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HouseFormat {
    /// Everything is copied.
    Off,
    /// Sound becomes 48 kHz stereo AAC-LC at 160 kbit/s; pictures are copied.
    Audio,
}

/// What is heard under the slate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlateSound {
    /// Digital silence.
    Silence,
    /// A soft tone.
    Tone,
}

/// `[network]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// What the box's own access point is for.
    pub hotspot: Hotspot,
    /// The access point's password; none: it is open while it is for setting up.
    pub setup_password: Option<SecretString>,
    /// Without a network for so many seconds the access point is raised.
    pub setup_after_seconds: u64,
    /// Where the box stands, in two capital letters (ISO 3166).
    pub country: Option<String>,
    /// The address at which the internet is looked for; none for `off`.
    #[serde(deserialize_with = "url_or_off")]
    pub check_url: Option<String>,
    /// Time servers, besides those of the venue's network.
    pub time_servers: Vec<String>,
}

/// A text, or `off`.
fn url_or_off<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| text != "off"))
}

/// `[box]`: set by the image alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Where the boot partition is mounted, which any computer can read: it carries the setup code. None: this is no image.
    pub boot_dir: Option<PathBuf>,
    /// Whether RAUC keeps two systems, of which a new one has to prove itself.
    pub updates: bool,
}

/// `[obs]`; see `docs/obs.md`. Scenes and sources are named as that OBS names them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObsConfig {
    /// Where it runs; none: there is no OBS to follow the show.
    pub host: Option<String>,
    /// The port of its websocket server.
    pub port: u16,
    /// The password of its websocket server; none where it asks for none.
    pub password: Option<SecretString>,
    /// Whether it is left alone while it shows a scene that is not named here.
    pub only_our_scenes: bool,
    /// The scene while somebody is on air.
    pub scene_on_air: Option<String>,
    /// The scene while the slate is shown: nobody is on air, the turn is suspended, or the panic button was pressed.
    pub scene_slate: Option<String>,
    /// The scene from the order of a handover until the next streamer is on air.
    pub scene_handover: Option<String>,
    /// How long that scene stays at least.
    pub handover_seconds: u64,
    /// Sources that are shown while somebody is on air, and hidden otherwise.
    pub show_on_air: Vec<String>,
    /// Sources that are shown while somebody is next, and hidden otherwise.
    pub show_next: Vec<String>,
    /// Sources that are shown with the slate, and hidden otherwise.
    pub show_slate: Vec<String>,
    /// The text source that carries the streamer's name.
    pub text_streamer: Option<String>,
    /// The text source that carries the next one's name.
    pub text_next: Option<String>,
    /// The text source that carries the time left.
    pub text_time: Option<String>,
    /// Media and browser sources that begin anew at each take.
    pub restart_at_take: Vec<String>,
    /// The media source that plays the programme.
    pub program_source: Option<String>,
    /// Whether OBS's own stream is started with the show and watched.
    pub stream: bool,
}

/// `[[destinations]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationConfig {
    /// What people call it.
    pub name: String,
    /// `rtmp://` or `rtmps://`, without the key.
    pub url: String,
    /// The platform's stream key.
    pub key: SecretString,
    /// Whether it takes part in shows.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

/// `[venue]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueConfig {
    /// The venue's name, on the slate and the page.
    pub name: String,
    /// The IANA time zone in which its pages show times; none: that of the machine.
    pub timezone: Option<String>,
}
