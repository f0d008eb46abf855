//! The night: whose turn it is, for how long, who is next, the panic button and the show. What makes it safe waits for no disk (rule 19), and says
//! whether it is stored.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{denied::Denied, journal::By, room::Control};
use crate::{
    core::{
        queue::{EntryId, TurnId},
        remark::Remark,
    },
    director::PastShow,
    store::Kept,
};

/// Ends the turn that is meant, or whichever runs.
pub(crate) async fn skip(control: &Control, by: &By, turn: Option<TurnId>) -> Result<Kept, Denied> {
    let on_air = control.snapshot().queue.on_air.as_ref().map(|turn| turn.entry.name.clone());
    by.did("queue.skip", on_air.unwrap_or_default());
    Ok(control.parts().director.skip(turn).await?)
}

/// Freezes or frees the rotation.
pub(crate) async fn set_hold(control: &Control, by: &By, on: bool) -> Result<Kept, Denied> {
    by.did("queue.hold", on_or_off(on));
    Ok(control.parts().director.set_hold(on).await?)
}

/// The panic button.
pub(crate) async fn set_slate(control: &Control, by: &By, on: bool) -> Result<Kept, Denied> {
    by.did("queue.slate", on_or_off(on));
    Ok(control.parts().director.set_forced_slate(on).await?)
}

/// A switch's position, for the audit log.
pub(crate) const fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Whose an entry is, for the audit log.
fn whose(control: &Control, id: EntryId) -> String {
    let snapshot = control.snapshot();
    let mut entries = snapshot.queue.on_air.iter().map(|turn| &turn.entry).chain(&snapshot.queue.waiting);
    entries.find(|entry| entry.id == id).map(|entry| entry.name.clone()).unwrap_or_default()
}

/// What platforms refuse about an entry's stream, in short: to be told to whoever puts it on air.
pub(crate) fn refused_by_platforms(control: &Control, id: EntryId) -> Vec<&'static str> {
    let snapshot = control.snapshot();
    let media = control.media_status();
    let status = snapshot.connections.get(&id).and_then(|connection| media.inputs.get(connection));
    let remarks = status.into_iter().flat_map(|status| &status.remarks).map(|told| told.remark);
    remarks.filter(|remark| remark.is_refused_by_platforms()).map(Remark::short).collect()
}

/// Puts an entry on air now.
pub(crate) async fn put_on_air(control: &Control, by: &By, id: EntryId) -> Result<(), Denied> {
    by.did("queue.take", whose(control, id));
    Ok(control.parts().director.put_on_air(id).await?)
}

/// Removes an entry and holds its streamer off for a while.
pub(crate) async fn kick(control: &Control, by: &By, id: EntryId) -> Result<Kept, Denied> {
    by.did("queue.kick", whose(control, id));
    Ok(control.parts().director.kick(id).await?)
}

/// Moves a waiting entry before another, or to the tail.
pub(crate) async fn move_before(
    control: &Control,
    by: &By,
    id: EntryId,
    before: Option<EntryId>,
) -> Result<(), Denied> {
    by.did("queue.move", whose(control, id));
    Ok(control.parts().director.move_entry(id, before).await?)
}

/// Sets how long the turn that is meant is, and says it again. No other changes.
pub(crate) async fn change_this_turn(control: &Control, by: &By, turn: TurnId, seconds: i64) -> Result<u64, Denied> {
    let Ok(seconds) = u64::try_from(seconds) else {
        return Err(Denied::invalid("seconds", "a turn lasts 1 second to 24 hours"));
    };
    let on_air = control.snapshot().queue.on_air.as_ref().map(|turn| turn.entry.name.clone());
    by.did("queue.this-turn", format!("{}, {seconds} s", on_air.unwrap_or_default()));
    control.parts().director.set_this_turn(turn, Duration::from_secs(seconds)).await?;
    Ok(seconds)
}

/// Sets how long turns are, and says it again. `reset`: the clock of the running turn starts afresh.
pub(crate) async fn change_turn(control: &Control, by: &By, seconds: i64, reset: bool) -> Result<u64, Denied> {
    let Ok(seconds) = u64::try_from(seconds) else {
        return Err(Denied::invalid("seconds", "a turn lasts 1 second to 24 hours"));
    };
    by.did("queue.turn", format!("{seconds} s{}", if reset { ", afresh" } else { "" }));
    control.parts().director.set_turn(Duration::from_secs(seconds), reset).await?;
    Ok(seconds)
}

/// Sets or toggles (`None`) the block toggle, and says what it is now.
pub(crate) async fn switch_block(control: &Control, by: &By, on: Option<bool>) -> Result<bool, Denied> {
    by.did("queue.block", on.map_or("the other way", on_or_off));
    Ok(control.parts().director.set_block(on).await?)
}

/// Begins the show; or ends it, at once.
pub(crate) async fn switch_show(control: &Control, by: &By, on: bool) -> Result<Kept, Denied> {
    by.did("show", on_or_off(on));
    if !on {
        return Ok(control.parts().director.end_show().await?);
    }
    control.parts().director.begin_show().await?;
    Ok(Kept::Stored)
}

/// What became of the show that was on before the box started, in words for those who run the night; none once it goes on, or another has
/// begun.
pub(crate) fn past_show(control: &Control) -> Option<String> {
    Some(match control.snapshot().past.as_ref()? {
        PastShow::Waits(_) => {
            "A show was on when the box went dark. Nothing is sent yet: it goes on when the box knows that this was a short time ago, or when \
             one of those who were there is back. You can begin or end it yourself."
                .to_owned()
        }
        PastShow::Ended(ended) => {
            let zone = control.config().venue.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
            let zone = zone.unwrap_or_else(TimeZone::system);
            let date = ended.last_alive.map(|at| at.to_zoned(zone).strftime(" of %a %-d %b %Y").to_string());
            format!("The show{} ended: {}.", date.unwrap_or_default(), ended.reason())
        }
    })
}
