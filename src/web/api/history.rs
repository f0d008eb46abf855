//! What was on: past turns, as JSON by pages and as one table for a spreadsheet.

use std::{collections::VecDeque, io, sync::Arc};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;
use utoipa_axum::routes;

use crate::{
    control::room::Control,
    core::queue::TurnId,
    store::HistoryRecord,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

/// Rows that are read and sent at once: about 50 kB.
const ROWS: usize = 500;

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(history)).api(Right::Operator, routes!(table))
}

/// Which part of the history.
#[derive(Deserialize)]
struct Page {
    /// How many turns at most: 50 without it, 500 at most.
    limit: Option<usize>,
    /// Only turns before this one: the last one of the page before.
    before: Option<TurnId>,
}

/// Past turns, the latest first.
#[utoipa::path(get, path = "/api/v1/history", tag = "show",
    params(("limit" = Option<usize>, Query, description = "How many turns at most: 50 without it, 500 at most"),
        ("before" = Option<TurnId>, Query, description = "Only turns before this one: the last one of the page before")),
    responses((status = 200, description = "Past turns", body = Vec<HistoryRecord>)))]
async fn history(
    State(app): State<Arc<App>>,
    UrlQuery(page): UrlQuery<Page>,
) -> Result<Json<Vec<HistoryRecord>>, Problem> {
    let limit = page.limit.unwrap_or(50).clamp(1, 500);
    Ok(Json(app.control.history(page.before, limit).await?))
}

/// All past turns as a table (RFC 4180, UTF-8), the latest first. A cell that a spreadsheet would take for a formula begins with an
/// apostrophe.
#[utoipa::path(get, path = "/api/v1/history.csv", tag = "show",
    responses((status = 200, description = "Past turns", body = String, content_type = "text/csv")))]
async fn table(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    // The first rows are read before the answer begins, so that a store that does not answer is still a problem.
    let first = app.control.history(None, ROWS).await?;
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"motherstream-history.csv\""),
    ];
    Ok((head, HttpBody::from_stream(pieces(app.control.clone(), &first))).into_response())
}

/// The table in pieces, so that a long history is never in memory as a whole. What cannot be read ends the answer in the middle, and
/// the client sees that.
fn pieces(control: Control, first: &[HistoryRecord]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let mut waiting = VecDeque::from([Ok(heading())]);
    let last = first.last().map(|record| record.turn).filter(|_| first.len() == ROWS);
    waiting.push_back(rows(first));
    stream::unfold(Some((control, waiting, last)), async |state| {
        let (control, mut waiting, last) = state?;
        if let Some(piece) = waiting.pop_front() {
            return Some((piece, Some((control, waiting, last))));
        }
        match control.history(Some(last?), ROWS).await {
            Ok(records) => {
                let last = records.last().map(|record| record.turn).filter(|_| records.len() == ROWS);
                Some((rows(&records), Some((control, waiting, last))))
            }
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    })
}

/// A byte order mark, by which spreadsheets know UTF-8, and the names of the columns.
fn heading() -> Bytes {
    Bytes::from_static("\u{feff}turn,streamer,started,ended,seconds_on_air,reason\r\n".as_bytes())
}

fn rows(records: &[HistoryRecord]) -> io::Result<Bytes> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        let HistoryRecord { turn, name, started, ended, seconds_on_air, reason, .. } = record;
        table.write_record([
            &turn.0.to_string(),
            &plain(name),
            &started.strftime("%FT%TZ").to_string(),
            &ended.strftime("%FT%TZ").to_string(),
            &format!("{seconds_on_air:.1}"),
            &plain(reason),
        ])?;
    }
    table.into_inner().map(Bytes::from).map_err(|error| io::Error::other(error.to_string()))
}

/// A text that no spreadsheet takes for a formula: names are anybody's to choose (OWASP, "CSV injection"). Where a comma is the decimal mark,
/// spreadsheets begin a new cell at a semicolon or a tab, whatever is quoted: behind those it is guarded too.
fn plain(text: &str) -> String {
    let mut cell = String::with_capacity(text.len() + 1);
    let mut begins = true;
    for character in text.chars() {
        let formula = matches!(character, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
        if begins && formula {
            cell.push('\'');
        }
        let separates = matches!(character, ';' | ',' | '|' | '\t' | '\r' | '\n');
        // What a spreadsheet takes away before it looks.
        begins = separates || (begins && (character.is_whitespace() || character == '"'));
        cell.push(character);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formula_is_a_text_in_the_table() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-cmd|x", "'-cmd|x"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t'=1"),
            ("a;=2+3;b", "a;'=2+3;b"),
            ("x; \u{a0}+1", "x; \u{a0}'+1"),
            ("q\";=1;\"", "q\";'=1;\""),
            ("a;b-c", "a;b-c"),
            ("Zoë", "Zoë"),
            ("1=1", "1=1"),
        ] {
            assert_eq!(plain(text), cell);
        }
    }
}
