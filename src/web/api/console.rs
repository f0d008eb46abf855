//! What the box's own screen shows: told to the machine itself, and to admins.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    control::{
        addresses::{bracketed, own_addresses},
        journal::Caller,
        machine, network,
        status::{self, ready_now},
    },
    core::words::sentence,
    network::ACCESS_POINT,
    update::Progress,
    web::{
        app::App,
        http::rights::{Right, Routes},
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Machine, routes!(console))
}

/// What the box's own screen shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConsoleView {
    /// The venue's name.
    pub venue: String,
    /// Addresses of the page, the likeliest first.
    pub pages: Vec<String>,
    /// The box's own Wi-Fi, while it is up.
    pub wifi: Option<ConsoleWifi>,
    /// The setup code while the box has no owner; told on the machine itself only.
    pub setup_code: Option<String>,
    /// Whether everything works.
    pub ready: bool,
    /// What does not, in words.
    pub troubles: Vec<String>,
    /// Whether a show is on.
    pub show: bool,
    /// Who is on air.
    pub on_air: Option<String>,
    /// The slate is forced.
    pub forced_slate: bool,
    /// How many wait.
    pub waiting: usize,
    /// How many destinations take part in shows.
    pub destinations: usize,
    /// The program's version.
    pub version: String,
}

/// The box's own Wi-Fi.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConsoleWifi {
    /// Its name.
    pub name: String,
    /// Its password, where it has one; told on the machine itself only.
    pub password: Option<String>,
    /// The address of the page on it.
    pub page: String,
    /// Whether somebody is on it.
    pub joined: bool,
}

/// The box's own Wi-Fi, for the machine itself or, without its password, for admins.
fn wifi(app: &App, is_machine: bool) -> Option<ConsoleWifi> {
    let network = app.control.network();
    let access_point = network.access_point.as_ref()?;
    let password = network::guests_password(&app.control).filter(|_| access_point.closed && is_machine);
    Some(ConsoleWifi {
        name: access_point.ssid.clone(),
        password: password.map(|password| password.expose_secret().to_owned()),
        page: format!("http://{ACCESS_POINT}/"),
        joined: access_point.guests,
    })
}

/// What the box's own screen shows: where the page is, the setup code while there is no owner, and how the box does.
#[utoipa::path(get, path = "/api/v1/console", tag = "system",
    responses((status = 200, description = "What the screen shows", body = ConsoleView)))]
async fn console(State(app): State<Arc<App>>, caller: Caller) -> Json<ConsoleView> {
    let ready = ready_now(&app.control);
    let hosts = hosts(app.control.config().web.public_host.clone(), &own_addresses());
    let snapshot = app.control.snapshot();
    let queue = &snapshot.queue;
    let code = app.control.setup_code().filter(|_| matches!(caller, Caller::Machine));
    let trouble = status::store_trouble(&app.control);
    let broken = status::troubles(&app.control, ready);
    let stick =
        machine::stick_settings(&app.control).filter(|said| said.contains("not taken")).map(|said| sentence(&said));
    let ignored = app.control.ignored_settings();
    let ignored = (!ignored.is_empty()).then(|| "Some settings were left out: the page System says which.".to_owned());
    let notes =
        [trouble, machine::memory_disk(&app.control), stick, ignored, progress(&machine::progress(&app.control))];
    Json(ConsoleView {
        venue: app.control.config().venue.name.clone(),
        pages: hosts.iter().map(|host| format!("http://{}/", app.control.doors().plain_host(host))).collect(),
        wifi: wifi(&app, matches!(caller, Caller::Machine)),
        setup_code: code.map(|code| code.expose_secret().to_owned()),
        ready: ready.ready,
        troubles: broken.chain(notes.into_iter().flatten()).collect(),
        show: queue.show,
        on_air: queue.on_air.as_ref().map(|turn| turn.entry.name.clone()),
        forced_slate: queue.forced_slate,
        waiting: queue.waiting.len(),
        destinations: app.control.destinations().iter().filter(|destination| destination.enabled).count(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Where the page is: first what the venue has chosen, then the box's own addresses. Nowhere without a network, whatever was chosen.
fn hosts(chosen: Option<String>, own: &[IpAddr]) -> Vec<String> {
    let chosen = chosen.filter(|_| !own.is_empty()).map(|host| host.parse().map_or_else(|_| host, bracketed));
    let mut hosts = Vec::from_iter(chosen);
    for host in own.iter().copied().map(bracketed) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// An update under way, in words.
fn progress(progress: &Progress) -> Option<String> {
    match progress {
        Progress::Nothing => None,
        Progress::Receiving { .. } => Some("An update is being uploaded.".to_owned()),
        Progress::Installing { percent } => {
            Some(format!("An update is being installed ({percent} %): do not pull the plug."))
        }
        Progress::Installed { version } => Some(format!("Version {version} runs from the next start on.")),
        Progress::Failed { reason } => Some(sentence(&format!("update: {reason}"))),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_venue_s_choice_comes_first_and_nothing_comes_without_a_network() {
        let own = ["192.168.1.7", "fd00::2", "192.168.1.7"].map(|address| address.parse().unwrap());
        assert_eq!(hosts(None, &own), ["192.168.1.7", "[fd00::2]"]);
        assert_eq!(hosts(Some("stage.example".into()), &own), ["stage.example", "192.168.1.7", "[fd00::2]"]);
        assert_eq!(hosts(Some("[fd00::2]".into()), &own), ["[fd00::2]", "192.168.1.7"]);
        assert_eq!(hosts(Some("fd00::2".into()), &own), ["[fd00::2]", "192.168.1.7"]);
        assert!(hosts(Some("stage.example".into()), &[]).is_empty());
    }
}
