//! Which driver speaks which protocol.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::timeout};

use super::{rtmp, session::Session, transport::Driver};
use crate::core::destination::{Destination, DestinationFailure, Protocol};

/// The one that speaks `protocol`.
const fn driver(protocol: Protocol) -> &'static Driver {
    match protocol {
        Protocol::Rtmp | Protocol::Rtmps => &rtmp::DRIVER,
    }
}

/// How long a second look may take, besides the steps' own limits: a name may have many addresses.
const LOOK_LIMIT: Duration = Duration::from_secs(4);

/// Starts to connect to a destination, by what is spoken there.
///
/// # Errors
/// That the box does not speak it, or could not start.
pub(super) async fn connect(destination: Destination) -> Result<Session, DestinationFailure> {
    let Some(protocol) = destination.protocol() else { return Err(DestinationFailure::NotSpoken) };
    Session::open(driver(protocol), destination).await
}

/// What a failure really was: its server is looked at once more where the failure alone does not tell. Takes 4 s at most, and so long
/// only where the server is slow.
pub(super) async fn closer(destination: &Destination, failure: &DestinationFailure) -> Option<DestinationFailure> {
    let look = driver(destination.protocol()?).closer;
    let (destination, failure) = (destination.clone(), failure.clone());
    let look = spawn_blocking(move || look(&destination, &failure));
    timeout(LOOK_LIMIT, look).await.ok()?.ok()?
}

/// `GStreamer` elements that destinations are built from, whatever they speak.
pub fn elements() -> Vec<&'static str> {
    let spoken = Protocol::ALL.into_iter().flat_map(|protocol| driver(protocol).elements);
    let mut elements: Vec<_> = ["appsrc"].iter().chain(spoken).copied().collect();
    elements.sort_unstable();
    elements.dedup();
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn destination_that_speaks_something_else_fails_with_its_name() {
        let destination = super::super::tests::destination("srt://127.0.0.1:10080");
        let Err(failure) = connect(destination).await else { unreachable!("nobody speaks it") };
        assert_eq!(failure, DestinationFailure::NotSpoken);
    }

    #[test]
    fn elements_of_every_protocol_are_named_once() {
        assert_eq!(elements(), ["appsrc", "rtmp2sink"]);
    }
}
