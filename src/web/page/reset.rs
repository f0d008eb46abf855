//! `/reset/{code}`: a link from an admin, with which somebody sets a forgotten password, once.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    assets,
    flash::Flash,
    form::{Form, Sender},
    layout::Page,
    people::{Wrong, to_be_filled_in_again, without_address},
    ui,
};
use crate::{
    control::{journal::By, people},
    web::{
        app::App,
        http::{
            body::Path,
            problem::Problem,
            rights::{Right, Routes},
            sessions,
        },
    },
};

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Ticket, "/reset/{code}", reset_page).form(Right::Ticket, "/reset/{code}", reset)
}

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage<'a> {
    page: &'a Page,
    name: &'a str,
    wrong: Option<Wrong>,
}

/// What its form sends.
#[derive(Deserialize)]
struct NewPassword {
    password: SecretString,
}

async fn reset_page(
    State(app): State<Arc<App>>,
    page: Page,
    by: By,
    Path(code): Path<SecretString>,
) -> Result<Response, Problem> {
    let account = people::resets(&app.control, &by, &code)?;
    Ok(without_address(page.show(&ResetPage { page: &page, name: &account.name, wrong: None })))
}

async fn reset(
    State(app): State<Arc<App>>,
    page: Page,
    by: By,
    session: Session,
    sender: Sender,
    Path(code): Path<SecretString>,
    Form(new): Form<NewPassword>,
) -> Result<Response, Problem> {
    let name = people::resets(&app.control, &by, &code)?.name;
    let account = match people::reset_password(&app.control, &by, code, new.password).await {
        Ok(account) => account,
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = ResetPage { page: &page, name: &name, wrong };
            return Ok(without_address(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again)));
        }
    };
    if app.control.in_order(account.id).is_none() {
        let text = "The new password is set. The crew has to let you in; sign in here afterwards.";
        return Ok(sender.go(&app, "/login", Some(&Flash::done(text))));
    }
    sessions::sign_in(&session, &by, account.id).await?;
    let text = format!("The new password is set, {}. You are signed out everywhere else.", account.name);
    Ok(sender.go(&app, "/me", Some(&Flash::done(text))))
}
