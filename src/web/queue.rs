//! The queue: what everybody sees of it, and the orders admins give.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::{Body, OptionalBody, Path, UrlQuery},
    problem::Problem,
    rights::{Right, Routes},
};
use crate::{
    core::{
        moment::Moment,
        queue::{EntryId, TurnId},
    },
    director::{HoldOffView, QueueView, Snapshot},
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Anyone, routes!(queue))
        .api(Right::Anyone, routes!(names))
        .api(Right::Operator, routes!(skip))
        .api(Right::Operator, routes!(hold))
        .api(Right::Operator, routes!(slate))
        .api(Right::Operator, routes!(take))
        .api(Right::Operator, routes!(kick))
        .api(Right::Operator, routes!(move_entry))
        .api(Right::Operator, routes!(turn, set_turn))
        .api(Right::Operator, routes!(block, set_block))
        // Addresses that existing OBS docks and scripts call.
        .api(Right::Token, routes!(update_timer))
        .api(Right::Token, routes!(toggle_block))
}

/// A switch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switch {
    /// Whether it is on.
    pub(crate) on: bool,
}

/// The queue with the times as they are at `now`: a snapshot is made at events only, and the clock runs on meanwhile.
pub(crate) fn queue_at(snapshot: &Snapshot, now: Moment) -> QueueView {
    let mut queue = snapshot.queue.clone();
    if let Some(turn) = queue.on_air.as_mut().filter(|turn| turn.running) {
        let since = now.since(snapshot.taken).as_secs_f64();
        turn.elapsed_seconds += since;
        turn.remaining_seconds = (turn.remaining_seconds - since).max(0.0);
    }
    queue
}

/// The hold-offs that are left at `now`.
pub(crate) fn hold_offs_at(snapshot: &Snapshot, now: Moment) -> Vec<HoldOffView> {
    let since = now.since(snapshot.taken).as_secs_f64();
    let held = snapshot.hold_offs.iter().cloned().map(|mut held| {
        held.remaining_seconds -= since;
        held
    });
    held.filter(|held| held.remaining_seconds > 0.0).collect()
}

/// Who is on air and who waits.
#[utoipa::path(get, path = "/api/v1/queue", tag = "queue", responses((status = 200, description = "The queue", body = QueueView)))]
async fn queue(State(app): State<Arc<App>>) -> Json<QueueView> {
    let snapshot = app.state.director.snapshot().borrow().clone();
    Json(queue_at(&snapshot, app.state.clock.now()))
}

/// The names, on air first, for overlays.
#[utoipa::path(get, path = "/queue-json", tag = "queue", responses((status = 200, description = "The names", body = Vec<String>)))]
async fn names(State(app): State<Arc<App>>) -> Json<Vec<String>> {
    let snapshot = app.state.director.snapshot().borrow().clone();
    let on_air = snapshot.queue.on_air.iter().map(|turn| &turn.entry);
    Json(on_air.chain(&snapshot.queue.waiting).map(|entry| entry.name.clone()).collect())
}

/// Which turn to end.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Skip {
    /// The turn that is meant; without it, whichever runs.
    turn: Option<TurnId>,
}

/// Ends a turn. 409 when the turn that is named is over, so that a second click hits nobody else.
#[utoipa::path(post, path = "/api/v1/queue/skip", tag = "queue", request_body = Option<Skip>,
    responses((status = 204, description = "Ordered"),
        (status = 404, description = "There is no turn"),
        (status = 409, description = "That turn is over")))]
async fn skip(
    State(app): State<Arc<App>>,
    by: By,
    OptionalBody(skip): OptionalBody<Skip>,
) -> Result<StatusCode, Problem> {
    skip_turn(&app, &by, skip.turn).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the turn that is meant, or whichever runs.
pub(crate) async fn skip_turn(app: &App, by: &By, turn: Option<TurnId>) -> Result<(), Problem> {
    let on_air = app.state.director.snapshot().borrow().queue.on_air.as_ref().map(|turn| turn.entry.name.clone());
    by.did("queue.skip", on_air.unwrap_or_default());
    Ok(app.state.director.skip(turn).await?)
}

/// Freezes or frees the rotation.
#[utoipa::path(post, path = "/api/v1/queue/hold", tag = "queue", request_body = Switch,
    responses((status = 204, description = "Done"),
        (status = 409, description = "Not now")))]
async fn hold(State(app): State<Arc<App>>, by: By, Body(Switch { on }): Body<Switch>) -> Result<StatusCode, Problem> {
    set_hold(&app, &by, on).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Freezes or frees the rotation.
pub(crate) async fn set_hold(app: &App, by: &By, on: bool) -> Result<(), Problem> {
    by.did("queue.hold", on_or_off(on));
    Ok(app.state.director.set_hold(on).await?)
}

/// The panic button: shows the slate until it is lifted.
#[utoipa::path(post, path = "/api/v1/queue/slate", tag = "queue", request_body = Switch,
    responses((status = 204, description = "Done"),
        (status = 409, description = "Not now")))]
