//! Platforms that the box knows, and trials of destinations: what their platforms answer.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    control::{
        denied::Denied,
        journal::By,
        room::{Control, to_the_end},
    },
    core::destination::{Destination, DestinationId, DestinationState, Platform},
    media::egress::{Trial, try_out},
};

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

/// Tries a destination out.
///
/// # Errors
/// That there is no such one, that it is live, or that another trial runs.
pub(crate) async fn run(control: &Control, by: &By, id: DestinationId) -> Result<Trial, Denied> {
    let found = control.parts().destinations.all().into_iter().find(|destination| destination.id == id);
    let destination = found.ok_or(Denied::NotFound("no such destination"))?;
    by.did("destination.test", destination.name.clone());
    let control = control.clone();
    to_the_end(async move { try_it(&control, destination).await }).await
}

async fn try_it(control: &Control, destination: Destination) -> Result<Trial, Denied> {
    let id = destination.id;
    if is_busy(control, id) {
        let name = destination.name;
        return Err(Denied::not_now(format!("{name} is live: a trial would disturb it, and it answers already")));
    }
    let Ok(_alone) = control.room().trial.try_lock() else {
        let why = "another destination is being tried out; wait until that is done".to_owned();
        return Err(Denied::NotNow { why, again: Some(Duration::from_secs(5)) });
    };
    let mut status = control.media_statuses();
    let name = destination.name.clone();
    // When the show begins meanwhile, two sessions with one key would be rivals, and this is the one that matters less.
    let give_up = control.parts().stop.child_token();
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
    let refused = || Denied::not_now(format!("{name} went live meanwhile, so the trial was given up"));
    let trial = trial.ok_or_else(refused)?;
    tracing::info!(destination = name, verdict = ?trial.verdict, elapsed_ms = trial.elapsed_ms, "destination tried out");
    Ok(trial)
}

fn is_busy(control: &Control, id: DestinationId) -> bool {
    is_live(control.media_status().destinations.get(&id).map(|status| &status.state))
}

const fn is_live(state: Option<&DestinationState>) -> bool {
    matches!(state, Some(DestinationState::Live | DestinationState::Connecting))
}
