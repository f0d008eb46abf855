//! `/admin/network`: what is connected and how well, which Wi-Fi the box joins, its addresses, and its own Wi-Fi.

use std::{net::IpAddr, sync::Arc, time::Duration};

use askama::Template;
use axum::{extract::State as AppState, http::StatusCode, response::Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::timeout;

use super::desk::Desk;
use crate::{
    control::{
        journal::By,
        network::{self, AddressWanted, JoinWifi},
    },
    core::network::{
        Hotspot, Purpose,
        wifi::{Failure, joining_code},
    },
    network::{Interface, Internet, Kind, Manager, Outcome, Snapshot, State, Trial, Visible},
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::{Kind as ProblemKind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender, Switched},
            layout::Page,
            live::Rendered,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/admin/network";

/// How long the page waits for the radio to look around.
const LOOK: Duration = Duration::from_secs(4);

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, PAGE, show)
        .form(Right::Admin, "/admin/network/look", look)
        .form(Right::Admin, "/admin/network/join", join)
        .form(Right::Admin, "/admin/network/forget", forget)
        .form(Right::Admin, "/admin/network/hotspot", hotspot)
        .form(Right::Admin, "/admin/network/address", address)
        .form(Right::Admin, "/admin/network/trial", confirm)
}

/// How the network does: the part that changes by itself.
#[derive(Template)]
#[template(path = "admin/parts/network_state.html")]
struct Now {
    now: Arc<Snapshot>,
    trouble: Option<String>,
}

impl Now {
    fn of(app: &App) -> Self {
        Self { now: app.control.network(), trouble: network::trouble(&app.control) }
    }

    /// The class and the words of an interface's badge.
    fn badge(interface: &Interface) -> (&'static str, &'static str) {
        match (interface.state, interface.internet) {
            (State::AccessPoint, _) => ("badge-good", "The box's own Wi-Fi"),
            (State::Joining, _) => ("badge-warn", "Connecting"),
            (State::Up, Internet::Full) => ("badge-good", "Internet"),
            (State::Up, Internet::Portal) => ("badge-warn", "Behind a sign-in page"),
            (State::Up, Internet::None | Internet::Limited) => ("badge-bad", "No internet"),
            (State::Up, Internet::Unknown) => ("badge-good", "Connected"),
            (State::Down, _) if interface.kind == Kind::Cable && interface.link => ("badge-bad", "No address"),
            (State::Down, _) if interface.kind == Kind::Cable => ("badge-plain", "Not plugged in"),
            (State::Down, _) => ("badge-plain", "Not connected"),
        }
    }

    fn title(interface: &Interface) -> String {
        match (interface.kind, &interface.ssid) {
            (Kind::Cable, _) => "Cable".to_owned(),
            (Kind::Wifi, Some(ssid)) => format!("Wi-Fi {ssid}"),
            (Kind::Wifi, None) => "Wi-Fi".to_owned(),
        }
    }

    fn bars(interface: &Interface) -> Option<(ui::Html, String)> {
        let signal = interface.signal?;
        let band =
            interface.frequency.map_or("", |frequency| if frequency < 3000 { ", 2.4 GHz" } else { ", 5 GHz or more" });
        Some((ui::bars(signal), format!("{} ({signal} %){band}", ui::loudness(signal))))
    }

    fn addresses(interface: &Interface) -> String {
        let all: Vec<_> = interface.addresses.iter().map(IpAddr::to_string).collect();
        all.join(", ")
    }

    fn failed(&self) -> Option<&Outcome> {
        self.now.outcome.as_ref().filter(|outcome| outcome.failure.is_some())
    }

    fn trial(&self) -> Option<&Trial> {
        self.now.trial.as_ref()
    }

    fn why_up(&self) -> &'static str {
        match self.now.access_point.as_ref().map(|own| own.purpose) {
            Some(Purpose::Guests) => "Streamers use it.",
            Some(Purpose::Portal) => "Phones on it reach the venue's sign-in page.",
            Some(Purpose::Setup) => "The box can be set up over it.",
            None => "",
        }
    }
}

/// The part that changes by itself.
pub(crate) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    Ok(vec![("network", Now::of(app).render()?)])
}

/// What is filled in to join a network. A password never is.
#[derive(Default)]
struct Joining {
    ssid: String,
    hidden: bool,
    identity: String,
    server: String,
    wrong: Option<Wrong>,
}

/// What is filled in for an interface's address.
struct Address {
    name: String,
    title: String,
    /// What it has now.
    now: String,
    fixed: bool,
    wanted: String,
    gateway: String,
    dns: String,
    wrong: Option<Wrong>,
}

