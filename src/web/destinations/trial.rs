//! Platforms that the box knows, and trials of destinations: what their platforms answer.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::super::{
    App,
    body::Path,
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end,
};
use crate::{
    core::destination::{Destination, DestinationId, DestinationState, Platform},
    media::egress::{Trial, try_out},
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(presets)).api(Right::Admin, routes!(test))
}

/// A platform to begin with when a destination is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Preset {
    /// Its id: `twitch`, `youtube`, `kick`, `facebook` or `custom`.
    pub(crate) id: &'static str,
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its server's address without the key; of `custom` the shape of one.
    pub(crate) url: &'static str,
    /// Whether the address is right as it is.
    pub(crate) complete: bool,
    /// Where its stream key is found.
    pub(crate) key_help: &'static str,
}

impl Preset {
    /// All of them, in the order in which a page offers them.
    pub(crate) fn all() -> [Self; 5] {
        let [twitch, youtube, kick, facebook] = Platform::ALL.map(|platform| Self {
            id: platform.id(),
            name: platform.name(),
            url: platform.url(),
            complete: true,
            key_help: platform.key_help(),
        });
        let custom = Self {
            id: "custom",
            name: "Another server",
            url: "rtmp://SERVER/APPLICATION",
            complete: false,
            key_help: "Whoever runs the server has the address and the key. The address begins with rtmp:// or rtmps://.",
        };
        [twitch, youtube, kick, facebook, custom]
    }
}

/// Platforms whose addresses the box knows, and where each shows its stream key.
#[utoipa::path(get, path = "/api/v1/destinations/presets", tag = "destinations",
    responses((status = 200, description = "The platforms", body = Vec<Preset>)))]
async fn presets() -> Json<[Preset; 5]> {
    Json(Preset::all())
}

/// Connects to a destination's platform and says what it answered: handshake, connect and publish as for a show, without sending a
/// picture. Takes 10 s at most. 409 while the destination is live or connects; one trial at a time.
#[utoipa::path(post, path = "/api/v1/destinations/{id}/test", tag = "destinations", params(("id" = DestinationId, Path)),
    responses((status = 200, description = "What the platform answered", body = Trial),
        (status = 409, description = "It is live, or another one is being tried out")))]
async fn test(State(app): State<Arc<App>>, Path(id): Path<DestinationId>) -> Result<Json<Trial>, Problem> {
    to_the_end(async move { run(&app, id).await.map(Json) }).await
}

/// Tries a destination out.
///
/// # Errors
/// That there is no such one, that it is live, or that another trial runs.
pub(crate) async fn run(app: &Arc<App>, id: DestinationId) -> Result<Trial, Problem> {
    let found = app.state.destinations.all().into_iter().find(|destination| destination.id == id);
    let destination = found.ok_or_else(|| Problem::new(Kind::NotFound, "no such destination"))?;
    if is_busy(app, &destination) {
        return Err(Problem::new(
            Kind::Refused,
            format!("{} is live: a trial would disturb it, and it answers already", destination.name),
        ));
    }
    let Ok(_alone) = app.trial.try_lock() else {
        let other = "another destination is being tried out; wait until that is done";
        return Err(Problem::new(Kind::Refused, other).retry_after(Duration::from_secs(5)));
    };
    let mut status = app.state.media.status();
    let name = destination.name.clone();
    // When the show begins meanwhile, two sessions with one key would be rivals, and this is the one that matters less.
    let give_up = app.stop.child_token();
    let mut trial = std::pin::pin!(try_out(destination, &give_up));
    let goes_live = async {
        let _seen = status.wait_for(|status| is_live(status.destinations.get(&id).map(|status| &status.state))).await;
    };
    let trial = tokio::select! {
        trial = &mut trial => trial,
        () = goes_live => {
            give_up.cancel();
            trial.await
        }
    };
    let refused = || Problem::new(Kind::Refused, format!("{name} went live meanwhile, so the trial was given up"));
    let trial = trial.ok_or_else(refused)?;
    tracing::info!(destination = name, verdict = ?trial.verdict, elapsed_ms = trial.elapsed_ms, "destination tried out");
    Ok(trial)
}

fn is_busy(app: &App, destination: &Destination) -> bool {
    let status = app.state.media.status();
    let status = status.borrow();
    is_live(status.destinations.get(&destination.id).map(|status| &status.state))
}

const fn is_live(state: Option<&DestinationState>) -> bool {
    matches!(state, Some(DestinationState::Live | DestinationState::Connecting))
}
