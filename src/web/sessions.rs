//! Who is signed in: sessions that survive a restart, and who a request comes from.

use std::{collections::HashMap, fmt, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::{
        SameSite,
        time::{Duration, OffsetDateTime},
    },
    session::{Id, Record},
    session_store,
};

use super::{
    App,
    problem::{Kind, Problem},
};
use crate::{
    accounts::Account,
    config::WebConfig,
    core::account::{AccountId, Role},
    store::{Change, Durability, SessionRecord, Store, StoreError},
};

/// The end of a session is put off at most this often, in seconds: each time is a write to an SD card.
const LONGEST_UNTOUCHED: i64 = 24 * 3600;

/// A session that can not be looked up is looked for again after so long.
const LATER: SignedDuration = SignedDuration::from_mins(1);

/// The cookie on plain HTTP.
const COOKIE: &str = "motherstream";

/// The cookie on HTTPS: by its prefix browsers take it from this very host, over HTTPS only.
const ENCRYPTED_COOKIE: &str = "__Host-motherstream";

const ACCOUNT: &str = "account";
const BEGAN: &str = "began";
const SEEN: &str = "seen";

/// The sessions in the store, under the SHA-256 of their ids: whoever reads the file can not use them.
#[derive(Clone)]
pub(crate) struct Sessions {
    store: Store,
    /// A session that is not used for so long ends.
    idle: Duration,
    /// And so long after its beginning it ends in any case.
    longest: SignedDuration,
    /// Changes whenever sessions end: whoever hangs on one looks whether it was that one.
    ended: watch::Sender<()>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    pub(crate) fn new(store: Store, config: &WebConfig) -> Self {
        Self {
            store,
            idle: Duration::hours(config.session_idle_hours.into()),
            longest: SignedDuration::from_hours(24 * i64::from(config.session_max_days)),
            ended: watch::channel(()).0,
        }
    }

    /// The end of a session that is used is put off when it was not for so long, in seconds.
    fn untouched_seconds(&self) -> i64 {
        (self.idle.whole_seconds() / 8).min(LONGEST_UNTOUCHED)
    }