impl Address {
    fn of(interface: &Interface) -> Self {
        let own = |text: &Option<String>| text.clone().filter(|_| interface.fixed).unwrap_or_default();
        Self {
            name: interface.name.clone(),
            title: Now::title(interface),
            now: Now::addresses(interface),
            fixed: interface.fixed,
            wanted: String::new(),
            gateway: own(&interface.gateway),
            dns: if interface.fixed { interface.dns.join(" ") } else { String::new() },
            wrong: None,
        }
    }
}

#[derive(Template)]
#[template(path = "admin/network.html")]
struct NetworkPage<'a> {
    page: &'a Page,
    desk: Desk,
    state: String,
    now: Arc<Snapshot>,
    joining: Joining,
    addresses: Vec<Address>,
    hotspot: Hotspot,
    /// The streamers' password, and what a phone's camera reads.
    guests: Option<(String, String)>,
    loses: bool,
    check: Option<String>,
    time_servers: Vec<String>,
    /// So many seconds without a network bring the box's own Wi-Fi.
    after_seconds: u64,
}

impl NetworkPage<'_> {
    fn is_ours(&self) -> bool {
        self.now.own && self.now.manager == Manager::There
    }

    fn bars(network: &Visible) -> ui::Html {
        ui::bars(network.signal)
    }

    fn about(network: &Visible) -> String {
        let known = if network.known { ", known" } else { "" };
        format!("{}, {}{known}", ui::loudness(network.signal), network.security.words())
    }

    /// The Wi-Fi that the box leaves for its own.
    fn left(&self) -> Option<String> {
        network::left_for_own(&self.now).map(network::called)
    }

    /// What forgetting a network does to whoever comes over it.
    fn after_forgetting(&self, ssid: &str) -> Option<String> {
        let name = self.now.access_point_name.as_deref().filter(|_| self.hotspot != Hotspot::Off)?;
        let minutes = self.after_seconds.div_ceil(60);
        network::is_only_way(&self.now, ssid)
            .then(|| format!("Nothing else leads to the box: without it, {name} comes up within {minutes} min."))
    }

    fn link(ssid: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("ssid", ssid).finish();
        format!("{PAGE}?{query}#join")
    }
}

/// What a link to the page brings.
#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    ssid: String,
}

/// The page, with what is to be filled in again.
fn shown(app: &App, page: Page, desk: Desk, joining: Joining, again: Option<Address>) -> Result<Response, Problem> {
    let page = page.with_secrets();
    let now = app.control.network();
    let state = Now::of(app).render().map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
    let wrong = joining.wrong.is_some() || again.is_some();
    let shown = now.interfaces.iter().filter(|interface| interface.state != State::AccessPoint);
    let mut addresses: Vec<_> = shown.map(Address::of).collect();
    if let Some(again) = again
        && let Some(place) = addresses.iter_mut().find(|address| address.name == again.name)
    {
        *place = Address { title: place.title.clone(), now: place.now.clone(), fixed: place.fixed, ..again };
    }
    let config = app.control.config();
    let guests = network::guests_password(&app.control).filter(|_| config.network.hotspot == Hotspot::Always);
    let guests = guests.map(|password| password.expose_secret().to_owned());
    let name = now.access_point_name.clone().unwrap_or_default();
    let template = NetworkPage {
        page: &page,
        desk,
        state,
        loses: network::loses_access_point(&now),
        guests: guests.map(|password| (joining_code(&name, Some(&password)), password)),
        hotspot: config.network.hotspot,
        check: config.network.check_url.clone(),
        time_servers: config.network.time_servers.clone(),
        after_seconds: config.network.setup_after_seconds,
        joining,
        addresses,
        now,
    };
    Ok(page.show_with(if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &template))
}

