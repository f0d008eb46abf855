//! Coming in and going out: `/register`, `/login`, `/logout`.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use secrecy::SecretString;
use serde::Deserialize;
use tower_sessions::Session;

use super::{
    assets,
    flash::Flash,
    form::{Form, Sender, local},
    layout::Page,
    ui,
};
use crate::{
    accounts::Registration,
    config::Registration as Policy,
    control::{
        journal::By,
        own::{self, Credentials},
        people,
    },
    core::account::Role,
    store::Kept,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            guard::see_other,
            problem::Problem,
            rights::{Right, Routes},
            sessions,
        },
    },
};

/// Where one's own page is.
const OWN_PAGE: &str = "/me";

/// Where the night is run.
const NIGHT: &str = "/admin";

/// What is said of a sign-in that is not stored.
const FORGOTTEN: &str =
    "The box cannot write to its disk now: this sign-in is forgotten if it starts again before that is put right.";

/// The page that is whose: of those who run the night, and of those who stream.
pub(super) fn home(role: Role) -> &'static str {
    if role.runs_the_night() { NIGHT } else { OWN_PAGE }
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Anyone, "/register", register_page)
        .form(Right::Anyone, "/register", register)
        .page(Right::Anyone, "/login", login_page)
        .form(Right::Anyone, "/login", login)
        .form(Right::SignedIn, "/logout", logout)
}

/// What is wrong with what was filled in.
pub(super) struct Wrong {
    /// The field's name; empty when it is none in particular.
    pub(super) field: String,
    pub(super) text: String,
}

impl Wrong {
    pub(super) fn is(&self, field: &str) -> bool {
        self.field == field
    }

    /// What is to be said beside a field, if anything.
    pub(super) fn with<'a>(wrong: Option<&'a Self>, field: &str) -> Option<&'a str> {
        wrong.filter(|wrong| wrong.is(field)).map(|wrong| wrong.text.as_str())
    }
}

/// A problem that whoever filled the form in can do something about, for the form to be shown again; the others stay errors.
pub(super) fn to_be_filled_in_again(denied: impl Into<Problem>) -> Result<Wrong, Problem> {
    let problem = denied.into();
    match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Ok(Wrong { field: problem.blamed().to_owned(), text: problem.sentence() })
        }
        _ => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    page: &'a Page,
    name: &'a str,
    policy: Policy,
    /// The code of an invitation, as it was shown.
    invitation: &'a str,
    /// It came with the link, and needs no field of its own.
    invited: bool,
    wrong: Option<Wrong>,
}

impl RegisterPage<'_> {
    fn is_closed(&self) -> bool {
        self.policy == Policy::Closed
    }

    /// Whether the code has to be typed.
    fn asks_for_invitation(&self) -> bool {
        self.policy == Policy::Invite && !self.invited
    }
}

/// What a link to the form brings.
#[derive(Default, Deserialize)]
struct Invited {
    #[serde(default)]
    invitation: String,
}

/// What the form of `/register` sends.
#[derive(Deserialize)]
struct Joining {
    name: String,
    password: SecretString,
    #[serde(default)]
    invitation: String,
}

async fn register_page(State(app): State<Arc<App>>, page: Page, UrlQuery(invited): UrlQuery<Invited>) -> Response {
    if page.who.is_some() {
        return see_other(OWN_PAGE);
    }
    let invitation = invited.invitation.trim();
    let form = RegisterPage {
        page: &page,
        name: "",
        policy: app.control.registration(),
        invitation,
        invited: !invitation.is_empty(),
        wrong: None,
    };
    without_address(page.show(&form))
}

/// An answer whose address holds a code: no page that it loads or leads to is told that address. (With `no-referrer` the browser would
/// send the form with `Origin: null`, which is refused.)
pub(super) fn without_address(mut response: Response) -> Response {
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    response
}

