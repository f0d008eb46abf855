//! What the buttons of the night do. Each says what it did and, where that makes sense, how to take it back.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;

use crate::{
    control::{journal::By, night, people},
    core::{
        account::AccountId,
        queue::{EntryId, TurnId},
    },
    director::{EntryView, QueueView, queue_at},
    web::{
        app::App,
        http::{
            body::Path,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            flash::Flash,
            form::{Form, Sender, Switched},
            words::minutes_in_words,
        },
    },
};

/// Where the messages stand without scripts.
const NIGHT: &str = "/admin";

/// A day, the longest turn there is, in minutes.
const LONGEST_MINUTES: u64 = 24 * 60;

pub(super) fn routes() -> Routes {
    Routes::new()
        .form(Right::Operator, "/admin/skip", skip)
        .form(Right::Operator, "/admin/hold", hold)
        .form(Right::Operator, "/admin/slate", slate)
        .form(Right::Operator, "/admin/block", block)
        .form(Right::Operator, "/admin/show", show)
        .form(Right::Operator, "/admin/turn/this", this_turn)
        .form(Right::Operator, "/admin/turn/every", every_turn)
        .form(Right::Operator, "/admin/entries/{id}/take", take)
        .form(Right::Operator, "/admin/entries/{id}/kick", kick)
        .form(Right::Operator, "/admin/entries/{id}/move", move_entry)
        .form(Right::Operator, "/admin/streamers/{id}/ban", ban)
        .form(Right::Operator, "/admin/streamers/{id}/unban", unban)
        .form(Right::Operator, "/admin/streamers/{id}/lift", lift)
}

fn queue(app: &App) -> QueueView {
    app.control.snapshot().queue.clone()
}

/// The entry as it is before the order, for its name and place.
fn entry(queue: &QueueView, id: EntryId) -> Result<EntryView, Problem> {
    let on_air = queue.on_air.iter().map(|turn| &turn.entry);
    let found = on_air.chain(&queue.waiting).find(|entry| entry.id == id).cloned();
    found.ok_or_else(|| Problem::new(Kind::NotFound, "who that was about has left the queue"))
}

/// Which turn to end.
#[derive(Deserialize)]
struct Skip {
    /// The one that is meant, so that a second click hits nobody else.
    turn: TurnId,
}

async fn skip(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(skip): Form<Skip>,
) -> Result<Response, Problem> {
    let before = queue(&app);
    let kept = night::skip(&app.control, &by, Some(skip.turn)).await?;
    let name = before.on_air.filter(|turn| turn.id == skip.turn).map(|turn| turn.entry.name);
    let name = name.map_or_else(|| "The turn is over.".to_owned(), |name| format!("{name}'s turn is over."));
    let next = before.waiting.into_iter().find(|entry| Some(entry.id) == before.next && !before.hold);
    let text = match next {
        Some(next) => format!("{name} {} goes on.", next.name),
        None => format!("{name} The slate is shown until somebody is ready."),
    };
    Ok(sender.done(&app, NIGHT, &Flash::done(text).kept(kept)))
}

async fn hold(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let kept = night::set_hold(&app.control, &by, to.on).await?;
    let text = if to.on {
        "The order is on hold: nobody goes on air, and no turn ends, by itself."
    } else {
        "The order goes on."
    };
    Ok(sender.done(&app, NIGHT, &Flash::done(text).undo_switch("/admin/hold", to.on).kept(kept)))
}

async fn slate(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let kept = night::set_slate(&app.control, &by, to.on).await?;
    let text = match (to.on, queue(&app).on_air) {
        (true, _) => "The slate covers the programme. The turn's clock stands.".to_owned(),
        (false, Some(turn)) => format!("The slate is lifted. {} is seen and heard.", turn.entry.name),
        (false, None) => "The slate is lifted. Whoever is ready goes on.".to_owned(),
    };
    // The button is as large as it was: it needs no second one to take it back.
    Ok(sender.done(&app, NIGHT, &Flash::done(text).kept(kept)))
}