    /// Changes whenever sessions end.
    pub(crate) fn ends(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// How long the session still stands; none if it does not. One that can not be looked up stands for a while.
    async fn left(&self, id: &Id) -> Option<SignedDuration> {
        match self.store.session(&stored_id(id)).await {
            Ok(None) => None,
            Ok(Some(record)) => {
                Some(record.expires.duration_since(Timestamp::now())).filter(SignedDuration::is_positive)
            }
            Err(_) => Some(LATER),
        }
    }

    /// Whether the session stands. One that can not be looked up does.
    pub(crate) async fn stands(&self, id: &Id) -> bool {
        self.left(id).await.is_some()
    }

    /// Waits until the session is over: signed out, ended by others, or expired.
    pub(crate) async fn over(self, id: Id) {
        let mut ends = self.ends();
        while let Some(left) = self.left(&id).await {
            // An hour at most: the wall clock steps.
            let wait = std::time::Duration::try_from(left).unwrap_or_default().min(std::time::Duration::from_hours(1));
            tokio::select! {
                _ = ends.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The layer that finds a request's session by its cookie. HTTPS has a cookie of its own, which never travels in the clear: with one
    /// name for both, a browser that was here by HTTPS could not sign in by HTTP any more (RFC 6265bis, "leave secure cookies alone").
    pub(crate) fn layer(&self, encrypted: bool) -> SessionManagerLayer<Self> {
        SessionManagerLayer::new(self.clone())
            .with_name(if encrypted { ENCRYPTED_COOKIE } else { COOKIE })
            .with_http_only(true)
            .with_same_site(SameSite::Lax)
            .with_secure(encrypted)
            .with_expiry(Expiry::OnInactivity(self.idle))
    }

    /// Ends the account's sessions, but for the one that asks for it.
    ///
    /// # Errors
    /// When it can not be stored; then none of them has ended.
    pub(crate) async fn end_all(&self, account: AccountId, except: Option<Id>) -> Result<(), StoreError> {
        let kept = except.as_ref().map(stored_id);
        let ended = |record: &SessionRecord| owner(record) == Some(account) && Some(&record.id) != kept.as_ref();
        self.delete(ended).await
    }

    /// Deletes the sessions that have expired.
    ///
    /// # Errors
    /// When it can not be stored.
    pub(crate) async fn delete_expired(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        self.delete(|record| record.expires <= now).await
    }

    async fn delete(&self, which: impl Fn(&SessionRecord) -> bool) -> Result<(), StoreError> {
        let sessions = self.store.sessions().await?;
        let changes: Vec<_> =
            sessions.into_iter().filter(which).map(|record| Change::DeleteSession(record.id)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(changes, Durability::Durable).await?;
        self.ended.send_replace(());
        Ok(())
    }
}

fn stored_id(id: &Id) -> String {
    HEXLOWER.encode(&Sha256::digest(id.to_string().as_bytes()))
}

fn owner(record: &SessionRecord) -> Option<AccountId> {
    record.data.get(ACCOUNT).and_then(serde_json::Value::as_u64).map(AccountId)
}

fn began(data: &serde_json::Value) -> Option<Timestamp> {
    data.get(BEGAN).and_then(serde_json::Value::as_i64).and_then(|second| Timestamp::from_second(second).ok())
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        // 128 random bits: two alike do not happen.
        self.put(record).await
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        // One that was ended meanwhile stays so.
        if self.store.session(&stored_id(&record.id)).await.map_err(backend)?.is_none() {
            return Ok(());
        }
        self.put(record).await
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let Some(stored) = self.store.session(&stored_id(id)).await.map_err(backend)? else {
            return Ok(None);
        };
        if stored.expires <= Timestamp::now() {
            return Ok(None);
        }
        // Of a program that did not know when: whoever it is signs in once more.
        if began(&stored.data).is_none() {
            return Ok(None);
        }
        let data: HashMap<_, _> =
            serde_json::from_value(stored.data).map_err(|error| session_store::Error::Decode(error.to_string()))?;
        let expiry_date = OffsetDateTime::from_unix_timestamp(stored.expires.as_second())
            .map_err(|error| session_store::Error::Decode(error.to_string()))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        // Most sign-ins come without a session: no need to write that none is there.
        if self.store.session(&stored_id(id)).await.map_err(backend)?.is_none() {
            return Ok(());
        }
        let change = Change::DeleteSession(stored_id(id));
        self.store.commit(vec![change], Durability::Durable).await.map_err(backend)?;
        self.ended.send_replace(());
        Ok(())
    }
}

impl Sessions {
    async fn put(&self, record: &Record) -> session_store::Result<()> {
        let expires = Timestamp::from_second(record.expiry_date.unix_timestamp())
            .map_err(|error| session_store::Error::Encode(error.to_string()))?;
        let data =
            serde_json::to_value(&record.data).map_err(|error| session_store::Error::Encode(error.to_string()))?;
        let longest = began(&data).and_then(|began| began.checked_add(self.longest).ok());
        let change = Change::PutSession(SessionRecord {
            id: stored_id(&record.id),
            expires: longest.map_or(expires, |longest| longest.min(expires)),
            data,
            extra: serde_json::Map::new(),
        });
        self.store.commit(vec![change], Durability::Durable).await.map_err(backend)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn backend(error: StoreError) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

/// Signs an account in: a new session under a new id, whatever cookie the browser came with.
///
/// # Errors
/// When it can not be stored.
pub(crate) async fn sign_in(session: &Session, account: AccountId) -> Result<(), Problem> {
    async {
        // Deletes the session the browser came with from the store: a cookie that somebody planted is worth nothing afterwards.
        session.cycle_id().await?;
        session.clear().await;
        session.insert(ACCOUNT, account).await?;
        let now = Timestamp::now().as_second();
        session.insert(BEGAN, now).await?;
        session.insert(SEEN, now).await
    }
    .await
    .map_err(|error| Problem::new(Kind::NotStored, error.to_string()))
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Nobody we know.
    Anonymous,
    /// Somebody signed in, whose account is in order at this moment.
    Account(Account),
    /// Whoever holds `admin.token`.
    Token,
}

impl Caller {
    /// Whether the caller may run the night.
    pub(crate) fn runs_the_night(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Account(account) => account.role.runs_the_night(),
            Self::Token => true,
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Account(account) => account.role == Role::Admin,
            Self::Token => true,
        }
    }
}

/// The account that `id` names, if it may use its sessions at this moment.
pub(crate) fn in_order(app: &App, id: AccountId) -> Option<Account> {
    app.state.accounts.get(id).filter(|account| account.enabled && !account.banned && !account.awaiting_approval)
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let caller = recognise(parts, app).await?;
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

async fn recognise(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Problem> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        // A wrong token is an error rather than nobody: and the cookie beside it does not count, see `only_our_pages`.
        if bearer(&parts.headers).is_some_and(|token| app.state.accounts.is_admin_token(token)) {
            return Ok(Caller::Token);
        }
        let Peer(address) = Peer::from_request_parts(parts, app).await?;
        app.limits.sign_in.attempt(address.ip())?;
        return Err(Problem::new(Kind::NotSignedIn, "the bearer token is not `admin.token`"));
    }
    let Ok(session) = Session::from_request_parts(parts, app).await else {
        return Ok(Caller::Anonymous);
    };
    let stored = |error: tower_sessions::session::Error| Problem::new(Kind::NotStored, error.to_string());
    let Some(id) = session.get::<AccountId>(ACCOUNT).await.map_err(stored)? else {
        return Ok(Caller::Anonymous);
    };
    let Some(account) = in_order(app, id) else {
        return Ok(Caller::Anonymous);
    };
    let now = Timestamp::now().as_second();
    let seen = session.get::<i64>(SEEN).await.map_err(stored)?.unwrap_or_default();
    // The box's clock steps, also back.
    if (now - seen).abs() > app.sessions.untouched_seconds() {
        session.insert(SEEN, now).await.map_err(stored)?;
    }
    Ok(Caller::Account(account))
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ConnectInfo(address) = ConnectInfo::<SocketAddr>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Kind::Internal, "the connection's address is not known"))?;
        Ok(Self(address))
    }
}

/// This end of the connection: by which of the machine's addresses the client reached it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local(pub(crate) SocketAddr);

/// Whether the other end is on this machine: on loopback; or, where the page listens on one address only, at that very address.
pub(crate) fn is_here(peer: &Peer, local: Option<&Local>, app: &App) -> bool {
    let address = peer.0.ip().to_canonical();
    let alone = app.state.config.web.listen.ip();
    address.is_loopback()
        || (!alone.is_unspecified()
            && alone.to_canonical() == address
            && local.is_some_and(|local| local.0.ip().to_canonical() == address))
}

/// A call on one's own account: whoever is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Own(pub(crate) Account);

impl FromRequestParts<Arc<App>> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Account(account) => Ok(Self(account)),
            Caller::Anonymous => Err(Problem::new(Kind::NotSignedIn, "this needs a signed-in account")),
            Caller::Token => Err(Problem::new(Kind::NotAllowed, "`admin.token` has no account of its own")),
        }
    }
}
