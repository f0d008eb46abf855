//! The venue's slate picture. The file lies in the data folder under a name made of its content, and `program.slate` of the page's own
//! settings points at it: a power cut leaves the old picture or the new one.

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::{
    denied::Denied,
    journal::By,
    room::{Control, to_the_end},
    settings::{Changed, propose, write},
    stills::Still,
};
use crate::{
    files::{self, Readers},
    media::slate::{self, Fitted, PictureKind},
    store::backup::{PICTURE, is_picture},
};

/// The configuration's key.
const KEY: &str = "program.slate";

/// Checks a picture, keeps it, and has it shown.
///
/// # Errors
/// What is wrong with it, or that it could not be kept; then nothing has changed.
pub(crate) async fn set(control: &Control, by: &By, picture: Bytes) -> Result<Changed, Denied> {
    by.did("slate.set", "");
    let control = control.clone();
    to_the_end(async move { keep(&control, picture).await }).await
}

async fn keep(control: &Control, picture: Bytes) -> Result<Changed, Denied> {
    let _turn = control.room().settings_turn.lock().await;
    let checked = picture.clone();
    // Before anything is written: what does not decode never comes near the disk.
    let fitted = spawn_blocking(move || slate::fit(&checked)).await.map_err(|_| Denied::BrokenOff)?;
    let Fitted { kind, smaller } =
        fitted.map_err(|reason| Denied::invalid("picture", format!("this picture cannot be used: {reason}")))?;
    let picture = smaller.map_or(picture, Bytes::from);
    let ending = match kind {
        PictureKind::Png => "png",
        PictureKind::Jpeg => "jpg",
    };
    let digest = HEXLOWER.encode(&Sha256::digest(&picture));
    let name = format!("{PICTURE}{}.{ending}", digest.get(..16).unwrap_or_default());
    let folder = control.config().data_dir.clone();
    let path = folder.join(&name);
    let kept = path.clone();
    let stored = spawn_blocking(move || files::replace(&kept, &picture, Readers::Everybody))
        .await
        .map_err(|_| Denied::BrokenOff)?;
    stored.map_err(|error| Denied::NotStored(format!("the picture could not be kept: {error}")))?;
    let edits = BTreeMap::from([(KEY.to_owned(), Value::from(path.display().to_string()))]);
    let changed = async { write(control, propose(control, edits, true).await?).await }.await;
    tidy(control, folder).await;
    changed
}

/// Takes the page's picture away.
///
/// # Errors
/// When that could not be written; then nothing has changed.
pub(crate) async fn unset(control: &Control, by: &By) -> Result<Changed, Denied> {
    by.did("slate.remove", "");
    let control = control.clone();
    to_the_end(async move {
        let _turn = control.room().settings_turn.lock().await;
        let proposal = propose(&control, BTreeMap::from([(KEY.to_owned(), Value::Null)]), true).await?;
        let changed = write(&control, proposal).await;
        tidy(&control, control.config().data_dir.clone()).await;
        changed
    })
    .await
}

/// Removes pictures that are shown no more. One that stays does no harm.
async fn tidy(control: &Control, folder: PathBuf) {
    let shown = control.config().program.slate.clone();
    let tidied = spawn_blocking(move || {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let ours = file.file_name().to_str().is_some_and(is_ours);
            if ours && shown.as_ref().is_none_or(|shown| shown.file_name() != Some(&file.file_name())) {
                let _gone = fs::remove_file(file.path());
            }
        }
    });
    let _done = tidied.await;
}

/// Whether a file is one of these, or a half of one: nothing else in the data folder is touched.
fn is_ours(name: &str) -> bool {
    is_picture(name.strip_suffix(files::NEW).unwrap_or(name))
}

/// The slate's picture as it is shown.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) async fn shown(control: &Control) -> Result<Still, Denied> {
    let control = control.clone();
    // To its end also when who asked is gone, or the next one would begin it anew.
    to_the_end(async move { control.room().stills.of(control.config()).await }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_old_pictures_is_removed() {
        for (name, ours) in [
            ("slate-0123456789abcdef.png", true),
            ("slate-0123456789abcdef.jpg", true),
            ("slate-0123456789abcdef.png.new", true),
            ("slate-of-ours.png", false),
            ("slate-0123456789abcdef.redb", false),
            ("motherstream.redb", false),
            ("settings.toml", false),
        ] {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }
}
