//! NetworkManager on D-Bus: its calls, each with a limit of time, and its signals.

use std::{collections::HashMap, num::NonZeroUsize, pin::Pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{
    sync::{Notify, broadcast},
    task::AbortHandle,
    time::timeout,
};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Type, Variant, connection, message};

/// The service.
const SERVICE: &str = "org.freedesktop.NetworkManager";
/// Its first object, and the interface of that.
const MANAGER: &str = "/org/freedesktop/NetworkManager";
const SETTINGS: &str = "/org/freedesktop/NetworkManager/Settings";
pub(super) const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const WIRELESS: &str = "org.freedesktop.NetworkManager.Device.Wireless";
pub(super) const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
pub(super) const PROFILE: &str = "org.freedesktop.NetworkManager.Settings.Connection";

/// How long a look may take.
const CALL: Duration = Duration::from_secs(5);
/// How long a change may take: who may make one is asked of polkit, which starts for it.
const CHANGE: Duration = Duration::from_secs(25);
/// Changes of devices' states that wait to be read. Whoever joins a network reads them.
const STATES: usize = 64;

/// What one interface of an object says.
pub(super) type Properties = HashMap<String, OwnedVariant>;
/// All objects, each with its interfaces.
pub(super) type Objects = HashMap<OwnedObjectPath, HashMap<String, Properties>>;
/// A connection profile as it is read.
pub(super) type Kept = HashMap<String, Properties>;
/// One as it is written.
pub(super) type Profile = HashMap<String, HashMap<String, Variant<'static>>>;

/// Why a call did not work.
#[derive(Debug, Error)]
pub(super) enum BusError {
    /// There is no system bus, or nobody by that name on it.
    #[error("there is no NetworkManager on this machine")]
    Absent,
    /// No answer in time, or the connection broke.
    #[error("NetworkManager does not answer")]
    Silent,
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, said, _) => match name.as_str() {
                "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
                    Self::Absent
                }
                "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.Timeout" => Self::Silent,
                _ => Self::Refused(said.unwrap_or_else(|| name.to_string()).chars().take(300).collect()),
            },
            _ => Self::Silent,
        }
    }
}

/// A device, or an activation, has another state.
#[derive(Clone, Debug)]
pub(super) struct StateChange {
    pub(super) path: OwnedObjectPath,
    pub(super) state: u32,
    pub(super) reason: u32,
}

/// The connection to the bus. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bus {
    connection: Connection,
    /// Something is different.
    pub(super) changed: Arc<Notify>,
    states: broadcast::Sender<StateChange>,
    _listener: Arc<Listener>,
}

