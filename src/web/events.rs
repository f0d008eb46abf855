//! Live updates as server-sent events: the public part for anyone, all of it for operators and admins.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower_sessions::{Session, session::Id};
use utoipa_axum::routes;

use super::{
    App,
    problem::{Kind, Problem},
    queue::{Switch, hold_offs_at, queue_at},
    rights::{Right, Routes},
    sessions::{self, Caller},
    show::status_now,
};
use crate::{director::Snapshot, ingest::IngestState, media::MediaStatus};

/// So many may listen at once: each costs a connection and a few kilobytes.
pub(crate) const MOST_LISTENERS: usize = 200;

/// Changes that follow each other faster are one update: a person sees no difference, and the box has better things to do.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Nothing to tell for so long: a comment is sent, so that nobody in between closes the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Routes {
    Routes::new().stream(Right::Anyone, routes!(events))
}

/// Live updates: `queue` and `show` for anyone; `status` and `hold-offs` for operators and admins. The data is what the calls of the same
/// names answer. A slow listener may miss updates, never the latest one. The stream ends with the session it was asked for with.
#[utoipa::path(get, path = "/api/v1/events", tag = "show",
    responses((status = 200, description = "Server-sent events", body = String, content_type = "text/event-stream")))]
async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    session: Session,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Ok(place) = Arc::clone(&app.listeners).try_acquire_owned() else {
        return Err(Problem::new(Kind::TooMany, "too many pages listen already").retry_after(Duration::from_secs(30)));
    };
    // A browser's cookie may name a session that is long over; only who was recognised by it hangs on it.
    let session = session.id().filter(|_| matches!(caller, Caller::Account(_)));
    let listener = Listener::new(app, caller, session, place);
    let events = stream::unfold(listener, async |mut listener| Some((Ok(listener.next().await?), listener)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One listener. What it was told last is kept as text, so that only what changed is sent.
struct Listener {
    app: Arc<App>,
    caller: Caller,
    session: Option<Id>,
    ends: watch::Receiver<()>,
    queue: watch::Receiver<Arc<Snapshot>>,
    media: watch::Receiver<Arc<MediaStatus>>,
    ingest: watch::Receiver<IngestState>,
    show: Option<bool>,
    pending: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    fn new(app: Arc<App>, caller: Caller, session: Option<Id>, place: OwnedSemaphorePermit) -> Self {
        let mut queue = app.state.director.snapshot();
        let mut media = app.state.media.status();
        // The first update is sent at once.
        queue.mark_changed();
        media.mark_changed();
        let ingest = app.state.ingest.state();
        let mut ends = app.sessions.ends();
        // It may have ended between its recognition and this.
        ends.mark_changed();
        Self { app, caller, session, ends, queue, media, ingest, show: None, pending: VecDeque::new(), _place: place }
    }

    /// The next event; none when the box stops or the session has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let stop = self.app.stop.clone();
            let watches = self.runs_the_night();
            let status_changed = tokio::select! {
                () = stop.cancelled() => return None,
                Ok(()) = self.ends.changed(), if self.session.is_some() => {
                    if self.session_stands().await {
                        continue;
                    }
                    return None;
                }
                changed = self.queue.changed() => changed.map(|()| false).ok()?,
                changed = self.media.changed(), if watches => changed.map(|()| true).ok()?,
                // An ingest whose state never changes keeps no other end of this.
                Ok(()) = self.ingest.changed(), if watches => true,
            };
            // Judged after the wait, which may have been long.
            match (status_changed, self.runs_the_night()) {
                (true, true) => self.push("status", &status_now(&self.app)),
                (true, false) => {}
                (false, admin) => self.tell_queue(admin),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(AT_MOST_EVERY) => {}
            }
        }
    }

    async fn session_stands(&self) -> bool {
        match &self.session {
            Some(session) => self.app.sessions.stands(session).await,
            None => true,
        }
    }

    fn tell_queue(&mut self, admin: bool) {
        let snapshot = self.queue.borrow_and_update().clone();
        let now = self.app.state.clock.now();
        self.push("queue", &queue_at(&snapshot, now));
        if self.show != Some(snapshot.queue.show) {
            self.show = Some(snapshot.queue.show);
            self.push("show", &Switch { on: snapshot.queue.show });
        }
        if admin {
            self.push("hold-offs", &hold_offs_at(&snapshot, now));
        }
    }

    fn push(&mut self, name: &'static str, data: &impl Serialize) {
        // Only a type that can not be JSON fails here, and these are answers of calls already.
        if let Ok(event) = Event::default().event(name).json_data(data) {
            self.pending.push_back(event);
        }
    }

    /// Asked anew each time: who ran the night when the stream began may not do so any more.
    fn runs_the_night(&self) -> bool {
        match &self.caller {
            Caller::Anonymous => false,
            Caller::Token => true,
            Caller::Account(account) => {
                sessions::in_order(&self.app, account.id).is_some_and(|account| account.role.runs_the_night())
            }
        }
    }
}
