//! A trial of a destination: what its platform answers, without a programme. The same way as a session's, and never more than a
//! moment: connect, publish, close.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{CONNECTING_LOOK, protocols, session::Session, transport::SILENCE_LIMIT, waits_for_clock};
use crate::core::destination::{ClosedAt, Destination, DestinationFailure};

/// From the first step to the platform's answer: a second more than a protocol waits for a byte.
const ANSWER_LIMIT: Duration = SILENCE_LIMIT.saturating_add(Duration::from_secs(1));

/// A platform that refuses a key by closing does so at once.
const SECOND_THOUGHTS: Duration = Duration::from_millis(1200);

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Verdict)]
pub enum TrialVerdict {
    /// The platform takes the stream.
    Accepted,
    /// The platform answered, and said no.
    Refused,
    /// There was no answer: the address, the network, or the platform.
    Failed,
}

/// A trial's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trial {
    /// What became of it.
    pub verdict: TrialVerdict,
    /// The same in words: what the platform answered, or what stood in the way, and what to do. Never holds the key.
    pub message: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Connects to a destination's platform as a session would, waits for its answer to the publish, and closes. Takes 10 s at most. Nothing
/// is sent but the handshake and the commands, so nobody who watches there sees anything. Not to be used on one that is live: the
/// platform would take the two for rivals.
///
/// None when it was given up meanwhile: the destination is wanted for a show.
pub async fn try_out(destination: Destination, give_up: &CancellationToken) -> Option<Trial> {
    let began = Instant::now();
    let mut server = destination;
    let failure = if waits_for_clock(&server, Timestamp::now()) {
        Some(DestinationFailure::Clock)
    } else {
        match judge(&server, give_up).await.ok()? {
            // Followed once, as a session does it.
            Some(DestinationFailure::Moved(moved)) => match moved.follow(&server) {
                Some(there) => {
                    server = there;
                    judge(&server, give_up).await.ok()?
                }
                None => Some(DestinationFailure::Moved(moved)),
            },
            failure => failure,
        }
    };
    let (verdict, message) = match failure {
        None => (TrialVerdict::Accepted, "the platform accepts the key and would take the stream".to_owned()),
        Some(failure) => {
            let verdict = if failure.is_refusal() { TrialVerdict::Refused } else { TrialVerdict::Failed };
            (verdict, failure.words(&server))
        }
    };
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(Trial { verdict, message, elapsed_ms })
}

/// The destination is wanted for a show.
struct GivenUp;

/// What stands in the way; none if nothing does.
async fn judge(destination: &Destination, give_up: &CancellationToken) -> Result<Option<DestinationFailure>, GivenUp> {
    let failure = match protocols::connect(destination.clone()).await {
        Ok(session) => answer(session, give_up).await?,
        Err(failure) => Some(failure),
    };
    let Some(failure) = failure else { return Ok(None) };
    let closer = tokio::select! {
        () = give_up.cancelled() => return Err(GivenUp),
        closer = protocols::closer(destination, &failure) => closer,
    };
    Ok(Some(closer.unwrap_or(failure)))
}

/// What the platform answers, if that is a no.
async fn answer(mut session: Session, give_up: &CancellationToken) -> Result<Option<DestinationFailure>, GivenUp> {
    let answered = async {
        loop {
            tokio::select! {
                biased;
                failure = session.failure() => return Err(failure),
                () = sleep(CONNECTING_LOOK) => if session.look_for_acceptance() { return Ok(()) },
            }
        }
    };
    let answered = tokio::select! {
        () = give_up.cancelled() => None,
        answered = timeout(ANSWER_LIMIT, answered) => Some(answered),
    };
    let failure = match answered {
        None => {
            session.close().await;
            return Err(GivenUp);
        }
        Some(Ok(Ok(()))) => {
            let Ok(failure) = timeout(SECOND_THOUGHTS, session.failure()).await else {
                session.take_leave().await;
                return Ok(None);
            };
            failure
        }
        Some(Ok(Err(failure))) => failure,
        Some(Err(_)) => DestinationFailure::Silent,
    };
    session.close().await;
    Ok(Some(match failure {
        DestinationFailure::Closed(ClosedAt::Live) => DestinationFailure::Closed(ClosedAt::Accepted),
        failure => failure,
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::net::TcpListener;

    use super::*;
    use crate::core::destination::DestinationId;

    fn destination(url: &str) -> Destination {
        Destination {
            id: DestinationId(1),
            name: "d".to_owned(),
            url: url.parse().unwrap(),
            key: "a-secret-key".into(),
            enabled: true,
            locked: false,
        }
    }

    async fn tried(url: &str) -> Trial {
        try_out(destination(url), &CancellationToken::new()).await.unwrap()
    }

    #[tokio::test]
    async fn port_where_nobody_listens_is_told_in_plain_words() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let trial = tried(&format!("rtmp://{address}/app")).await;
        let expected = format!(
            "127.0.0.1 takes no connections on port {} (connection refused): check the address and its port",
            address.port()
        );
        assert_eq!((trial.verdict, trial.message), (TrialVerdict::Failed, expected));
    }

    #[tokio::test]
    async fn platform_that_closes_or_keeps_silent_is_told_in_plain_words() {
        let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("rtmp://{}/app", closing.local_addr().unwrap());
        let closer = tokio::spawn(async move { while closing.accept().await.is_ok() {} });
        let trial = tried(&url).await;
        assert!(trial.message.contains("closed the connection without an answer"), "{trial:?}");
        closer.abort();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let trial = tried(&format!("rtmp://{}/app", silent.local_addr().unwrap())).await;
        assert!(trial.message.contains("did not answer in time"), "{trial:?}");
        assert!(trial.elapsed_ms < 10_000, "{trial:?}");
    }
}
