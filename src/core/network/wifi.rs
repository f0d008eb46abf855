//! Wi-Fi networks as people know them: names, security, what a password may be, and why one was not joined.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// How a network is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// It is not.
    Open,
    /// Open, with encryption that asks for nothing (OWE).
    Enhanced,
    /// By a key of the nineties that the box does not speak.
    Wep,
    /// By one password, WPA2.
    Wpa2,
    /// By one password, WPA2 or WPA3.
    Wpa2Wpa3,
    /// By one password, WPA3.
    Wpa3,
    /// By a user name and a password for everybody (802.1X).
    Enterprise,
}

impl Security {
    /// Read from what an access point announces: NetworkManager's `Flags`, `WpaFlags` and `RsnFlags`.
    pub const fn of(flags: u32, wpa: u32, rsn: u32) -> Self {
        const PRIVACY: u32 = 0x1;
        const PSK: u32 = 0x100;
        const EAP: u32 = 0x200;
        const SAE: u32 = 0x400;
        const OWE: u32 = 0x800;
        const EAP_192: u32 = 0x2000;
        let all = wpa | rsn;
        if all & (EAP | EAP_192) != 0 {
            Self::Enterprise
        } else if all & PSK != 0 && all & SAE != 0 {
            Self::Wpa2Wpa3
        } else if all & SAE != 0 {
            Self::Wpa3
        } else if all & PSK != 0 {
            Self::Wpa2
        } else if all & OWE != 0 {
            Self::Enhanced
        } else if flags & PRIVACY != 0 {
            Self::Wep
        } else {
            Self::Open
        }
    }

    /// In people's words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Enhanced => "open, encrypted",
            Self::Wep => "WEP",
            Self::Wpa2 => "WPA2",
            Self::Wpa2Wpa3 => "WPA2/WPA3",
            Self::Wpa3 => "WPA3",
            Self::Enterprise => "user name and password",
        }
    }

    /// Whether it asks for a password.
    pub const fn wants_password(self) -> bool {
        !matches!(self, Self::Open | Self::Enhanced)
    }
}

/// What is wrong with what somebody wants to join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WifiError {
    /// The name.
    #[error("write the network's name: 1 to 32 bytes, as it is announced")]
    Name,
    /// The password of a network with one for all.
    #[error("a Wi-Fi password has 8 to 63 characters; this one has {0}")]
    Length(usize),
    /// Its characters.
    #[error("a Wi-Fi password has letters, digits and signs of the English keyboard only")]
    Characters,
    /// There is none.
    #[error("this network asks for a password")]
    NoPassword,
    /// There is no user name.
    #[error("this network asks for a user name too")]
    NoIdentity,
    /// There is one, and the network asks for none.
    #[error(
        "every network of that name within reach is open: leave the password empty; or, if yours has one, move the box closer to its router"
    )]
    Open,
    /// The box does not join those.
    #[error("this network is closed by WEP, which is broken and which the box does not speak; use WPA2 or WPA3")]
    Wep,
    /// A user name or a server name that can be none.
    #[error("write at most 253 characters, without line breaks")]
    Text,
}

impl WifiError {
    /// The field of a form that it is about.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Name | Self::Wep => "ssid",
            Self::Length(_) | Self::Characters | Self::NoPassword | Self::Open => "password",
            Self::NoIdentity | Self::Text => "identity",
        }
    }
}

/// A network's name: 1 to 32 bytes.
///
/// # Errors
/// [`WifiError::Name`].
pub fn check_name(ssid: &str) -> Result<(), WifiError> {
    let fits = (1..=32).contains(&ssid.len()) && !ssid.contains(['\0', '\n', '\r']);
    if fits { Ok(()) } else { Err(WifiError::Name) }
}

/// The password of a network with one for all: 8 to 63 printable ASCII characters, or the key itself in 64 hexadecimal digits.
///
/// # Errors
/// What is wrong with it.
pub fn check_passphrase(password: &str) -> Result<(), WifiError> {
    if password.is_empty() {
        return Err(WifiError::NoPassword);
    }
    if password.len() == 64 && password.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    if !password.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(WifiError::Characters);
    }
    match password.len() {
        8..=63 => Ok(()),
        length => Err(WifiError::Length(length)),
    }
}

/// The file in which a backup carries Wi-Fi networks, and in which they lie in the data folder until the box knows them: an array of
/// [`SavedWifi`] as JSON.
pub const SAVED: &str = "wifi.json";
/// So many are read of it, and so many bytes.
pub const MOST_SAVED: usize = 64;
/// See [`MOST_SAVED`].
pub const MOST_SAVED_BYTES: u64 = 64 << 10;

/// A Wi-Fi network that a box joins by itself, with what it needs for that: as a backup carries it, password and all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedWifi {
    /// Its name.
    pub ssid: String,
    /// How it is closed, as far as that is known.
    pub security: Security,
    /// The password of the network, or of the user.
    #[serde(default, serialize_with = "expose", skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretString>,
    /// It does not announce its name.
    #[serde(default)]
    pub hidden: bool,
    /// The user name, where the network asks each for their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The name in the certificate of the venue's server, where that is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn expose<S: serde::Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(SecretString::expose_secret).serialize(serializer)
}

