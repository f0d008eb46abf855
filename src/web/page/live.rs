//! Parts of pages that change by themselves: HTML over server-sent events, rendered once per change and shared by everybody who
//! looks.
//!
//! A *channel* is a set of parts that many see alike: what the room sees, what admins see. One task renders them when something
//! has changed, at most ten times a second and only while somebody listens; every listener is handed the same bytes, and only of
//! parts that differ from what it was sent last. [`own`] is for what only one sees.
//!
//! In a template, `live-part` names the element that a part fills:
//!
//! ```html
//! <main hx-ext="sse" sse-connect="/live/room">
//!   <section sse-swap="stage" hx-swap="morph:innerHTML">{{ stage|safe }}</section>
//! ```
//!
//! Rules for parts: what is rendered depends on the box's state alone, not on the clock (a countdown is `data-ends` in the box's
//! clock, and ticks in the browser), and not on who looks. Elements that must keep their identity across changes have an `id`.
//!
//! Every stream begins with a `beat`, and has one every 10 s: the box's clock and the build. By these the browser knows that the
//! connection is alive, what the time is, and that the box was updated (`web/assets/app.js`).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use super::{admin, assets, overlay, room, ui};
use crate::{
    core::account::Role,
    web::{
        App,
        problem::{Kind, Problem},
        rights::{Right, Routes},
        sessions::{Caller, in_order},
    },
};

/// Pages that may listen at once. Each costs a connection and under 30 kB.
pub(crate) const MOST_PAGES: usize = 600;

/// Changes that follow each other faster are one.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// How often a listener hears that the box is there. The browser takes the connection for lost after 25 s without.
const BEAT: Duration = Duration::from_secs(10);

/// A part as it was rendered: its name, which `sse-swap` repeats, and its HTML.
pub(crate) type Rendered = (&'static str, String);

/// Renders the parts of a channel.
pub(crate) type Render = fn(&App) -> askama::Result<Vec<Rendered>>;

/// Live parts of the whole page.
pub(crate) struct Live {
    /// What the room sees: `/`.
    room: Channel,
    /// What overlays show.
    overlay: Channel,
    /// What those who run the night see: `/admin`.
    night: Channel,
    /// What operators see of destinations, and what admins do: `/admin/destinations`.
    destinations: [Channel; 2],
    /// How OBS does: `/admin/obs`.
    obs: Channel,
    /// Counts changes that no other watch tells of.
    pokes: watch::Sender<u64>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            room: Channel::new(),
            overlay: Channel::new(),
            night: Channel::new(),
            destinations: [Channel::new(), Channel::new()],
            obs: Channel::new(),
            pokes: watch::Sender::new(0),
        }
    }

    /// Something has changed that pages show and that neither the queue's snapshot nor media's status tells of: an account, a
    /// destination, a setting. Costs nothing while nobody looks.
    pub(crate) fn poke(&self) {
        self.pokes.send_modify(|pokes| *pokes = pokes.wrapping_add(1));
    }
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .live(Right::Anyone, "/live/room", live_room)
        .live(Right::Anyone, "/live/overlay", live_overlay)
        .live(Right::Operator, "/live/admin", live_night)
        .live(Right::Operator, "/live/admin/destinations", live_destinations)
        .live(Right::Admin, "/live/admin/obs", live_obs)
}

async fn live_room(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.live.room.listen(&app, |_| true)
}

async fn live_overlay(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.live.overlay.listen(&app, |_| true)
}

async fn live_night(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    app.live.night.listen_as(&app, caller, Role::Operator)
}

async fn live_destinations(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    let [operators, admins] = &app.live.destinations;
    if caller.is_admin() {
        admins.listen_as(&app, caller, Role::Admin)
    } else {
        operators.listen_as(&app, caller, Role::Operator)
    }
}

async fn live_obs(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    app.live.obs.listen_as(&app, caller, Role::Admin)
}

/// What OBS does is seldom news, and is told as other such changes are.
async fn follow_obs(app: &App) {
    let mut status = app.state.obs.status();
    while status.changed().await.is_ok() {
        app.live.poke();
    }
    // The adapter is gone: the box stops.
    std::future::pending::<()>().await;
}

/// Renders what is listened to, until the box stops.
pub(crate) async fn run(app: Arc<App>) {
    let room = app.live.room.keep(&app, false, room::parts);
    let overlay = app.live.overlay.keep(&app, false, overlay::parts);
    let night = app.live.night.keep(&app, true, admin::night::parts);
    let [operators, admins] = &app.live.destinations;
    let operators = operators.keep(&app, true, admin::destinations::parts_for_operators);
    let admins = admins.keep(&app, true, admin::destinations::parts_for_admins);
    let obs = app.live.obs.keep(&app, false, admin::obs::parts);
    tokio::select! {
        () = app.stop.cancelled() => {}
        () = follow_obs(&app) => {}
        () = obs => {}
        () = room => {}
        () = overlay => {}
        () = night => {}
        () = operators => {}
        () = admins => {}
    }
}

