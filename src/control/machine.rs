//! The machine: how it does, and where the box is an image of its own, updates, a restart and the way back to the factory.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use sysinfo::System;
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;

use super::{
    addresses::own_addresses,
    denied::Denied,
    figures::Figures,
    journal::By,
    room::{Control, to_the_end},
};
use crate::{
    core::words::sentence,
    media::gstreamer_version,
    update::{Progress, Slots, UPLOAD_TIME, Update, UpdateError},
};

/// How long RAUC may take to tell of the two systems: a page waits for it.
const TELLING: Duration = Duration::from_secs(3);

/// How long the rest of an upload is read that is refused.
const READING_OUT: Duration = Duration::from_mins(2);

/// What there is to say of updates.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UpdateView {
    /// What happens with one now.
    pub(crate) progress: Progress,
    /// The two systems; none while RAUC does not tell.
    pub(crate) systems: Option<Slots>,
    /// Updates on a USB stick labelled `MSTREAM-USB` that is plugged in.
    pub(crate) stick: Vec<String>,
    /// What became of the settings (`motherstream.toml`) on such a stick, in words.
    pub(crate) stick_settings: Option<String>,
}

/// How updates do on this box.
///
/// # Errors
/// Where the box does not keep two systems.
pub(crate) async fn updates(control: &Control) -> Result<UpdateView, Denied> {
    let updates = control.parts().updates.clone();
    if !updates.are_possible() {
        return Err(UpdateError::NoImage("keeps two systems").into());
    }
    let systems = timeout(TELLING, updates.slots()).await.ok().and_then(Result::ok);
    let progress = updates.progress();
    let (stick, stick_settings) =
        spawn_blocking(move || (updates.offered(), updates.stick_settings())).await.unwrap_or_default();
    Ok(UpdateView { progress, systems, stick, stick_settings })
}

/// Installs an update from the USB stick; it is done when RAUC has looked at it. Not during a show.
///
/// # Errors
/// That a show is on, that another update is under way, or what is wrong with it.
pub(crate) async fn install_from_stick(control: &Control, by: &By, file: String) -> Result<(), Denied> {
    by.did("update.install", file.clone());
    let update = begin(control)?;
    to_the_end(proceed(control.clone(), update, Some(file))).await
}

/// Takes an upload in, and installs it; it is done when RAUC has looked at it. Not during a show.
///
/// # Errors
/// That a show is on, that another update is under way, that it did not arrive whole or in time, or what is wrong with it.
pub(crate) async fn install<E: std::fmt::Debug>(
    control: &Control,
    by: &By,
    upload: impl Stream<Item = Result<Bytes, E>>,
) -> Result<(), Denied> {
    by.did("update.install", "an upload");
    let mut upload = Box::pin(upload.fuse());
    let mut update = match begin(control) {
        Ok(update) => update,
        Err(denied) => {
            read_out(&mut upload).await;
            return Err(denied);
        }
    };
    let received = timeout(UPLOAD_TIME, update.receive(&mut upload)).await;
    read_out(&mut upload).await;
    match received.unwrap_or(Err(UpdateError::TooSlow)) {
        // What is here is looked at whether the browser waits for the answer or not.
        Ok(()) => to_the_end(proceed(control.clone(), update, None)).await,
        Err(error) => {
            update.fail(error.to_string());
            Err(error.into())
        }
    }
}

fn begin(control: &Control) -> Result<Update, Denied> {
    no_show(control, "install the update")?;
    Ok(control.parts().updates.begin()?)
}

/// Looks at what was uploaded, or at a file of the stick, which takes RAUC its time, and has it installed.
async fn proceed(control: Control, update: Update, stick: Option<String>) -> Result<(), Denied> {
    // A show may have begun while it came in.
    let looked = update.check(stick.as_deref()).await.map_err(Denied::from);
    match looked.and_then(|checked| no_show(&control, "install the update").map(|()| checked)) {
        Ok(checked) => {
            tokio::spawn(update.install(checked));
            Ok(())
        }
        Err(denied) => {
            update.fail(sentence(&denied.to_string()));
            Err(denied)
        }
    }
}

/// Reads what is left of an upload: a browser that still sends sees a broken connection, not the reason.
async fn read_out<E>(upload: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    let rest = async { while let Some(Ok(_)) = upload.next().await {} };
    let _in_time = timeout(READING_OUT, rest).await;
}

