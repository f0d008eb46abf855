//! What people ask the adapter for.

use tokio::sync::oneshot;

use super::{Built, Inventory, RequestError, SetUp, Streaming, Trouble, link::Fault};

/// What people ask for, each with where the answer goes. When nobody waits any more it is not carried out.
pub(super) enum Command {
    /// Tries again, or reads anew.
    Reconnect(Answer<()>),
    /// Lists what OBS has.
    Inventory(Answer<Inventory>),
    /// Starts or stops the stream.
    Stream(bool, Answer<Streaming>),
    /// Makes scenes and sources.
    SetUp(SetUp, Answer<Built>),
    /// Points a media source at the programme.
    Play(String, secrecy::SecretString, Answer<()>),
}

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

impl Command {
    /// Answers that there is no connection.
    pub(super) fn away(self, reason: &str) {
        self.decline(&RequestError::Away(reason.to_owned()));
    }

    /// Answers why it is not carried out.
    pub(super) fn decline(self, why: &RequestError) {
        let away = || why.clone();
        // Whoever does not wait any more needs no answer.
        match self {
            Self::Reconnect(answer) => drop(answer.send(Ok(()))),
            Self::Inventory(answer) => drop(answer.send(Err(away()))),
            Self::Stream(_, answer) => drop(answer.send(Err(away()))),
            Self::SetUp(_, answer) => drop(answer.send(Err(away()))),
            Self::Play(.., answer) => drop(answer.send(Err(away()))),
        }
    }
}

/// Answers. Says what ended the connection, if something did.
pub(super) fn reply<T>(answer: Answer<T>, result: Result<T, Fault>) -> Result<(), Trouble> {
    let (result, end) = match result {
        Ok(answer) => (Ok(answer), Ok(())),
        Err(Fault::Refused(reason)) => (Err(RequestError::Refused(reason)), Ok(())),
        Err(Fault::Gone(trouble)) => (Err(RequestError::Away(trouble.to_string())), Err(trouble)),
    };
    // Whoever does not wait any more needs no answer.
    drop(answer.send(result));
    end
}
