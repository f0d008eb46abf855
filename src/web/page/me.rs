//! `/me`: one's own server, key and ways in, the place in the queue, and how one's stream arrives.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use jiff::tz::TimeZone;

use super::{
    assets,
    flash::Flash,
    form::Sender,
    layout::Page,
    live::{self, Events, Rendered},
    people::Wrong,
    ui,
    words::{Advice, advice, wall, zone},
};
use crate::{
    accounts::Account,
    control::{
        own::{self, Me, OwnEntry},
        ways::{Reached, Way},
    },
    core::{account::AccountId, moment::Moment, queue::Presence, words::sentence},
    director::Snapshot,
    media::InputStatus,
    web::{
        app::App,
        http::{
            caller::Own,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::SignedIn, "/me", me).form(Right::SignedIn, "/me/leave", leave).form(
        Right::SignedIn,
        "/me/key",
        new_key,
    )
}

#[derive(Template)]
#[template(path = "me.html")]
struct MePage<'a> {
    page: &'a Page,
    me: &'a Me,
    place: String,
    health: String,
    /// The form that has to be filled in again, if one has.
    asked: &'a str,
    /// What is wrong in it.
    wrong: Option<Wrong>,
}

impl MePage<'_> {
    /// What is wrong in `form`, to be said beside `field`.
    fn wrong_in(&self, form: &str, field: &str) -> Option<&str> {
        let wrong = self.wrong.as_ref().filter(|wrong| self.asked == form && wrong.is(field))?;
        Some(wrong.text.as_str())
    }

    /// See [`larix`].
    fn larix(&self, server: &str, key: &str) -> String {
        larix(&self.page.venue, server, key)
    }
}

/// A link that sets Larix Broadcaster up on a phone (Larix Grove, softvelum.com/larix/grove). Holds the key.
fn larix(venue: &str, server: &str, key: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("conn[][url]", &format!("{server}/{key}")).append_pair("conn[][name]", venue);
    // Phones do not all take a plus for a space.
    format!("larix://set/v1?{}", query.finish().replace('+', "%20"))
}

/// The place, what stands in its way, and what to do.
#[derive(Template)]
#[template(path = "parts/me_place.html")]
struct Place {
    entry: Option<OwnEntry>,
    /// Why the stream cannot be put on air, or else why the last publish was refused or ended.
    refusal: Option<String>,
    /// When that was, if it is over.
    refused_at: Option<String>,
    /// The slate is over whoever is on air: the crew has put it there.
    under_slate: bool,
    /// The picture of whoever is on air does not arrive.
    stalled: bool,
    /// When a publish is taken again, in milliseconds of the box's clock.
    held_off: Option<u64>,
    /// The same as a length of time, where the page may stay without a script.
    held_off_left: String,
}

impl Place {
    fn is_away(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.presence == Presence::Absent)
    }

    fn has_no_picture(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.presence == Presence::Present && entry.trouble.is_none())
    }

    fn is_unfit(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.trouble.is_some())
    }
}

/// How the stream arrives.
#[derive(Template)]
#[template(path = "parts/me_health.html")]
struct Health {
    connected: bool,
    health: Option<InputStatus>,
}

impl Health {
    fn advice(&self) -> Vec<Advice> {
        self.health.as_ref().map(advice).unwrap_or_default()
    }
}

/// The zone by which somebody is told times: their own, or else the venue's.
fn own_zone(app: &App, id: AccountId) -> TimeZone {
    let own = app.control.account(id).and_then(|account| account.timezone);
    own.and_then(|name| TimeZone::get(&name).ok()).unwrap_or_else(|| zone(app))
}

