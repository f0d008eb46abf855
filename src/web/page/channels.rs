//! The channels: what the room sees, what overlays show, what those who run the night and the box see. Each is rendered once per change
//! for all who look ([`super::live`]).
//!
//! `/live/...` is one channel; `/live?of=room,admin&as=7` several by one stream, for a browser with many pages (`web/assets/line.js`).
//! What is not for everybody is given there only to the session of the account that the pages were made for (`as`): pages of somebody who
//! has signed out, or of whoever was signed in before, hear nothing of it.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Query, State},
    http::HeaderMap,
    response::Response,
};
use futures_util::StreamExt;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    admin,
    live::{self, Channel, Events, Snapshot},
    me, overlay, room,
};
use crate::{
    control::journal::Caller,
    core::account::{AccountId, Role},
    web::{
        app::App,
        http::{
            caller::{Own, Peer},
            lines::{Holder, Place, Pool},
            problem::{Kind, Problem},
            rights::{Right, Routes},
            sessions::stored,
        },
    },
};

/// Live parts of the whole page. Handlers find it among the extensions.
pub(crate) struct Channels {
    /// What the room sees: `/`.
    room: Channel,
    /// What overlays show.
    overlay: Channel,
    /// What those who run the night see: `/admin`.
    night: Channel,
    /// What operators see of destinations: `/admin/destinations`.
    operators: Channel,
    /// What admins see of them.
    admins: Channel,
    /// How OBS does: `/admin/obs`.
    obs: Channel,
    /// How the network does: `/admin/network`.
    network: Channel,
}

impl Channels {
    pub(crate) fn new() -> Self {
        Self {
            room: Channel::new(room::parts),
            overlay: Channel::new(overlay::parts),
            night: Channel::new(admin::night::parts),
            operators: Channel::new(admin::destinations::parts_for_operators),
            admins: Channel::new(admin::destinations::parts_for_admins),
            obs: Channel::new(admin::obs::parts),
            network: Channel::new(admin::network::parts),
        }
    }

    /// Renders what is listened to, until the box stops.
    pub(crate) async fn run(&self, app: &Arc<App>) {
        tokio::select! {
            () = app.stop.cancelled() => {}
            () = self.obs.keep(app, false) => {}
            () = self.network.keep(app, false) => {}
            () = self.room.keep(app, false) => {}
            () = self.overlay.keep(app, false) => {}
            () = self.night.keep(app, true) => {}
            () = self.operators.keep(app, true) => {}
            () = self.admins.keep(app, true) => {}
        }
    }

    /// The channel of a topic, and which role it takes. None for what one alone sees.
    fn channel(&self, topic: Topic, caller: &Caller) -> Option<(&Channel, Option<Role>)> {
        Some(match topic {
            Topic::Room => (&self.room, None),
            Topic::Overlay => (&self.overlay, None),
            Topic::Me => return None,
            Topic::Night => (&self.night, Some(Role::Operator)),
            Topic::Destinations if caller.is_admin() => (&self.admins, Some(Role::Admin)),
            Topic::Destinations => (&self.operators, Some(Role::Operator)),
            Topic::Obs => (&self.obs, Some(Role::Admin)),
            Topic::Network => (&self.network, Some(Role::Admin)),
        })
    }

    /// What `caller` hears of a topic; none if it is not for them.
    fn events(&self, app: &Arc<App>, topic: Topic, caller: &Caller) -> Option<Events> {
        match (self.channel(topic, caller), caller) {
            (Some((channel, None)), _) => Some(channel.listen(app, |_| true)),
            (Some((channel, Some(role))), _) => {
                live::has_role(app, caller, role).then(|| channel.listen_as(app, caller.clone(), role))
            }
            (None, Caller::Account(account)) => Some(me::events(app, account.id)),
            (None, _) => None,
        }
    }

