//! The guard before every handler: it reads the table of rights only, so a route that is in no table is not served.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tower_sessions::{Session, session::Id};

use super::{
    captive::came_over,
    problem::{Kind, Problem},
    rights::{Face, Judged, Right, Table},
    sessions::stored,
    watched::Watched,
};
use crate::{
    control::{journal::Caller, network, status},
    core::account::Role,
    web::app::App,
};

/// Where whoever has to sign in first is led.
const SIGN_IN: &str = "/login";

/// The ways to sign out here.
const SIGN_OUT: &[&str] = &["/logout", "/api/v1/session"];

/// Where everything leads while the box has no owner.
const SET_UP: &str = "/setup";

/// The guard itself. Reads the table only, so a route that is in no table is not served.
pub(crate) async fn enforce(
    State((app, table)): State<(Arc<App>, Arc<Table>)>,
    request: Request,
    next: Next,
) -> Response {
    let claimed = app.control.is_claimed();
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // Nothing is here.
        return if claimed { next.run(request).await } else { lead_to_set_up(request.method(), request.uri(), None) };
    };
    let stated = match table.find(request.method(), path.as_str()) {
        Ok(stated) => stated,
        Err(others) => {
            let allow = HeaderValue::from_str(&others).unwrap_or_else(|_| HeaderValue::from_static(""));
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)]).into_response();
        }
    };
    let in_trouble = !stated.right.answers_in_trouble(path.as_str());
    let (mut response, passed) = if let Some(trouble) = status::store_trouble(&app.control).filter(|_| in_trouble) {
        (Problem::new(Kind::NoStore, trouble).into_response(), false)
    } else if !claimed && !stated.right.answers_unclaimed() {
        (lead_to_set_up(request.method(), request.uri(), Some(stated.face)), false)
    } else {
        let (mut parts, body) = request.into_parts();
        match judge(&app, stated.right, &mut parts).await {
            Ok(()) => {
                if matches!(parts.extensions.get::<Caller>(), Some(Caller::Account(_)))
                    && came_over(parts.extensions.get())
                {
                    network::touch(&app.control, true);
                }
                let watched = Watched::begin(&mut parts, stated, path.as_str());
                let session = signed_in_by(&parts);
                let response = next.run(Request::from_parts(parts, body)).await;
                let response = ends_with(&app, session, response);
                if let Some(watched) = watched {
                    watched.end(&app, &response);
                }
                (response, true)
            }
            Err(problem) => (refuse(problem, stated.face, &parts.method, &parts.uri), false),
        }
    };
    response.extensions_mut().insert(Judged { face: stated.face, passed });
    response
}

/// The session by which the guard knew who calls.
fn signed_in_by(parts: &Parts) -> Option<Id> {
    let known = matches!(parts.extensions.get::<Caller>(), Some(Caller::Account(_)));
    parts.extensions.get::<Session>().filter(|_| known).and_then(Session::id)
}

/// What a page listens to has no end of its own: it ends with the session that opened it.
fn ends_with(app: &App, session: Option<Id>, response: Response) -> Response {
    let endless = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    match session.filter(|_| endless) {
        Some(session) => {
            let over = app.control.sessions().clone().over(stored(&session));
            response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
        }
        None => response,
    }
}

/// Whether a request may pass. Leaves the [`Caller`] in its extensions where it had to be asked for.
async fn judge(app: &Arc<App>, right: Right, parts: &mut Parts) -> Result<(), Problem> {
    if matches!(right, Right::Stranger | Right::Anyone | Right::Ticket | Right::Encoder) {
        return Ok(());
    }
    let caller = Caller::from_request_parts(parts, app).await?;
    let not_signed_in = |detail| Err(Problem::new(Kind::NotSignedIn, detail));
    let not_allowed = |detail| Err(Problem::new(Kind::NotAllowed, detail));
    match (right, &caller) {
        (Right::Stranger | Right::Anyone | Right::Ticket | Right::Encoder, _)
        | (Right::Operator | Right::Admin | Right::Machine | Right::Health | Right::Token, Caller::Token)
        | (Right::Machine | Right::Health, Caller::Machine)
        | (Right::Health, Caller::Monitor) => Ok(()),
        (Right::SignedIn, Caller::Account(account)) => {
            if changes_own(parts) {
                app.control.limits().change_own(account.id)?;
            }
            Ok(())
        }
        (Right::Operator, Caller::Account(account)) if account.role.runs_the_night() => Ok(()),
        (Right::Admin | Right::Machine | Right::Health, Caller::Account(account)) if account.role == Role::Admin => {
            Ok(())
        }
        (_, Caller::Machine) => not_allowed("the machine's own key opens its screen, health and metrics only"),
        (_, Caller::Monitor) => not_allowed("`web.metrics_token` opens health and metrics only"),
        (Right::SignedIn, Caller::Anonymous) => not_signed_in("this needs a signed-in account"),
        (Right::SignedIn, Caller::Token) => not_allowed("`admin.token` has no account of its own"),
        (Right::Token, Caller::Anonymous) => not_signed_in("this needs `admin.token` as a bearer token"),
        (Right::Token, Caller::Account(_)) => not_allowed("this takes `admin.token` as a bearer token only"),
        (Right::Operator, Caller::Anonymous) => {
            not_signed_in("this needs the session of an operator or an admin, or `admin.token`")
        }
        (Right::Machine, Caller::Anonymous) => {
            not_signed_in("this is told to this machine, which shows its key, and to admins")
        }
        (Right::Health, Caller::Anonymous) => {
            not_signed_in("this needs `web.metrics_token` or `admin.token` as a bearer token, or an admin's session")
        }
        (_, Caller::Anonymous) => not_signed_in("this needs an admin's session or `admin.token`"),
        (Right::Operator, Caller::Account(_)) => not_allowed("this is for operators and admins"),
        (_, Caller::Account(_)) => not_allowed("this is for admins"),
    }
}

/// Whether whoever is signed in changes something of their own. Signing out is none, and always possible.
fn changes_own(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    !parts.method.is_safe() && !SIGN_OUT.contains(&path)
}

fn refuse(problem: Problem, face: Face, method: &Method, uri: &Uri) -> Response {
    if face == Face::Page && problem.status() == StatusCode::UNAUTHORIZED {
        // Back to where they wanted to go, unless that was a form: its content is gone.
        let wanted = if *method == Method::GET { uri.path_and_query().map_or("/", |path| path.as_str()) } else { "" };
        return see_other(&match wanted {
            "" => SIGN_IN.to_owned(),
            wanted => format!(
                "{SIGN_IN}?{}",
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish()
            ),
        });
    }
    problem.into_response()
}

/// The answer while the box has no owner. Without a face nothing is there: a person's browser is led on nevertheless.
fn lead_to_set_up(method: &Method, uri: &Uri, face: Option<Face>) -> Response {
    let people = match face {
        Some(face) => face == Face::Page,
        None => *method == Method::GET && !uri.path().starts_with("/api/"),
    };
    if people && uri.path() != SET_UP {
        return see_other(SET_UP);
    }
    let detail = "this box has no owner yet: open /setup, or send the code that it printed when it started to POST /api/v1/setup";
    Problem::new(Kind::NotClaimed, detail).into_response()
}

/// 303: look there, with a GET.
pub(crate) fn see_other(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}