/// A part, ready to be sent.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    event: Bytes,
}

impl Part {
    fn new((name, html): &Rendered) -> Self {
        Self { name, event: event(name, html) }
    }
}

/// A server-sent event. Line ends within `data` would end it, so each line is one.
fn event(name: &str, data: &str) -> Bytes {
    let mut text = format!("event: {name}\n");
    for line in data.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    if data.trim().is_empty() {
        // An event without data is not delivered.
        text.push_str("data:\n");
    }
    text.push('\n');
    text.into()
}

type Parts = Arc<[Part]>;

/// Parts that many see alike.
pub(crate) struct Channel {
    shown: watch::Sender<Parts>,
    /// Somebody has begun to listen.
    wanted: Notify,
}

impl Channel {
    fn new() -> Self {
        Self { shown: watch::Sender::new(Arc::new([])), wanted: Notify::new() }
    }

    /// The stream of somebody with this role, or one above. It ends with the role. (That it ends with the session too, the guard sees to.)
    fn listen_as(&self, app: &Arc<App>, caller: Caller, role: Role) -> Result<Response, Problem> {
        self.listen(app, move |app| match &caller {
            Caller::Anonymous => false,
            Caller::Token => true,
            // Asked anew each time: who had the role when the stream began may have lost it.
            Caller::Account(account) => in_order(app, account.id).is_some_and(|account| account.role >= role),
        })
    }

    /// The stream of a new listener. It ends as soon as `may` says no.
    fn listen(&self, app: &Arc<App>, may: impl Fn(&App) -> bool + Send + 'static) -> Result<Response, Problem> {
        let place = place(app)?;
        let mut shown = self.shown.subscribe();
        shown.mark_changed();
        self.wanted.notify_one();
        let listener = Listener { app: Arc::clone(app), shown, sent: Arc::new([]), may, _place: place };
        Ok(answer(app, listener.events()))
    }

    /// Renders at every change while somebody listens.
    async fn keep(&self, app: &App, follows_media: bool, render: Render) {
        let mut queue = app.state.director.snapshot();
        let mut media = app.state.media.status();
        let mut pokes = app.live.pokes.subscribe();
        loop {
            if self.shown.receiver_count() == 0 {
                // Who comes next must not be shown what was true when the last one left.
                self.shown.send_replace(Arc::new([]));
                self.wanted.notified().await;
            }
            queue.mark_unchanged();
            media.mark_unchanged();
            pokes.mark_unchanged();
            match render(app) {
                Ok(parts) => self.show(&parts),
                Err(error) => warn!(%error, "live part not rendered"),
            }
            sleep(AT_MOST_EVERY).await;
            tokio::select! {
                Ok(()) = queue.changed() => {}
                Ok(()) = media.changed(), if follows_media => {}
                Ok(()) = pokes.changed() => {}
                () = self.wanted.notified() => {}
                // The director is gone: the box stops.
                else => return,
            }
        }
    }

    /// Hands out what differs from before.
    fn show(&self, rendered: &[Rendered]) {
        self.shown.send_if_modified(|shown| {
            let mut changed = shown.len() != rendered.len();
            let parts: Vec<Part> = rendered
                .iter()
                .map(|rendered| {
                    let part = Part::new(rendered);
                    if let Some(old) = shown.iter().find(|old| old.name == part.name && old.event == part.event) {
                        // The same bytes: listeners see by their address that nothing has changed.
                        return old.clone();
                    }
                    changed = true;
                    part
                })
                .collect();
            if changed {
                *shown = parts.into();
            }
            changed
        });
    }
}

/// One page that listens to a channel.
struct Listener<M> {
    app: Arc<App>,
    shown: watch::Receiver<Parts>,
    /// What it was sent last.
    sent: Parts,
    may: M,
    _place: OwnedSemaphorePermit,
}

