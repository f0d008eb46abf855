//! The third step: the cable, or a Wi-Fi of the venue's. One radio cannot be the box's own Wi-Fi and join another at once: what will happen is said
//! before the button, and again after it, because the phone may see nothing more from then on.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::timeout;

use super::step::{COUNT, Step};
use crate::{
    control::{
        journal::By,
        network::{self, JoinWifi},
        settings,
    },
    core::network::{
        Hotspot, Purpose,
        wifi::{Failure, Security},
    },
    network::{Internet, Kind, Manager, Snapshot, Visible},
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/setup/network";

/// How long the page waits for the radio to look around. What it saw before is shown otherwise.
const LOOK: Duration = Duration::from_secs(4);

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Admin, PAGE, show).form(Right::Admin, PAGE, join).form(
        Right::Admin,
        "/setup/network/own",
        own,
    )
}

/// What is filled in. A password never is.
#[derive(Default)]
struct Filled {
    ssid: String,
    hidden: bool,
    identity: String,
    server: String,
}

#[derive(Template)]
#[template(path = "setup/network.html")]
struct NetworkPage<'a> {
    page: &'a Page,
    step: Step,
    now: Arc<Snapshot>,
    /// What leads somewhere, in words.
    uplink: Option<String>,
    /// The form, once a network is chosen.
    filled: Option<Filled>,
    /// How the chosen one is closed, where that is known.
    security: Option<Security>,
    wrong: Option<Wrong>,
    loses: bool,
    pages: Vec<String>,
    hotspot: Hotspot,
}

impl NetworkPage<'_> {
    fn is_ours(&self) -> bool {
        self.now.own && self.now.manager == Manager::There
    }

    fn has_cable(&self) -> bool {
        self.now.uplink().is_some_and(|uplink| uplink.kind == Kind::Cable)
    }

    fn is_behind_portal(&self) -> bool {
        self.now.internet == Internet::Portal
    }

    fn leads_on(&self) -> bool {
        self.uplink.is_some() && !self.is_behind_portal()
    }

    fn is_without_internet(&self) -> bool {
        self.uplink.is_some() && matches!(self.now.internet, Internet::None | Internet::Limited)
    }

    /// The hardware addresses that a venue may let in, by what has them.
    fn macs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.now
            .interfaces
            .iter()
            .map(|one| (if one.kind == Kind::Cable { "Cable" } else { "Wi-Fi" }, one.mac.as_str()))
    }

    /// Whether phones on the box's own Wi-Fi are let through to the venue's page.
    fn leads_through(&self) -> bool {
        self.now.access_point.as_ref().is_some_and(|own| own.purpose == Purpose::Portal)
    }

    fn asks_for_user(&self) -> bool {
        self.security == Some(Security::Enterprise)
    }

    fn asks_for_password(&self) -> bool {
        self.security.is_none_or(Security::wants_password)
    }

    fn bars(network: &Visible) -> ui::Html {
        ui::bars(network.signal)
    }

    /// What there is to say of a network.
    fn about(network: &Visible) -> String {
        let security =
            if network.security == Security::Wep { "WEP: too old, not joined" } else { network.security.words() };
        format!("{}, {security}{}", ui::loudness(network.signal), if network.known { ", known" } else { "" })
    }

    /// Where one is chosen.
    fn link(ssid: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("ssid", ssid).finish();
        format!("{PAGE}?{query}")
    }

    fn own_name(&self) -> &str {
        self.now.access_point_name.as_deref().unwrap_or("Motherstream")
    }
}

/// What is said while a network is joined.
#[derive(Template)]
#[template(path = "setup/joining.html")]
struct JoiningPage<'a> {
    page: &'a Page,
    step: Step,
    ssid: String,
    own_name: String,
    loses: bool,
    pages: Vec<String>,
}

/// What a link to the page brings.
#[derive(Default, Deserialize)]
struct Chosen {
    #[serde(default)]
    ssid: String,
    /// One that is not in the list is typed.
    other: Option<String>,
    /// The radio is to look again.
    look: Option<String>,
}

