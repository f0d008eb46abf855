//! The queue: what everybody sees of it, and the orders admins give.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    control::{journal::By, night, storing::QueueNow},
    core::queue::{EntryId, TurnId},
    web::{
        app::App,
        http::{
            body::{Body, OptionalBody, Path, UrlQuery},
            kept::{NotStoredYet, done},
            problem::Problem,
            rights::{Right, Routes},
        },
    },
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

/// With what everybody may read: pages of other sites may too. No page of theirs sends a cookie along.
type Public<T> = ([(HeaderName, &'static str); 1], Json<T>);

const fn public<T>(answer: T) -> Public<T> {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(answer))
}

/// Who is on air and who waits. Pages of other sites may read it.
#[utoipa::path(get, path = "/api/v1/queue", tag = "queue", responses((status = 200, description = "The queue", body = QueueNow)))]
async fn queue(State(app): State<Arc<App>>) -> Public<QueueNow> {
    public(app.control.queue_now())
}

/// The names, on air first, for overlays. Pages of other sites may read it.
#[utoipa::path(get, path = "/queue-json", tag = "queue", responses((status = 200, description = "The names", body = Vec<String>)))]
async fn names(State(app): State<Arc<App>>) -> Public<Vec<String>> {
    let snapshot = app.control.snapshot();
    let on_air = snapshot.queue.on_air.iter().map(|turn| &turn.entry);
    public(on_air.chain(&snapshot.queue.waiting).map(|entry| entry.name.clone()).collect())
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
        (status = 202, description = "Done, and not stored yet", body = NotStoredYet),
        (status = 404, description = "There is no turn"),
        (status = 409, description = "That turn is over")))]
async fn skip(
    State(app): State<Arc<App>>,
    by: By,
    OptionalBody(skip): OptionalBody<Skip>,
) -> Result<Response, Problem> {
    Ok(done(night::skip(&app.control, &by, skip.turn).await?))
}

/// Freezes or frees the rotation.
#[utoipa::path(post, path = "/api/v1/queue/hold", tag = "queue", request_body = Switch,
    responses((status = 204, description = "Done"),
        (status = 202, description = "Done, and not stored yet", body = NotStoredYet),
        (status = 409, description = "Not now")))]
async fn hold(State(app): State<Arc<App>>, by: By, Body(Switch { on }): Body<Switch>) -> Result<Response, Problem> {
    Ok(done(night::set_hold(&app.control, &by, on).await?))
}

/// The panic button: shows the slate until it is lifted.
#[utoipa::path(post, path = "/api/v1/queue/slate", tag = "queue", request_body = Switch,
    responses((status = 204, description = "Done"),
        (status = 202, description = "Done, and not stored yet", body = NotStoredYet),
        (status = 409, description = "Not now")))]
async fn slate(State(app): State<Arc<App>>, by: By, Body(Switch { on }): Body<Switch>) -> Result<Response, Problem> {
    Ok(done(night::set_slate(&app.control, &by, on).await?))
}

/// Puts an entry on air now.
#[utoipa::path(post, path = "/api/v1/queue/entries/{id}/take", tag = "queue", params(("id" = EntryId, Path)),
    responses((status = 204, description = "Ordered"),
        (status = 409, description = "It cannot be taken now")))]
async fn take(State(app): State<Arc<App>>, by: By, Path(id): Path<EntryId>) -> Result<StatusCode, Problem> {
    night::put_on_air(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an entry and holds its streamer off for a while.
#[utoipa::path(post, path = "/api/v1/queue/entries/{id}/kick", tag = "queue", params(("id" = EntryId, Path)),
    responses((status = 204, description = "Done"),
        (status = 202, description = "Done, and not stored yet", body = NotStoredYet),
        (status = 409, description = "Not now")))]
async fn kick(State(app): State<Arc<App>>, by: By, Path(id): Path<EntryId>) -> Result<Response, Problem> {
    Ok(done(night::kick(&app.control, &by, id).await?))
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
    night::move_before(&app.control, &by, id, to.before).await?;
    Ok(StatusCode::NO_CONTENT)
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
    Json(TurnLength { seconds: app.control.snapshot().queue.turn_seconds })
}

/// Sets how long turns are, the running one included; or one turn alone.
#[utoipa::path(put, path = "/api/v1/turn", tag = "queue", request_body = SetTurn,
    responses((status = 200, description = "The length now", body = TurnLength),
        (status = 409, description = "That turn is over")))]
async fn set_turn(State(app): State<Arc<App>>, by: By, Body(turn): Body<SetTurn>) -> Result<Json<TurnLength>, Problem> {
    let seconds = match turn.turn {
        Some(id) => night::change_this_turn(&app.control, &by, id, turn.seconds).await?,
        None => night::change_turn(&app.control, &by, turn.seconds, turn.reset).await?,
    };
    Ok(Json(TurnLength { seconds }))
}

/// Whether the last streamer must let somebody else go first.
#[utoipa::path(get, path = "/api/v1/block", tag = "queue", responses((status = 200, description = "The toggle", body = Switch)))]
async fn block(State(app): State<Arc<App>>) -> Json<Switch> {
    Json(Switch { on: app.control.snapshot().queue.block })
}

/// Sets the block toggle.
#[utoipa::path(put, path = "/api/v1/block", tag = "queue", request_body = Switch,
    responses((status = 200, description = "The toggle now", body = Switch)))]
async fn set_block(
    State(app): State<Arc<App>>,
    by: By,
    Body(Switch { on }): Body<Switch>,
) -> Result<Json<Switch>, Problem> {
    Ok(Json(Switch { on: night::switch_block(&app.control, &by, Some(on)).await? }))
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
    let seconds = night::change_turn(&app.control, &by, seconds, reset).await?;
    Ok(Json(TurnLength { seconds }))
}

/// Switches the block toggle over, at the address that existing OBS docks and scripts call.
#[utoipa::path(get, path = "/update-block-toggle/", tag = "queue",
    responses((status = 200, description = "The toggle now", body = Switch)))]
async fn toggle_block(State(app): State<Arc<App>>, by: By) -> Result<Json<Switch>, Problem> {
    Ok(Json(Switch { on: night::switch_block(&app.control, &by, None).await? }))
}
