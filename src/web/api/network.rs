//! The network, for admins: what is connected, which networks are joined, the box's own Wi-Fi, addresses.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    control::{
        denied::Denied,
        journal::By,
        network::{self, AddressWanted, JoinWifi},
    },
    network::{Snapshot, Visible},
    web::{
        app::App,
        http::{
            body::{Body, OptionalBody, Path, UrlQuery},
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(now))
        .api(Right::Admin, routes!(wifi, join, forget))
        .api(Right::Admin, routes!(hotspot))
        .api(Right::Admin, routes!(interface))
        .api(Right::Admin, routes!(trial))
}

/// What is connected and how well, the networks within reach when the radio last looked, the box's own Wi-Fi, and what is being done or tried.
/// `manager` is `absent` where this machine has no NetworkManager, and `own` false where the network is not this program's to set.
#[utoipa::path(get, path = "/api/v1/network", tag = "network", operation_id = "network",
    responses((status = 200, description = "The network", body = Snapshot)))]
async fn now(State(app): State<Arc<App>>) -> Json<Snapshot> {
    Json(Snapshot::clone(&app.control.network()))
}

/// Has the radio look for Wi-Fi networks, and lists them, the loudest first. While it is the box's own access point it cannot look: then those
/// are listed that it saw before.
#[utoipa::path(get, path = "/api/v1/network/wifi", tag = "network", operation_id = "wifi_networks",
    responses((status = 200, description = "Networks within reach", body = Vec<Visible>),
        (status = 409, description = "There is no radio, or no NetworkManager")))]
async fn wifi(State(app): State<Arc<App>>) -> Result<Json<Vec<Visible>>, Problem> {
    network::look(&app.control).await?;
    Ok(Json(app.control.network().networks.clone()))
}

/// What happens once a network is being joined.
#[derive(Debug, Serialize, ToSchema)]
struct JoinBegun {
    /// The network.
    ssid: String,
    /// Whether whoever is on the box's own Wi-Fi loses it now: one radio cannot be both.
    loses_access_point: bool,
    /// The name of the box's own Wi-Fi, which comes back when the network could not be joined.
    access_point: Option<String>,
    /// Where the page is found in that network.
    pages: Vec<String>,
    /// The same in a sentence.
    message: String,
}

/// Joins a Wi-Fi network. The answer comes when it begins; `GET /api/v1/network` tells in `outcome` how it ended. It is kept once it has
/// worked, and joined by itself then. Refused during a show that goes over Wi-Fi.
#[utoipa::path(put, path = "/api/v1/network/wifi", tag = "network", operation_id = "join_wifi", request_body = JoinWifi,
    responses((status = 202, description = "It begins", body = JoinBegun),
        (status = 409, description = "A show goes over Wi-Fi, another join is under way, or there is no radio"),
        (status = 422, description = "That cannot be a name, or a password")))]
async fn join(
    State(app): State<Arc<App>>,
    by: By,
    Body(wanted): Body<JoinWifi>,
) -> Result<(StatusCode, Json<JoinBegun>), Problem> {
    let (ssid, now) = (wanted.ssid.clone(), app.control.network());
    network::join(&app.control, &by, wanted).await?;
    let loses_access_point = network::loses_access_point(&now);
    let pages = network::pages(&app.control);
    let access_point = now.access_point_name.clone();
    let back = match &access_point {
        Some(name) => format!(" If that fails, the box's own Wi-Fi {name} comes back within a minute, and says why."),
        None => String::new(),
    };
    let message = format!("The box is joining {ssid}: find it there at {}.{back}", pages.join(" or "));
    Ok((StatusCode::ACCEPTED, Json(JoinBegun { ssid, loses_access_point, access_point, pages, message })))
}

/// Which network.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WhichWifi {
    /// Its name.
    ssid: Option<String>,
}

/// Forgets a Wi-Fi network, named in the body or behind the question mark: the box leaves it, and does not join it by itself any more. Refused
/// during a show that goes over it.
#[utoipa::path(delete, path = "/api/v1/network/wifi", tag = "network", operation_id = "forget_wifi", 
    params(("ssid" = Option<String>, Query, description = "Its name, where there is no body")), request_body = Option<WhichWifi>,
    responses((status = 204, description = "It is forgotten"),
        (status = 404, description = "The box does not know it"),
        (status = 409, description = "A show goes over it, or there is no NetworkManager"),
        (status = 422, description = "No network is named")))]
async fn forget(
    State(app): State<Arc<App>>,
    by: By,
    UrlQuery(asked): UrlQuery<WhichWifi>,
    OptionalBody(named): OptionalBody<WhichWifi>,
) -> Result<StatusCode, Problem> {
    let ssid = named.ssid.or(asked.ssid).filter(|ssid| !ssid.is_empty());
    let ssid = ssid.ok_or_else(|| Denied::invalid("ssid", "name the network"))?;
    network::forget(&app.control, &by, &ssid).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the box's own Wi-Fi is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HotspotWanted {
    on: bool,
}

/// Switches the box's own Wi-Fi on, or off until the next reason for it (`network.hotspot` says which there are). Refused during a show where it would
/// take away the network that carries it.
#[utoipa::path(put, path = "/api/v1/network/hotspot", tag = "network", operation_id = "switch_hotspot", request_body = HotspotWanted,
    responses((status = 204, description = "It comes, or goes"),
        (status = 409, description = "A show is in the way, there is no radio, or no NetworkManager")))]
async fn hotspot(
    State(app): State<Arc<App>>,
    by: By,
    Body(wanted): Body<HotspotWanted>,
) -> Result<StatusCode, Problem> {
    network::hotspot(&app.control, &by, wanted.on).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how an interface gets its address: `{}` from the venue's network, or a fixed IPv4 address. It is tried for a minute, and taken back unless
/// `POST /api/v1/network/trial` keeps it. Refused during a show that goes over it.
#[utoipa::path(put, path = "/api/v1/network/interfaces/{name}", tag = "network", operation_id = "set_address", request_body = AddressWanted,
    params(("name" = String, Path, description = "As the system calls it, such as `eth0`")),
    responses((status = 202, description = "It is being tried", body = Snapshot),
        (status = 404, description = "There is no such interface"),
        (status = 409, description = "A show goes over it, or another change is being tried"),
        (status = 422, description = "That cannot be an address")))]
async fn interface(
    State(app): State<Arc<App>>,
    by: By,
    Path(name): Path<String>,
    Body(wanted): Body<AddressWanted>,
) -> Result<(StatusCode, Json<Snapshot>), Problem> {
    network::address(&app.control, &by, &name, &wanted).await?;
    Ok((StatusCode::ACCEPTED, Json(Snapshot::clone(&app.control.network()))))
}

/// Whether what is tried is kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TrialEnd {
    keep: bool,
}

/// Keeps a change that is being tried, or takes it back at once.
#[utoipa::path(post, path = "/api/v1/network/trial", tag = "network", operation_id = "confirm_network", request_body = TrialEnd,
    responses((status = 204, description = "It is kept, or taken back"),
        (status = 404, description = "Nothing is being tried"),
        (status = 409, description = "There is no NetworkManager")))]
async fn trial(State(app): State<Arc<App>>, by: By, Body(tried): Body<TrialEnd>) -> Result<StatusCode, Problem> {
    network::confirm(&app.control, &by, tried.keep).await?;
    Ok(StatusCode::NO_CONTENT)
}