async fn block(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let on = night::switch_block(&app.control, &by, Some(to.on)).await?;
    let text = if on {
        "Whoever has just been on air lets somebody else go first."
    } else {
        "Whoever has just been on air may join again at once."
    };
    Ok(sender.done(&app, NIGHT, &Flash::done(text).undo_switch("/admin/block", on)))
}

async fn show(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let kept = night::switch_show(&app.control, &by, to.on).await?;
    let all = app.control.destinations();
    let names: Vec<_> = all.iter().filter(|one| one.enabled).map(|one| one.name.as_str()).collect();
    let text = match (to.on, names.is_empty()) {
        (true, true) => "The show is on. No destination is switched on, so only the room sees it.".to_owned(),
        (true, false) => format!("The show is on: {}.", joined(&names)),
        (false, true) => "The show is over.".to_owned(),
        (false, false) => format!("The show is over. Closed: {}.", joined(&names)),
    };
    Ok(sender.done(&app, NIGHT, &Flash::done(text).kept(kept)))
}

/// `Twitch, Kick and YouTube`.
fn joined(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// How long the running turn is to be: longer or shorter by so many minutes, or over in so many.
#[derive(Deserialize)]
struct ThisTurn {
    turn: TurnId,
    add: Option<i64>,
    left: Option<u64>,
    /// The length itself, in seconds: what an undo sends.
    seconds: Option<u64>,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of turns: a day at most")]
async fn this_turn(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<ThisTurn>,
) -> Result<Response, Problem> {
    let snapshot = app.control.snapshot();
    let over = || Problem::new(Kind::AlreadyOver, "that turn is already over");
    let turn = queue_at(&snapshot, app.control.now()).on_air;
    let turn = turn.filter(|turn| turn.id == to.turn).ok_or_else(over)?;
    let (before, elapsed) = (turn.length_seconds.round() as u64, turn.elapsed_seconds.round() as u64);
    let seconds = match (to.add, to.left, to.seconds) {
        (Some(minutes), ..) => before.saturating_add_signed(minutes.clamp(-1440, 1440) * 60).max(1),
        (_, Some(minutes), _) => elapsed + minutes.min(LONGEST_MINUTES) * 60,
        (_, _, Some(seconds)) => seconds,
        _ => return Err(Problem::invalid("left", "say in how many minutes the turn is to be over")),
    };
    night::change_this_turn(&app.control, &by, to.turn, i64::try_from(seconds).unwrap_or(i64::MAX)).await?;
    let left = seconds.saturating_sub(elapsed);
    let text = match left {
        0 => format!("{}'s time is up.", turn.entry.name),
        left => format!("{} has {} left.", turn.entry.name, minutes_in_words(left)),
    };
    let (id, before) = (to.turn.0.to_string(), before.to_string());
    let flash = Flash::done(text).undo("/admin/turn/this", &[("turn", &id), ("seconds", &before)]);
    Ok(sender.done(&app, NIGHT, &flash))
}

/// How long every turn is to be.
#[derive(Deserialize)]
struct EveryTurn {
    minutes: Option<u64>,
    /// The same in seconds: what an undo sends.
    seconds: Option<u64>,
}

async fn every_turn(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<EveryTurn>,
) -> Result<Response, Problem> {
    let before = queue(&app).turn_seconds.to_string();
    let seconds = match (to.minutes, to.seconds) {
        (Some(minutes), _) if (1..=LONGEST_MINUTES).contains(&minutes) => minutes * 60,
        (None, Some(seconds)) => seconds,
        _ => return Err(Problem::invalid("minutes", "a turn lasts 1 minute to 24 hours")),
    };
    night::change_turn(&app.control, &by, i64::try_from(seconds).unwrap_or(i64::MAX), false).await?;
    let text = format!("Every turn lasts {} from now on, this one too.", minutes_in_words(seconds));
    Ok(sender.done(&app, NIGHT, &Flash::done(text).undo("/admin/turn/every", &[("seconds", &before)])))
}

async fn take(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<EntryId>,
) -> Result<Response, Problem> {
    let before = queue(&app);
    let name = entry(&before, id)?.name;
    let mut refused = night::refused_by_platforms(&app.control, id).join("; ");
    night::put_on_air(&app.control, &by, id).await?;
    if !refused.is_empty() {
        refused = format!(" Beware: {refused}.");
    }
    let flash = match before.on_air {
        Some(turn) => {
            let next = turn.entry.name;
            Flash::done(format!("{name} goes on air. {next} is next, with the rest of the turn.{refused}"))
                .undo(format!("/admin/entries/{}/take", turn.entry.id.0), &[])
        }
        None => Flash::done(format!("{name} goes on air.{refused}")),
    };
    Ok(sender.done(&app, NIGHT, &flash))
}

async fn kick(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<EntryId>,
) -> Result<Response, Problem> {
    let entry = entry(&queue(&app), id)?;
    let kept = night::kick(&app.control, &by, id).await?;
    let held = app.control.config().queue.hold_off_seconds;
    let flash = if held == 0 {
        Flash::done(format!("{} is out of the queue.", entry.name))
    } else {
        let text = format!("{} is out, and may join again in {}.", entry.name, minutes_in_words(held));
        Flash::done(text).undo(format!("/admin/streamers/{}/lift", entry.account.0), &[])
    };
    Ok(sender.done(&app, NIGHT, &flash.kept(kept)))
}

/// Where to.
#[derive(Deserialize)]
struct Move {
    to: Where,
    /// Before whom, for [`Where::Before`].
    before: Option<EntryId>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Where {
    Up,
    Down,
    First,
    Last,
    Before,
}

async fn move_entry(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<EntryId>,
    Form(to): Form<Move>,
) -> Result<Response, Problem> {
    let waiting = queue(&app).waiting;
    let gone = || Problem::new(Kind::NotFound, "who that was about does not wait any more");
    let from = waiting.iter().position(|entry| entry.id == id).ok_or_else(gone)?;
    let name = waiting.get(from).map(|entry| entry.name.clone()).unwrap_or_default();
    let others: Vec<_> = waiting.iter().map(|entry| entry.id).filter(|other| *other != id).collect();
    let place = match to.to {
        Where::Up => from.saturating_sub(1),
        Where::Down => (from + 1).min(others.len()),
        Where::First => 0,
        Where::Last => others.len(),
        Where::Before => {
            let before = to.before.ok_or_else(|| Problem::invalid("before", "say before whom"))?;
            others.iter().position(|other| *other == before).ok_or_else(gone)?
        }
    };
    night::move_before(&app.control, &by, id, others.get(place).copied()).await?;
    let action = format!("/admin/entries/{}/move", id.0);
    let flash = Flash::done(format!("{name} is number {} in the queue.", place + 1));
    let flash = match others.get(from) {
        _ if place == from => flash,
        Some(before) => flash.undo(action, &[("to", "before"), ("before", &before.0.to_string())]),
        None => flash.undo(action, &[("to", "last")]),
    };
    Ok(sender.done(&app, NIGHT, &flash))
}

async fn ban(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let (account, kept) = people::ban(&app.control, &by, id).await?;
    let flash = Flash::done(format!("{} is banned: out of the queue, and cannot sign in.", account.name));
    Ok(sender.done(&app, NIGHT, &flash.undo(format!("/admin/streamers/{}/unban", id.0), &[]).kept(kept)))
}

async fn unban(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let account = people::unban(&app.control, &by, id).await?;
    Ok(sender.done(&app, NIGHT, &Flash::done(format!("{} is not banned any more, and may stream.", account.name))))
}

async fn lift(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let account = app.control.account(id).ok_or_else(|| Problem::new(Kind::NotFound, "no such account"))?;
    people::lift_hold_off(&app.control, &by, id).await?;
    Ok(sender.done(&app, NIGHT, &Flash::done(format!("{} may join again now.", account.name))))
}