async fn register(
    State(app): State<Arc<App>>,
    page: Page,
    by: By,
    session: Session,
    sender: Sender,
    Form(joining): Form<Joining>,
) -> Result<Response, Problem> {
    if page.who.is_some() {
        return Ok(see_other(OWN_PAGE));
    }
    let name = joining.name.clone();
    let code = joining.invitation.trim().to_owned();
    let registration = Registration {
        name: joining.name,
        password: joining.password,
        email: None,
        timezone: None,
        invitation: (!code.is_empty()).then(|| code.clone().into()),
    };
    let account = match people::register(&app.control, &by, registration).await {
        Ok((account, _)) => account,
        Err(denied) => {
            let wrong = to_be_filled_in_again(denied)?;
            let again = RegisterPage {
                page: &page,
                name: &name,
                policy: app.control.registration(),
                invitation: &code,
                // One that does not do can be typed anew.
                invited: !code.is_empty() && !wrong.is("invitation"),
                wrong: Some(wrong),
            };
            return Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again));
        }
    };
    if account.awaiting_approval {
        let text =
            format!("You are registered, {}. The crew has to let you in; sign in here afterwards.", account.name);
        return Ok(sender.go(&app, "/login", Some(&Flash::done(text))));
    }
    sessions::sign_in(&session, &by, account.id).await?;
    let welcome = Flash::done(format!("Welcome, {}. Put the server and your key into your encoder.", account.name));
    Ok(sender.go(&app, OWN_PAGE, Some(&welcome)))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    page: &'a Page,
    name: &'a str,
    next: &'a str,
    wrong: Option<Wrong>,
}

/// Where somebody wanted to go who had to sign in first.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

/// What the form of `/login` sends.
#[derive(Deserialize)]
struct Entering {
    name: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

/// Where somebody with this role comes to: home, unless a page of this box was asked for.
fn next_page(next: &str, role: Role) -> &str {
    match local(next) {
        "/" => home(role),
        next => next,
    }
}

async fn login_page(page: Page, UrlQuery(wanted): UrlQuery<Wanted>) -> Response {
    if let Some(who) = &page.who {
        return see_other(next_page(&wanted.next, who.role));
    }
    page.show(&LoginPage { page: &page, name: "", next: local(&wanted.next), wrong: None })
}

async fn login(
    State(app): State<Arc<App>>,
    page: Page,
    by: By,
    session: Session,
    sender: Sender,
    Form(entering): Form<Entering>,
) -> Result<Response, Problem> {
    let credentials = Credentials { name: entering.name, password: entering.password };
    match own::sign_in(&app.control, &by, &credentials).await {
        Ok(account) => {
            sessions::sign_in(&session, &by, account.id).await?;
            let kept = app.control.sessions().kept().await;
            let forgotten = (kept == Kept::NotYet)
                .then(|| Flash::done(format!("You are signed in, {}. {FORGOTTEN}", account.name)));
            Ok(sender.go(&app, next_page(&entering.next, account.role), forgotten.as_ref()))
        }
        Err(denied) => {
            let wrong = Some(to_be_filled_in_again(denied)?);
            let again = LoginPage { page: &page, name: &credentials.name, next: local(&entering.next), wrong };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

async fn logout(State(app): State<Arc<App>>, session: Session, sender: Sender) -> Result<Response, Problem> {
    sessions::sign_out(&session).await?;
    Ok(sender.go(&app, "/", Some(&Flash::done("You are signed out. If you are streaming, that goes on."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_comes_to_a_page_of_this_box() {
        for (asked, to) in [("", "/me"), ("/", "/me"), ("/admin?x=1", "/admin?x=1"), ("//evil.example", "/me")] {
            assert_eq!(next_page(asked, Role::Streamer), to, "{asked}");
        }
        for role in [Role::Operator, Role::Admin] {
            assert_eq!((next_page("", role), next_page("/me", role)), ("/admin", "/me"));
        }
    }
}
