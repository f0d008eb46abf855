//! Who may watch the programme: viewer tokens for OBS and players on the LAN, and the room.

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    denied::Denied,
    journal::{By, Caller},
    room::{Control, to_the_end},
};
use crate::{accounts::Viewer, telemetry::seldom::seldom};

/// Makes a viewer token, which is told this once.
///
/// # Errors
/// What is wrong with its label, that there are too many, or that it could not be stored.
pub(crate) async fn make(control: &Control, by: &By, label: &str) -> Result<(Viewer, SecretString), Denied> {
    by.did("viewer.create", label);
    Ok(control.parts().accounts.viewers().create(label).await?)
}

/// Where the programme is played from with a token, on this host.
pub(crate) fn path(token: &str) -> String {
    format!("/program.flv?token={token}")
}

/// Revokes a viewer token and ends its players.
///
/// # Errors
/// That there is no such one, or that it could not be stored.
pub(crate) async fn revoke(control: &Control, by: &By, id: u64) -> Result<(), Denied> {
    let viewers = control.parts().accounts.viewers().list();
    by.did("viewer.revoke", viewers.into_iter().find(|viewer| viewer.id == id).map(|it| it.label).unwrap_or_default());
    let control = control.clone();
    to_the_end(async move {
        control.parts().accounts.viewers().revoke(id).await?;
        control.room().players.end(id);
        Ok(())
    })
    .await
}

/// Whether this caller may see the programme on the page.
pub(crate) fn may_watch(control: &Control, caller: &Caller) -> bool {
    caller.runs_the_night() || open_to_the_room(control)
}

fn open_to_the_room(control: &Control) -> bool {
    control.config().web.open_preview
}

/// The programme for whoever holds this viewer token, and what ends it: the token's end, or the box's.
///
/// # Errors
/// That the token is unknown or was revoked, or that there are too many players.
pub(crate) fn play(
    control: &Control,
    token: &SecretString,
) -> Result<(mpsc::Receiver<Bytes>, CancellationToken), Denied> {
    let viewers = control.parts().accounts.viewers();
    let Some(viewer) = viewers.check(token.expose_secret()) else {
        seldom!(WARN, "wrong viewer token");
        return Err(Denied::NotAllowed("this viewer token is unknown or was revoked"));
    };
    let end = control.room().players.end_of(viewer, &control.parts().stop);
    // Revoked between the look and the switch: the switch would never be thrown.
    if viewers.check(token.expose_secret()).is_none() {
        return Err(Denied::NotAllowed("this viewer token was revoked"));
    }
    let programme = control.parts().media.listen().ok_or(Denied::TooMany("there are too many players already"))?;
    Ok((programme, end))
}
