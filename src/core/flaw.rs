//! What is wrong with a stream that cannot be used.

use super::flv::FlvError;

/// What is wrong with a stream, so that the same is known again. Its words go beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// Its pictures: their codec or configuration.
    Pictures,
    /// Its sound: the codec or configuration.
    Sound,
    /// How it is put together: time stamps, order, key frames.
    Stream,
}

impl Flaw {
    /// Whether an encoder that goes on as it is will send the same again. A message that is broken is an accident.
    pub const fn of(error: &FlvError) -> Option<Self> {
        match error {
            FlvError::Truncated { .. } | FlvError::NalLength => None,
            FlvError::AudioCodec(_) | FlvError::Aac(_) => Some(Self::Sound),
            _ => Some(Self::Pictures),
        }
    }
}
