//! One line for all that a browser shows, questions where there is none, and places that nobody can take from the crew.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{pages::Ear, running::eventually, *};

impl Site {
    /// Sends a request from one of loopback's addresses, and gives the connection with the status that it was answered.
    async fn asks_from(&self, last: u8, head: &str) -> (Option<u16>, TcpStream) {
        self.sends_from(last, head, "").await
    }

    async fn sends_from(&self, last: u8, head: &str, body: &str) -> (Option<u16>, TcpStream) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let request = format!("{head}\r\nHost: {}\r\n\r\n{body}", self.address);
        let mut begin = [0; 12];
        let told = async {
            stream.write_all(request.as_bytes()).await.ok()?;
            stream.read_exact(&mut begin).await.ok()?;
            std::str::from_utf8(&begin).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
        };
        let status = tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
        (status, stream)
    }

    /// The head of a request for a path, with a session's cookie.
    fn head(path: &str, who: &As) -> String {
        match who {
            As::Cookie(cookie) => format!("GET {path} HTTP/1.1\r\nCookie: {cookie}"),
            _ => format!("GET {path} HTTP/1.1"),
        }
    }
}

#[tokio::test]
async fn one_line_carries_several_topics_and_only_what_is_for_the_account_named() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (root, admin) = site.admin("Root").await;
    let (ada, streamer) = site.streamer("Ada").await;
    let all = "of=overlay,room,me,admin,admin/destinations,admin/obs";
    let path = format!("/live?{all}&as={}", root.0);
    let mut answer = site.request(Method::GET, &path, &admin).send().await.unwrap();
    let mut heard = String::new();
    let everything = async {
        // The topics come in any order.
        while !["now", "stage", "place", "panic", "destinations", "obs"]
            .iter()
            .all(|part| heard.contains(&format!("event: {part}\n")))
        {
            heard.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    let everything = tokio::time::timeout(Duration::from_secs(5), everything).await;
    assert!(everything.is_ok() && !heard.contains("event: refused"), "{heard}");
    drop(answer);
    for (who, account, refused) in [
        // Not signed in; signed in, and made for another; made for nobody; signed in, and not of the crew.
        (&As::Nobody, root.0.to_string(), "me,admin,admin/destinations,admin/obs"),
        (&streamer, root.0.to_string(), "me,admin,admin/destinations,admin/obs"),
        (&admin, ada.0.to_string(), "me,admin,admin/destinations,admin/obs"),
        (&admin, String::new(), "me,admin,admin/destinations,admin/obs"),
        (&streamer, ada.0.to_string(), "admin,admin/destinations,admin/obs"),
    ] {
        let path = format!("{all}&as={account}");
        let mut ear = Ear::as_who(&site, &format!("/live?{path}"), who).await;
        assert_eq!(ear.hears("refused").await, format!("data: {refused}"));
        ear.hears("stage").await;
        site.put("/api/v1/block", &As::Token, json!({"on": true})).await.is(200);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (status, _, text) = site.look(&format!("/live/now?{path}"), who).await;
        assert_eq!(status, 200);
        assert!(text.contains(&format!("event: refused\ndata: {refused}\n")), "{text}");
        assert!(!text.contains("event: panic") && text.contains("event: stage"), "{text}");
        assert_eq!(text.contains("event: place"), account == ada.0.to_string() && who_is(who, &streamer), "{text}");
    }
    site.get("/live?of=everything", &As::Nobody).await.blames(422, "of");
    site.end().await;
}

fn who_is(one: &As, other: &As) -> bool {
    matches!((one, other), (As::Cookie(one), As::Cookie(other)) if one == other)
}

#[tokio::test]
async fn joined_line_says_which_topic_each_part_is_of_and_ends_with_its_session() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (root, admin) = site.admin("Root").await;
    let path = format!("/live?of=overlay,admin&as={}", root.0);
    let ear = Ear::as_who(&site, &path, &admin).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.delete("/api/v1/session", &admin).await.is(204);
    let heard = ear.until_the_end().await;
    let mut topic = "";
    let mut parts = Vec::new();
    for event in heard.split("\n\n") {
        if let Some(of) = event.strip_prefix("event: of\ndata: ") {
            topic = of;
        } else if let Some(name) = event.strip_prefix("event: ").and_then(|event| event.lines().next()) {
            parts.push((topic, name));
        }
    }
    for wanted in [("overlay", "timer"), ("overlay", "now"), ("admin", "panic"), ("admin", "waiting")] {
        assert!(parts.contains(&wanted), "{wanted:?} in {parts:?}");
    }
    assert!(!parts.contains(&("overlay", "panic")) && !parts.contains(&("admin", "now")), "{parts:?}");
    // What is for everybody goes on without a session.
    let mut ear = Ear::as_who(&site, &path, &admin).await;
    assert_eq!(ear.hears("refused").await, "data: admin");
    ear.hears("now").await;
    site.end().await;
}

