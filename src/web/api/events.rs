//! Live updates as server-sent events: the public part for anyone, all of it for operators and admins.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::watch;
use tower_sessions::{Session, session::Id};
use utoipa_axum::routes;

use super::queue::Switch;
use crate::{
    control::{
        journal::Caller,
        news::{Follower, Heard, News},
        status::status_now,
    },
    director::{Snapshot, hold_offs_at},
    ingest::IngestState,
    media::MediaStatus,
    web::{
        app::App,
        http::{
            caller::Peer,
            lines::{Holder, Place, Pool, UNBUFFERED},
            problem::Problem,
            rights::{Right, Routes},
            sessions::stored,
        },
    },
};

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
    Peer(peer): Peer,
) -> Result<([(HeaderName, HeaderValue); 2], Sse<impl Stream<Item = Result<Event, Infallible>>>), Problem> {
    let holder = Holder::of(&caller, peer.ip());
    let place = app.lines.enter(Pool::of(&caller, Pool::Programs), holder)?;
    let lost = place.lost();
    // A browser's cookie may name a session that is long over; only who was recognised by it hangs on it.
    let session = session.id().filter(|_| matches!(caller, Caller::Account(_)));
    let listener = Listener::new(app, caller, session, place);
    let events = stream::unfold(listener, async |mut listener| Some((Ok(listener.next().await?), listener)));
    let events = events.take_until(lost);
    Ok((UNBUFFERED, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

/// Waits until it is otherwise whether everything is stored.
async fn storing_changes(news: &mut Follower) {
    loop {
        match news.next().await {
            Some(Heard::Missed | Heard::News(News::StoringChanged)) => return,
            Some(Heard::News(_)) => {}
            // The box stops.
            None => std::future::pending().await,
        }
    }
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
    news: Follower,
    show: Option<bool>,
    pending: VecDeque<Event>,
    _place: Place,
}

impl Listener {
    fn new(app: Arc<App>, caller: Caller, session: Option<Id>, place: Place) -> Self {
        let mut queue = app.control.snapshots();
        let mut media = app.control.media_statuses();
        // The first update is sent at once.
        queue.mark_changed();
        media.mark_changed();
        let ingest = app.control.ingest_states();
        let mut ends = app.control.sessions().ends();
        // It may have ended between its recognition and this.
        ends.mark_changed();
        let news = app.control.news();
        Self {
            app,
            caller,
            session,
            ends,
            queue,
            media,
            ingest,
            news,
            show: None,
            pending: VecDeque::new(),
            _place: place,
        }
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
                    if self.session_stands() {
                        continue;
                    }
                    return None;
                }
                changed = self.queue.changed() => changed.map(|()| false).ok()?,
                changed = self.media.changed(), if watches => changed.map(|()| true).ok()?,
                // An ingest whose state never changes keeps no other end of this.
                Ok(()) = self.ingest.changed(), if watches => true,
                // Whether it is all stored is told with the queue.
                () = storing_changes(&mut self.news) => false,
            };
            // Judged after the wait, which may have been long.
            match (status_changed, self.runs_the_night()) {
                (true, true) => self.push("status", &status_now(&self.app.control)),
                (true, false) => {}
                (false, admin) => self.tell_queue(admin),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(AT_MOST_EVERY) => {}
            }
        }
    }

    fn session_stands(&self) -> bool {
        match &self.session {
            Some(session) => self.app.control.sessions().stands(&stored(session)),
            None => true,
        }
    }

    fn tell_queue(&mut self, admin: bool) {
        let snapshot = self.queue.borrow_and_update().clone();
        let now = self.app.control.now();
        self.push("queue", &self.app.control.queue_now());
        if self.show != Some(snapshot.queue.show) {
            self.show = Some(snapshot.queue.show);
            self.push("show", &Switch { on: snapshot.queue.show });
        }
        if admin {
            self.push("hold-offs", &hold_offs_at(&snapshot, now));
        }
    }

    fn push(&mut self, name: &'static str, data: &impl Serialize) {
        // Only a type that cannot be JSON fails here, and these are answers of calls already.
        if let Ok(event) = Event::default().event(name).json_data(data) {
            self.pending.push_back(event);
        }
    }

    /// Asked anew each time: who ran the night when the stream began may not do so any more.
    fn runs_the_night(&self) -> bool {
        match &self.caller {
            Caller::Anonymous | Caller::Machine | Caller::Monitor => false,
            Caller::Token => true,
            Caller::Account(account) => {
                self.app.control.in_order(account.id).is_some_and(|account| account.role.runs_the_night())
            }
        }
    }
}
