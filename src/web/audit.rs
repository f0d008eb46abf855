//! Who did what. The guard watches every call that may change something ([`Watched`]) and writes a row afterwards: what operators and
//! admins did or were refused, and of others what concerns more people than themselves. Handlers add words ([`By::did`]); without any, a
//! form's message or the call itself has to do, so that nothing is forgotten because somebody forgot it. What admins read has a row if its
//! handler has words for it. The log is bounded, holds no secrets, and makes nobody wait.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, State},
    http::{Method, StatusCode, request::Parts},
    response::Response,
};
use serde::Deserialize;
use utoipa_axum::routes;

use super::{
    App,
    body::UrlQuery,
    page::flash::Flash,
    problem::Problem,
    rights::{Right, Routes, Stated},
    sessions::Caller,
};
use crate::{
    accounts::Account,
    store::{AuditRecord, Change},
};

/// How `admin.token` is called there.
const TOKEN: &str = "admin.token";

/// The longest text of a row, in characters.
const LONGEST: usize = 200;

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(audit))
}

/// Who makes a change. Whatever changes something for others takes one, and says what it is; handlers take it as an argument.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// Who it is.
    pub(crate) caller: Caller,
    noted: Noted,
}

/// What a request says of itself for the log.
#[derive(Clone, Debug, Default)]
struct Noted(Arc<Mutex<Option<Words>>>);

#[derive(Debug)]
struct Words {
    who: Caller,
    action: &'static str,
    target: String,
}

impl By {
    /// Somebody who shows by this very call who they are: who registers, signs in or claims the box.
    pub(crate) fn becomes(&self, account: &Account) -> Self {
        Self { caller: Caller::Account(account.clone()), noted: self.noted.clone() }
    }

    /// What this call does: `action` for programs, as `queue.skip`; `target` in words, never a secret. The last words count.
    pub(crate) fn did(&self, action: &'static str, target: impl Into<String>) {
        let words = Words { who: self.caller.clone(), action, target: target.into() };
        *self.noted.lock() = Some(words);
    }

    /// As [`Self::did`], for what people do with their own account: noted of those who run the night, whose account opens more than
    /// their own affairs, and not of streamers, who could fill the log with it.
    pub(crate) fn did_with_own(&self, action: &'static str) {
        if self.caller.runs_the_night() {
            self.did(action, "");
        }
    }
}

impl Noted {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Words>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromRequestParts<Arc<App>> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self { caller, noted: parts.extensions.get_or_insert_default::<Noted>().clone() })
    }
}

/// One call that is worth a row, from before its handler until after it.
pub(crate) struct Watched {
    noted: Noted,
    /// Who it is, as far as the guard had to know.
    caller: Caller,
    address: Option<IpAddr>,
    /// It is noted whether the handler finds words or not.
    always: bool,
    call: String,
    path: String,
}

impl Watched {
    /// `parts` have passed the guard for `route`.
    pub(crate) fn begin(parts: &mut Parts, stated: Stated, route: &str) -> Option<Self> {
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        // One that takes every key out of the box is told of by its handler.
        let told = reads && stated.right != Right::Token;
        if (told && stated.right != Right::Admin) || stated.right == Right::Encoder {
            return None;
        }
        Some(Self {
            noted: parts.extensions.get_or_insert_default::<Noted>().clone(),
            caller: parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Anonymous),
            address: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical()),
            always: !told && matches!(stated.right, Right::Operator | Right::Admin | Right::Token),
            call: format!("{} {route}", parts.method),
            path: parts.uri.path().to_owned(),
        })
    }

    /// Writes the row, if there is one to write.
    pub(crate) fn end(self, app: &App, response: &Response) {
        let words = self.noted.lock().take();
        if words.is_none() && !self.always {
            return;
        }
        let flash = response.extensions().get::<Flash>();
        let outcome = match response.status() {
            status if status.is_success() || status.is_redirection() => {
                match flash.filter(|flash| flash.is_failure()) {
                    None => "done".to_owned(),
                    Some(flash) => format!("refused: {}", flash.text),
                }
            }
            // Not what was mistyped, and no more of others than what they achieved: whoever is nobody could fill the log.
            status @ (StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE)
                if self.always =>
            {
                let why = response.extensions().get::<Problem>().map_or_else(|| status.to_string(), Problem::sentence);
                format!("refused: {why}")
            }
            _ => return,
        };
        let (caller, action, target) = if let Some(words) = words {
            (words.who, words.action.to_owned(), words.target)
        } else {
            let told = flash.filter(|flash| !flash.is_failure()).map(|flash| flash.text.clone());
            (self.caller, self.call, told.unwrap_or(self.path))
        };
        let (account, who) = match caller {
            Caller::Account(account) => (Some(account.id), account.name),
            Caller::Token => (None, TOKEN.to_owned()),
            Caller::Anonymous => (None, "somebody".to_owned()),
        };
        let row = AuditRecord {
            number: 0,
            at: jiff::Timestamp::now(),
            account,
            who,
            address: self.address.map(|address| address.to_string()),
            action,
            target: target.chars().take(LONGEST).collect(),
            outcome: outcome.chars().take(LONGEST).collect(),
            extra: serde_json::Map::new(),
        };
        // Fails only when the box stops.
        let _stopping = app.state.store.commit_soon(vec![Change::AppendAudit(row)]);
    }
}

/// Which part of the log.
#[derive(Default, Deserialize)]
pub(crate) struct Page {
    /// How many rows at most: 50 without it, 500 at most.
    pub(crate) limit: Option<usize>,
    /// Only rows before this one: the last one of the page before.
    pub(crate) before: Option<u64>,
}

/// Who did what, the latest first: what operators, admins and `admin.token` did or were refused, who registered and who signed in to run
/// the night. The latest 5,000 rows are kept.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(("limit" = Option<usize>, Query, description = "How many rows at most: 50 without it, 500 at most"),
        ("before" = Option<u64>, Query, description = "Only rows before this number: the last one of the page before")),
    responses((status = 200, description = "Rows of the audit log", body = Vec<AuditRecord>)))]
async fn audit(State(app): State<Arc<App>>, UrlQuery(page): UrlQuery<Page>) -> Result<Json<Vec<AuditRecord>>, Problem> {
    read(&app, &page).await.map(Json)
}

/// One page of the log, the latest first.
///
/// # Errors
/// When the store can not be read.
pub(crate) async fn read(app: &App, page: &Page) -> Result<Vec<AuditRecord>, Problem> {
    let limit = page.limit.unwrap_or(50).clamp(1, 500);
    Ok(app.state.store.audit(page.before, limit).await?)
}
