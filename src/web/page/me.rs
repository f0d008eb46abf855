//! `/me`: one's own server, key and ways in, the place in the queue, and how one's stream arrives.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};

use super::{
    assets,
    flash::Flash,
    form::Sender,
    layout::Page,
    live::{self, Rendered},
    people::Wrong,
    ui,
};
use crate::{
    accounts::Account,
    core::{account::AccountId, moment::Moment, queue::Presence},
    director::Snapshot,
    media::InputStatus,
    web::{
        App,
        encoders::{Reached, Way},
        me::{Me, OwnEntry, fresh_key, health, own_entry, told},
        problem::{Kind, Problem},
        rights::{Right, Routes},
        sessions::{Own, in_order},
    },
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::SignedIn, "/me", me)
        .live(Right::SignedIn, "/live/me", live_me)
        .form(Right::SignedIn, "/me/leave", leave)
        .form(Right::SignedIn, "/me/key", new_key)
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
    /// Why the last publish was refused or ended.
    refusal: Option<String>,
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
        self.entry.as_ref().is_some_and(|entry| entry.presence == Presence::Present)
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

/// What to do about a stream.
pub(super) struct Advice {
    /// For those who run the night.
    pub(super) short: &'static str,
    /// For its streamer.
    text: String,
}

/// What to do about a stream, the most urgent first. Nothing when it is well, or not known yet.
pub(super) fn advice(health: &InputStatus) -> Vec<Advice> {
    let mut advice = Vec::new();
    if health.video_kbps <= 0.0 && health.audio_kbps <= 0.0 {
        return advice;
    }
    let mut say = |short, text: String| advice.push(Advice { short, text });
    if health.video_kbps <= 0.0 {
        let text = "No picture arrives. Choose H.264 as the video encoder, and look whether the scene has a source.";
        say("No picture", text.to_owned());
    }
    if health.audio_kbps <= 0.0 {
        let text = "No sound arrives. Choose AAC as the audio encoder, and look whether a source is muted.";
        say("No sound", text.to_owned());
    }
    if let Some(seconds) = health.keyframe_interval_seconds.filter(|seconds| *seconds > 2.6) {
        let text = format!(
            "Key frames come every {seconds:.0} s, and taking over waits for one. Set the keyframe interval to 2 s."
        );
        say("Key frames too rare", text);
    }
    if health.video_kbps > 7000.0 {
        let text = format!(
            "{:.0} kbit/s is more than the venue's line is made for. Set the video bitrate to 6,000 at most.",
            health.video_kbps
        );
        say("Bitrate too high", text);
    } else if health.video_kbps > 0.0 && health.video_kbps < 800.0 {
        let text = "The video bitrate is low, and the picture will look soft. 2,500 to 6,000 kbit/s look good.";
        say("Low bitrate", text.to_owned());
    }
    if health.frame_rate > 0.0 && health.frame_rate < 20.0 {
        let text = "Few pictures a second arrive. Close what else the computer does, or choose a smaller picture.";
        say("Few pictures a second", text.to_owned());
    }
    if health.jitter_ms > 150.0 {
        let text = "The line is unsteady. Use a cable instead of Wi-Fi, come closer, or lower the video bitrate.";
        say("Unsteady line", text.to_owned());
    }
    advice
}

/// What one alone sees of the box's state. `now` is there in a page and not in a live part, which must not change with the clock.
fn rendered(app: &App, snapshot: &Snapshot, id: AccountId, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    let entry = own_entry(snapshot, id);
    let held = snapshot.hold_offs.iter().find(|held| held.account == id);
    let end =
        held.map(|held| snapshot.taken + std::time::Duration::from_secs_f64(held.remaining_seconds.clamp(0.0, 1e6)));
    let left = |end: Moment| now.map(|now| ui::clock(end.since(now).as_secs_f64())).unwrap_or_default();
    let health = Health {
        connected: entry.as_ref().is_some_and(|entry| entry.presence != Presence::Absent),
        health: entry.as_ref().and_then(|entry| health(app, snapshot, entry.id)),
    };
    let place = Place {
        entry,
        refusal: snapshot.refusals.get(&id).map(|(_, reason)| sentence(reason)),
        // In steps, so that rounding does not make it another moment each time.
        held_off: end.map(|end| (ui::milliseconds(end) + 50) / 100 * 100),
        held_off_left: end.map(left).unwrap_or_default(),
    };
    Ok(vec![("place", place.render()?), ("health", health.render()?)])
}

fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let end = if reason.ends_with(['.', '!', '?']) { "" } else { "." };
    first + letters.as_str() + end
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
    let snapshot = app.state.director.snapshot().borrow().clone();
    let parts = rendered(app, &snapshot, account.id, Some(app.state.clock.now()));
    let mut parts = parts.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.into_iter();
    let mut next = || parts.next().map(|(_, html)| html).unwrap_or_default();
    let me = told(app, account, reached);
    let shown = MePage { page: &page, me: &me, place: next(), health: next(), asked, wrong };
    Ok(page.show_with(status, &shown))
}

async fn live_me(State(app): State<Arc<App>>, Own(Account { id, .. }): Own) -> Result<Response, Problem> {
    live::own(&app, move |app| {
        in_order(app, id)?;
        let snapshot = app.state.director.snapshot().borrow().clone();
        Some(rendered(app, &snapshot, id, None))
    })
}

async fn leave(State(app): State<Arc<App>>, sender: Sender, Own(account): Own) -> Result<Response, Problem> {
    app.state.director.leave(account.id).await?;
    Ok(sender.done(&app, "/me", &Flash::done("You left the queue. To come back, stop streaming and start again.")))
}

async fn new_key(State(app): State<Arc<App>>, sender: Sender, Own(account): Own) -> Result<Response, Problem> {
    fresh_key(Arc::clone(&app), account.id).await?;
    Ok(sender.go(
        &app,
        "/me",
        Some(&Flash::done("You have a fresh key. The one before is dead: put the new one into OBS.")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> InputStatus {
        InputStatus {
            video_kbps: 4000.0,
            audio_kbps: 160.0,
            frame_rate: 30.0,
            keyframe_interval_seconds: Some(2.0),
            jitter_ms: 12.0,
            ..InputStatus::default()
        }
    }

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

    #[test]
    fn stream_that_arrives_well_needs_no_advice() {
        assert!(advice(&well()).is_empty());
        // Not measured yet.
        assert!(advice(&InputStatus::default()).is_empty());
    }

    #[test]
    fn each_trouble_is_told_with_what_to_do() {
        for (health, word) in [
            (InputStatus { video_kbps: 0.0, ..well() }, "No picture"),
            (InputStatus { audio_kbps: 0.0, ..well() }, "No sound"),
            (InputStatus { keyframe_interval_seconds: Some(8.3), ..well() }, "every 8 s"),
            (InputStatus { video_kbps: 12_000.0, ..well() }, "6,000 at most"),
            (InputStatus { video_kbps: 300.0, ..well() }, "bitrate is low"),
            (InputStatus { frame_rate: 9.0, ..well() }, "Few pictures"),
            (InputStatus { jitter_ms: 400.0, ..well() }, "unsteady"),
        ] {
            let told = advice(&health);
            assert!(told.len() == 1 && told.iter().all(|told| told.text.contains(word)), "{word} is not told");
        }
    }
}