async fn slate(State(app): State<Arc<App>>, by: By, Body(Switch { on }): Body<Switch>) -> Result<StatusCode, Problem> {
    set_slate(&app, &by, on).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The panic button.
pub(crate) async fn set_slate(app: &App, by: &By, on: bool) -> Result<(), Problem> {
    by.did("queue.slate", on_or_off(on));
    Ok(app.state.director.set_forced_slate(on).await?)
}

/// A switch's position, for the audit log.
pub(crate) const fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Whose an entry is, for the audit log.
fn whose(app: &App, id: EntryId) -> String {
    let snapshot = app.state.director.snapshot().borrow().clone();
    let mut entries = snapshot.queue.on_air.iter().map(|turn| &turn.entry).chain(&snapshot.queue.waiting);
    entries.find(|entry| entry.id == id).map(|entry| entry.name.clone()).unwrap_or_default()
}

/// Puts an entry on air now.
#[utoipa::path(post, path = "/api/v1/queue/entries/{id}/take", tag = "queue", params(("id" = EntryId, Path)),
    responses((status = 204, description = "Ordered"),
        (status = 409, description = "It can not be taken now")))]
async fn take(State(app): State<Arc<App>>, by: By, Path(id): Path<EntryId>) -> Result<StatusCode, Problem> {
    put_on_air(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts an entry on air now.
pub(crate) async fn put_on_air(app: &App, by: &By, id: EntryId) -> Result<(), Problem> {
    by.did("queue.take", whose(app, id));
    Ok(app.state.director.put_on_air(id).await?)
}

/// Removes an entry and holds its streamer off for a while.
#[utoipa::path(post, path = "/api/v1/queue/entries/{id}/kick", tag = "queue", params(("id" = EntryId, Path)),
    responses((status = 204, description = "Done"),
        (status = 409, description = "Not now")))]
async fn kick(State(app): State<Arc<App>>, by: By, Path(id): Path<EntryId>) -> Result<StatusCode, Problem> {
    kick_entry(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an entry and holds its streamer off for a while.
pub(crate) async fn kick_entry(app: &App, by: &By, id: EntryId) -> Result<(), Problem> {
    by.did("queue.kick", whose(app, id));
    Ok(app.state.director.kick(id).await?)
}

/// Where to move an entry.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Move {
    /// The waiting entry it will stand before; null or absent: at the tail.
    before: Option<EntryId>,
}

/// Moves a waiting entry.
#[utoipa::path(post, path = "/api/v1/queue/entries/{id}/move", tag = "queue", params(("id" = EntryId, Path)),
    request_body = Option<Move>, responses((status = 204, description = "Done"),
        (status = 409, description = "Only who waits can be moved")))]
async fn move_entry(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<EntryId>,
    OptionalBody(to): OptionalBody<Move>,
) -> Result<StatusCode, Problem> {
    move_before(&app, &by, id, to.before).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a waiting entry before another, or to the tail.
pub(crate) async fn move_before(app: &App, by: &By, id: EntryId, before: Option<EntryId>) -> Result<(), Problem> {
    by.did("queue.move", whose(app, id));
    Ok(app.state.director.move_entry(id, before).await?)
}

/// How long turns are.
#[derive(Serialize, ToSchema)]
struct TurnLength {
    /// The length of a turn in seconds.
    seconds: u64,
}

/// A new length of turns.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetTurn {
    /// The length in seconds, 1 to 86,400.
    #[schema(value_type = u64, minimum = 1, maximum = 86_400)]
    seconds: i64,
    /// Whether the clock of the running turn starts afresh.
    #[serde(default)]
    reset: bool,
    /// The turn that gets this length, and no other: 409 when it is over. Without it every turn does, the running one included.
    turn: Option<TurnId>,
}

/// How long turns are.
#[utoipa::path(get, path = "/api/v1/turn", tag = "queue", responses((status = 200, description = "The length", body = TurnLength)))]
async fn turn(State(app): State<Arc<App>>) -> Json<TurnLength> {
    Json(TurnLength { seconds: app.state.director.snapshot().borrow().queue.turn_seconds })
}

/// Sets how long turns are, the running one included; or one turn alone.
#[utoipa::path(put, path = "/api/v1/turn", tag = "queue", request_body = SetTurn,
    responses((status = 200, description = "The length now", body = TurnLength),
        (status = 409, description = "That turn is over")))]
async fn set_turn(State(app): State<Arc<App>>, by: By, Body(turn): Body<SetTurn>) -> Result<Json<TurnLength>, Problem> {
    let seconds = match turn.turn {
        Some(id) => change_this_turn(&app, &by, id, turn.seconds).await?,
        None => change_turn(&app, &by, turn.seconds, turn.reset).await?,
    };
    Ok(Json(TurnLength { seconds }))
}

