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

use super::{
    App,
    body::{Path, UrlQuery},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    sessions::Caller,
};
use crate::{
    core::queue::EntryId,
    director::EntryView,
    media::pictures::{PictureOf, Thumbnail},
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

/// Whether this caller may see the programme on the page.
pub(crate) fn may_watch(app: &App, caller: &Caller) -> bool {
    caller.runs_the_night() || open_to_the_room(app)
}

fn open_to_the_room(app: &App) -> bool {
    app.state.settings.now().web.open_preview
}

fn refuse(caller: &Caller) -> Problem {
    match caller {
        Caller::Anonymous => Problem::new(Kind::NotSignedIn, "this picture is for who runs the night; sign in first"),
        _ => Problem::new(Kind::NotAllowed, "this picture is for who runs the night"),
    }
}

/// A thumbnail of the programme.
async fn program_picture(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    if !may_watch(&app, &caller) {
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
    let snapshot = app.state.director.snapshot().borrow().clone();
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
    let Some(Thumbnail { jpeg, number }) = app.state.media.thumbnail(of).await else {
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
    UrlQuery(known): UrlQuery<Known>,
) -> Result<Response, Problem> {
    if !may_watch(&app, &caller) {
        return Err(refuse(&caller));
    }
    let Some(playlist) = app.state.media.watch().playlist(known.next).await else {
        return Err(Problem::new(Kind::NotReady, "there is nothing to watch yet"));
    };
    Ok(([(header::CONTENT_TYPE, "application/vnd.apple.mpegurl")], playlist).into_response())
}

/// A segment, `{number}.m4s`, or an initialisation, `init-{number}.mp4`.
async fn piece(State(app): State<Arc<App>>, caller: Caller, Path(file): Path<String>) -> Result<Response, Problem> {
    if !may_watch(&app, &caller) {
        return Err(refuse(&caller));
    }
    let found = find_piece(&app, &file).ok_or_else(|| Problem::new(Kind::NotFound, "this is over"))?;
    let kind = HeaderValue::from_static("video/mp4");
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_A_MINUTE)], found).into_response())
}

fn find_piece(app: &App, file: &str) -> Option<Bytes> {
    let watch = app.state.media.watch();
    if let Some(number) = file.strip_suffix(".m4s") {
        return watch.segment(number.parse().ok()?);
    }
    watch.initialisation(file.strip_prefix("init-")?.strip_suffix(".mp4")?.parse().ok()?)
}
