//! Who plays the programme, so that it can be ended.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// One switch per viewer token that plays: revoking the token ends its players.
#[derive(Debug, Default)]
pub(crate) struct Players {
    ends: Mutex<HashMap<u64, CancellationToken>>,
}

impl Players {
    /// The switch of a token's players, which `stop` throws too.
    pub(crate) fn end_of(&self, viewer: u64, stop: &CancellationToken) -> CancellationToken {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.entry(viewer).or_insert_with(|| stop.child_token()).clone()
    }

    /// Ends the players of a token.
    pub(crate) fn end(&self, viewer: u64) {
        if let Some(end) = self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&viewer) {
            end.cancel();
        }
    }
}