    /// Adds what `caller` may see of a topic at this moment; false if it is not for them.
    fn add(&self, app: &App, topic: Topic, caller: &Caller, to: &mut Snapshot) -> Result<bool, Problem> {
        match (self.channel(topic, caller), caller) {
            (Some((channel, role)), _) if role.is_none_or(|role| live::has_role(app, caller, role)) => {
                to.add(topic.name(), &channel.now(app)?);
            }
            (None, Caller::Account(account)) => to.add_own(app, topic.name(), me::parts(app, account.id))?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What can be listened to. Its name is the rest of its own address, `/live/...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Room,
    Overlay,
    Me,
    Night,
    Destinations,
    Obs,
    Network,
}

impl Topic {
    const ALL: [Self; 7] =
        [Self::Room, Self::Overlay, Self::Me, Self::Night, Self::Destinations, Self::Obs, Self::Network];

    const fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Overlay => "overlay",
            Self::Me => "me",
            Self::Night => "admin",
            Self::Destinations => "admin/destinations",
            Self::Obs => "admin/obs",
            Self::Network => "admin/network",
        }
    }

    /// Whether everybody may see it.
    const fn is_open(self) -> bool {
        matches!(self, Self::Room | Self::Overlay)
    }
}

/// Topics separated by commas, and whose session has to ask for those that are not for everybody.
#[derive(Deserialize)]
struct Asked {
    of: String,
    #[serde(rename = "as", default)]
    account: String,
}

impl Asked {
    /// Each once, whatever is asked.
    fn topics(&self) -> Result<Vec<Topic>, Problem> {
        let mut topics = Vec::new();
        for name in self.of.split(',') {
            let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.name() == name) else {
                let names = Topic::ALL.map(Topic::name).join(", ");
                return Err(Problem::new(Kind::Invalid, format!("these are there: {names}")).field("of"));
            };
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        Ok(topics)
    }

    /// Who asks, as far as what is not for everybody is concerned.
    fn caller(&self, caller: Caller) -> Caller {
        match caller {
            Caller::Account(account) if self.account.parse().is_ok_and(|id| AccountId(id) == account.id) => {
                Caller::Account(account)
            }
            _ => Caller::Anonymous,
        }
    }
}

type Shared = Extension<Arc<Channels>>;

/// Who asks, if that can be told.
type Known = Result<Caller, Problem>;

/// What is `open` to everybody is so to whoever cannot be recognised, too: with a wrong token, or while the store cannot be read.
fn known(caller: Known, open: bool) -> Known {
    if open { Ok(caller.unwrap_or(Caller::Anonymous)) } else { caller }
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .live(Right::Anyone, "/live", line)
        .file(Right::Anyone, "/live/now", now)
        .live(Right::Anyone, "/live/room", live_room)
        .live(Right::Anyone, "/live/overlay", live_overlay)
        .live(Right::SignedIn, "/live/me", live_me)
        .live(Right::Operator, "/live/admin", live_night)
        .live(Right::Operator, "/live/admin/destinations", live_destinations)
        .live(Right::Admin, "/live/admin/obs", live_obs)
        .live(Right::Admin, "/live/admin/network", live_network)
}

/// A place for a line of `caller`'s.
fn place(app: &App, caller: &Caller, Peer(peer): Peer, otherwise: Pool) -> Result<Place, Problem> {
    app.lines.enter(Pool::of(caller, otherwise), Holder::of(caller, peer.ip()))
}

/// All that a browser shows, by one stream. What is not for it is named, and the rest is streamed.
async fn line(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Known,
    session: Session,
    peer: Peer,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let topics = asked.topics()?;
    let caller = known(caller, topics.iter().all(|topic| topic.is_open()))?;
    let pool = if topics == [Topic::Overlay] { Pool::Overlays } else { Pool::Room };
    let place = place(&app, &caller, peer, pool)?;
    let caller = asked.caller(caller);
    let (mut streams, mut refused) = (Vec::new(), Vec::new());
    for topic in topics.iter().copied() {
        match channels.events(&app, topic, &caller) {
            Some(events) => streams.push((topic.name(), events)),
            None => refused.push(topic.name()),
        }
    }
    let events = live::joined(streams);
    // It ends with the session by which it shows what is not for everybody.
    let own = topics.iter().any(|topic| !topic.is_open()) && matches!(caller, Caller::Account(_));
    let events = match session.id().filter(|_| own) {
        Some(id) => events.take_until(Box::pin(app.control.sessions().clone().over(stored(&id)))).boxed(),
        None => events,
    };
    Ok(live::answer(&app, place, live::refused(&refused), events))
}

/// The same at this moment, for a browser that cannot listen.
async fn now(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Known,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let topics = asked.topics()?;
    let caller = asked.caller(known(caller, topics.iter().all(|topic| topic.is_open()))?);
    let (mut snapshot, mut refused) = (Snapshot::default(), Vec::new());
    for topic in topics {
        if !channels.add(&app, topic, &caller, &mut snapshot)? {
            refused.push(topic.name());
        }
    }
    snapshot.refused(&refused);
    Ok(snapshot.answer(&app, &headers))
}

/// One topic by itself.
fn alone(
    app: &Arc<App>,
    channels: &Channels,
    (caller, peer): (&Caller, Peer),
    topic: Topic,
) -> Result<Response, Problem> {
    let otherwise = if topic == Topic::Overlay { Pool::Overlays } else { Pool::Room };
    let place = place(app, caller, peer, otherwise)?;
    // The guard has let them in; a role that was lost this very moment ends the stream as it begins.
    let events = channels.events(app, topic, caller).unwrap_or_else(|| futures_util::stream::empty().boxed());
    Ok(live::answer(app, place, bytes::Bytes::new(), events))
}

async fn live_room(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Known,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&known(caller, true)?, peer), Topic::Room)
}

async fn live_overlay(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Known,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&known(caller, true)?, peer), Topic::Overlay)
}

async fn live_me(
    State(app): State<Arc<App>>,
    channels: Shared,
    Own(account): Own,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&Caller::Account(account), peer), Topic::Me)
}

async fn live_night(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Caller,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&caller, peer), Topic::Night)
}

async fn live_destinations(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Caller,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&caller, peer), Topic::Destinations)
}

async fn live_obs(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Caller,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&caller, peer), Topic::Obs)
}

async fn live_network(
    State(app): State<Arc<App>>,
    channels: Shared,
    caller: Caller,
    peer: Peer,
) -> Result<Response, Problem> {
    alone(&app, &channels, (&caller, peer), Topic::Network)
}
