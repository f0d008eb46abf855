//! One's own account, at the end of `/me`: time zone, password, signing out everywhere, deleting it.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    flash::Flash,
    form::{Form, Sender},
    layout::Page,
    me::show,
    people::to_be_filled_in_again,
};
use crate::{
    accounts::Account,
    control::{
        denied::Denied,
        journal::By,
        own::{self, OwnEdit},
        people,
        ways::Reached,
    },
    web::{
        app::App,
        http::{
            caller::Own,
            problem::{Kind, Problem},
            rights::{Right, Routes},
            sessions::{sign_out, stored},
        },
    },
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .form(Right::SignedIn, "/me/timezone", set_timezone)
        .form(Right::SignedIn, "/me/password", set_password)
        .form(Right::SignedIn, "/me/sign-out-everywhere", sign_out_everywhere)
        .form(Right::SignedIn, "/me/delete", delete)
}

/// A form for one's own account: who sends it, and what it takes to show it again.
struct OwnForm {
    page: Page,
    by: By,
    account: Account,
    session: Session,
    reached: Reached,
    sender: Sender,
}

impl FromRequestParts<Arc<App>> for OwnForm {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Own(account) = Own::from_request_parts(parts, app).await?;
        let Ok(sender) = Sender::from_request_parts(parts, app).await;
        let session = Session::from_request_parts(parts, app).await;
        Ok(Self {
            page: Page::from_request_parts(parts, app).await?,
            by: By::from_request_parts(parts, app).await?,
            account,
            session: session.map_err(|(_, text)| Problem::new(Kind::Internal, text))?,
            reached: Reached::from_request_parts(parts, app).await?,
            sender,
        })
    }
}

impl OwnForm {
    async fn edit(&self, app: &Arc<App>, edit: OwnEdit) -> Result<Account, Problem> {
        Ok(own::edit(&app.control, &self.by, &self.account, self.session.id().as_ref().map(stored), edit).await?)
    }

    fn done(self, app: &Arc<App>, to: &str, text: &str) -> Response {
        self.sender.go(app, to, Some(&Flash::done(text)))
    }

    /// The page once more, with `form` open and what is wrong in it.
    fn again(self, app: &App, form: &str, problem: Problem) -> Result<Response, Problem> {
        let wrong = to_be_filled_in_again(problem)?;
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        show(app, self.page, self.account, &self.reached, status, (form, Some(wrong)))
    }
}

#[derive(Deserialize)]
struct Timezone {
    timezone: String,
}

async fn set_timezone(
    State(app): State<Arc<App>>,
    form: OwnForm,
    Form(set): Form<Timezone>,
) -> Result<Response, Problem> {
    let edit = OwnEdit { timezone: Some(set.timezone), ..OwnEdit::default() };
    match form.edit(&app, edit).await {
        Ok(account) => {
            let zone = account.timezone.as_deref().unwrap_or("the venue's");
            Ok(form.done(&app, "/me", &format!("Your time zone is {zone}.")))
        }
        Err(problem) => form.again(&app, "timezone", problem),
    }
}

#[derive(Deserialize)]
struct NewPassword {
    current_password: SecretString,
    password: SecretString,
}

async fn set_password(
    State(app): State<Arc<App>>,
    form: OwnForm,
    Form(new): Form<NewPassword>,
) -> Result<Response, Problem> {
    let (password, current_password) = (Some(new.password), Some(new.current_password));
    match form.edit(&app, OwnEdit { password, current_password, ..OwnEdit::default() }).await {
        Ok(_) => Ok(form.done(&app, "/me", "Your password is changed. You are signed out everywhere else.")),
        Err(problem) => form.again(&app, "password", problem),
    }
}

async fn sign_out_everywhere(State(app): State<Arc<App>>, form: OwnForm) -> Result<Response, Problem> {
    own::end_sessions(&app.control, &form.by, &form.account).await;
    sign_out(&form.session).await?;
    Ok(form.done(&app, "/login", "You are signed out everywhere. If you are streaming, that goes on."))
}

#[derive(Deserialize)]
struct Sure {
    current_password: SecretString,
}

async fn delete(State(app): State<Arc<App>>, form: OwnForm, Form(sure): Form<Sure>) -> Result<Response, Problem> {
    let deleted = async {
        own::is_owner(&app.control, &form.by, &form.account, &sure.current_password).await?;
        people::delete(&app.control, &form.by, form.account.id).await
    };
    if let Err(denied) = deleted.await {
        return form.again(&app, "delete", Denied::into(denied));
    }
    sign_out(&form.session).await?;
    Ok(form.done(&app, "/", "Your account is deleted."))
}
