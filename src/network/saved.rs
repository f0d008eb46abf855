//! The Wi-Fi networks that the box knows, with their passwords: read for a backup, and known again from one.

use std::collections::HashMap;

use secrecy::SecretString;

use super::{
    bus::{Bus, BusError, Kept},
    look::{Known, flag, name_of, string},
    order::Join,
    profile,
};
use crate::core::network::wifi::{SavedWifi, Security};

const WIRELESS: &str = "802-11-wireless";
const CLOSED: &str = "802-11-wireless-security";
const USER: &str = "802-1x";

/// Everything that is known, with what it takes to join it.
///
/// # Errors
/// When NetworkManager does not tell.
pub(super) async fn read(bus: &Bus, known: &[Known]) -> Result<Vec<SavedWifi>, BusError> {
    let mut saved = Vec::new();
    for known in known {
        let settings = bus.settings(&known.profile).await?;
        let part = if settings.contains_key(USER) { USER } else { CLOSED };
        // Asked of an open one it is an error.
        let secrets =
            if settings.contains_key(CLOSED) { bus.secrets(&known.profile, part).await? } else { HashMap::new() };
        saved.extend(of(&settings, &secrets));
    }
    Ok(saved)
}

/// Read from a profile's settings and its secrets; none: no Wi-Fi that a box joins.
fn of(settings: &Kept, secrets: &Kept) -> Option<SavedWifi> {
    let read = |from: &Kept, section: &str, key: &str| from.get(section)?.get(key).and_then(|value| string(value));
    let wireless = settings.get(WIRELESS)?;
    let security = match read(settings, CLOSED, "key-mgmt").as_deref() {
        None => Security::Open,
        Some("owe") => Security::Enhanced,
        Some("sae") => Security::Wpa3,
        Some("wpa-psk") => Security::Wpa2,
        Some("wpa-eap" | "ieee8021x" | "wpa-eap-suite-b-192") => Security::Enterprise,
        Some(_) => return None,
    };
    let password = match security {
        Security::Enterprise => read(secrets, USER, "password"),
        _ => read(secrets, CLOSED, "psk"),
    };
    Some(SavedWifi {
        ssid: name_of(wireless.get("ssid")?)?,
        security,
        password: password.map(SecretString::from),
        hidden: flag(wireless, "hidden"),
        identity: read(settings, USER, "identity"),
        server: read(settings, USER, "domain-suffix-match"),
    })
}

/// Has NetworkManager know networks of a backup, but those that it knows by itself: what works here works here. Tells how many are new.
///
/// # Errors
/// When NetworkManager does not answer; those before are known.
pub(super) async fn know(bus: &Bus, known: &[Known], saved: Vec<SavedWifi>) -> Result<usize, BusError> {
    let mut new = 0;
    for wifi in saved.into_iter().filter(|wifi| !known.iter().any(|known| known.ssid == wifi.ssid)) {
        let SavedWifi { ssid, security, password, hidden, identity, server } = wifi;
        let join = Join { ssid, password, hidden, identity, server };
        match profile::venue(&join, Some(security)) {
            Ok(profile) => {
                match bus.add(&profile::kept(profile)).await {
                    Ok(_) => new += 1,
                    // The others are known for all that.
                    Err(BusError::Refused(said)) => {
                        tracing::warn!(ssid = join.ssid, said, "a network of the backup is refused");
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) => tracing::warn!(ssid = join.ssid, %error, "a network of the backup cannot be joined"),
        }
    }
    Ok(new)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use secrecy::ExposeSecret as _;

    use zbus::Variant;

    use super::*;

    /// A profile as NetworkManager gives one back: what was written, read.
    fn kept(profile: &super::super::bus::Profile) -> Kept {
        let owned = |value: &Variant<'static>| value.clone().try_into().unwrap();
        profile
            .iter()
            .map(|(name, section)| {
                (name.clone(), section.iter().map(|(key, value)| (key.clone(), owned(value))).collect())
            })
            .collect()
    }

    #[test]
    fn what_was_joined_is_read_back_as_it_was_written() {
        let join = |ssid: &str, password: Option<&str>, identity: Option<&str>| Join {
            ssid: ssid.to_owned(),
            password: password.map(|password| password.to_owned().into()),
            hidden: ssid == "Hidden",
            identity: identity.map(str::to_owned),
            server: identity.map(|_| "radius.example".to_owned()),
        };
        for (join, security) in [
            (join("Bar", None, None), Security::Open),
            (join("Quiet", None, None), Security::Enhanced),
            (join("House of Sound", Some("correct horse"), None), Security::Wpa2),
            (join("Hidden", Some("correct horse"), None), Security::Wpa2),
            (join("Campus", Some("a user's password"), Some("ada")), Security::Enterprise),
        ] {
            let settings = kept(&profile::venue(&join, Some(security)).unwrap());
            // NetworkManager tells secrets only where it is asked for them, in sections by the same names.
            let saved = of(&settings, &settings).unwrap();
            assert!(saved.check().is_ok(), "{saved:?}");
            assert_eq!(
                (&saved.ssid, saved.security, saved.hidden, &saved.identity, &saved.server),
                (&join.ssid, security, join.hidden, &join.identity, &join.server)
            );
            let exposed =
                |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
            assert_eq!(exposed(&saved.password), exposed(&join.password));
        }
        let own = profile::access_point(
            "Motherstream-1234",
            crate::core::network::Purpose::Setup,
            None,
            "wlan0",
            profile::Channel(6),
        );
        assert!(of(&HashMap::new(), &HashMap::new()).is_none());
        assert!(of(&kept(&own), &HashMap::new()).is_some_and(|wifi| wifi.security == Security::Open));
    }
}
