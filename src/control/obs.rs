//! The venue's OBS: its stream, a trial of a connection, and "set it up for me". All of it answers in time, even when OBS does not: what
//! was begun then goes on.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{net::lookup_host, time::timeout};
use utoipa::ToSchema;

use super::{
    addresses::{bracketed, with_port},
    denied::Denied,
    journal::By,
    room::{Control, to_the_end},
    settings, viewers,
};
use crate::{
    accounts::Viewer,
    obs::{Built, Inventory, Obs, PROGRAMME_INPUT, SetUp, Streaming, Target, Trouble},
};

/// How long an answer waits for OBS: less than any answer may take.
const IN_TIME: Duration = Duration::from_secs(9);

/// How long the name of OBS's machine may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(2);

/// What the viewer tokens are called that an OBS was given.
const LABEL: &str = "OBS";

/// What OBS has.
///
/// # Errors
/// That it is not connected, or does not answer in time.
pub(crate) async fn inventory(control: &Control) -> Result<Inventory, Denied> {
    let obs = control.parts().obs.clone();
    in_time(async move { Ok(obs.inventory().await?) }).await
}

/// Does a thing to its end, and waits for that as long as an answer may.
async fn in_time<T: Send + 'static>(
    work: impl Future<Output = Result<T, Denied>> + Send + 'static,
) -> Result<T, Denied> {
    timeout(IN_TIME, to_the_end(work)).await.unwrap_or_else(|_| {
        let why = "OBS takes its time, and what was asked for may be done yet: look again in a moment";
        Err(Denied::Busy { why, again: Duration::from_secs(5) })
    })
}

/// Tries to connect now instead of after the pause; with a connection, reads OBS anew.
///
/// # Errors
/// That too many requests wait for OBS.
pub(crate) async fn connect_anew(control: &Control, by: &By) -> Result<(), Denied> {
    by.did("obs.reconnect", "");
    let obs = control.parts().obs.clone();
    in_time(async move { Ok(obs.reconnect().await?) }).await
}

/// Starts or stops OBS's own stream.
///
/// # Errors
/// That it is not connected, refuses, or starts or stops just now.
pub(crate) async fn stream(control: &Control, by: &By, on: bool) -> Result<Streaming, Denied> {
    by.did("obs.stream", if on { "start" } else { "stop" });
    let obs = control.parts().obs.clone();
    in_time(async move { Ok(obs.stream(on).await?) }).await
}

/// Where an OBS may be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ObsTrial)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    /// A name or an address.
    pub(crate) host: String,
    /// The port of its websocket server.
    pub(crate) port: u16,
    /// Its password. Without one, that of the settings if the host is the one that is set there.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<SecretString>,
}

/// What a trial of a connection found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tried {
    /// OBS's version, if it works.
    pub(crate) version: Option<String>,
    /// What is in the way, if it does not.
    pub(crate) trouble: Option<Trouble>,
    /// The same in words, with a next step.
    pub(crate) message: String,
}

/// Tries a connection out.
///
/// # Errors
/// An address that can be none, or that another trial runs.
pub(crate) async fn try_out(control: &Control, by: &By, trial: Trial) -> Result<Tried, Denied> {
    let host = trial.host.trim().to_owned();
    by.did("obs.test", format!("{}:{}", host.chars().take(100).collect::<String>(), trial.port));
    if host.is_empty() || host.len() > 253 || host.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Denied::invalid("host", "write a name or an address, such as 10.0.0.7"));
    }
    if trial.port == 0 {
        return Err(Denied::invalid("port", "write a port from 1 to 65535"));
    }
    let Ok(_alone) = control.room().obs_trial.try_lock() else {
        let why = "another connection is being tried out; wait until that is done".to_owned();
        return Err(Denied::NotNow { why, again: Some(Duration::from_secs(5)) });
    };
    let set = control.config();
    // Only to where it belongs: whoever may try any address would have it sent to any.
    let kept = set.obs.password.clone().filter(|_| set.obs.host.as_deref() == Some(host.as_str()));
    // An empty one is none.
    let password = trial.password.or(kept).filter(|password| !password.expose_secret().is_empty());
    let target = Target { host, port: trial.port, password };
    let found = timeout(IN_TIME, Obs::try_out(&target)).await.unwrap_or(Err(Trouble::Frozen));
    Ok(match found {
        Ok(version) => {
            let message = format!("OBS {version} answers there, and takes the password");
            Tried { message, version: Some(version), trouble: None }
        }
        Err(trouble) => Tried { version: None, message: trouble.to_string(), trouble: Some(trouble) },
    })
}

/// What "set it up for me" did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetUpDone {
    #[serde(flatten)]
    pub(crate) built: Built,
    /// The settings that were written: those that nobody had set.
    pub(crate) set: Vec<String>,
}

/// Sets OBS up.
///
/// # Errors
/// That it is not connected or refuses, or that the settings cannot be written.
pub(crate) async fn set_up(control: &Control, by: &By) -> Result<SetUpDone, Denied> {
    by.did("obs.setup", "");
    let (control, words) = (control.clone(), by.clone());
    let done = in_time(async move {
        let origin = reached_from(&control).await?;
        let there = has_programme(&control.parts().obs.inventory().await?);
        // What is there keeps its own address, so that nothing has to be able to watch.
        let viewer = if there { None } else { Some(make_viewer(&control).await?) };
        let path = viewer.as_ref().map(|(_, token)| viewers::path(token.expose_secret()));
        let wanted = SetUp {
            programme: SecretString::from(format!("{origin}{}", path.as_deref().unwrap_or("/program.flv"))),
            queue: format!("{origin}/queue-list"),
            timer: format!("{origin}/timer-page?align=right"),
            now: format!("{origin}/now-page?valign=bottom"),
        };
        let built = control.parts().obs.set_up(wanted).await;
        if let Some((viewer, _)) = viewer {
            let used = match &built {
                Ok(built) => built.made.iter().any(|made| made == PROGRAMME_INPUT),
                // It may have come that far.
                Err(_) => control.parts().obs.inventory().await.is_ok_and(|now| has_programme(&now)),
            };
            if !used {
                revoke(&control, &viewer).await;
            }
        }
        let built = built?;
        let set = write_mapping(&control, &built.mapping).await?;
        words.did("obs.setup", format!("{} made; settings: {}", built.made.len(), set.join(", ")));
        Ok(SetUpDone { built, set })
    });
    done.await
}

