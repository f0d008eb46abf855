//! The house-format stage: sound becomes 48 kHz stereo AAC-LC at 160 kbit/s on one continuous clock.

use std::sync::Arc;

use crate::core::{
    frame::{CodecConfig, MediaTime},
    switcher::ProgramFrame,
};

/// GStreamer elements this stage is built from, in the order in which they are asked for.
pub const ELEMENTS: &[&str] = &[
    "avdec_aac",
    "audioconvert",
    "audioresample",
    "capsfilter",
    "avenc_aac",
];

/// Why the stage can not be built.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// An element is missing.
    #[error(
        "the GStreamer element `{0}` is not installed; `motherstream doctor` says which package has it"
    )]
    Missing(&'static str),
    /// GStreamer did not do what it must.
    #[error("the sound's {chain} can not be started: {reason}")]
    Start {
        /// Which chain of elements.
        chain: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// The stage. Synchronous: everything happens inside the call, in the caller's thread.
#[derive(Debug)]
pub struct House {
    config: Arc<CodecConfig>,
}

#[expect(
    clippy::todo,
    clippy::unused_self,
    unused_variables,
    clippy::missing_errors_doc,
    clippy::needless_pass_by_ref_mut,
    clippy::ptr_arg,
    reason = "skeleton"
)]
impl House {
    /// The most by which what leaves is behind what came in.
    pub const LAG: MediaTime = MediaTime::from_millis(80);

    /// Builds decoder and encoder.
    pub fn new() -> Result<Self, HouseError> {
        todo!()
    }

    /// The configuration of everything that ever leaves: the same for the life of the process.
    pub fn config(&self) -> Arc<CodecConfig> {
        self.config.clone()
    }

    /// Takes one frame of sound with its programme time, and adds to `out` what is ready.
    pub fn push(&mut self, frame: &ProgramFrame, out: &mut Vec<ProgramFrame>) {
        todo!()
    }

    /// Says that no sound for a time before `time` will come any more: what is missing becomes silence.
    pub fn fill_until(&mut self, time: MediaTime, out: &mut Vec<ProgramFrame>) {
        todo!()
    }
}
