//! The slate as people look at it: drawn or read once, however many look.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::denied::Denied;
use crate::{
    config::Config,
    media::slate::{self, SlateSettings},
};

/// The slate as a still picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Still {
    /// A JPEG of 1280 x 720 pixels.
    pub(crate) jpeg: Bytes,
    /// A word that changes with it.
    pub(crate) tag: String,
}

/// What the slate is made from.
type Look = (String, Option<PathBuf>);

/// The still that was looked at last.
#[derive(Debug, Default)]
pub(super) struct Stills(Mutex<Option<(Look, Still)>>);

impl Stills {
    /// The slate of a configuration. Whoever comes while it is made waits for it.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub(super) async fn of(&self, config: Arc<Config>) -> Result<Still, Denied> {
        let mut held = self.0.lock().await;
        let look = (config.venue.name.clone(), config.program.slate.clone());
        if let Some((known, still)) = &*held
            && *known == look
        {
            return Ok(still.clone());
        }
        let made = spawn_blocking(move || slate::still(&config.data_dir, SlateSettings::of(&config))).await;
        let jpeg = made.map_err(|_| Denied::BrokenOff)?.map_err(|error| Denied::Failed(error.to_string()))?;
        let tag = HEXLOWER.encode(Sha256::digest(&jpeg).get(..8).unwrap_or_default());
        let still = Still { jpeg, tag };
        *held = Some((look, still.clone()));
        Ok(still)
    }
}