fn has_programme(inventory: &Inventory) -> bool {
    inventory.inputs.iter().any(|input| input.name == PROGRAMME_INPUT)
}

/// Writes keys of `[obs]` into the settings where nobody has set them; gives those.
async fn write_mapping(control: &Control, mapping: &BTreeMap<String, Value>) -> Result<Vec<String>, Denied> {
    let view = control.settings();
    let unset: BTreeMap<_, _> = mapping
        .iter()
        .map(|(key, value)| (format!("obs.{key}"), value.clone()))
        .filter(|(key, _)| {
            let setting = view.iter().find(|setting| setting.key == key);
            setting.is_some_and(|setting| setting.value == setting.default && setting.locked.is_none())
        })
        .collect();
    let keys: Vec<_> = unset.keys().cloned().collect();
    if !keys.is_empty() {
        settings::apply(control, unset).await?;
    }
    Ok(keys)
}

/// Which source is to play the programme.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramSource {
    /// The name of a media source in OBS.
    pub(crate) input: String,
}

/// Points a media source at the programme.
///
/// # Errors
/// That OBS is not connected or refuses, or that the setting cannot be written.
pub(crate) async fn play(control: &Control, by: &By, source: ProgramSource) -> Result<(), Denied> {
    let input = source.input;
    by.did("obs.program", input.chars().take(100).collect::<String>());
    if input.is_empty() {
        return Err(Denied::invalid("input", "choose a media source of OBS"));
    }
    let control = control.clone();
    in_time(async move {
        let edits = BTreeMap::from([("obs.program_source".to_owned(), Value::from(input.as_str()))]);
        let same = control.config().obs.program_source.as_deref() == Some(input.as_str());
        if !same {
            // Before a token is made and OBS is touched: whether it can be written at all.
            settings::propose(&control, edits.clone(), false).await?;
        }
        let origin = reached_from(&control).await?;
        let (viewer, token) = make_viewer(&control).await?;
        let address = SecretString::from(format!("{origin}{}", viewers::path(token.expose_secret())));
        if let Err(error) = control.parts().obs.play_programme(&input, &address).await {
            revoke(&control, &viewer).await;
            return Err(error.into());
        }
        if !same {
            settings::apply(&control, edits).await?;
        }
        Ok(())
    })
    .await
}

async fn make_viewer(control: &Control) -> Result<(Viewer, SecretString), Denied> {
    Ok(control.parts().accounts.viewers().create(LABEL).await?)
}

/// Nobody plays with it.
async fn revoke(control: &Control, viewer: &Viewer) {
    if let Err(error) = control.parts().accounts.viewers().revoke(viewer.id).await {
        tracing::warn!(%error, "a viewer token that nobody uses could not be revoked");
    }
    control.room().players.end(viewer.id);
}

/// The beginning of the addresses by which OBS reaches this box: that of the route towards it, and the plain page's port.
async fn reached_from(control: &Control) -> Result<String, Denied> {
    let set = control.config();
    let Some(host) = set.obs.host.as_deref() else {
        return Err(Denied::NoObs("no OBS is set: write where it is first (obs.host)".to_owned()));
    };
    let unknown = || Denied::NoObs(format!("this box finds no way to {host}: is the address right?"));
    let listen = control.config().web.listen.ip();
    if !listen.is_unspecified() {
        return Ok(origin(listen, control.parts().doors.plain));
    }
    let found = timeout(LOOK_UP, lookup_host((host.trim_matches(['[', ']']), set.obs.port))).await;
    let found: Vec<SocketAddr> = found.map_err(|_| unknown())?.map_err(|_| unknown())?.collect();
    // A page that listens on IPv4 alone is reached by that alone.
    let mut served = found.iter().filter(|address| listen.is_ipv6() || address.is_ipv4());
    let own = served.find_map(|address| own_address_towards(*address)).ok_or_else(unknown)?;
    Ok(origin(own, control.parts().doors.plain))
}

fn origin(address: IpAddr, port: u16) -> String {
    let host = bracketed(address.to_canonical());
    format!("http://{}", with_port(&host, port, 80))
}

/// This machine's address on the way there. Sends nothing: connecting a datagram socket only looks the route up.
fn own_address_towards(address: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn obs_on_this_machine_reaches_the_box_by_loopback() {
        let towards = |address: &str| own_address_towards(address.parse().unwrap());
        assert_eq!(towards("127.0.0.1:4455"), Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn origin_has_a_port_only_where_it_is_not_the_usual_one_and_brackets_where_they_are_needed() {
        for (address, port, wanted) in [
            ("10.0.0.7", 8080, "http://10.0.0.7:8080"),
            ("10.0.0.7", 80, "http://10.0.0.7"),
            ("fd00::7", 8080, "http://[fd00::7]:8080"),
            ("::ffff:10.0.0.7", 80, "http://10.0.0.7"),
        ] {
            assert_eq!(origin(address.parse().unwrap(), port), wanted);
        }
    }
}
