//! `/admin/people`: accounts, and what admins do with them.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::desk::Desk;
use crate::{
    accounts::{Account, Edit, Registration},
    control::{journal::By, people},
    core::account::{AccountId, Role},
    store::Kept,
    web::{
        app::App,
        http::{
            body::{Path, UrlQuery},
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender, Switched},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
            words::{wall, zone},
        },
    },
};

const LIST: &str = "/admin/people";

/// Accounts of one page.
const ROWS: usize = 50;

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, LIST, list)
        .page(Right::Admin, "/admin/people/new", new)
        .form(Right::Admin, "/admin/people/new", add)
        .page(Right::Admin, "/admin/people/{id}", person)
        .form(Right::Admin, "/admin/people/{id}/enable", enable)
        .form(Right::Admin, "/admin/people/{id}/ban", ban)
        .form(Right::Admin, "/admin/people/{id}/role", set_role)
        .form(Right::Admin, "/admin/people/{id}/key", new_key)
        .page(Right::Admin, "/admin/people/{id}/delete", delete_page)
        .form(Right::Admin, "/admin/people/{id}/delete", delete)
}

/// An account in words.
struct Person {
    account: Account,
    since: String,
}

impl Person {
    fn role(&self) -> &'static str {
        role_name(self.account.role)
    }

    /// The class of its badge and what it says; nothing where all is as usual.
    fn state(&self) -> Option<(&'static str, &'static str)> {
        if self.account.banned {
            Some(("badge-bad", "Banned"))
        } else if self.account.awaiting_approval {
            Some(("badge-warn", "Waits for approval"))
        } else if self.account.enabled {
            None
        } else {
            Some(("", "Disabled"))
        }
    }

    fn runs_the_night(&self) -> bool {
        self.account.role.runs_the_night()
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Streamer => "Streamer",
        Role::Operator => "Operator",
        Role::Admin => "Admin",
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Streamer => "streamer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// What is looked for.
#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

#[derive(Template)]
#[template(path = "admin/people.html")]
struct Everybody<'a> {
    page: &'a Page,
    desk: Desk,
    q: String,
    people: Vec<Person>,
    waiting: Vec<Person>,
    found: usize,
    all: usize,
    /// The query of the page before, and of the next.
    earlier: Option<String>,
    later: Option<String>,
}

async fn list(State(app): State<Arc<App>>, page: Page, desk: Desk, UrlQuery(search): UrlQuery<Search>) -> Response {
    let zone = zone(&app);
    let told = |account: Account| Person { since: wall(account.created, &zone), account };
    let accounts = app.control.everybody();
    let all = accounts.len();
    let waiting = accounts.iter().filter(|account| account.awaiting_approval && !account.banned);
    let waiting: Vec<_> = waiting.take(ROWS).cloned().map(told).collect();
    let wanted = search.q.trim().to_lowercase();
    let fits = |account: &Account| {
        let email = account.email.as_deref().unwrap_or_default().to_lowercase();
        account.name.to_lowercase().contains(&wanted) || email.contains(&wanted)
    };
    let matching: Vec<_> = accounts.into_iter().filter(fits).collect();
    let found = matching.len();
    let query = |number: usize| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", search.q.trim())
            .append_pair("page", &number.to_string())
            .finish()
    };
    let number = search.page.min(found / ROWS);
    let people = matching.into_iter().skip(number * ROWS).take(ROWS).map(told).collect();
    page.show(&Everybody {
        page: &page,
        desk,
        q: search.q.trim().to_owned(),
        people,
        waiting,
        found,
        all,
        earlier: number.checked_sub(1).map(query),
        later: ((number + 1) * ROWS < found).then(|| query(number + 1)),
    })
}

fn account(app: &App, id: AccountId) -> Result<Account, Problem> {
    app.control.account(id).ok_or_else(|| Problem::new(Kind::NotFound, "no such account"))
}

