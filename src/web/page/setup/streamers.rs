//! The last steps: how streamers join, a poster that says so, and what was set up.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::step::{COUNT, Step};
use crate::{
    config::Registration,
    control::{
        journal::By,
        network, settings,
        ways::{Reached, rtmp_url_for_others},
    },
    core::{
        network::{Hotspot, Purpose, wifi::joining_code},
        words::sentence,
    },
    network::{ACCESS_POINT, Internet},
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            form::{Form, Sender},
            layout::Page,
            ui,
        },
    },
};

const PAGE: &str = "/setup/streamers";

/// Who may join, for people.
const POLICIES: [(Registration, &str, &str); 4] = [
    (Registration::Open, "open", "Everybody on this network"),
    (Registration::Approval, "approval", "Everybody the crew lets in"),
    (Registration::Invite, "invite", "Whoever has an invitation"),
    (Registration::Closed, "closed", "Nobody: the crew makes accounts"),
];

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, PAGE, show)
        .form(Right::Admin, PAGE, save)
        .page(Right::Admin, "/setup/poster", poster)
        .page(Right::Admin, "/setup/done", done)
}

/// The streamers' own Wi-Fi.
struct Wifi {
    name: String,
    password: Option<String>,
    /// What a phone's camera reads.
    code: String,
}

impl Wifi {
    /// Where the box's own Wi-Fi is the streamers'.
    fn of(app: &App) -> Option<Self> {
        if app.control.config().network.hotspot != Hotspot::Always {
            return None;
        }
        let name = app.control.network().access_point_name.clone()?;
        let password = network::guests_password(&app.control).map(|password| password.expose_secret().to_owned())?;
        Some(Self { code: joining_code(&name, Some(&password)), name, password: Some(password) })
    }
}

/// Where streamers find the page: by the address by which an admin came, unless that is one which only this moment has.
fn join_url(app: &App, page: &Page, reached: &Reached) -> String {
    if app.control.config().network.hotspot == Hotspot::Always && app.control.network().uplink().is_none() {
        return format!("http://{}/register", app.control.doors().plain_host(&ACCESS_POINT.to_string()));
    }
    if page.line.captive {
        return network::pages(&app.control).first().map(|url| format!("{url}register")).unwrap_or_default();
    }
    reached.page_url("/register")
}

#[derive(Template)]
#[template(path = "setup/streamers.html")]
struct StreamersPage<'a> {
    page: &'a Page,
    step: Step,
    policy: Registration,
    /// Why it cannot be changed here.
    locked: Option<String>,
    join_url: String,
    rtmp_url: String,
    wifi: Option<Wifi>,
}

async fn show(State(app): State<Arc<App>>, mut page: Page, reached: Reached) -> Response {
    page.bare = true;
    let page = page.with_secrets();
    let settings = app.control.settings();
    let locked = settings.into_iter().find(|setting| setting.key == "accounts.registration");
    let join_url = join_url(&app, &page, &reached);
    // As they reach it, and not as somebody does who stands beside it with a phone.
    let theirs = url::Url::parse(&join_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let reached = if page.line.captive { Reached::new(None, theirs.as_deref()) } else { reached };
    page.show(&StreamersPage {
        page: &page,
        step: Step::Streamers,
        policy: app.control.registration(),
        locked: locked.and_then(|setting| setting.locked),
        join_url,
        rtmp_url: rtmp_url_for_others(&app.control, &reached),
        wifi: Wifi::of(&app),
    })
}

/// What the form sends; nothing where it cannot be changed.
#[derive(Deserialize)]
struct Sent {
    registration: Option<String>,
}

async fn save(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    let now = app.control.registration();
    let names = POLICIES.iter().find(|(policy, ..)| *policy == now).map(|(_, name, _)| *name);
    if let Some(registration) = sent.registration.filter(|sent| Some(sent.as_str()) != names) {
        settings::change(&app.control, &by, [("accounts.registration".to_owned(), registration.into())].into()).await?;
    }
    Ok(sender.go(&app, Step::Streamers.after(), None))
}

/// To be printed and put on a wall.
#[derive(Template)]
#[template(path = "setup/poster.html")]
struct Poster<'a> {
    page: &'a Page,
    join_url: String,
    /// The same by number, for whoever's phone does not find the name.
    addresses: Vec<String>,
    wifi: Option<Wifi>,
    closed: bool,
}

async fn poster(State(app): State<Arc<App>>, mut page: Page, reached: Reached) -> Response {
    page.bare = true;
    let page = page.with_secrets();
    let network = app.control.network();
    let own = network.uplink().map(|uplink| uplink.addresses.clone()).unwrap_or_default();
    let own = own.into_iter().filter(std::net::IpAddr::is_ipv4);
    page.show(&Poster {
        page: &page,
        join_url: join_url(&app, &page, &reached),
        addresses: own
            .map(|address| format!("http://{}/", app.control.doors().plain_host(&address.to_string())))
            .collect(),
        wifi: Wifi::of(&app),
        closed: app.control.registration() == Registration::Closed,
    })
}

#[derive(Template)]
#[template(path = "setup/done.html")]
struct DonePage<'a> {
    page: &'a Page,
    step: Step,
    network: String,
    trouble: Option<String>,
    destinations: Vec<String>,
    policy: &'static str,
    zone: Option<String>,
    /// Where the box is found once this Wi-Fi is gone.
    pages: Vec<String>,
    uplink: Option<String>,
    /// Whoever looks is on a Wi-Fi where only the set-up answers.
    confined: bool,
}

async fn done(State(app): State<Arc<App>>, mut page: Page) -> Response {
    page.bare = true;
    let now = app.control.network();
    let uplink = now.uplink();
    let network = match uplink {
        Some(uplink) if now.internet == Internet::Full => format!("{}, with internet", network::called(uplink)),
        Some(uplink) => network::called(uplink),
        None if app.control.config().network.hotspot == Hotspot::Always => "the box's own Wi-Fi".to_owned(),
        None if !now.own => "as this machine has it".to_owned(),
        None => "none yet".to_owned(),
    };
    let policy = app.control.registration();
    page.show(&DonePage {
        page: &page,
        step: Step::Done,
        network: sentence(&network).trim_end_matches('.').to_owned(),
        trouble: network::trouble(&app.control),
        destinations: app.control.destinations().into_iter().map(|one| one.name).collect(),
        policy: POLICIES.iter().find(|(one, ..)| *one == policy).map_or("", |(.., words)| words),
        zone: app.control.config().venue.timezone.clone(),
        pages: network::pages(&app.control),
        uplink: uplink.map(network::called),
        confined: page.line.captive && now.access_point.as_ref().is_none_or(|own| own.purpose != Purpose::Guests),
    })
}
