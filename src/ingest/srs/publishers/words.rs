//! What the publishers are told, and what they order.

use std::{net::IpAddr, sync::Arc};

use crate::{
    core::{
        account::StreamKey,
        frame::{ConnectionId, RemoteFigures},
        moment::Moment,
    },
    ingest::srs::api::Stream,
};

/// SRS's name for one of its clients. Client ids are unique within a run of the process, `service`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::ingest::srs) struct Client {
    pub(in crate::ingest::srs) service: Arc<str>,
    pub(in crate::ingest::srs) id: Arc<str>,
}

impl Client {
    pub(in crate::ingest::srs) fn new(service: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { service: service.into(), id: id.into() }
    }

    /// What the rest of the box calls it.
    pub(in crate::ingest::srs) fn connection(&self) -> ConnectionId {
        ConnectionId::new(format!("srs-{}-{}", self.service, self.id))
    }
}

/// One hook that waits for its answer.
pub(in crate::ingest::srs) type Ticket = u64;

/// A wish to publish.
#[derive(Clone, Debug)]
pub(in crate::ingest::srs) struct Wish {
    pub(in crate::ingest::srs) client: Client,
    pub(in crate::ingest::srs) app: String,
    pub(in crate::ingest::srs) key: StreamKey,
    pub(in crate::ingest::srs) address: IpAddr,
    /// It stays in SRS for a while when it is refused, and keeps the stream's name taken: WebRTC.
    pub(in crate::ingest::srs) lingers: bool,
}

/// A publisher as SRS's API has it.
#[derive(Clone, Debug)]
pub(in crate::ingest::srs) struct Live {
    pub(in crate::ingest::srs) id: Arc<str>,
    pub(in crate::ingest::srs) stream: Stream,
    /// Where it comes from, if it was looked up.
    pub(in crate::ingest::srs) address: Option<IpAddr>,
}

/// What SRS's API said.
#[derive(Clone, Debug)]
pub(in crate::ingest::srs) struct Snapshot {
    pub(in crate::ingest::srs) service: Arc<str>,
    /// When it was asked: what happened since may be missing.
    pub(in crate::ingest::srs) asked: Moment,
    pub(in crate::ingest::srs) live: Vec<Live>,
    /// Those of [`super::Publishers::expected`] that it does not have.
    pub(in crate::ingest::srs) gone: Vec<Client>,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub(in crate::ingest::srs) enum Effect {
    /// Ask the director. [`super::Publishers::verdict`] must follow, whatever comes.
    Ask(Wish),
    /// Answer a hook.
    Answer(Ticket, Result<(), Arc<str>>),
    /// Disconnect it through the API; with `watch`, look until it is gone and say so by [`super::Publishers::unpublish`]. A WebRTC session is let
    /// finish its own beginning first (`lingers`): SRS still works on its answer.
    Kick { client: Client, watch: bool, lingers: bool },
    /// Look until nobody pulls this stream any more, and say so by [`super::Publishers::cleared`].
    Clear { client: Client, key: StreamKey },
    /// Media may pull it from now on.
    Announce { connection: ConnectionId, app: String, key: StreamKey },
    /// And not any more.
    Withdraw(ConnectionId),
    /// SRS's figures.
    Report(ConnectionId, RemoteFigures),
    /// For the director.
    Trouble(ConnectionId, String),
    /// For the director: one that it accepted is over.
    Unpublish(ConnectionId),
}

/// What stands in the way of a stream name that SRS calls busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingest::srs) enum Obstacle {
    /// Nothing that is known here.
    None,
    /// The director refused it just now, for this reason.
    Refused(Arc<str>),
    /// Somebody who publishes and may stay.
    Stays,
    /// Somebody who was told to go; it is gone when none of these is there any more.
    Going(Vec<Client>),
}