async fn show(State(app): State<Arc<App>>, mut page: Page, UrlQuery(chosen): UrlQuery<Chosen>) -> Response {
    page.bare = true;
    let now = app.control.network();
    if let Some(ssid) = now.joining.clone() {
        return page.show(&joining(&app, &page, &now, ssid));
    }
    let may_look = now.own && now.manager == Manager::There && now.has_radio() && now.access_point.is_none();
    if chosen.look.is_some() || (may_look && now.networks.is_empty()) {
        // One that cannot look now has its list from before.
        let _looked = timeout(LOOK, network::look(&app.control)).await;
    }
    let failed = app.control.network().outcome.clone().filter(|outcome| outcome.failure.is_some());
    if !chosen.ssid.is_empty() {
        let filled = Filled { ssid: chosen.ssid, ..Filled::default() };
        return page.show(&the_page(&app, &page, Some(filled), None));
    }
    if chosen.other.is_some() {
        let filled = Filled { hidden: true, ..Filled::default() };
        return page.show(&the_page(&app, &page, Some(filled), None));
    }
    // Why the box did not join what it was told to, beside what is to blame.
    if let Some(failed) = failed.filter(|_| chosen.look.is_none()) {
        let field = match failed.failure {
            Some(Failure::Password { .. }) => "password",
            Some(Failure::NotFound) => "ssid",
            _ => "",
        };
        let wrong = Wrong { field: field.to_owned(), text: failed.message };
        let identity = failed.identity.unwrap_or_default();
        let server = failed.server.unwrap_or_default();
        let filled = Filled { ssid: failed.ssid, hidden: failed.hidden, identity, server };
        return page.show(&the_page(&app, &page, Some(filled), Some(wrong)));
    }
    page.show(&the_page(&app, &page, None, None))
}

fn the_page<'a>(app: &App, page: &'a Page, filled: Option<Filled>, wrong: Option<Wrong>) -> NetworkPage<'a> {
    let now = app.control.network();
    let security = filled.as_ref().and_then(|filled| {
        let heard = now.networks.iter().find(|network| network.ssid == filled.ssid).map(|network| network.security);
        heard.or((!filled.identity.is_empty()).then_some(Security::Enterprise))
    });
    NetworkPage {
        page,
        step: Step::Network,
        uplink: now.uplink().map(network::called),
        filled,
        security,
        wrong,
        loses: network::loses_access_point(&now),
        pages: network::pages(&app.control),
        hotspot: app.control.config().network.hotspot,
        now,
    }
}

fn joining<'a>(app: &App, page: &'a Page, now: &Snapshot, ssid: String) -> JoiningPage<'a> {
    JoiningPage {
        page,
        step: Step::Network,
        ssid,
        own_name: now.access_point_name.clone().unwrap_or_else(|| "Motherstream".to_owned()),
        loses: network::loses_access_point(now),
        pages: network::pages(&app.control),
    }
}

/// What the form sends.
#[derive(Deserialize)]
struct Sent {
    ssid: String,
    #[serde(default)]
    password: SecretString,
    hidden: Option<String>,
    #[serde(default)]
    identity: String,
    #[serde(default)]
    server: String,
}

async fn join(
    State(app): State<Arc<App>>,
    mut page: Page,
    by: By,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    page.bare = true;
    let now = app.control.network();
    let filled = Filled {
        ssid: sent.ssid.clone(),
        hidden: sent.hidden.is_some(),
        identity: sent.identity.clone(),
        server: sent.server.clone(),
    };
    let wanted = JoinWifi {
        ssid: sent.ssid,
        password: Some(sent.password),
        hidden: filled.hidden,
        identity: Some(sent.identity),
        server: Some(sent.server),
    };
    match network::join(&app.control, &by, wanted).await {
        // Not led on to another address: the phone may reach nothing any more.
        Ok(()) => Ok(page.show(&joining(&app, &page, &now, filled.ssid))),
        Err(denied) => {
            let wrong = Some(to_be_filled_in_again(denied)?);
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &the_page(&app, &page, Some(filled), wrong)))
        }
    }
}

/// A venue without any network: the box's own Wi-Fi is the streamers'.
async fn own(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    let edits = [("network.hotspot".to_owned(), "always".into())].into();
    settings::change(&app.control, &by, edits).await?;
    let text = "The box's own Wi-Fi is to be the streamers'. Its password is on their poster, two steps on; it asks for that once nobody \
                is on it for a few minutes.";
    Ok(sender.go(&app, Step::Network.after(), Some(&Flash::done(text))))
}
