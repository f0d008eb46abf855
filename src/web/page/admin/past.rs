//! `/admin/history` and `/admin/audit`: what was on, and who did what.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::desk::Desk;
use crate::{
    control::journal,
    core::queue::TurnId,
    store::{AuditRecord, HistoryRecord},
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            layout::Page,
            ui,
            words::{wall, zone},
        },
    },
};

/// Rows of one page.
const ROWS: usize = 50;

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Operator, "/admin/history", history).page(Right::Admin, "/admin/audit", log)
}

/// Before which row.
#[derive(Deserialize)]
struct Before {
    before: Option<u64>,
}

/// A turn that is over.
struct Turn {
    name: String,
    began: String,
    ended: String,
    on_air: String,
    why: &'static str,
}

impl Turn {
    fn of(record: &HistoryRecord, zone: &TimeZone) -> Self {
        let (started, over) = (record.started.to_zoned(zone.clone()), record.ended.to_zoned(zone.clone()));
        let mut began = wall(record.started, zone);
        let mut ended =
            if started.date() == over.date() { over.strftime("%H:%M").to_string() } else { wall(record.ended, zone) };
        if started.offset() != over.offset() {
            // Clocks were changed in between: 02:50 to 02:10 may be twenty minutes.
            began.push_str(&started.strftime(" %:z").to_string());
            ended.push_str(&over.strftime(" %:z").to_string());
        }
        Self {
            name: record.name.clone(),
            began,
            ended,
            on_air: ui::clock(record.seconds_on_air),
            why: why(&record.reason),
        }
    }
}

/// Why a turn ended, for people.
fn why(reason: &str) -> &'static str {
    match reason {
        "time" => "Time was up",
        "skip" => "Skipped",
        "kick" => "Kicked",
        "revoked" => "Account banned, disabled or deleted",
        "stall" => "Stream stalled",
        "left" => "Left",
        "lost" => "Connection lost",
        "displaced" => "Somebody else was put on air",
        _ => "Ended",
    }
}

#[derive(Template)]
#[template(path = "admin/history.html")]
struct History<'a> {
    page: &'a Page,
    desk: Desk,
    turns: Vec<Turn>,
    /// Where the next page begins.
    older: Option<u64>,
    /// Whether this is not the first page.
    later: bool,
}

async fn history(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    UrlQuery(from): UrlQuery<Before>,
) -> Result<Response, Problem> {
    let records = app.control.history(from.before.map(TurnId), ROWS).await?;
    let zone = zone(&app);
    let older = records.last().map(|record| record.turn.0).filter(|_| records.len() == ROWS);
    let turns = records.iter().map(|record| Turn::of(record, &zone)).collect();
    Ok(page.show(&History { page: &page, desk, turns, older, later: from.before.is_some() }))
}

/// A row of the audit log.
struct Row {
    when: String,
    who: String,
    what: String,
    target: String,
    refused: Option<String>,
    address: Option<String>,
}

impl Row {
    fn of(record: AuditRecord, zone: &TimeZone) -> Self {
        let refused = record.outcome.strip_prefix("refused: ").map(str::to_owned);
        Self {
            when: wall(record.at, zone),
            who: record.who,
            what: action(&record.action),
            target: record.target,
            refused,
            address: record.address,
        }
    }
}

