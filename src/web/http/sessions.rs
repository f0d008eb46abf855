//! Sessions as browsers hold them: a cookie, whose session the control room knows.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::{
        SameSite,
        time::{Duration, OffsetDateTime},
    },
    session::{Id, Record},
    session_store,
};

use super::problem::{Kind, Problem};
use crate::{
    control::{
        journal::By,
        sessions::{ACCOUNT, BEGAN, SessionId, Sessions},
    },
    core::account::AccountId,
};

/// The cookie on plain HTTP.
const COOKIE: &str = "motherstream";

/// The cookie on HTTPS: by its prefix browsers take it from this very host, over HTTPS only.
const ENCRYPTED_COOKIE: &str = "__Host-motherstream";

/// In a session's data: when it was used last, in seconds of the wall clock; noted now and then.
pub(crate) const SEEN: &str = "seen";

/// The session that a browser holds, as the store knows it.
pub(crate) fn stored(id: &Id) -> SessionId {
    SessionId::of(&id.to_string())
}

/// All sessions, as the layer that finds a request's session wants them.
#[derive(Clone, Debug)]
pub(crate) struct Cookies(Sessions);

/// The layer that finds a request's session by its cookie. HTTPS has a cookie of its own, which never travels in the clear: with one
/// name for both, a browser that was here by HTTPS could not sign in by HTTP any more (RFC 6265bis, "leave secure cookies alone").
pub(crate) fn layer(sessions: &Sessions, encrypted: bool) -> SessionManagerLayer<Cookies> {
    let idle = Duration::try_from(sessions.idle()).unwrap_or(Duration::MAX);
    SessionManagerLayer::new(Cookies::new(sessions))
        .with_name(if encrypted { ENCRYPTED_COOKIE } else { COOKIE })
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_secure(encrypted)
        .with_expiry(Expiry::OnInactivity(idle))
}

#[async_trait]
impl SessionStore for Cookies {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        // 128 random bits: two alike do not happen.
        let (expires, data) = content(record)?;
        self.0.begin(&stored(&record.id), expires, data);
        Ok(())
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let (expires, data) = content(record)?;
        self.0.renew(&stored(&record.id), expires, data);
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let Some(known) = self.0.load(&stored(id)) else {
            return Ok(None);
        };
        let data: HashMap<_, _> =
            serde_json::from_value(known.data).map_err(|error| session_store::Error::Decode(error.to_string()))?;
        let expiry_date = OffsetDateTime::from_unix_timestamp(known.expires.as_second())
            .map_err(|error| session_store::Error::Decode(error.to_string()))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.end(&stored(id));
        Ok(())
    }
}

impl Cookies {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self(sessions.clone())
    }
}

/// When a session ends, and what it holds.
fn content(record: &Record) -> session_store::Result<(Timestamp, serde_json::Value)> {
    let expires = Timestamp::from_second(record.expiry_date.unix_timestamp())
        .map_err(|error| session_store::Error::Encode(error.to_string()))?;
    let data = serde_json::to_value(&record.data).map_err(|error| session_store::Error::Encode(error.to_string()))?;
    Ok((expires, data))
}

/// Signs an account in: a new session under a new id, whatever cookie the browser came with. The browser's device is known from now on. It
/// waits for no disk: whether the session is stored, [`Sessions::kept`] says afterwards.
///
/// # Errors
/// When the session cannot be made.
pub(crate) async fn sign_in(session: &Session, by: &By, account: AccountId) -> Result<(), Problem> {
    async {
        // Ends the session the browser came with: a cookie that somebody planted is worth nothing afterwards.
        session.cycle_id().await?;
        session.clear().await;
        session.insert(ACCOUNT, account).await?;
        let now = Timestamp::now().as_second();
        session.insert(BEGAN, now).await?;
        session.insert(SEEN, now).await?;
        session.save().await
    }
    .await
    .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    by.has_signed_in(account);
    Ok(())
}

/// Signs out: ends the session, at once.
///
/// # Errors
/// When there is none that can be ended.
pub(crate) async fn sign_out(session: &Session) -> Result<(), Problem> {
    session.flush().await.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}