/// What one alone sees of the box's state. `now` is there in a page and not in a live part, which must not change with the clock.
fn rendered(app: &App, snapshot: &Snapshot, id: AccountId, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    let entry = own::own_entry(snapshot, id);
    let held = snapshot.hold_offs.iter().find(|held| held.account == id);
    let end =
        held.map(|held| snapshot.taken + std::time::Duration::from_secs_f64(held.remaining_seconds.clamp(0.0, 1e6)));
    let left = |end: Moment| now.map(|now| ui::clock(end.since(now).as_secs_f64())).unwrap_or_default();
    let health = Health {
        connected: entry.as_ref().is_some_and(|entry| entry.presence != Presence::Absent),
        health: entry.as_ref().and_then(|entry| own::health(&app.control, snapshot, entry.id)),
    };
    let trouble = entry.as_ref().and_then(|entry| entry.trouble.as_deref()).map(sentence);
    let refusal = snapshot.refusals.get(&id);
    let on_air = snapshot.queue.on_air.as_ref();
    let place = Place {
        under_slate: snapshot.queue.forced_slate,
        stalled: on_air.is_some_and(|turn| turn.stalled),
        entry,
        refused_at: refusal.filter(|_| trouble.is_none()).map(|(at, _)| wall(*at, &own_zone(app, id))),
        refusal: trouble.or_else(|| refusal.map(|(_, reason)| sentence(reason))),
        // In steps, so that rounding does not make it another moment each time.
        held_off: end.map(|end| (ui::milliseconds(end) + 50) / 100 * 100),
        held_off_left: end.map(left).unwrap_or_default(),
    };
    Ok(vec![("place", place.render()?), ("health", health.render()?)])
}

async fn me(State(app): State<Arc<App>>, page: Page, Own(account): Own, reached: Reached) -> Result<Response, Problem> {
    show(&app, page, account, &reached, StatusCode::OK, ("", None))
}

/// The page. `asked`: the form that has to be filled in again, and what is wrong in it.
pub(super) fn show(
    app: &App,
    page: Page,
    account: Account,
    reached: &Reached,
    status: StatusCode,
    (asked, wrong): (&str, Option<Wrong>),
) -> Result<Response, Problem> {
    let page = page.with_secrets();
    let snapshot = app.control.snapshot();
    let parts = rendered(app, &snapshot, account.id, Some(app.control.now()));
    let mut parts = parts.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.into_iter();
    let mut next = || parts.next().map(|(_, html)| html).unwrap_or_default();
    let me = own::told(&app.control, account, reached);
    let shown = MePage { page: &page, me: &me, place: next(), health: next(), asked, wrong };
    Ok(page.show_with(status, &shown))
}

/// What one alone hears. It ends when the account is not in order any more.
pub(super) fn events(app: &Arc<App>, id: AccountId) -> Events {
    live::own(app, move |app| {
        app.control.in_order(id)?;
        Some(parts(app, id))
    })
}

/// What one alone sees at this moment.
pub(super) fn parts(app: &App, id: AccountId) -> askama::Result<Vec<Rendered>> {
    rendered(app, &app.control.snapshot(), id, None)
}

async fn leave(State(app): State<Arc<App>>, sender: Sender, Own(account): Own) -> Result<Response, Problem> {
    let kept = own::leave(&app.control, account.id).await?;
    let flash = Flash::done("You left the queue. To come back, stop streaming and start again.");
    Ok(sender.done(&app, "/me", &flash.kept(kept)))
}

async fn new_key(State(app): State<Arc<App>>, sender: Sender, Own(account): Own) -> Result<Response, Problem> {
    own::fresh_key(&app.control, account.id).await?;
    Ok(sender.go(
        &app,
        "/me",
        Some(&Flash::done("You have a fresh key. The one before is dead: put the new one into OBS.")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_for_a_phone_holds_server_key_and_venue() {
        let link = larix("Blue Room & Bar", "rtmp://10.0.0.2:1935/live", "k3y");
        let parsed: url::Url = link.parse().expect("a link");
        assert_eq!((parsed.scheme(), parsed.host_str(), parsed.path()), ("larix", Some("set"), "/v1"));
        let values: Vec<_> =
            parsed.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let expected = [("conn[][url]", "rtmp://10.0.0.2:1935/live/k3y"), ("conn[][name]", "Blue Room & Bar")];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!link.contains('+'));
    }
}
