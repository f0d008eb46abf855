//! A trial of a destination: what its platform answers, without a programme. The same way as a session's, and never more than a
//! moment: connect, publish, close.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{
    CLOCK_FLOOR, CONNECTING_LOOK,
    session::{CLOSED, Failure, Session},
};
use crate::core::destination::{Destination, port_of};

/// From the first step to the platform's answer: a second more than rtmp2sink waits for a byte.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);

/// A platform that refuses a key by closing does so at once.
const SECOND_THOUGHTS: Duration = Duration::from_millis(1200);

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
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
    pub verdict: Verdict,
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
    let (verdict, message) = if destination.url.scheme() == "rtmps" && Timestamp::now().as_second() < CLOCK_FLOOR {
        (Verdict::Failed, "the box's clock is not right yet, and no certificate holds before it is".to_owned())
    } else {
        judge(&destination, give_up).await?
    };
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(Trial { verdict, message, elapsed_ms })
}

async fn judge(destination: &Destination, give_up: &CancellationToken) -> Option<(Verdict, String)> {
    let mut session = match Session::open(destination.clone()).await {
        Ok(session) => session,
        Err(failure) => return Some(in_words(failure, destination, false)),
    };
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
    let (failure, accepted) = match answered {
        None => {
            session.close().await;
            return None;
        }
        Some(Ok(Ok(()))) => {
            let Ok(failure) = timeout(SECOND_THOUGHTS, session.failure()).await else {
                session.take_leave().await;
                let message = "the platform accepts the key and would take the stream";
                return Some((Verdict::Accepted, message.to_owned()));
            };
            (failure, true)
        }
        Some(Ok(Err(failure))) => (failure, false),
        Some(Err(_)) => (Failure::Broken("the platform did not answer in time".to_owned()), false),
    };
    session.close().await;
    Some(in_words(failure, destination, accepted))
}

/// What a failure means for whoever typed the destination in.
fn in_words(failure: Failure, destination: &Destination, accepted: bool) -> (Verdict, String) {
    let host = destination.url.host_str().unwrap_or_default();
    let port = port_of(&destination.url);
    let said = match failure {
        Failure::Refused(said) => {
            return (
                Verdict::Refused,
                format!("{said}. Check the key, and that the platform's page is ready to go live"),
            );
        }
        Failure::Broken(said) => said,
    };
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let message = if said.starts_with(CLOSED) && accepted {
        "the platform accepted the publish and closed at once: this is how some refuse a key".to_owned()
    } else if said.starts_with(CLOSED) {
        "the platform closed the connection without an answer: some refuse a wrong key or application this way"
            .to_owned()
    } else if has(&["Error resolving", "Name or service not known", "No address associated", "not found in DNS"]) {
        format!("there is no host called {host}, or the box has no internet: check the address, then the network")
    } else if has(&["Connection refused"]) {
        format!("{host} takes no connections on port {port}: check the address and its port")
    } else if has(&["unreachable", "No route to host"]) {
        format!("the network has no way to {host}: look whether the box has internet")
    } else if has(&["did not answer in time", "timed out", "Timeout"]) {
        format!("{host} did not answer in time on port {port}: check the address, and whether the network lets it out")
    } else if has(&["TLS support is not available", "TLS/SSL support not available"]) {
        "this box can not speak rtmps:// yet: glib-networking is missing (`motherstream doctor`)".to_owned()
    } else if has(&["TLS", "SSL", "certificate", "Certificate"]) {
        format!("no encrypted connection to {host} on port {port}: {said}. Does it want rtmp:// rather than rtmps://?")
    } else {
        said
    };
    (Verdict::Failed, message)
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
        let expected =
            format!("127.0.0.1 takes no connections on port {}: check the address and its port", address.port());
        assert_eq!((trial.verdict, trial.message), (Verdict::Failed, expected));
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

    #[test]
    fn what_is_in_the_way_is_told_with_what_to_do() {
        let platform = destination("rtmps://live.example.com/app");
        for (said, words) in [
            ("Error resolving “live.example.com”: Name or service not known", "no host called live.example.com"),
            ("Could not connect to live.example.com: Network is unreachable", "no way to live.example.com"),
            ("TLS support is not available", "glib-networking is missing"),
            ("Error performing TLS handshake: An unexpected TLS packet was received.", "rather than rtmps://"),
            ("something new", "something new"),
        ] {
            let (verdict, message) = in_words(Failure::Broken(said.to_owned()), &platform, false);
            assert_eq!(verdict, Verdict::Failed);
            assert!(message.contains(words), "{message}");
        }
        let refused = Failure::Refused("the platform answered: no such channel (NetStream.Publish.BadName)".to_owned());
        let (verdict, message) = in_words(refused, &platform, false);
        assert!(verdict == Verdict::Refused && message.contains("no such channel"), "{message}");
        let (_, message) = in_words(Failure::Broken(CLOSED.to_owned()), &platform, true);
        assert!(message.contains("accepted the publish and closed at once"), "{message}");
    }
}
