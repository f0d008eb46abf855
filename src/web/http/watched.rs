//! What becomes of calls, for the audit log. The guard watches every call that may change something ([`Watched`]) and has a row written
//! afterwards: what operators and admins did or were refused, and of others what concerns more people than themselves. The control room
//! has the words; without any, a form's message or the call itself has to do, so that nothing is forgotten because somebody forgot it.
//! What admins read has a row if there are words for it.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{Method, StatusCode, request::Parts},
    response::Response,
};

use super::{
    problem::Problem,
    rights::{Right, Stated},
};
use crate::{
    control::journal::{self, Caller, Deed, Noted},
    web::app::App,
};

/// In the extensions of an answer: what people were told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// In their words.
    pub(crate) text: String,
    /// That it went wrong.
    pub(crate) failed: bool,
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
        let words = self.noted.take();
        if words.is_none() && !self.always {
            return;
        }
        let told = response.extensions().get::<Told>();
        let refused = match response.status() {
            status if status.is_success() || status.is_redirection() => {
                told.filter(|told| told.failed).map(|told| told.text.clone())
            }
            // Not what was mistyped, and no more of others than what they achieved: whoever is nobody could fill the log.
            status @ (StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE)
                if self.always =>
            {
                Some(response.extensions().get::<Problem>().map_or_else(|| status.to_string(), Problem::sentence))
            }
            _ => return,
        };
        let target = told.filter(|told| !told.failed).map_or(self.path, |told| told.text.clone());
        let otherwise = (self.call, target);
        let deed = Deed { caller: self.caller, address: self.address, words, otherwise, refused };
        journal::write(&app.control, deed);
    }
}
