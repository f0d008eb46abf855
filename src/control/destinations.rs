//! Where the programme goes: what may be ordered about destinations.

use self::wanted::{DestinationView, EditDestination};
use super::{
    denied::Denied,
    journal::By,
    night::on_or_off,
    room::{Control, to_the_end},
};
use crate::{
    core::destination::{DestinationId, DestinationInput},
    store::Kept,
};

pub mod bitrate;
pub mod trial;
pub mod wanted;

/// Adds a destination.
///
/// # Errors
/// What is wrong with it, or that it could not be stored.
pub(crate) async fn add(control: &Control, by: &By, input: DestinationInput) -> Result<DestinationView, Denied> {
    by.did("destination.create", input.name.clone());
    let control = control.clone();
    to_the_end(async move {
        let destination = control.parts().destinations.add(input).await?;
        Ok(DestinationView::new(&destination, &control.media_status()))
    })
    .await
}

/// Edits a destination. One that is only switched off is so at once (rule 19).
///
/// # Errors
/// As [`add`], and that there is no such one or that it is set by the configuration.
pub(crate) async fn edit(
    control: &Control,
    by: &By,
    id: DestinationId,
    edit: EditDestination,
) -> Result<(DestinationView, Kept), Denied> {
    by.did("destination.edit", name_of(control, id));
    save(control, id, edit).await
}

/// Lets a destination take part in shows; or not, at once (rule 19).
///
/// # Errors
/// As [`edit`].
pub(crate) async fn switch(
    control: &Control,
    by: &By,
    id: DestinationId,
    on: bool,
) -> Result<(DestinationView, Kept), Denied> {
    by.did("destination.switch", format!("{}: {}", name_of(control, id), on_or_off(on)));
    save(control, id, EditDestination { enabled: Some(on), ..EditDestination::default() }).await
}

async fn save(control: &Control, id: DestinationId, edit: EditDestination) -> Result<(DestinationView, Kept), Denied> {
    if let EditDestination { name: None, url: None, key: None, enabled: Some(false) } = edit {
        let (destination, receipt) = control.parts().destinations.switch_off(id)?;
        return Ok((DestinationView::new(&destination, &control.media_status()), receipt.kept().await));
    }
    let control = control.clone();
    to_the_end(async move {
        let destination = control.parts().destinations.edit(id, edit).await?;
        Ok((DestinationView::new(&destination, &control.media_status()), Kept::Stored))
    })
    .await
}

/// Removes a destination.
///
/// # Errors
/// That there is no such one, that it is set by the configuration, or that it could not be stored.
pub(crate) async fn remove(control: &Control, by: &By, id: DestinationId) -> Result<(), Denied> {
    by.did("destination.delete", name_of(control, id));
    let control = control.clone();
    to_the_end(async move { Ok(control.parts().destinations.remove(id).await?) }).await
}

/// A destination's name, for the audit log.
fn name_of(control: &Control, id: DestinationId) -> String {
    control.parts().destinations.all().into_iter().find(|one| one.id == id).map(|one| one.name).unwrap_or_default()
}