/// Sets how long the turn that is meant is, and says it again. No other changes.
pub(crate) async fn change_this_turn(app: &App, by: &By, turn: TurnId, seconds: i64) -> Result<u64, Problem> {
    let Ok(seconds) = u64::try_from(seconds) else {
        return Err(Problem::invalid("seconds", "a turn lasts 1 second to 24 hours"));
    };
    let on_air = app.state.director.snapshot().borrow().queue.on_air.as_ref().map(|turn| turn.entry.name.clone());
    by.did("queue.this-turn", format!("{}, {seconds} s", on_air.unwrap_or_default()));
    app.state.director.set_this_turn(turn, Duration::from_secs(seconds)).await?;
    Ok(seconds)
}

/// Sets how long turns are, and says it again. `reset`: the clock of the running turn starts afresh.
pub(crate) async fn change_turn(app: &App, by: &By, seconds: i64, reset: bool) -> Result<u64, Problem> {
    let Ok(seconds) = u64::try_from(seconds) else {
        return Err(Problem::invalid("seconds", "a turn lasts 1 second to 24 hours"));
    };
    by.did("queue.turn", format!("{seconds} s{}", if reset { ", afresh" } else { "" }));
    app.state.director.set_turn(Duration::from_secs(seconds), reset).await?;
    Ok(seconds)
}

/// Whether the last streamer must let somebody else go first.
#[utoipa::path(get, path = "/api/v1/block", tag = "queue", responses((status = 200, description = "The toggle", body = Switch)))]
async fn block(State(app): State<Arc<App>>) -> Json<Switch> {
    Json(Switch { on: app.state.director.snapshot().borrow().queue.block })
}

/// Sets the block toggle.
#[utoipa::path(put, path = "/api/v1/block", tag = "queue", request_body = Switch,
    responses((status = 200, description = "The toggle now", body = Switch)))]
async fn set_block(
    State(app): State<Arc<App>>,
    by: By,
    Body(Switch { on }): Body<Switch>,
) -> Result<Json<Switch>, Problem> {
    Ok(Json(Switch { on: switch_block(&app, &by, Some(on)).await? }))
}

/// Sets or toggles (`None`) the block toggle, and says what it is now.
pub(crate) async fn switch_block(app: &App, by: &By, on: Option<bool>) -> Result<bool, Problem> {
    by.did("queue.block", on.map_or("the other way", on_or_off));
    Ok(app.state.director.set_block(on).await?)
}

#[derive(Deserialize)]
struct ResetTime {
    #[serde(default)]
    reset_time: Option<String>,
}

/// Sets how long turns are, at the address that existing OBS docks and scripts call.
#[utoipa::path(get, path = "/update-timer/{seconds}", tag = "queue",
    params(("seconds" = u64, Path), ("reset_time" = Option<bool>, Query)),
    responses((status = 200, description = "The length now", body = TurnLength),
        (status = 422, description = "A value does not fit")))]
async fn update_timer(
    State(app): State<Arc<App>>,
    by: By,
    Path(seconds): Path<i64>,
    UrlQuery(ResetTime { reset_time }): UrlQuery<ResetTime>,
) -> Result<Json<TurnLength>, Problem> {
    // Scripts write a truth value in the way of their own language: True, true, 1, yes.
    let reset = match reset_time.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "false" | "0" | "no" | "off" => false,
        "true" | "1" | "yes" | "on" => true,
        _ => return Err(Problem::invalid("reset_time", "reset_time is true or false")),
    };
    let seconds = change_turn(&app, &by, seconds, reset).await?;
    Ok(Json(TurnLength { seconds }))
}

/// Switches the block toggle over, at the address that existing OBS docks and scripts call.
#[utoipa::path(get, path = "/update-block-toggle/", tag = "queue",
    responses((status = 200, description = "The toggle now", body = Switch)))]
async fn toggle_block(State(app): State<Arc<App>>, by: By) -> Result<Json<Switch>, Problem> {
    Ok(Json(Switch { on: switch_block(&app, &by, None).await? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::account::AccountId,
        director::{EntryView, Presence, TurnView},
    };

    fn snapshot(running: bool) -> Snapshot {
        let entry = EntryView { id: EntryId(1), account: AccountId(1), name: "Ada".into(), presence: Presence::Ready };
        let turn = TurnView {
            id: TurnId(1),
            entry,
            length_seconds: 60.0,
            elapsed_seconds: 50.0,
            remaining_seconds: 10.0,
            running,
            suspended: false,
            stalled: false,
        };
        Snapshot {
            taken: Moment::from_start(Duration::from_secs(100)),
            queue: QueueView { on_air: Some(turn), ..QueueView::default() },
            ..Snapshot::default()
        }
    }

    fn times(running: bool, at: u64) -> Option<(f64, f64)> {
        let queue = queue_at(&snapshot(running), Moment::from_start(Duration::from_secs(at)));
        queue.on_air.map(|turn| (turn.elapsed_seconds, turn.remaining_seconds))
    }

    #[test]
    fn remaining_time_is_as_of_the_answer() {
        assert_eq!(times(true, 104), Some((54.0, 6.0)));
        assert_eq!(times(true, 130), Some((80.0, 0.0)));
    }

    #[test]
    fn standing_clock_stands_in_the_answer_too() {
        assert_eq!(times(false, 104), Some((50.0, 10.0)));
    }
}
