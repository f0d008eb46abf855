use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const TAKEN: &str = "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\nLocation: \
                     /rtc/v1/whip/?action=delete&token=t1&app=live&stream=key&session=u:v\r\n\r\nv=0\n";
const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// What a real SRS says to what it does not take.
const NOTHING: &str = "";

const GUEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 23));

/// A server that gives these answers in turn, and closes each time; with the requests' first lines.
async fn srs(answers: &[&'static str]) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (answers, seen) = (answers.to_vec(), Arc::clone(&asked));
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let size = stream.read(&mut request).await.unwrap();
            let head = String::from_utf8_lossy(&request[..size]).into_owned();
            let from = "x-real-ip: 10.0.0.23\r\n";
            assert!(!head.starts_with("POST") || head.contains(from), "where the encoder is: {head}");
            seen.lock().unwrap().push(head.lines().next().unwrap().to_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (base, asked)
}

fn whip(base: Url) -> (Whip, mpsc::Receiver<Message>) {
    let (dispatcher, messages) = mpsc::channel(4);
    (Whip::new(base, "live", Clock::start(), dispatcher).unwrap(), messages)
}

/// Answers whoever wants room.
fn says(mut messages: mpsc::Receiver<Message>, room: Room) {
    tokio::spawn(async move {
        while let Some(Message::MakeRoom { app, key, answer, .. }) = messages.recv().await {
            assert_eq!((app.as_str(), key.expose()), ("live", "key"));
            answer.send(room.clone()).unwrap();
        }
    });
}

async fn publish(whip: &Whip) -> Result<WhipSession, WhipError> {
    whip.publish(&StreamKey::new("key"), Bytes::from_static(b"v=0"), "10.0.0.7", GUEST).await
}

#[tokio::test]
async fn a_session_is_opened_and_ended() {
    let (base, asked) = srs(&[TAKEN, DONE]).await;
    let (whip, _messages) = whip(base);
    let session = publish(&whip).await.unwrap();
    assert_eq!(session.sdp, "v=0\n");
    assert!(!format!("{session:?}").contains("key"));
    whip.delete(&session.resource).await.unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "POST /rtc/v1/whip/?app=live&stream=key&eip=10.0.0.7 HTTP/1.1",
            "DELETE /rtc/v1/whip/?action=delete&token=t1&session=u%3Av HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_taken_name_is_cleared_and_asked_for_again() {
    let (base, asked) = srs(&[NOTHING, TAKEN]).await;
    let (whip, messages) = whip(base);
    says(messages, Room::Free);
    publish(&whip).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let (base, asked) = srs(&[NOTHING]).await;
    let (whip, messages) = whip(base);
    says(messages, Room::Refused("not now".to_owned()));
    let Err(WhipError::Refused(reason)) = publish(&whip).await else { panic!("a session") };
    assert_eq!(reason, "not now");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_publishes_and_may_stay_is_left_alone() {
    let (base, asked) = srs(&[NOTHING]).await;
    let (whip, messages) = whip(base);
    says(messages, Room::Taken);
    assert!(matches!(publish(&whip).await, Err(WhipError::Refused(_))));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_offer_that_srs_does_not_take_is_refused() {
    let (base, _asked) = srs(&[NOTHING, NOTHING]).await;
    let (whip, messages) = whip(base);
    says(messages, Room::Free);
    assert!(matches!(publish(&whip).await, Err(WhipError::Refused(_))));
    let long = Bytes::from(vec![b'v'; MOST_SDP + 1]);
    let refused = whip.publish(&StreamKey::new("key"), long, "10.0.0.7", GUEST).await;
    assert!(matches!(refused, Err(WhipError::Refused(_))));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_its_address_not_shown() {
    let (base, _asked) = srs(&[]).await;
    let (whip, _messages) = whip(base);
    sleep(Duration::from_millis(50)).await;
    let error = publish(&whip).await.unwrap_err();
    assert!(matches!(error, WhipError::Unavailable(_)));
    assert!(!format!("{error} {error:?}").contains("key"));
}

#[tokio::test]
async fn only_a_session_can_be_ended() {
    let (base, asked) = srs(&[DONE]).await;
    let (whip, _messages) = whip(base);
    for resource in ["", "/api/v1/clients/a?token=t&session=s", "http://10.0.0.1/rtc/v1/whip/?token=t", "/rtc/v1/whip/"]
    {
        assert!(matches!(whip.delete(resource).await, Err(WhipError::Refused(_))), "{resource}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_address_of_the_page_is_offered_where_srs_understands_it() {
    assert_eq!(reachable("10.0.0.7").await, Some("10.0.0.7".parse().unwrap()));
    assert_eq!(reachable("localhost").await, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(reachable("[fd00::1]").await, None);
    assert_eq!(reachable("0.0.0.0").await, None);
    assert_eq!(reachable("no.such.name.invalid").await, None);
}