#[tokio::test]
async fn question_whose_answer_is_the_same_is_answered_with_the_clock_alone() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let path = "/live/now?of=overlay,room&as=";
    let (status, headers, text) = site.look(path, &As::Nobody).await;
    assert_eq!(status, 200);
    assert!(text.contains("event: of\ndata: overlay\n\n") && text.contains("event: stage\n"), "{text}");
    assert_eq!(headers["motherstream-beat"].to_str().unwrap().split(' ').count(), 2);
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let known = [("if-none-match", tag.as_str())];
    let (status, headers, text) = site.look_with(path, &As::Nobody, &known).await;
    assert_eq!((status, text.as_str(), headers["etag"].to_str().unwrap()), (304, "", tag.as_str()));
    assert!(headers.contains_key("motherstream-beat"));
    site.somebody_waits().await;
    eventually(async || site.look_with(path, &As::Nobody, &known).await.0 == 200).await;
    site.end().await;
}

#[tokio::test]
async fn nobody_in_between_is_to_gather_what_is_live() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for path in ["/live?of=room&as=", "/live/room", "/live/overlay", "/api/v1/events"] {
        let answer = site.request(Method::GET, path, &As::Nobody).send().await.unwrap();
        assert_eq!(answer.headers()["x-accel-buffering"], "no", "{path}");
        let kept = answer.headers()["cache-control"].to_str().unwrap();
        assert!(kept.contains("no-transform") && kept.contains("no-store"), "{path}: {kept}");
    }
    let mut answer = site.request(Method::GET, "/live/room", &As::Nobody).send().await.unwrap();
    let mut first = Vec::new();
    while first.len() < 2048 {
        first.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    assert!(first.starts_with(b":   "), "the first bytes are there to be gathered");
    site.end().await;
}

#[tokio::test]
async fn shared_worker_has_a_policy_of_its_own_and_talks_to_the_box_alone() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, headers, page) = site.look("/", &As::Nobody).await;
    assert!(headers["content-security-policy"].to_str().unwrap().contains("worker-src 'self'"));
    let worker = page.split('"').find(|part| part.ends_with("/line.js")).unwrap();
    let (status, headers, _) = site.look(worker, &As::Nobody).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-security-policy"], "default-src 'none'; connect-src 'self'");
    site.end().await;
}

/// A venue's guests, or one with a script, behind the crew's own address.
#[tokio::test]
async fn address_that_listens_as_often_as_it_can_takes_nothing_from_the_crew_the_overlays_or_others() {
    allow_sockets();
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let mut held = Vec::new();
    let mut taken = 0;
    for _ in 0..700 {
        let (status, stream) = site.asks_from(1, &Site::head("/live/room", &As::Nobody)).await;
        taken += usize::from(status == Some(200));
        held.push(stream);
    }
    assert!((300..600).contains(&taken), "{taken} lines of one address");
    for last in [1, 2] {
        for path in ["/admin", "/live/admin", "/live/admin/obs", "/queue-json", "/live/room"] {
            let (status, _stream) = site.asks_from(last, &Site::head(path, &admin)).await;
            assert_eq!(status, Some(200), "{path} for the crew, from 127.0.0.{last}");
        }
        for path in ["/live/overlay", "/queue-list"] {
            let (status, _stream) = site.asks_from(last, &Site::head(path, &As::Nobody)).await;
            assert_eq!(status, Some(200), "{path} from 127.0.0.{last}");
        }
        let As::Cookie(cookie) = &admin else { panic!("nobody") };
        let order = format!(
            "POST /api/v1/queue/hold HTTP/1.1\r\nCookie: {cookie}\r\nContent-Type: application/json\r\nContent-Length: 11"
        );
        let (status, _stream) = site.sends_from(last, &order, "{\"on\":true}").await;
        assert_eq!(status, Some(204), "an order gets through, from 127.0.0.{last}");
    }
    let (status, _stream) = site.asks_from(2, &Site::head("/live/room", &As::Nobody)).await;
    assert_eq!(status, Some(200), "another address has room");
    let (status, _stream) = site.asks_from(1, &Site::head("/live/now?of=room&as=", &As::Nobody)).await;
    assert_eq!(status, Some(200), "who finds no place may ask");
    drop(held);
    site.end().await;
}

#[tokio::test]
async fn full_room_makes_room_for_whoever_has_less() {
    allow_sockets();
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut held = Vec::new();
    for last in [1, 2] {
        for _ in 0..400 {
            held.push(site.asks_from(last, &Site::head("/live/room", &As::Nobody)).await);
        }
    }
    let taken = held.iter().filter(|(status, _)| *status == Some(200)).count();
    assert!(taken >= 600, "{taken}");
    for _ in 0..5 {
        let (status, stream) = site.asks_from(3, &Site::head("/live/room", &As::Nobody)).await;
        assert_eq!(status, Some(200));
        held.push((status, stream));
    }
    site.end().await;
}
