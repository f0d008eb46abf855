//! Pictures: thumbnails of the programme and of who is connected, and the programme to watch.
//!
//! Operators and admins see everything; streamers their own picture; the room the programme, if `web.open_preview` says so. All of
//! it is made while somebody asks for it, so nothing here is described as an API: pages load it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;

use crate::{
    control::{journal::Caller, viewers::may_watch},
    core::queue::EntryId,
    director::EntryView,
    media::{
        hls::without_discontinuities,
        pictures::{PictureOf, Thumbnail},
    },
    web::{
        app::App,
        http::{
            body::{Path, UrlQuery},
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

/// Kept, and asked for anew each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A segment is asked for once by each player, and again by one that was reloaded.
const FOR_A_MINUTE: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// The handlers judge: the right depends on a setting, and on whose entry it is.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .file(Right::Anyone, "/picture/program.jpg", program_picture)
        .file(Right::Anyone, "/picture/entry/{file}", entry_picture)
        .file(Right::Anyone, "/watch/program.m3u8", playlist)
        .file(Right::Anyone, "/watch/{file}", piece)
}

fn refuse(caller: &Caller) -> Problem {
    match caller {
        Caller::Anonymous => Problem::new(Kind::NotSignedIn, "this picture is for who runs the night; sign in first"),
        _ => Problem::new(Kind::NotAllowed, "this picture is for who runs the night"),
    }
}

/// A thumbnail of the programme.
async fn program_picture(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    if !may_watch(&app.control, &caller) {
        return Err(refuse(&caller));
    }
    thumbnail(&app, &PictureOf::Program, &headers).await
}

/// A thumbnail of what an entry of the queue sends: `{id}.jpg`.
async fn entry_picture(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let nobody = || Problem::new(Kind::NotFound, "nobody sends there");
    let id = file.strip_suffix(".jpg").and_then(|id| id.parse().ok()).map(EntryId);
    let snapshot = app.control.snapshot();
    let on_air = snapshot.queue.on_air.iter().map(|turn| &turn.entry);
    let entry = on_air.chain(&snapshot.queue.waiting).find(|entry| Some(entry.id) == id);
    let owns = |entry: &EntryView| matches!(&caller, Caller::Account(account) if account.id == entry.account);
    // Whether an entry is there is no secret, but who may not see it learns the same in either case.
    if !caller.runs_the_night() && !entry.is_some_and(owns) {
        return Err(refuse(&caller));
    }
    let connection = entry.and_then(|entry| snapshot.connections.get(&entry.id)).ok_or_else(nobody)?;
    thumbnail(&app, &PictureOf::Input(connection.clone()), &headers).await
}

async fn thumbnail(app: &App, of: &PictureOf, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some(Thumbnail { jpeg, number }) = app.control.thumbnail(of).await else {
        // Nothing to see is no error of anybody's; it may be there in a moment.
        return Err(Problem::new(Kind::NotFound, "there is no picture yet"));
    };
    let tag = format!("\"{number:x}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let head = [(header::ETAG, tag)];
    Ok(if known {
        (StatusCode::NOT_MODIFIED, head, [(header::CACHE_CONTROL, ASK_AGAIN)]).into_response()
    } else {
        let kind = HeaderValue::from_static("image/jpeg");
        (head, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, ASK_AGAIN)], jpeg).into_response()
    })
}

/// What a player knows already.
#[derive(Deserialize)]
struct Known {
    /// The number of the segment it waits for.
    #[serde(rename = "_HLS_msn")]
    next: Option<u64>,
}

/// The programme's playlist.
async fn playlist(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    UrlQuery(known): UrlQuery<Known>,
) -> Result<Response, Problem> {
    if !may_watch(&app.control, &caller) {
        return Err(refuse(&caller));
    }
    let Some(playlist) = app.control.watch().playlist(known.next).await else {
        return Err(Problem::new(Kind::NotReady, "there is nothing to watch yet"));
    };
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    let playlist = if agent.is_some_and(|agent| agent.starts_with(b"VLC/")) {
        without_discontinuities(&playlist)
    } else {
        playlist
    };
    Ok(([(header::CONTENT_TYPE, "application/vnd.apple.mpegurl")], playlist).into_response())
}

/// A segment, `{number}.m4s`, or an initialisation, `init-{number}.mp4`.
async fn piece(State(app): State<Arc<App>>, caller: Caller, Path(file): Path<String>) -> Result<Response, Problem> {
    if !may_watch(&app.control, &caller) {
        return Err(refuse(&caller));
    }
    let found = find_piece(&app, &file).ok_or_else(|| Problem::new(Kind::NotFound, "this is over"))?;
    let kind = HeaderValue::from_static("video/mp4");
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_A_MINUTE)], found).into_response())
}

fn find_piece(app: &App, file: &str) -> Option<Bytes> {
    let watch = app.control.watch();
    if let Some(number) = file.strip_suffix(".m4s") {
        return watch.segment(number.parse().ok()?);
    }
    watch.initialisation(file.strip_prefix("init-")?.strip_suffix(".mp4")?.parse().ok()?)
}