/// The task that reads signals ends with the last handle.
struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bus {
    /// Connects to the bus at an address, or to the system's, and listens to NetworkManager, which need not be there.
    pub(super) async fn connect(address: Option<&str>) -> Result<Self, BusError> {
        let bus = address.map_or_else(connection::Builder::system, connection::Builder::address);
        let built = timeout(CALL, bus.method_timeout(CHANGE).build()).await;
        // Whatever is wrong with it: there is no bus to speak of.
        let connection = built.map_err(|_| BusError::Silent)?.map_err(|_| BusError::Absent)?;
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .sender(SERVICE)
            .build()
            .map_err(|_| BusError::Absent)?;
        let stream = MessageStream::for_match_rule(rule, &connection, NonZeroUsize::new(STATES));
        let mut stream = timeout(CALL, stream).await.map_err(|_| BusError::Silent)??;
        let (states, changed) = (broadcast::channel(STATES).0, Arc::new(Notify::new()));
        let (tell, notify) = (states.clone(), Arc::clone(&changed));
        // A task of its own: what is not read here keeps answers back.
        let listener = tokio::spawn(async move {
            while let Some(Ok(signal)) = stream.next().await {
                if let Some(change) = state_change(&signal) {
                    let _nobody_joins = tell.send(change);
                }
                if !is_noise(&signal) {
                    notify.notify_one();
                }
            }
            // The connection is gone; whoever looks finds that out.
            notify.notify_one();
        });
        let listener = Arc::new(Listener(listener.abort_handle()));
        Ok(Self { connection, changed, states, _listener: listener })
    }

    /// Whether the connection is gone for good.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Changes of devices' states from now on.
    pub(super) fn states(&self) -> broadcast::Receiver<StateChange> {
        self.states.subscribe()
    }

    /// A call of NetworkManager, with its limit: [`CALL`] or [`CHANGE`].
    async fn call<B, R>(
        &self,
        limit: Duration,
        path: &str,
        interface: &'static str,
        member: &'static str,
        body: &B,
    ) -> Result<R, BusError>
    where
        B: Serialize + Type + Sync,
        R: DeserializeOwned + Type + Send,
    {
        self.call_of(limit, SERVICE, path, interface, member, body).await
    }

    async fn call_of<B, R>(
        &self,
        limit: Duration,
        service: &'static str,
        path: &str,
        interface: &'static str,
        member: &'static str,
        body: &B,
    ) -> Result<R, BusError>
    where
        B: Serialize + Type + Sync,
        R: DeserializeOwned + Type + Send,
    {
        let call = self.connection.call_method(Some(service), path, Some(interface), member, body);
        // In a box of its own: the compiler cannot see that what it borrows is fit for another thread.
        let call: Pin<Box<dyn Future<Output = zbus::Result<zbus::Message>> + Send + '_>> = Box::pin(call);
        let answer = timeout(limit, call).await.map_err(|_| BusError::Silent)??;
        answer.body().deserialize().map_err(|_| BusError::Refused(format!("an answer to {member} that makes no sense")))
    }

    /// Whether NetworkManager runs. Asking itself could start it where it does not.
    pub(super) async fn is_there(&self) -> Result<bool, BusError> {
        let bus = "org.freedesktop.DBus";
        self.call_of(CALL, bus, "/org/freedesktop/DBus", bus, "NameHasOwner", &(SERVICE,)).await
    }

    /// Everything that it has.
    pub(super) async fn objects(&self) -> Result<Objects, BusError> {
        let interface = "org.freedesktop.DBus.ObjectManager";
        self.call(CALL, "/org/freedesktop", interface, "GetManagedObjects", &()).await
    }

    /// A profile's settings, without its secrets.
    pub(super) async fn settings(&self, profile: &OwnedObjectPath) -> Result<Kept, BusError> {
        self.call(CALL, profile.as_str(), PROFILE, "GetSettings", &()).await
    }

    /// The secrets in a part of a profile's settings.
    pub(super) async fn secrets(&self, profile: &OwnedObjectPath, part: &str) -> Result<Kept, BusError> {
        self.call(CHANGE, profile.as_str(), PROFILE, "GetSecrets", &(part,)).await
    }

    /// Adds a profile that is kept; what joins by itself does so.
    pub(super) async fn add(&self, profile: &Profile) -> Result<OwnedObjectPath, BusError> {
        let options: HashMap<&str, Variant<'_>> = HashMap::new();
        let body = (profile, 0x1_u32, options);
        let added: (OwnedObjectPath, Properties) =
            self.call(CHANGE, SETTINGS, "org.freedesktop.NetworkManager.Settings", "AddConnection2", &body).await?;
        Ok(added.0)
    }

    /// Adds a profile and activates it on a device. `persist`: `memory`, or `volatile`, which goes with the activation. Gives profile and activation.
    pub(super) async fn add_and_activate(
        &self,
        profile: &Profile,
        device: &OwnedObjectPath,
        persist: &'static str,
    ) -> Result<(OwnedObjectPath, OwnedObjectPath), BusError> {
        let options = HashMap::from([("persist", Variant::from(persist))]);
        let body = (profile, device, no_object(), options);
        let added: (OwnedObjectPath, OwnedObjectPath, Properties) =
            self.call(CHANGE, MANAGER, SERVICE, "AddAndActivateConnection2", &body).await?;
        Ok((added.0, added.1))
    }

    /// Activates a profile.
    pub(super) async fn activate(
        &self,
        profile: &OwnedObjectPath,
        device: &OwnedObjectPath,
    ) -> Result<OwnedObjectPath, BusError> {
        self.call(CHANGE, MANAGER, SERVICE, "ActivateConnection", &(profile, device, no_object())).await
    }

    /// Ends an activation.
    pub(super) async fn deactivate(&self, active: &OwnedObjectPath) -> Result<(), BusError> {
        self.call(CHANGE, MANAGER, SERVICE, "DeactivateConnection", &(active,)).await
    }

    /// Changes a profile; `to_disk`: it is kept, else it is in memory only.
    pub(super) async fn update(
        &self,
        path: &OwnedObjectPath,
        profile: &Profile,
        to_disk: bool,
    ) -> Result<(), BusError> {
        let options: HashMap<&str, Variant<'_>> = HashMap::new();
        let body = (profile, if to_disk { 0x1_u32 } else { 0x2 }, options);
        let _result: Properties = self.call(CHANGE, path.as_str(), PROFILE, "Update2", &body).await?;
        Ok(())
    }

    /// Removes a profile; what it is active on is left.
    pub(super) async fn delete(&self, profile: &OwnedObjectPath) -> Result<(), BusError> {
        self.call(CHANGE, profile.as_str(), PROFILE, "Delete", &()).await
    }

    /// Has a radio look around.
    pub(super) async fn scan(&self, device: &OwnedObjectPath) -> Result<(), BusError> {
        let options: HashMap<&str, Variant<'_>> = HashMap::new();
        self.call(CHANGE, device.as_str(), WIRELESS, "RequestScan", &(options,)).await
    }

    /// Has NetworkManager look now whether the internet is there.
    pub(super) async fn check(&self) -> Result<u32, BusError> {
        self.call(CALL, MANAGER, SERVICE, "CheckConnectivity", &()).await
    }

    /// Remembers how a device is set up, and goes back to that after `seconds` unless it is told otherwise.
    pub(super) async fn remember(&self, device: &OwnedObjectPath, seconds: u32) -> Result<OwnedObjectPath, BusError> {
        // Without deleting what is new: a Wi-Fi that is joined meanwhile is none of this.
        self.call(CHANGE, MANAGER, SERVICE, "CheckpointCreate", &(vec![device], seconds, 0_u32)).await
    }

    /// Goes back now.
    pub(super) async fn go_back(&self, checkpoint: &OwnedObjectPath) -> Result<(), BusError> {
        let _devices: HashMap<String, u32> =
            self.call(CHANGE, MANAGER, SERVICE, "CheckpointRollback", &(checkpoint,)).await?;
        Ok(())
    }

    /// Goes back no more.
    pub(super) async fn keep(&self, checkpoint: &OwnedObjectPath) -> Result<(), BusError> {
        self.call(CHANGE, MANAGER, SERVICE, "CheckpointDestroy", &(checkpoint,)).await
    }

    /// All profiles.
    pub(super) async fn profiles(&self) -> Result<Vec<OwnedObjectPath>, BusError> {
        self.call(CALL, SETTINGS, "org.freedesktop.NetworkManager.Settings", "ListConnections", &()).await
    }
}