/// Reads networks as a backup carries them.
///
/// # Errors
/// What is wrong with them, in words.
pub fn read_saved(file: &[u8]) -> Result<Vec<SavedWifi>, String> {
    let saved: Vec<SavedWifi> = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    if saved.len() > MOST_SAVED {
        return Err(format!("there are more than {MOST_SAVED} networks"));
    }
    for wifi in &saved {
        wifi.check().map_err(|error| format!("{:?}: {error}", wifi.ssid))?;
    }
    Ok(saved)
}

impl SavedWifi {
    /// Whether a box can join it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), WifiError> {
        check_name(&self.ssid)?;
        if let Some(identity) = &self.identity {
            check_user(identity)?;
        }
        if let Some(server) = &self.server {
            check_user(server)?;
        }
        let password = self.password.as_ref().map_or("", |password| password.expose_secret());
        match self.security {
            Security::Wep => Err(WifiError::Wep),
            Security::Open | Security::Enhanced => Ok(()),
            Security::Enterprise => match (&self.identity, password.len()) {
                (None, _) => Err(WifiError::NoIdentity),
                (_, 0) => Err(WifiError::NoPassword),
                (_, length) if length > MOST_USER => Err(WifiError::Length(length)),
                _ => Ok(()),
            },
            Security::Wpa2 | Security::Wpa2Wpa3 | Security::Wpa3 => check_passphrase(password),
        }
    }
}

/// The longest user name, user's password or server name, in bytes.
pub const MOST_USER: usize = 253;

/// A user name, or the name of a server.
///
/// # Errors
/// [`WifiError::Text`].
pub fn check_user(text: &str) -> Result<(), WifiError> {
    let fits = text.len() <= MOST_USER && !text.contains(char::is_control);
    if fits { Ok(()) } else { Err(WifiError::Text) }
}

/// The text of a code that a phone's camera joins a network by: `WIFI:...`.
pub fn joining_code(ssid: &str, password: Option<&str>) -> String {
    let escaped = |text: &str| {
        text.chars().fold(String::new(), |mut all, character| {
            if matches!(character, '\\' | ';' | ',' | ':' | '"') {
                all.push('\\');
            }
            all.push(character);
            all
        })
    };
    match password {
        Some(password) => format!("WIFI:T:WPA;S:{};P:{};;", escaped(ssid), escaped(password)),
        None => format!("WIFI:T:nopass;S:{};;", escaped(ssid)),
    }
}

/// Why a network was not joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The password is wrong; not `sure` where the network does not say so.
    Password {
        /// Whether it said so.
        sure: bool,
    },
    /// No such network is within reach.
    NotFound,
    /// It gave no address.
    NoAddress,
    /// The network is there, and refuses the box or does not finish.
    Refused,
    /// It took longer than it may.
    TooLong,
    /// It was broken off: the plug was pulled, or the network service ended.
    BrokenOff,
    /// What NetworkManager said.
    Other {
        /// Its words.
        said: String,
    },
}

/// NetworkManager's reason for a device's state, as far as they tell people something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceReason(pub u32);

impl Failure {
    /// Judged by the reason that NetworkManager gave, whether the network was `seen` in the last look at what is there, and how it is closed.
    pub const fn of(reason: DeviceReason, seen: Option<Security>) -> Self {
        match reason.0 {
            // No secrets: nobody is there to be asked again, so those that it had were wrong.
            7 => Self::Password { sure: true },
            // The network's configuration was not available; DHCP failed, or gave an error or nothing.
            5 | 15 | 16 | 17 => Self::NoAddress,
            // Not found: said of a network whose WPA3 refuses the password, too. It was there a moment ago.
            53 => match seen {
                Some(Security::Wpa3 | Security::Wpa2Wpa3) => Self::Password { sure: false },
                Some(_) => Self::Refused,
                None => Self::NotFound,
            },
            // The supplicant disconnected, failed, or took too long; its configuration failed.
            8..=11 => match seen {
                Some(security) if security.wants_password() => Self::Password { sure: false },
                _ => Self::Refused,
            },
            _ => Self::Refused,
        }
    }

    /// In a sentence for people, with what to do.
    pub fn words(&self, ssid: &str) -> String {
        match self {
            Self::Password { sure: true } => {
                format!("The password for {ssid} is wrong. Type it again: capitals count.")
            }
            Self::Password { sure: false } => {
                format!(
                    "{ssid} did not let the box in. Most likely the password is wrong: type it again, capitals count."
                )
            }
            Self::NotFound => format!(
                "No network called {ssid} is within reach. Look at the name, capitals count; or move the box closer to the venue's router."
            ),
            Self::NoAddress => format!(
                "{ssid} let the box in and gave it no address. Restart the venue's router, or ask whoever runs it whether it is full or takes \
                 known devices only."
            ),
            Self::Refused => {
                format!(
                    "{ssid} is there and refused the box. Ask whoever runs it whether it takes known devices only, or choose another one."
                )
            }
            Self::TooLong => format!("{ssid} took too long. Try again, closer to the venue's router if you can."),
            Self::BrokenOff => format!("Joining {ssid} was broken off before it was done. Try again."),
            Self::Other { said } => format!("{ssid} could not be joined: {said}."),
        }
    }
}
