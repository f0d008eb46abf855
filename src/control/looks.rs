//! What may be looked at: the latest of everything, and what changes it. Nothing here changes anything.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use super::{
    addresses::Doors,
    denied::Denied,
    destinations::{bitrate::BitrateView, wanted::DestinationView},
    limits::Limits,
    news::Follower,
    readiness::Readiness,
    room::Control,
    sessions::Sessions,
    whip::WhipSessions,
};
use crate::{
    accounts::{Account, Invitation, KeyOwner, Viewer},
    config::{Config, Registration, SettingView},
    core::{
        account::{AccountId, StreamKey},
        destination::DestinationId,
        frame::ConnectionId,
        moment::Moment,
        queue::TurnId,
    },
    director::Snapshot,
    ingest::{IngestState, srs::whip::Whip},
    media::{
        MediaStatus,
        hls::Watch,
        pictures::{PictureOf, Thumbnail},
    },
    network::Snapshot as NetworkSnapshot,
    obs::Status as ObsStatus,
    store::HistoryRecord,
};

/// So many who wait are measured at once.
const MOST_LOOKED_AT: usize = 8;

impl Control {
    /// Follows what happens.
    pub fn news(&self) -> Follower {
        self.parts().wire.follow()
    }

    /// The time by the process's clock.
    pub fn now(&self) -> Moment {
        self.parts().clock.now()
    }

    /// The configuration in force. To be asked anew each time: it changes.
    pub fn config(&self) -> Arc<Config> {
        self.parts().settings.now()
    }

    /// Every key of the configuration, for those who change it.
    pub fn settings(&self) -> Vec<SettingView> {
        self.parts().settings.view()
    }

    /// What this start left out of the page's own settings, as key and reason.
    pub fn ignored_settings(&self) -> Vec<String> {
        self.parts().settings.ignored()
    }

    /// The latest look at the queue.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.parts().director.snapshot().borrow().clone()
    }

    /// The looks at the queue as they come.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.parts().director.snapshot()
    }

    /// How inputs, programme and destinations do.
    pub fn media_status(&self) -> Arc<MediaStatus> {
        self.parts().media.status().borrow().clone()
    }

    /// The same, as it changes.
    pub fn media_statuses(&self) -> watch::Receiver<Arc<MediaStatus>> {
        self.parts().media.status()
    }

    /// Has a connection measured for a while, also while it only waits.
    pub fn look_at(&self, connection: &ConnectionId) {
        self.parts().media.look_at(connection);
    }

    /// Has those who wait measured because somebody looks at all of them, the first eight: each may be pulled from the media server for it.
    pub(crate) fn look_at_waiting(&self, snapshot: &Snapshot) {
        let waiting = snapshot.queue.waiting.iter().filter_map(|entry| snapshot.connections.get(&entry.id));
        for connection in waiting.take(MOST_LOOKED_AT) {
            self.look_at(connection);
        }
    }

    /// What the running ingest takes and how it does, as it changes.
    pub fn ingest_states(&self) -> watch::Receiver<IngestState> {
        self.parts().ingest.state()
    }

    /// The network, as it is seen at this moment.
    pub fn network(&self) -> Arc<NetworkSnapshot> {
        self.parts().network.snapshot().borrow().clone()
    }

    /// How the venue's OBS does.
    pub fn obs_status(&self) -> Arc<ObsStatus> {
        self.parts().obs.status().borrow().clone()
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<Account> {
        self.parts().accounts.get(id)
    }

    /// The account, if it may use its sessions at this moment.
    pub fn in_order(&self, id: AccountId) -> Option<Account> {
        self.account(id).filter(|account| account.enabled && !account.banned && !account.awaiting_approval)
    }

    /// All accounts, by name.
    pub fn everybody(&self) -> Vec<Account> {
        self.parts().accounts.list()
    }

    /// Who is banned: their ids and names.
    pub fn banned(&self) -> Vec<(AccountId, String)> {
        self.parts().accounts.banned()
    }

    /// Who may register.
    pub fn registration(&self) -> Registration {
        self.parts().accounts.policy()
    }

    /// Whether the box has an owner.
    pub fn is_claimed(&self) -> bool {
        self.parts().accounts.is_claimed()
    }

    /// What makes the first admin, while there is none.
    pub fn setup_code(&self) -> Option<SecretString> {
        self.parts().accounts.setup_code()
    }

    /// Whether this is `admin.token`.
    pub fn is_admin_token(&self, token: &str) -> bool {
        self.parts().accounts.is_admin_token(token)
    }

    /// Whether this shows that a program runs on this machine.
    pub(crate) fn is_machine_key(&self, token: &str) -> bool {
        self.parts().machine.is(token)
    }

    /// Whether this is `web.metrics_token`.
    pub(crate) fn is_metrics_token(&self, token: &str) -> bool {
        let config = self.config();
        let expected = config.web.metrics_token.as_ref().map(SecretString::expose_secret);
        // Of their digests: a length says something too.
        expected.is_some_and(|expected| bool::from(Sha256::digest(expected).ct_eq(&Sha256::digest(token))))
    }

    /// What a browser keeps after this account has signed in there, and what it kept before.
    pub(crate) fn remember(&self, id: AccountId, before: Option<&SecretString>) -> Option<SecretString> {
        self.parts().accounts.remember(id, before)
    }

    /// An account's stream key.
    pub fn stream_key(&self, id: AccountId) -> Option<StreamKey> {
        self.parts().accounts.stream_key(id)
    }

    /// Whose stream key it is.
    pub fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        self.parts().accounts.key_owner(key)
    }

    /// All invitations, the latest first, without their codes.
    pub fn invitations(&self) -> Vec<Invitation> {
        self.parts().accounts.invitations()
    }

    /// All viewer tokens, without the tokens themselves.
    pub fn viewers(&self) -> Vec<Viewer> {
        self.parts().accounts.viewers().list()
    }

    /// All destinations with what they do, never their keys.
    pub fn destinations(&self) -> Vec<DestinationView> {
        self.parts().destinations.view(&self.media_status(), &self.snapshot())
    }

    /// What was sent to a destination in the last minutes; none if there is no such one.
    pub fn bitrate(&self, id: DestinationId) -> Option<BitrateView> {
        let known = self.parts().destinations.all().iter().any(|destination| destination.id == id);
        known.then(|| self.room().bitrates.of(id))
    }

    /// Past turns before this one, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn history(&self, before: Option<TurnId>, limit: usize) -> Result<Vec<HistoryRecord>, Denied> {
        Ok(self.parts().store.history(before, limit).await?)
    }

    /// A thumbnail, made because somebody asks.
    pub async fn thumbnail(&self, of: &PictureOf) -> Option<Thumbnail> {
        self.parts().media.thumbnail(of).await
    }

    /// The programme as a browser plays it.
    pub fn watch(&self) -> &Watch {
        self.parts().media.watch()
    }

    /// Publishing by WebRTC, where the media server has it.
    pub(crate) fn whip(&self) -> Option<&Whip> {
        self.parts().ingest.whip()
    }

    /// The WebRTC sessions that streamers opened.
    pub(crate) fn whip_sessions(&self) -> &WhipSessions {
        &self.room().whip
    }

    /// Who is signed in.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.parts().sessions
    }

    /// How often one address may try.
    pub(crate) fn limits(&self) -> &Limits {
        &self.room().limits
    }

    /// By which ports and with which certificate the page is reached.
    pub(crate) fn doors(&self) -> &Doors {
        &self.parts().doors
    }

    /// Which parts of the box work.
    pub fn readiness(&self) -> &Readiness {
        &self.parts().readiness
    }
}