impl<M: Fn(&App) -> bool + Send + 'static> Listener<M> {
    /// What changes, and beats.
    fn events(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold((self, Instant::now() + BEAT), async |(mut listener, next_beat)| {
            tokio::select! {
                biased;
                () = listener.app.stop.cancelled() => None,
                () = sleep_until(next_beat) => {
                    (listener.may)(&listener.app).then_some(())?;
                    Some((beat(&listener.app), (listener, Instant::now() + BEAT)))
                }
                changed = listener.shown.changed() => {
                    changed.ok()?;
                    // Judged after the wait, which may have been long.
                    (listener.may)(&listener.app).then_some(())?;
                    let new = Arc::clone(&listener.shown.borrow_and_update());
                    let changed = differences(&listener.sent, &new);
                    listener.sent = new;
                    Some((changed, (listener, next_beat)))
                }
            }
        })
    }
}

/// The events of parts that differ. One part is handed on as it is; several are joined.
fn differences(sent: &[Part], new: &[Part]) -> Bytes {
    let mut differing = new
        .iter()
        .filter(|part| !sent.iter().any(|old| old.name == part.name && old.event.as_ptr() == part.event.as_ptr()));
    let Some(first) = differing.next() else {
        return Bytes::new();
    };
    let rest: Vec<&[u8]> = differing.map(|part| part.event.as_ref()).collect();
    if rest.is_empty() { first.event.clone() } else { [first.event.as_ref(), &rest.concat()].concat().into() }
}

/// Parts that only one person sees: rendered for this stream alone, when the queue, media's status or an account changes. It ends
/// as soon as `render` says that there is nothing to see (none).
///
/// # Errors
/// When too many pages listen already.
pub(crate) fn own<R>(app: &Arc<App>, render: R) -> Result<Response, Problem>
where
    R: Fn(&App) -> Option<askama::Result<Vec<Rendered>>> + Send + 'static,
{
    let place = place(app)?;
    let mut queue = app.state.director.snapshot();
    queue.mark_changed();
    let own = Own {
        app: Arc::clone(app),
        queue,
        media: app.state.media.status(),
        pokes: app.live.pokes.subscribe(),
        sent: Vec::new(),
        next_beat: Instant::now() + BEAT,
        render,
        _place: place,
    };
    let events = stream::unfold(own, async |mut own| own.next().await.map(|event| (event, own)));
    Ok(answer(app, events))
}

struct Own<R> {
    app: Arc<App>,
    queue: watch::Receiver<Arc<crate::director::Snapshot>>,
    media: watch::Receiver<Arc<crate::media::MediaStatus>>,
    pokes: watch::Receiver<u64>,
    sent: Vec<Part>,
    next_beat: Instant,
    render: R,
    _place: OwnedSemaphorePermit,
}

impl<R> Own<R>
where
    R: Fn(&App) -> Option<askama::Result<Vec<Rendered>>> + Send + 'static,
{
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.app.stop.cancelled() => return None,
                () = sleep_until(self.next_beat) => {
                    self.next_beat = Instant::now() + BEAT;
                    (self.render)(&self.app)?.ok()?;
                    return Some(beat(&self.app));
                }
                changed = self.queue.changed() => changed.ok()?,
                changed = self.media.changed() => changed.ok()?,
                changed = self.pokes.changed() => changed.ok()?,
            }
            // What comes close together is one change.
            sleep(AT_MOST_EVERY).await;
            self.queue.mark_unchanged();
            self.media.mark_unchanged();
            self.pokes.mark_unchanged();
            let rendered = match (self.render)(&self.app)? {
                Ok(rendered) => rendered,
                Err(error) => {
                    warn!(%error, "live part not rendered");
                    continue;
                }
            };
            let mut changed = Vec::new();
            for rendered in &rendered {
                let part = Part::new(rendered);
                if let Some(old) = self.sent.iter_mut().find(|old| old.name == part.name) {
                    if old.event == part.event {
                        continue;
                    }
                    *old = part.clone();
                } else {
                    self.sent.push(part.clone());
                }
                changed.extend_from_slice(&part.event);
            }
            if !changed.is_empty() {
                return Some(changed.into());
            }
        }
    }
}

fn place(app: &Arc<App>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(&app.pages).try_acquire_owned();
    place.map_err(|_| Problem::new(Kind::TooMany, "too many pages listen already").retry_after(Duration::from_secs(30)))
}

fn answer(app: &Arc<App>, events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    use futures_util::StreamExt;
    // The browser comes back 2 s after the connection was lost.
    let first = [Bytes::from_static(b"retry: 2000\n\n"), beat(app)];
    let events = stream::iter(first).chain(events).filter(|event| std::future::ready(!event.is_empty()));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events.map(Ok::<_, Infallible>))).into_response()
}

/// The box's clock in milliseconds, and which build of the page it serves.
fn beat(app: &App) -> Bytes {
    event("beat", &format!("{} {}", ui::milliseconds(app.state.clock.now()), *assets::BUILD))
}
