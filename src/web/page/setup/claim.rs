//! The first step, where the box gets its owner; and where whoever comes back is led.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::step::{COUNT, Step};
use crate::{
    control::{
        journal::By,
        people::{self, Setup},
    },
    core::account::Role,
    web::{
        app::App,
        http::{
            guard::see_other,
            problem::Problem,
            rights::{Right, Routes},
            sessions,
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, home, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/setup";

/// Where somebody signs in who goes on with the set-up.
const SIGN_IN: &str = "/login?next=%2Fsetup";

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Stranger, PAGE, show).form(Right::Stranger, PAGE, claim)
}

#[derive(Template)]
#[template(path = "setup/claim.html")]
struct ClaimPage<'a> {
    page: &'a Page,
    step: Step,
    code: &'a str,
    name: &'a str,
    wrong: Option<Wrong>,
}

/// What the form sends.
#[derive(Deserialize)]
struct Claiming {
    code: String,
    name: String,
    password: SecretString,
}

async fn show(State(app): State<Arc<App>>, mut page: Page) -> Response {
    if app.control.is_claimed() {
        return see_other(match &page.who {
            Some(who) if who.role == Role::Admin => Step::first_open(&app).path(),
            Some(who) => home(who.role),
            None => SIGN_IN,
        });
    }
    // Nothing of the navigation answers yet.
    page.bare = true;
    page.show(&ClaimPage { page: &page, step: Step::Claim, code: "", name: "", wrong: None })
}

async fn claim(
    State(app): State<Arc<App>>,
    mut page: Page,
    by: By,
    session: Session,
    sender: Sender,
    Form(claiming): Form<Claiming>,
) -> Result<Response, Problem> {
    page.bare = !app.control.is_claimed();
    let (code, name) = (claiming.code.clone(), claiming.name.clone());
    let setup = Setup { code: claiming.code.trim().into(), name: claiming.name, password: claiming.password };
    match people::claim(&app.control, &by, setup).await {
        Ok((account, _)) => {
            sessions::sign_in(&session, &by, account.id).await?;
            let text = format!("The box is yours, {}.", account.name);
            Ok(sender.go(&app, Step::Claim.after(), Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = ClaimPage { page: &page, step: Step::Claim, code: &code, name: &name, wrong };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}