#[derive(Template)]
#[template(path = "admin/person.html")]
struct PersonPage<'a> {
    page: &'a Page,
    desk: Desk,
    person: Person,
    /// Whether it is who looks.
    own: bool,
    roles: [(&'static str, &'static str, &'static str, bool); 3],
}

async fn person(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let account = account(&app, id)?;
    let own = page.who.as_ref().is_some_and(|who| who.id == id);
    let roles = Role::ALL.map(|role| {
        let may = match role {
            Role::Streamer => "Streams.",
            Role::Operator => "Runs the night: queue, slate, show. Sees no settings and no keys.",
            Role::Admin => "Runs the box: everything.",
        };
        (role_word(role), role_name(role), may, role == account.role)
    });
    let person = Person { since: wall(account.created, &zone(&app)), account };
    Ok(page.show(&PersonPage { page: &page, desk, person, own, roles }))
}

fn own_page(id: AccountId) -> String {
    format!("/admin/people/{}", id.0)
}

async fn enable(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let waited = account(&app, id)?.awaiting_approval;
    let edit = Edit { enabled: Some(to.on), ..Edit::default() };
    let (Account { name, .. }, kept) = people::edit(&app.control, &by, id, edit).await?;
    let text = match (to.on, waited) {
        (true, true) => format!("{name} is let in, and may sign in and stream."),
        (true, false) => format!("{name} may sign in and stream again."),
        (false, _) => format!("{name} is disabled: signed out, out of the queue, and cannot stream."),
    };
    let flash = Flash::done(text).kept(kept).undo_switch(format!("{}/enable", own_page(id)), to.on);
    let to = if waited { LIST.to_owned() } else { own_page(id) };
    Ok(sender.go(&app, &to, Some(&flash)))
}

async fn ban(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let (Account { name, .. }, kept) = if to.on {
        people::ban(&app.control, &by, id).await?
    } else {
        (people::unban(&app.control, &by, id).await?, Kept::Stored)
    };
    let text = if to.on {
        format!("{name} is banned: signed out, out of the queue, and cannot stream.")
    } else {
        format!("{name} is not banned any more.")
    };
    let flash = Flash::done(text).kept(kept).undo_switch(format!("{}/ban", own_page(id)), to.on);
    Ok(sender.go(&app, &own_page(id), Some(&flash)))
}

/// A role of a form.
#[derive(Deserialize)]
struct SetRole {
    role: Role,
}

async fn set_role(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
    Form(to): Form<SetRole>,
) -> Result<Response, Problem> {
    let before = account(&app, id)?.role;
    let edit = Edit { role: Some(to.role), ..Edit::default() };
    let (Account { name, .. }, _) = people::edit(&app.control, &by, id, edit).await?;
    let text = match to.role {
        Role::Streamer => format!("{name} is a streamer."),
        Role::Operator => format!("{name} is an operator, and may run the night."),
        Role::Admin => format!("{name} is an admin, and may do everything."),
    };
    let flash = Flash::done(text);
    let flash = if before == to.role {
        flash
    } else {
        flash.undo(format!("{}/role", own_page(id)), &[("role", role_word(before))])
    };
    Ok(sender.go(&app, &own_page(id), Some(&flash)))
}

async fn new_key(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let name = people::new_key(&app.control, &by, id).await?.name;
    let text = format!("{name} has a fresh key, and finds it on their own page. The one before is dead.");
    Ok(sender.go(&app, &own_page(id), Some(&Flash::done(text))))
}

#[derive(Template)]
#[template(path = "admin/person_delete.html")]
struct DeletePage<'a> {
    page: &'a Page,
    desk: Desk,
    account: Account,
}

async fn delete_page(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let account = account(&app, id)?;
    Ok(page.show(&DeletePage { page: &page, desk, account }))
}

async fn delete(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    let name = account(&app, id)?.name;
    people::delete(&app.control, &by, id).await?;
    Ok(sender.go(&app, LIST, Some(&Flash::done(format!("{name}'s account is deleted.")))))
}

#[derive(Template)]
#[template(path = "admin/person_new.html")]
struct NewPage<'a> {
    page: &'a Page,
    desk: Desk,
    name: String,
    wrong: Option<Wrong>,
}

async fn new(page: Page, desk: Desk) -> Response {
    page.show(&NewPage { page: &page, desk, name: String::new(), wrong: None })
}

/// What the form of a new account sends.
#[derive(Deserialize)]
struct NewPerson {
    name: String,
    password: SecretString,
}

async fn add(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<NewPerson>,
) -> Result<Response, Problem> {
    let name = sent.name.clone();
    let registration =
        Registration { name: sent.name, password: sent.password, email: None, timezone: None, invitation: None };
    match people::register(&app.control, &by, registration).await {
        Ok((account, _)) => {
            let text = format!("{} is registered, and can sign in with that password.", account.name);
            Ok(sender.go(&app, &own_page(account.id), Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &NewPage { page: &page, desk, name, wrong }))
        }
    }
}
