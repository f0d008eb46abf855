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
//! connection is alive, what the time is, and that the box was updated (`web/assets/app.js`). What the frame of every page shows comes
//! beside the parts, in every stream.
//!
//! A browser listens to all that its pages show by *one* stream, since it has six connections to one box for all of them
//! (`web/assets/line.js`): [`joined`]. There `of` says which topic the parts behind it belong to. Who cannot listen, because no place is
//! left or something in between keeps the stream back, asks now and then for what is so at this moment: [`Snapshot`].

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use super::{assets, layout::Page, ui};
use crate::{
    control::{journal::Caller, news::Follower},
    core::account::Role,
    web::{
        app::App,
        http::{
            lines::{Place, UNBUFFERED},
            problem::{Kind, Problem},
        },
    },
};

/// Changes that follow each other faster are one.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// How often a listener hears that the box is there. The browser takes the connection for lost after 25 s without.
const BEAT: Duration = Duration::from_secs(10);

/// A part as it was rendered: its name, which `sse-swap` repeats, and its HTML.
pub(crate) type Rendered = (&'static str, String);

/// How long what was rendered for those who ask is given to the next one, too.
const FRESH: Duration = Duration::from_millis(500);

/// Sent first, and not heeded: some programs between a browser and the box pass nothing on before so much has come.
static PADDING: [u8; 2048] = {
    let mut padding = [b' '; 2048];
    padding[0] = b':';
    padding[2046] = b'\n';
    padding[2047] = b'\n';
    padding
};

/// Renders the parts of a channel.
pub(crate) type Render = fn(&App) -> askama::Result<Vec<Rendered>>;

/// A part, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Part {
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

pub(super) type Parts = Arc<[Part]>;

/// Parts that many see alike.
pub(crate) struct Channel {
    shown: watch::Sender<Parts>,
    /// Somebody has begun to listen.
    wanted: Notify,
    /// What was rendered last for somebody who asked while nobody listened.
    asked: Mutex<Option<(Instant, Parts)>>,
    render: Render,
}

/// The events of a stream.
pub(crate) type Events = BoxStream<'static, Bytes>;

impl Channel {
    pub(super) fn new(render: Render) -> Self {
        let shown = watch::Sender::new(Parts::from([]));
        Self { shown, wanted: Notify::new(), asked: Mutex::default(), render }
    }

    /// What somebody with this role, or one above, hears. It ends with the role. (That it ends with the session too, others see to.)
    pub(super) fn listen_as(&self, app: &Arc<App>, caller: Caller, role: Role) -> Events {
        self.listen(app, move |app| has_role(app, &caller, role))
    }

    /// What a new listener hears. It ends as soon as `may` says no.
    pub(super) fn listen(&self, app: &Arc<App>, may: impl Fn(&App) -> bool + Send + 'static) -> Events {
        let mut shown = self.shown.subscribe();
        shown.mark_changed();
        self.wanted.notify_one();
        Listener { app: Arc::clone(app), shown, sent: Arc::new([]), may }.events().boxed()
    }

    /// The parts at this moment.
    pub(super) fn now(&self, app: &App) -> Result<Parts, Problem> {
        let shown = Arc::clone(&self.shown.borrow());
        if self.shown.receiver_count() > 0 && !shown.is_empty() {
            return Ok(shown);
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, parts)) = asked.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(parts));
        }
        let rendered = (self.render)(app).map_err(not_rendered)?;
        let parts: Parts = with_frame(app, rendered).iter().map(Part::new).collect();
        *asked = Some((Instant::now(), Arc::clone(&parts)));
        Ok(parts)
    }

    /// Renders at every change while somebody listens.
    pub(super) async fn keep(&self, app: &App, follows_media: bool) {
        let render = self.render;
        let mut queue = app.control.snapshots();
        let mut media = app.control.media_statuses();
        let mut news = app.control.news();
        loop {
            if self.shown.receiver_count() == 0 {
                // Who comes next must not be shown what was true when the last one left.
                self.shown.send_replace(Arc::new([]));
                self.wanted.notified().await;
            }
            queue.mark_unchanged();
            media.mark_unchanged();
            news.catch_up();
            match render(app) {
                Ok(parts) => self.show(&with_frame(app, parts)),
                Err(error) => warn!(%error, "live part not rendered"),
            }
            sleep(AT_MOST_EVERY).await;
            tokio::select! {
                Ok(()) = queue.changed() => {}
                Ok(()) = media.changed(), if follows_media => {}
                Some(_) = news.next() => {}
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
pub(crate) fn own<R>(app: &Arc<App>, render: R) -> Events
where
    R: Fn(&App) -> Option<askama::Result<Vec<Rendered>>> + Send + 'static,
{
    let mut queue = app.control.snapshots();
    queue.mark_changed();
    let own = Own {
        app: Arc::clone(app),
        queue,
        media: app.control.media_statuses(),
        news: app.control.news(),
        sent: Vec::new(),
        next_beat: Instant::now() + BEAT,
        render,
    };
    stream::unfold(own, async |mut own| own.next().await.map(|event| (event, own))).boxed()
}

struct Own<R> {
    app: Arc<App>,
    queue: watch::Receiver<Arc<crate::director::Snapshot>>,
    media: watch::Receiver<Arc<crate::media::MediaStatus>>,
    news: Follower,
    sent: Vec<Part>,
    next_beat: Instant,
    render: R,
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
                heard = self.news.next() => drop(heard?),
            }
            // What comes close together is one change.
            sleep(AT_MOST_EVERY).await;
            self.queue.mark_unchanged();
            self.media.mark_unchanged();
            self.news.catch_up();
            let rendered = match (self.render)(&self.app)? {
                Ok(rendered) => with_frame(&self.app, rendered),
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

/// The parts, after what the frame around every page shows: the venue's name, and whether newcomers can register. These two are words and
/// not HTML, and `web/assets/app.js` puts them where they stand, which is outside of what a stream's element may fill.
fn with_frame(app: &App, mut parts: Vec<Rendered>) -> Vec<Rendered> {
    let registration = if Page::registration_is_open(app) { "open" } else { "closed" };
    parts.splice(0..0, [("venue", app.control.config().venue.name.clone()), ("registration", registration.to_owned())]);
    parts
}

/// Whether whoever asked has this role, or one above, at this moment: who had it when a stream began may have lost it.
pub(super) fn has_role(app: &App, caller: &Caller, role: Role) -> bool {
    match caller {
        Caller::Anonymous | Caller::Machine | Caller::Monitor => false,
        Caller::Token => true,
        Caller::Account(account) => app.control.in_order(account.id).is_some_and(|account| account.role >= role),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn not_rendered(error: askama::Error) -> Problem {
    Problem::new(Kind::Internal, error.to_string())
}

/// Several streams as one, with which topic each event belongs to. It ends as soon as one of them does.
pub(super) fn joined(streams: Vec<(&'static str, Events)>) -> Events {
    // The topic of the last event: it is said where it changes.
    let mut last = "";
    let ended = || stream::once(std::future::ready(None));
    let tagged = streams.into_iter().map(|(topic, events)| {
        let events = events.filter(|event| std::future::ready(!event.is_empty()));
        events.map(move |event| Some((topic, event))).chain(ended()).boxed()
    });
    stream::select_all(tagged)
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(std::future::ready)
        .map(move |(topic, event)| {
            if topic == last {
                return event;
            }
            last = topic;
            [event_of(topic).as_ref(), event.as_ref()].concat().into()
        })
        .boxed()
}

/// The event that says which topic those behind it belong to.
fn event_of(topic: &str) -> Bytes {
    event("of", topic)
}

/// Says which topics are not for whoever asked.
pub(super) fn refused(topics: &[&str]) -> Bytes {
    if topics.is_empty() { Bytes::new() } else { event("refused", &topics.join(",")) }
}

/// The answer that streams `events`, beginning with `first`, as long as `place` is held.
pub(super) fn answer(app: &App, place: Place, first: Bytes, events: Events) -> Response {
    // Whoever listens by an `EventSource` of their own comes back 2 s after the connection was lost.
    let before = [Bytes::from_static(&PADDING), Bytes::from_static(b"retry: 2000\n\n"), beat(app), first];
    let lost = place.lost();
    let events = stream::iter(before).chain(events).filter(|event| std::future::ready(!event.is_empty()));
    let events = events.take_until(lost).map(move |event| {
        let _held_as_long_as_the_stream = &place;
        Ok::<_, Infallible>(event)
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], UNBUFFERED, Body::from_stream(events)).into_response()
}

/// What several topics show at this moment, for those who ask now and then.
#[derive(Default)]
pub(super) struct Snapshot(Vec<u8>);

impl Snapshot {
    pub(super) fn refused(&mut self, topics: &[&str]) {
        self.0.extend_from_slice(&refused(topics));
    }

    pub(super) fn add(&mut self, topic: &str, parts: &[Part]) {
        self.0.extend_from_slice(&event_of(topic));
        for part in parts {
            self.0.extend_from_slice(&part.event);
        }
    }

    /// Parts that one alone sees.
    ///
    /// # Errors
    /// When they cannot be rendered.
    pub(super) fn add_own(
        &mut self,
        app: &App,
        topic: &str,
        rendered: askama::Result<Vec<Rendered>>,
    ) -> Result<(), Problem> {
        let parts: Vec<_> = with_frame(app, rendered.map_err(not_rendered)?).iter().map(Part::new).collect();
        self.add(topic, &parts);
        Ok(())
    }

    /// The answer: nothing but a beat for whoever has the same already.
    pub(super) fn answer(self, app: &App, asked: &HeaderMap) -> Response {
        let hash = HEXLOWER.encode(&Sha256::digest(&self.0));
        let tag = format!("\"{}\"", hash.get(..32).unwrap_or(&hash));
        let same = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let beat = HeaderValue::from_str(&now_and_build(app)).unwrap_or_else(|_| HeaderValue::from_static(""));
        let mut response = if same {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "text/event-stream")], self.0).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("motherstream-beat"), beat);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// The box's clock in milliseconds, and which build of the page it serves.
fn now_and_build(app: &App) -> String {
    format!("{} {}", ui::milliseconds(app.control.now()), *assets::BUILD)
}

fn beat(app: &App) -> Bytes {
    event("beat", &now_and_build(app))
}