async fn show(
    AppState(app): AppState<Arc<App>>,
    page: Page,
    desk: Desk,
    UrlQuery(chosen): UrlQuery<Chosen>,
) -> Result<Response, Problem> {
    // Why the last one was not joined, beside what is to blame; unless another was chosen.
    let failed = app.control.network().outcome.clone();
    let failed = failed.filter(|outcome| chosen.ssid.is_empty() && outcome.failure.is_some());
    let joining = match failed {
        Some(failed) => {
            let field = match failed.failure {
                Some(Failure::Password { .. }) => "password",
                Some(Failure::NotFound) => "ssid",
                _ => "",
            };
            let identity = failed.identity.unwrap_or_default();
            let wrong = Some(Wrong { field: field.to_owned(), text: failed.message });
            let server = failed.server.unwrap_or_default();
            Joining { ssid: failed.ssid, hidden: failed.hidden, identity, server, wrong }
        }
        None => Joining { ssid: chosen.ssid, ..Joining::default() },
    };
    let mut response = shown(&app, page, desk, joining, None)?;
    // The request itself was in order.
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

async fn look(AppState(app): AppState<Arc<App>>, sender: Sender) -> Result<Response, Problem> {
    if let Ok(looked) = timeout(LOOK, network::look(&app.control)).await {
        looked?;
    }
    Ok(sender.go(&app, "/admin/network#join", None))
}

/// What the form about a Wi-Fi sends.
#[derive(Deserialize)]
struct Sent {
    ssid: String,
    password: SecretString,
    hidden: Option<String>,
    identity: String,
    server: String,
}

async fn join(
    AppState(app): AppState<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    let mut joining = Joining {
        ssid: sent.ssid.clone(),
        hidden: sent.hidden.is_some(),
        identity: sent.identity.clone(),
        server: sent.server.clone(),
        wrong: None,
    };
    let wanted = JoinWifi {
        ssid: sent.ssid,
        password: Some(sent.password),
        hidden: joining.hidden,
        identity: Some(sent.identity),
        server: Some(sent.server),
    };
    match network::join(&app.control, &by, wanted).await {
        Ok(()) => {
            let pages = network::pages(&app.control).join(" or ");
            let text =
                format!("The box is joining {}. If you lose it, join that network too and open {pages}.", joining.ssid);
            Ok(sender.go(&app, PAGE, Some(&Flash::done(text))))
        }
        Err(denied) => {
            joining.wrong = Some(to_be_filled_in_again(denied)?);
            shown(&app, page, desk, joining, None)
        }
    }
}

/// Which one is forgotten.
#[derive(Deserialize)]
struct Forgotten {
    ssid: String,
}

async fn forget(
    AppState(app): AppState<Arc<App>>,
    by: By,
    sender: Sender,
    Form(forgotten): Form<Forgotten>,
) -> Result<Response, Problem> {
    network::forget(&app.control, &by, &forgotten.ssid).await?;
    let text = format!("{} is forgotten: the box does not join it by itself any more.", forgotten.ssid);
    Ok(sender.go(&app, PAGE, Some(&Flash::done(text))))
}

async fn hotspot(
    AppState(app): AppState<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let now = app.control.network();
    network::hotspot(&app.control, &by, to.on).await?;
    let name = now.access_point_name.as_deref().unwrap_or("the box's own Wi-Fi");
    let text = match network::left_for_own(&now) {
        _ if !to.on => "The box's own Wi-Fi goes.".to_owned(),
        None => format!("{name} comes in a moment. It goes again when nobody has used it for a quarter of an hour."),
        Some(left) => format!(
            "{name} comes in a moment, and the box leaves {}: join {name} to reach it. It goes back when nobody has used that for a quarter of \
             an hour.",
            network::called(left)
        ),
    };
    Ok(sender.done(&app, PAGE, &Flash::done(text)))
}

/// What the form about an interface's address sends.
#[derive(Deserialize)]
struct Set {
    interface: String,
    address: String,
    gateway: String,
    dns: String,
}

async fn address(
    AppState(app): AppState<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(set): Form<Set>,
) -> Result<Response, Problem> {
    let dns = set.dns.split([' ', ',']).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let wanted = AddressWanted { address: Some(set.address.clone()), gateway: Some(set.gateway.clone()), dns };
    match network::address(&app.control, &by, &set.interface, &wanted).await {
        Ok(()) => {
            let text = "It is being tried for a minute. Press Keep it on this page, at the new address if that is yours; otherwise it is taken back.";
            Ok(sender.go(&app, PAGE, Some(&Flash::done(text))))
        }
        Err(denied) => {
            let again = Address {
                name: set.interface,
                title: String::new(),
                now: String::new(),
                fixed: false,
                wanted: set.address,
                gateway: set.gateway,
                dns: set.dns,
                wrong: Some(to_be_filled_in_again(denied)?),
            };
            shown(&app, page, desk, Joining::default(), Some(again))
        }
    }
}

/// What becomes of what is tried.
#[derive(Deserialize)]
struct Decided {
    keep: String,
}

async fn confirm(
    AppState(app): AppState<Arc<App>>,
    by: By,
    sender: Sender,
    Form(decided): Form<Decided>,
) -> Result<Response, Problem> {
    let keep = decided.keep == "true";
    network::confirm(&app.control, &by, keep).await?;
    let text = if keep { "It is kept." } else { "It is taken back: everything is as it was." };
    Ok(sender.done(&app, PAGE, &Flash::done(text)))
}
