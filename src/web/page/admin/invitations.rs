//! `/admin/invitations`, and the links that are shown once: invitations and new passwords.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::desk::Desk;
use crate::{
    accounts::{Invitation, NewInvitation},
    config::Registration,
    control::{journal::By, people, ways::Reached},
    core::account::AccountId,
    web::{
        app::App,
        http::{
            body::Path,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
            words::{wall, zone},
        },
    },
};

const LIST: &str = "/admin/invitations";

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, LIST, list)
        .form(Right::Admin, LIST, make)
        .form(Right::Admin, "/admin/invitations/{id}/revoke", revoke)
        .form(Right::Admin, "/admin/people/{id}/reset", reset)
}

/// An invitation in words.
struct Row {
    invitation: Invitation,
    until: String,
}

#[derive(Template)]
#[template(path = "admin/invitations.html")]
struct List<'a> {
    page: &'a Page,
    desk: Desk,
    rows: Vec<Row>,
    /// Whether nobody can register without one.
    needed: bool,
    label: String,
    uses: u32,
    wrong: Option<Wrong>,
}

impl<'a> List<'a> {
    fn of(app: &App, page: &'a Page, desk: Desk) -> Self {
        let zone = zone(app);
        let rows = app.control.invitations().into_iter();
        let rows = rows.map(|invitation| Row { until: wall(invitation.expires, &zone), invitation }).collect();
        let needed = app.control.config().accounts.registration == Registration::Invite;
        Self { page, desk, rows, needed, label: String::new(), uses: 1, wrong: None }
    }
}

async fn list(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Response {
    page.show(&List::of(&app, &page, desk))
}

/// A link that is told once: whoever has it can use it.
#[derive(Template)]
#[template(path = "admin/once.html")]
pub(super) struct Once<'a> {
    pub(super) page: &'a Page,
    pub(super) desk: Desk,
    pub(super) title: String,
    pub(super) what: String,
    /// When it ends, if it does.
    pub(super) until: Option<String>,
    pub(super) url: String,
    /// Phones open it, so that a code to scan stands beside it: no phone's browser plays a programme.
    pub(super) for_phones: bool,
    /// The code alone, for those who type it.
    pub(super) code: Option<String>,
    pub(super) back: String,
    pub(super) back_name: &'static str,
}

/// What the form of a new invitation sends.
#[derive(Deserialize)]
struct New {
    label: String,
    uses: u32,
    days: u32,
}

async fn make(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    reached: Reached,
    Form(new): Form<New>,
) -> Result<Response, Problem> {
    let (label, uses) = (new.label.clone(), new.uses);
    let new = NewInvitation { label: new.label, uses, valid_hours: new.days.saturating_mul(24) };
    let made = match people::invite(&app.control, &by, &reached, new).await {
        Ok(made) => made,
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = List { label, uses, wrong, ..List::of(&app, &page, desk) };
            return Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again));
        }
    };
    let page = page.with_secrets();
    let what = match made.invitation.uses {
        1 => "One person can register with it.".to_owned(),
        uses => format!("{uses} people can register with it."),
    };
    Ok(page.show(&Once {
        page: &page,
        desk,
        title: format!("Invitation for {}", made.invitation.label),
        what,
        until: Some(wall(made.invitation.expires, &zone(&app))),
        url: made.url,
        for_phones: true,
        code: Some(made.code),
        back: LIST.to_owned(),
        back_name: "Invitations",
    }))
}

async fn revoke(State(app): State<Arc<App>>, by: By, sender: Sender, Path(id): Path<u64>) -> Result<Response, Problem> {
    people::revoke_invitation(&app.control, &by, id).await?;
    Ok(sender.go(&app, LIST, Some(&Flash::done("The invitation is gone. Who registered with it stays."))))
}

async fn reset(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    reached: Reached,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let account = app.control.account(id).ok_or_else(|| Problem::new(Kind::NotFound, "no such account"))?;
    let link = people::reset_link(&app.control, &by, &reached, id).await?;
    let page = page.with_secrets();
    Ok(page.show(&Once {
        page: &page,
        desk,
        title: format!("A new password for {}", account.name),
        what: "Whoever opens it chooses a new password, once. Until then the old one works.".to_owned(),
        until: Some(wall(link.expires, &zone(&app))),
        url: link.url,
        for_phones: true,
        code: None,
        back: format!("/admin/people/{}", id.0),
        back_name: "Back",
    }))
}