/// What was done, for people: what is not known yet is told as programs know it.
fn action(name: &str) -> String {
    let words = match name {
        "queue.skip" => "Skipped",
        "queue.hold" => "Hold",
        "queue.slate" => "Slate",
        "queue.take" => "Put on air",
        "queue.kick" => "Kicked",
        "queue.move" => "Moved",
        "queue.turn" => "Length of turns",
        "queue.this-turn" => "Length of a turn",
        "queue.block" => "Others first",
        "show" => "Show",
        "account.create" => "New account",
        "account.register" => "Registered",
        "account.edit" => "Account changed",
        "account.delete" => "Account deleted",
        "account.ban" => "Banned",
        "account.unban" => "Ban lifted",
        "account.lift-hold-off" => "Let in",
        "account.new-key" => "New stream key",
        "destination.create" => "Destination added",
        "destination.edit" => "Destination changed",
        "destination.switch" => "Destination",
        "destination.delete" => "Destination deleted",
        "destination.test" => "Destination tested",
        "box.claim" => "Claimed the box",
        "session.begin" => "Signed in",
        "settings.change" => "Settings",
        "account.reset-link" => "Password link made",
        "account.reset-password" => "Password reset",
        "invitation.create" => "Invitation made",
        "invitation.revoke" => "Invitation revoked",
        "viewer.create" => "Viewer token made",
        "viewer.revoke" => "Viewer token revoked",
        "me.edit" => "Own account changed",
        "me.password" => "Own password changed",
        "session.end-all" => "Signed out everywhere",
        "slate.set" => "Slate's picture set",
        "slate.remove" => "Slate's picture removed",
        "backup.download" => "Backup downloaded",
        "backup.restore" => "Backup laid ready",
        "backup.discard" => "Backup discarded",
        "update.install" => "Update",
        "system.restart" => "Restart",
        "system.factory-reset" => "Factory reset",
        "network.join" => "Wi-Fi joined",
        "network.forget" => "Wi-Fi forgotten",
        "network.hotspot" => "The box's own Wi-Fi",
        "network.address" => "Address",
        "network.confirm" => "Change of the network",
        "obs.reconnect" => "OBS connected anew",
        "obs.stream" => "OBS's stream",
        "obs.test" => "Connection to OBS tested",
        "obs.setup" => "OBS set up",
        "obs.program" => "Programme in OBS",
        other => return other.to_owned(),
    };
    words.to_owned()
}

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Log<'a> {
    page: &'a Page,
    desk: Desk,
    rows: Vec<Row>,
    older: Option<u64>,
    later: bool,
}

async fn log(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    UrlQuery(from): UrlQuery<Before>,
) -> Result<Response, Problem> {
    let records = journal::read(&app.control, &journal::Part { limit: Some(ROWS), before: from.before }).await?;
    let zone = zone(&app);
    let older = records.last().map(|record| record.number).filter(|_| records.len() == ROWS);
    let rows = records.into_iter().map(|record| Row::of(record, &zone)).collect();
    Ok(page.show(&Log { page: &page, desk, rows, older, later: from.before.is_some() }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The names that the control room's orders give themselves, as its sources have them.
    fn names() -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control");
        let files = fs::read_dir(&folder).unwrap().chain(fs::read_dir(folder.join("destinations")).unwrap());
        let sources =
            files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "rs"));
        let texts = sources.map(|path| fs::read_to_string(path).unwrap());
        let calls = texts.flat_map(|text| {
            let calls = text.split(".did").skip(1).map(|call| call.chars().take(120).collect::<String>());
            calls.collect::<Vec<_>>()
        });
        let said = calls.filter(|call| call.starts_with(['(', '_']));
        let names = said.flat_map(|call| {
            let head = call.split(");").next().unwrap_or_default().to_owned();
            let words = head.split('"').skip(1).step_by(2).map(ToOwned::to_owned);
            words.filter(|word| word.contains('.') && !word.contains(' ') || word == "show").collect::<Vec<_>>()
        });
        names.filter(|name| !name.starts_with("test.")).collect()
    }

    #[test]
    fn night_in_which_clocks_change_says_by_how_much_they_differ() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let turn = |started: &str, ended: &str| {
            let record = serde_json::json!({"turn": 1, "account": 1, "name": "Ada", "started": started, "ended": ended,
                "seconds_on_air": 1200.0, "reason": "revoked"});
            let turn = Turn::of(&serde_json::from_value(record).unwrap(), &zone);
            assert_eq!(turn.why, "Account banned, disabled or deleted");
            (turn.began, turn.ended)
        };
        let (began, ended) = turn("2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z");
        assert!(began.ends_with("02:50 +02:00") && ended == "02:10 +01:00", "{began} {ended}");
        let (began, ended) = turn("2026-10-26T00:50:00Z", "2026-10-26T01:10:00Z");
        assert!(began.ends_with("01:50") && ended == "02:10", "{began} {ended}");
    }

    #[test]
    fn every_order_of_the_control_room_has_words_for_the_log() {
        let names = names();
        assert!(names.len() > 40, "only {} found", names.len());
        let raw: Vec<_> = names.into_iter().filter(|name| action(name) == *name).collect();
        assert!(raw.is_empty(), "{raw:?}");
    }
}
