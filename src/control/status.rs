//! How everything does, and what is wrong, in words.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{destinations::wanted::DestinationView, network, readiness::Ready, room::Control};
use crate::{
    core::queue::EntryId,
    director::{HoldOffView, hold_offs_at},
    ingest::IngestStatus,
    media::{InputStatus, ProgramStatus},
    store::StoreError,
};

/// How everything does.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// This program's version.
    version: &'static str,
    /// Seconds since the process started.
    uptime_seconds: u64,
    /// Which parts work.
    ready: Ready,
    /// The front door.
    ingest: IngestStatus,
    /// The programme.
    program: ProgramStatus,
    /// Every open connection.
    inputs: Vec<Input>,
    /// Every destination.
    destinations: Vec<DestinationView>,
    /// Held-off streamers.
    hold_offs: Vec<HoldOffView>,
    /// Whether everything that was ordered is on the disk. If not, a restart brings back what was stored before.
    stored: bool,
    /// Why nothing can be stored at the moment; none while it can.
    store_problem: Option<String>,
}

/// An open connection.
#[derive(Serialize, ToSchema)]
struct Input {
    /// The ingest's name for it.
    connection: String,
    /// The entry it belongs to.
    entry: Option<EntryId>,
    /// The streamer.
    name: Option<String>,
    #[serde(flatten)]
    status: InputStatus,
}

/// How everything does at this moment.
pub(crate) fn status_now(control: &Control) -> Status {
    let now = control.now();
    let snapshot = control.snapshot();
    let media = control.media_status();
    let entries = snapshot.queue.on_air.iter().map(|turn| &turn.entry).chain(&snapshot.queue.waiting);
    let names: BTreeMap<_, _> = entries.map(|entry| (entry.id, entry.name.clone())).collect();
    let owners: BTreeMap<_, _> = snapshot.connections.iter().map(|(entry, connection)| (connection, *entry)).collect();
    let mut inputs: Vec<_> = media
        .inputs
        .iter()
        .map(|(connection, status)| {
            let entry = owners.get(connection).copied();
            let name = entry.and_then(|entry| names.get(&entry).cloned());
            Input { connection: connection.to_string(), entry, name, status: status.clone() }
        })
        .collect();
    let storing = control.storing();
    inputs.sort_by(|a, b| a.connection.cmp(&b.connection));
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: now.since_start().as_secs(),
        ready: ready_now(control),
        ingest: control.ingest_states().borrow().status.clone(),
        program: media.program.clone(),
        inputs,
        destinations: control.parts().destinations.view(&media, &snapshot),
        hold_offs: hold_offs_at(&snapshot, now),
        stored: storing.stored,
        store_problem: storing.why,
    }
}

/// Which parts work: the latches, whether the ingest, whose server may come and go, takes encoders now, and whether the disk takes what is
/// written: without that no encoder is let in either.
pub(crate) fn ready_now(control: &Control) -> Ready {
    let Ready { store, program, ingest, web, .. } = control.parts().readiness.look();
    let ingest = ingest && control.ingest_states().borrow().status.running;
    let storing = store && control.storing().works;
    Ready { ready: store && program && ingest && web && storing, store, program, ingest, web, storing }
}

/// What does not work, in words for people; nothing when all does.
pub(crate) fn troubles(control: &Control, ready: Ready) -> impl Iterator<Item = String> {
    let parts = [
        (ready.store, "The store does not work: nothing can be remembered."),
        (ready.program, "The programme does not run."),
        (ready.ingest, "Nobody can publish at the moment."),
    ];
    let storing = control.storing().words().filter(|_| ready.store);
    let broken = parts.into_iter().filter(|(works, _)| !works).map(|(_, words)| words.to_owned());
    broken.chain(storing).chain(network::trouble(control))
}

/// What people are told while the store cannot be opened; none while it is.
pub(crate) fn store_trouble(control: &Control) -> Option<String> {
    let trouble = control.parts().store.trouble()?;
    Some(no_store(trouble, control.parts().updates.can_reset()))
}

/// What people are told while the store cannot be opened: what is wrong, what goes on, what to do next. `image`: the box has a way back
/// to the factory.
fn no_store(trouble: &StoreError, image: bool) -> String {
    let next = if image {
        " First start the box again. If this stays: put an empty file named factory-reset on the card's small partition, start again, \
         claim the box, and restore a backup on the page System."
    } else {
        ""
    };
    format!(
        "{trouble}. The programme goes on with the slate; until this is put right nobody can sign in or publish, and nothing is kept.{next}"
    )
}