/// Starts the machine again. Not during a show, and not while an update is being installed.
///
/// # Errors
/// That it is not the time, or that the machine cannot be asked.
pub(crate) async fn restart(control: &Control, by: &By) -> Result<(), Denied> {
    by.did("system.restart", "");
    no_show(control, "start the box again")?;
    not_in_the_middle(control)?;
    let updates = control.parts().updates.clone();
    let asked = spawn_blocking(move || updates.restart()).await.map_err(|_| Denied::BrokenOff)?;
    Ok(asked?)
}

/// Clears everything at the next start. True: that comes in a moment. `venue` confirms it: the venue's name.
///
/// # Errors
/// That it is not the time, that the name is another, or that the box cannot be reset.
pub(crate) async fn factory_reset(control: &Control, by: &By, venue: &str) -> Result<bool, Denied> {
    by.did("system.factory-reset", "");
    no_show(control, "reset the box")?;
    not_in_the_middle(control)?;
    let updates = control.parts().updates.clone();
    if !updates.can_reset() {
        return Err(UpdateError::NoImage("can be reset").into());
    }
    let name = control.config().venue.name.clone();
    if venue.trim() != name.trim() {
        return Err(Denied::invalid("venue", format!("type the venue's name, {name}, to confirm")));
    }
    let done = spawn_blocking(move || updates.reset().map(|()| updates.can_restart() && updates.restart().is_ok()));
    Ok(done.await.map_err(|_| Denied::BrokenOff)??)
}

fn no_show(control: &Control, what: &str) -> Result<(), Denied> {
    if control.snapshot().queue.show {
        return Err(Denied::not_now(format!("a show is on: end it first, then {what}")));
    }
    Ok(())
}

fn not_in_the_middle(control: &Control) -> Result<(), Denied> {
    match control.parts().updates.progress() {
        Progress::Receiving { .. } | Progress::Installing { .. } => Err(UpdateError::Busy.into()),
        _ => Ok(()),
    }
}

/// What happens with an update now.
pub(crate) fn progress(control: &Control) -> Progress {
    control.parts().updates.progress()
}

/// Whether the machine can be asked to start again.
pub(crate) fn can_restart(control: &Control) -> bool {
    control.parts().updates.can_restart()
}

/// Whether there is a way back to the factory: the box is an image of its own.
pub(crate) fn can_reset(control: &Control) -> bool {
    control.parts().updates.can_reset()
}

/// In words that a memory disk stands in for the data partition, if it does.
pub(crate) fn memory_disk(control: &Control) -> Option<String> {
    control.parts().updates.memory_disk()
}

/// What became of the settings on a USB stick, in words.
pub(crate) fn stick_settings(control: &Control) -> Option<String> {
    control.parts().updates.stick_settings()
}

/// The machine and the programs on it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SystemView {
    /// The machine's name.
    pub(crate) host: Option<String>,
    /// Addresses by which others reach it, the most likely first.
    #[schema(value_type = Vec<String>)]
    pub(crate) addresses: Vec<IpAddr>,
    /// The page by HTTPS; none where it is switched off, or its port was taken.
    pub(crate) https: Option<HttpsView>,
    /// Seconds since this program started.
    pub(crate) uptime_seconds: u64,
    /// What runs.
    pub(crate) versions: Versions,
    /// How busy, warm and full.
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

/// The page by HTTPS.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HttpsView {
    /// Its port.
    pub(crate) port: u16,
    /// SHA-256 of the certificate, which the box made itself: `AB:CD:...`.
    pub(crate) fingerprint: String,
}

/// Versions of what runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Versions {
    /// This program.
    pub(crate) motherstream: &'static str,
    /// The SRS media server, while one runs.
    pub(crate) srs: Option<String>,
    /// The media library.
    pub(crate) gstreamer: String,
    /// The operating system's kernel.
    pub(crate) kernel: Option<String>,
    /// The operating system.
    pub(crate) system: Option<String>,
}

/// How the machine does now, 2 s ago at most.
///
/// # Errors
/// When the thread that measures fails.
pub(crate) async fn system(control: &Control) -> Result<SystemView, Denied> {
    let figures = control.room().measured.figures(&control.config().data_dir).await?;
    Ok(SystemView {
        host: System::host_name().ok(),
        addresses: own_addresses(),
        https: control.doors().https.clone().map(|(port, fingerprint)| HttpsView { port, fingerprint }),
        uptime_seconds: control.now().since_start().as_secs(),
        versions: Versions {
            motherstream: env!("CARGO_PKG_VERSION"),
            srs: control.ingest_states().borrow().status.version.clone(),
            gstreamer: gstreamer_version(),
            kernel: System::kernel_version().ok(),
            system: System::long_os_version().ok(),
        },
        figures,
    })
}