/// Where a call wants an object and there is none.
fn no_object() -> OwnedObjectPath {
    OwnedObjectPath::try_from("/").unwrap_or_default()
}

fn state_change(signal: &zbus::Message) -> Option<StateChange> {
    let header = signal.header();
    if header.member()?.as_str() != "StateChanged" {
        return None;
    }
    let (state, reason) = match header.interface()?.as_str() {
        DEVICE => {
            let (state, _before, reason): (u32, u32, u32) = signal.body().deserialize().ok()?;
            (state, reason)
        }
        ACTIVE => signal.body().deserialize::<(u32, u32)>().ok()?,
        _ => return None,
    };
    Some(StateChange { path: header.path()?.to_owned().into(), state, reason })
}

/// Whether a signal says no more than how loud something is, which it does every few seconds.
fn is_noise(signal: &zbus::Message) -> bool {
    const NOISE: [&str; 4] = ["Strength", "Bitrate", "LastSeen", "MaxBitrate"];
    let header = signal.header();
    if header.member().is_none_or(|member| member.as_str() != "PropertiesChanged") {
        return false;
    }
    let changed = signal.body().deserialize::<(String, Properties, Vec<String>)>();
    changed.is_ok_and(|(_, changed, gone)| {
        gone.is_empty() && !changed.is_empty() && changed.keys().all(|name| NOISE.contains(&name.as_str()))
    })
}
