//! The network as pages and calls show it; whoever comes over the box's own access point; and the steps that set a box up.

use std::net::SocketAddr;

use axum::Extension;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    coming_in::{cookies, location},
    pages::told,
    *,
};
use crate::{
    control::testing::{cable, on_the_access_point, radio, seen},
    core::network::{Purpose, Reason, wifi::Failure},
    network::{Internet, Outcome, Snapshot, Trial},
    web::http::connections::Local,
};

/// What the table of `docs/network.md` has of each probe.
const PROBES: &str = include_str!("../../../docs/network.md");

/// The same box as somebody reaches it over its own access point: the real router, on a port, told so of every connection.
struct AccessPointSide {
    address: SocketAddr,
    client: reqwest::Client,
    served: JoinHandle<()>,
}

impl AccessPointSide {
    async fn of(site: &Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = control_room(Parts {
            doors: Doors { plain: 80, https: Some((443, "AB:CD".to_owned())) },
            ..site.state.clone()
        });
        let app = App::new(control, CancellationToken::new());
        // In place of the address by which the client reached this one.
        let over = Extension(Local("4.3.2.1:80".parse().unwrap()));
        let router = router(&app, &Arc::new(Channels::new())).layer(over);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let served = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, client: Site::without_redirects(), served }
    }

    /// Asks for an address, which leads here as every name does there.
    async fn asks(&self, url: &str) -> (u16, HeaderMap, String) {
        let url = url::Url::parse(url).unwrap();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let here = format!("http://{}{}{query}", self.address, url.path());
        told(self.client.get(here).header("host", url.host_str().unwrap())).await
    }

    async fn sends(&self, path: &str, session: &str, fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(format!("http://{}{path}", self.address)).header("host", "4.3.2.1");
        let request =
            request.header("origin", "http://4.3.2.1").header("accept", "text/html").header("cookie", session);
        told(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }
}

impl Drop for AccessPointSide {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Site {
    pub(super) fn sees(&self, snapshot: Snapshot) {
        self.network.publish.send_replace(Arc::new(snapshot));
    }

    fn code(&self) -> String {
        let code = self.state.accounts.setup_code().unwrap();
        secrecy::ExposeSecret::expose_secret(&code).to_owned()
    }
}

async fn next(heard: &mut UnboundedReceiver<String>) -> String {
    tokio::time::timeout(std::time::Duration::from_secs(10), heard.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn network_is_told_and_changed_by_calls_that_repeat_no_password() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[]).await;
    let mut heard = site.network.carried_out();
    let before = site.get("/api/v1/network", &As::Token).await;
    assert_eq!((&before.is(200).body["manager"], &before.body["own"]), (&json!("unknown"), &json!(false)));
    site.sees(seen(vec![cable(Internet::Full), radio(Some("Campus"), Internet::Limited)]));
    let now = site.get("/api/v1/network", &As::Token).await;
    assert_eq!(now.is(200).body["interfaces"][0]["addresses"], json!(["192.168.1.7"]));
    assert_eq!((&now.body["internet"], &now.body["known"]), (&json!("full"), &json!(["Campus"])));
    let list = site.get("/api/v1/network/wifi", &As::Token).await;
    assert_eq!(next(&mut heard).await, "look");
    assert_eq!(list.is(200).body[0], json!({"ssid": "Venue", "signal": 82, "security": "wpa2", "known": false}));

    let joined = site.put("/api/v1/network/wifi", &As::Token, json!({"ssid": "Venue", "password": "sword fish"})).await;
    assert_eq!(next(&mut heard).await, "join Venue with a password");
    assert_eq!(joined.is(202).body["loses_access_point"], false);
    assert!(joined.body["message"].as_str().unwrap().contains("Motherstream-0A1C comes back"), "{joined:?}");
    assert!(!joined.body.to_string().contains("sword fish"));
    let user =
        json!({"ssid": "Campus", "password": "p", "identity": "ada", "server": "radius.example", "hidden": true});
    site.put("/api/v1/network/wifi", &As::Token, user).await.is(202);
    assert_eq!(next(&mut heard).await, "join Campus with a password as a user, hidden");
    site.put("/api/v1/network/wifi", &As::Token, json!({"password": "sword fish"})).await.blames(422, "ssid");

    site.call(Method::DELETE, "/api/v1/network/wifi", &As::Token, Some(json!({"ssid": "Campus"}))).await.is(204);
    assert_eq!(next(&mut heard).await, "forget Campus");
    site.delete("/api/v1/network/wifi?ssid=Bar%20%26%20Grill", &As::Token).await.is(204);
    assert_eq!(next(&mut heard).await, "forget Bar & Grill");
    site.delete("/api/v1/network/wifi", &As::Token).await.blames(422, "ssid");
    site.put("/api/v1/network/hotspot", &As::Token, json!({"on": true})).await.is(204);
    assert_eq!(next(&mut heard).await, "access point up");
    let fixed = json!({"address": "192.168.1.9/24", "gateway": "192.168.1.1", "dns": ["9.9.9.9"]});
    site.put("/api/v1/network/interfaces/eth0", &As::Token, fixed).await.is(202);
    assert!(next(&mut heard).await.starts_with("eth0: Fixed { address: 192.168.1.9/24"));
    site.put("/api/v1/network/interfaces/eth0", &As::Token, json!({"address": "house"})).await.blames(422, "address");
    site.put("/api/v1/network/interfaces/eth0", &As::Token, json!({})).await.is(202);
    assert_eq!(next(&mut heard).await, "eth0: Given");
    site.post("/api/v1/network/trial", &As::Token, json!({"keep": false})).await.is(204);
    assert_eq!(next(&mut heard).await, "confirm false");
    site.end().await;
}

#[tokio::test]
async fn each_probe_of_the_table_gets_the_answer_that_stands_there_before_and_after_the_claim() {
    let rows: Vec<[String; 4]> = PROBES
        .lines()
        .filter(|line| line.contains("| `http://") && line.contains(" | 302 |"))
        .map(|line| {
            let cells: Vec<_> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
            cells.try_into().unwrap()
        })
        .collect();
    assert!(rows.len() >= 30, "{} rows", rows.len());
    for who in [
        "Android", "Samsung", "Xiaomi", "Huawei", "iOS", "macOS", "Windows", "ChromeOS", "Firefox", "GNOME", "KDE",
        "Fedora", "Ubuntu", "Kindle",
    ] {
        assert!(rows.iter().any(|[asker, ..]| asker.contains(who)), "{who} has no row");
    }
    let folder = folder();
    // Without admin.token the box has no owner.
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let phone = AccessPointSide::of(&site).await;
    let try_all = async |to: &str| {
        for [who, url, expected, status] in &rows {
            let (answered, headers, text) = phone.asks(url).await;
            assert_eq!(answered.to_string(), *status, "{who}: {url}");
            assert_eq!(location(&headers), to, "{who}: {url}");
            assert_eq!(headers["cache-control"], "no-store", "{who}: {url}");
            assert!(text.contains(to) && text.len() < 400, "{who}: {text}");
            assert!(!text.contains(expected.as_str()) && !text.to_lowercase().contains("success"), "{who}: {text}");
        }
    };
    // Nothing is seen yet; for setting up; for streamers, while nobody owns it.
    try_all("http://4.3.2.1/setup").await;
    site.sees(on_the_access_point(Purpose::Guests, Reason::Always));
    try_all("http://4.3.2.1/setup").await;
    let setup = [("code", &*site.code()), ("name", "Ada"), ("password", PASSWORD)];
    let (status, headers, _) = phone.sends("/setup", "", &setup).await;
    assert_eq!((status, location(&headers)), (303, "/setup/venue"));
    for purpose in [Purpose::Setup, Purpose::Portal] {
        site.sees(on_the_access_point(purpose, Reason::NoNetwork));
        try_all("http://4.3.2.1/setup").await;
    }
    // The streamers' own.
    site.sees(on_the_access_point(Purpose::Guests, Reason::Always));
    try_all("http://4.3.2.1/").await;
    assert!(!site.network.was_touched() || site.state.accounts.count() == 1, "only the claim was somebody's step");
    site.end().await;
}

#[tokio::test]
async fn stranger_on_the_access_point_reaches_the_set_up_and_nothing_else() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let phone = AccessPointSide::of(&site).await;
    for path in
        ["/", "/admin", "/register", "/me", "/queue-list", "/watch/program.m3u8", "/setup-code", "/whip", "/nothing"]
    {
        let (status, headers, _) = phone.asks(&format!("http://4.3.2.1{path}")).await;
        assert_eq!((status, location(&headers)), (302, "http://4.3.2.1/setup"), "{path}");
    }
    assert!(site.network.was_touched(), "somebody looks at a page of the box");
    for path in ["/api/v1/queue", "/api/v1/settings", "/api/v1/openapi.json", "/api/v1/networks"] {
        let (status, headers, _) = phone.asks(&format!("http://4.3.2.1{path}")).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (403, "application/problem+json"), "{path}");
    }
    // These answer, and ask who it is.
    for (path, status, to) in [
        ("/setup", 303, "/login?next=%2Fsetup"),
        ("/setup/network", 303, "/login?next=%2Fsetup%2Fnetwork"),
        ("/login", 200, ""),
        ("/api/v1/network", 401, ""),
    ] {
        let (answered, headers, _) = phone.asks(&format!("http://4.3.2.1{path}")).await;
        assert_eq!((answered, headers.get("location").map_or("", |to| to.to_str().unwrap())), (status, to), "{path}");
    }
    // By one of its own names, and not by another address that leads here.
    assert_eq!(phone.asks("http://motherstream.local/login").await.0, 200);
    let (_, headers, _) = phone.asks("http://10.9.8.7/login").await;
    assert_eq!(location(&headers), "http://4.3.2.1/setup");
    // Nothing there leads to HTTPS, which is refused on it.
    let (_, _, text) = phone.asks("http://4.3.2.1/login").await;
    assert!(text.contains("plain HTTP") && !text.contains("https://"), "{text}");

    // The streamers' Wi-Fi has all of the page.
    site.sees(on_the_access_point(Purpose::Guests, Reason::Always));
    for path in ["/", "/register", "/queue-list", "/api/v1/queue"] {
        assert_eq!(phone.asks(&format!("http://4.3.2.1{path}")).await.0, 200, "{path}");
    }
    // Nobody who came by the venue's network sees anything of it.
    assert_eq!(site.look("/", &As::Nobody).await.0, 200);
    site.end().await;
}

#[tokio::test]
async fn probes_alone_do_not_keep_the_access_point_up() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let phone = AccessPointSide::of(&site).await;
    for url in [
        "http://captive.apple.com/hotspot-detect.html",
        "http://connectivitycheck.gstatic.com/generate_204",
        "http://4.3.2.1/healthz",
    ] {
        phone.asks(url).await;
    }
    assert!(!site.network.was_touched());
    phone.asks("http://4.3.2.1/login").await;
    assert!(site.network.was_touched());
    site.end().await;
}

#[tokio::test]
async fn guesses_of_the_setup_code_over_the_access_point_have_to_wait() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let phone = AccessPointSide::of(&site).await;
    let guess = [("code", "00000000"), ("name", "Eve"), ("password", PASSWORD)];
    for _ in 0..5 {
        let (status, _, text) = phone.sends("/setup", "", &guess).await;
        assert!(status == 422 && text.contains("code is wrong"), "{status} {text}");
    }
    let (status, headers, text) = phone.sends("/setup", "", &guess).await;
    assert!(status == 429 && headers.contains_key("retry-after"), "{status} {text}");
    // The right one has to wait as long.
    let right = [("code", &*site.code()), ("name", "Eve"), ("password", PASSWORD)];
    assert_eq!(phone.sends("/setup", "", &right).await.0, 429);
    site.end().await;
}

/// A box whose owner is signed in, as they see it.
async fn claimed(site: &Site) -> String {
    let fields = [("code", &*site.code()), ("name", "Ada"), ("password", PASSWORD)];
    let (status, headers, _) = told(site.form("/setup", &fields)).await;
    assert_eq!((status, location(&headers)), (303, "/setup/venue"));
    cookies(&headers)
}

#[tokio::test]
async fn box_is_set_up_step_by_step_and_the_set_up_goes_on_where_it_was_left() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let mut heard = site.network.carried_out();
    site.sees(seen(vec![radio(None, Internet::None)]));
    let session = claimed(&site).await;
    let admin = As::Cookie(session.clone());
    let led = async || {
        let request = Site::without_redirects().get(format!("http://{}/setup", site.address));
        let (status, headers, _) = told(request.header("cookie", &session)).await;
        assert_eq!(status, 303);
        location(&headers).to_owned()
    };
    let sends =
        async |path: &str, fields: &[(&str, &str)]| told(site.form(path, fields).header("cookie", &session)).await;

    // The venue.
    assert_eq!(led().await, "/setup/venue");
    let (_, _, text) = site.look("/setup/venue", &admin).await;
    assert!(text.contains("2 of 6") && text.contains("value=\"DE\"") && text.contains(">Germany<"), "{text}");
    let venue = |zone| [("venue.name", "Zum <Anker>"), ("venue.timezone", zone), ("network.country", "DE")];
    let (status, _, text) = sends("/setup/venue", &venue("Mars")).await;
    assert!(status == 422 && text.contains("not a time zone") && text.contains("Zum &#60;Anker&#62;"), "{text}");
    assert_eq!(sends("/setup/venue", &venue("")).await.0, 422);
    let (status, headers, _) = sends("/setup/venue", &venue("berlin")).await;
    assert_eq!((status, location(&headers)), (303, "/setup/network"));
    let now = site.state.settings.now();
    assert_eq!((now.venue.timezone.as_deref(), now.network.country.as_deref()), (Some("Europe/Berlin"), Some("DE")));

    // The network.
    assert_eq!(led().await, "/setup/network");
    let (_, _, text) = site.look("/setup/network", &admin).await;
    assert!(
        text.contains("3 of 6")
            && text.contains("Strong, WPA2")
            && text.contains("Weak, user name and password, known"),
        "{text}"
    );
    assert!(
        text.contains("ssid=Caf%C3%A9+%3Cguests%3E") && !text.contains("<guests>") && text.contains("WEP: too old"),
        "{text}"
    );
    let (_, _, text) = site.look("/setup/network?ssid=Venue", &admin).await;
    assert!(
        text.contains("value=\"Venue\"") && !text.contains("name=\"identity\"") && !text.contains("loses"),
        "{text}"
    );
    let (_, _, text) = site.look("/setup/network?ssid=Campus", &admin).await;
    assert!(text.contains("name=\"identity\"") && text.contains("name=\"server\""), "{text}");
    let (_, _, text) = site.look("/setup/network?other=1", &admin).await;
    assert!(text.contains("name=\"hidden\" value=\"yes\" checked"), "{text}");
    let join = [("ssid", "Venue"), ("password", "sword fish"), ("identity", ""), ("server", "")];
    let (status, headers, text) = sends("/setup/network", &join).await;
    assert_eq!(next(&mut heard).await, "join Venue with a password");
    assert!(
        status == 200 && text.contains("The box is joining Venue") && text.contains("http-equiv=\"refresh\""),
        "{text}"
    );
    assert!(!text.contains("sword fish") && headers["cache-control"] == "no-store");

    // It leads somewhere.
    site.sees(seen(vec![radio(Some("Venue"), Internet::Full)]));
    assert_eq!(led().await, "/setup/destination");
    let (_, _, text) = site.look("/setup/network", &admin).await;
    assert!(text.contains("The box is connected by the Wi-Fi Venue"), "{text}");
    // A cable goes before all.
    site.sees(seen(vec![cable(Internet::Full), radio(None, Internet::None)]));
    let (_, _, text) = site.look("/setup/network", &admin).await;
    assert!(text.contains("connected by the network cable") && text.contains("Or a Wi-Fi"), "{text}");

    // Where the programme goes.
    let (_, _, text) = site.look("/setup/destination", &admin).await;
    assert!(text.contains("4 of 6") && text.contains("platform=twitch"), "{text}");
    let (_, _, text) = site.look("/setup/destination?platform=twitch", &admin).await;
    assert!(text.contains("value=\"Twitch\"") && text.contains("value=\"rtmp"), "{text}");
    let wrong = [("name", "Mine"), ("url", "http://example.org"), ("key", "k"), ("platform", "custom")];
    let (status, _, text) = sends("/setup/destination", &wrong).await;
    assert!(status == 422 && text.contains("value=\"Mine\"") && text.contains("id=\"url-wrong\""), "{text}");
    let right = [("name", "Mine"), ("url", "rtmp://127.0.0.1:9/live"), ("key", "secret-key"), ("platform", "custom")];
    let (status, headers, _) = sends("/setup/destination", &right).await;
    assert_eq!((status, location(&headers)), (303, "/setup/destination"));
    let (_, _, text) = site.look("/setup/destination", &admin).await;
    assert!(
        text.contains("Mine") && text.contains("/setup/destination/test") && !text.contains("secret-key"),
        "{text}"
    );
    let id = site.state.destinations.all()[0].id.0.to_string();
    let (status, headers, _) = sends("/setup/destination/test", &[("id", &id)]).await;
    assert_eq!((status, location(&headers)), (303, "/setup/destination"));

    // How streamers join.
    let (_, _, text) = site.look("/setup/streamers", &admin).await;
    assert!(text.contains("5 of 6") && text.contains(&format!(":{}/register", site.address.port())), "{text}");
    assert!(!text.contains("The box&#39;s Wi-Fi"), "{text}");
    let (status, headers, _) = sends("/setup/streamers", &[("registration", "approval")]).await;
    assert_eq!((status, location(&headers)), (303, "/setup/done"));
    let (_, _, text) = site.look("/setup/done", &admin).await;
    assert!(
        text.contains("6 of 6") && text.contains("Mine") && text.contains("The network cable, with internet"),
        "{text}"
    );
    assert!(text.contains("href=\"/admin\"") && text.contains("Everybody the crew lets in"), "{text}");
    assert_eq!(led().await, "/setup/done");
    site.end().await;
}

#[tokio::test]
async fn steps_are_for_admins_and_everybody_else_is_led_home() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, streamer) = site.streamer("Bo").await;
    let led = async |path: &str, who: &As| {
        let mut request =
            Site::without_redirects().get(format!("http://{}{path}", site.address)).header("accept", "text/html");
        if let As::Cookie(cookie) = who {
            request = request.header("cookie", cookie);
        }
        let (status, headers, _) = told(request).await;
        (status, headers.get("location").map_or(String::new(), |to| to.to_str().unwrap().to_owned()))
    };
    assert_eq!(led("/setup", &As::Nobody).await, (303, "/login?next=%2Fsetup".to_owned()));
    assert_eq!(led("/setup", &streamer).await, (303, "/me".to_owned()));
    for step in ["venue", "network", "destination", "streamers", "poster", "done"] {
        let path = format!("/setup/{step}");
        assert_eq!(led(&path, &As::Nobody).await, (303, format!("/login?next=%2Fsetup%2F{step}")));
        assert_eq!(led(&path, &streamer).await.0, 403, "{path}");
    }
    // A machine whose network is its own is asked for none.
    let (_, admin) = site.admin("Ada").await;
    let (_, _, text) = site.look("/setup/network", &admin).await;
    assert!(text.contains("network is its own") && !text.contains("<form class=\"card"), "{text}");
    site.end().await;
}

#[tokio::test]
async fn phone_is_told_that_it_loses_the_wifi_before_and_after_and_why_it_failed_when_it_is_back() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[]).await;
    let mut heard = site.network.carried_out();
    let (_, admin) = site.admin("Ada").await;
    let As::Cookie(session) = &admin else { unreachable!("signed in") };
    let phone = AccessPointSide::of(&site).await;
    site.sees(on_the_access_point(Purpose::Setup, Reason::Unclaimed));
    let look = async |path: &str| {
        let request = phone.client.get(format!("http://{}{path}", phone.address)).header("host", "4.3.2.1");
        told(request.header("cookie", session).header("accept", "text/html")).await
    };
    let (_, _, text) = look("/setup/network").await;
    assert!(text.contains("before its own Wi-Fi came up"), "{text}");
    let (_, _, text) = look("/setup/network?ssid=Venue").await;
    for words in [
        "This phone loses the box's Wi-Fi",
        "Motherstream-0A1C",
        "comes back within a minute",
        ".local/",
        "on its screen",
    ] {
        assert!(text.replace("&#39;", "'").contains(words), "{words}: {text}");
    }
    // Refused at once: what was typed stands there, but the password.
    site.sees(Snapshot { joining: None, ..on_the_access_point(Purpose::Setup, Reason::Unclaimed) });
    let (status, _, text) = phone
        .sends(
            "/setup/network",
            session,
            &[("ssid", "Venue"), ("password", "sword fish"), ("identity", ""), ("server", "")],
        )
        .await;
    assert_eq!(next(&mut heard).await, "join Venue with a password");
    assert!(status == 200 && text.contains("joining Venue") && text.contains("in a few seconds"), "{text}");
    assert!(!text.contains("http-equiv=\"refresh\""), "a page that reloads itself is gone with the Wi-Fi: {text}");

    for (failure, field) in [
        (Failure::Password { sure: true }, "password"),
        (Failure::Password { sure: false }, "password"),
        (Failure::NotFound, "ssid"),
        (Failure::NoAddress, ""),
        (Failure::Refused, ""),
        (Failure::TooLong, ""),
        (Failure::BrokenOff, ""),
    ] {
        let message = failure.words("Venue");
        let outcome = Outcome {
            ssid: "Venue".to_owned(),
            failure: Some(failure),
            message: message.clone(),
            hidden: false,
            identity: None,
            server: None,
        };
        site.sees(Snapshot { outcome: Some(outcome), ..on_the_access_point(Purpose::Setup, Reason::JoinFailed) });
        let (_, _, text) = look("/setup/network").await;
        assert!(
            text.replace("&#39;", "'").contains(&message)
                && text.contains("value=\"Venue\"")
                && !text.contains("sword fish"),
            "{text}"
        );
        assert_eq!(text.contains(&format!("id=\"{field}-wrong\"")), !field.is_empty(), "{message}: {text}");
    }
    // Another one may be chosen nevertheless.
    let (_, _, text) = look("/setup/network?look=1").await;
    assert_eq!(next(&mut heard).await, "look");
    assert!(text.contains("Another one") && !text.contains("Join a Wi-Fi"), "{text}");
    // Done there: what to do to come to the page.
    let (_, _, text) = look("/setup/done").await;
    assert!(text.contains("only the set-up answers") && !text.contains("href=\"/admin\""), "{text}");
    site.end().await;
}

#[tokio::test]
async fn venues_own_sign_in_page_is_explained_with_the_addresses_that_a_venue_may_let_in() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    let portal = seen(vec![cable(Internet::Portal), radio(None, Internet::None)]);
    site.sees(portal.clone());
    let (_, _, text) = site.look("/setup/network", &admin).await;
    for words in ["The venue wants a sign-in", "DC:A6:32:00:0A:1B", "comes up by itself", "Skip this"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let own = on_the_access_point(Purpose::Portal, Reason::Portal).access_point;
    site.sees(Snapshot { access_point: own, ..portal });
    let (_, _, text) = site.look("/setup/network", &admin).await;
    assert!(text.contains("comes through the box"), "{text}");
    let (_, _, text) = site.look("/admin/system", &admin).await;
    assert!(text.contains("wants somebody to sign in"), "{text}");
    site.end().await;
}

#[tokio::test]
async fn poster_has_the_page_and_the_streamers_wifi_where_that_is_always_up() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("VENUE__NAME", "Zum <b>Anker")]).await;
    let (_, admin) = site.admin("Ada").await;
    site.sees(seen(vec![cable(Internet::Full)]));
    let (_, _, text) = site.look("/setup/poster", &admin).await;
    assert!(
        text.contains("/register") && text.contains("192.168.1.7") && text.matches("class=\"qr\"").count() == 1,
        "{text}"
    );
    assert!(!text.contains("<b>Anker"), "{text}");
    let cookie = match &admin {
        As::Cookie(cookie) => cookie.clone(),
        _ => String::new(),
    };
    site.sees(on_the_access_point(Purpose::Setup, Reason::Unclaimed));
    let (status, headers, _) = told(site.form("/setup/network/own", &[]).header("cookie", &cookie)).await;
    assert_eq!((status, location(&headers)), (303, "/setup/destination"));
    site.network.made.set("k7Qm2xWp9d".into()).unwrap();
    let (_, headers, text) = site.look_with("/setup/poster", &admin, &[("accept-encoding", "gzip")]).await;
    assert!(
        text.contains("Motherstream-0A1C") && text.contains("k7Qm2xWp9d") && text.matches("class=\"qr\"").count() == 2,
        "{text}"
    );
    assert!(text.contains("http://4.3.2.1:") && !headers.contains_key("content-encoding"), "{text}");
    // Nobody but admins is told.
    let (_, streamer) = site.streamer("Bo").await;
    assert_eq!(site.look("/setup/poster", &streamer).await.0, 403);
    site.end().await;
}

#[tokio::test]
async fn page_of_the_network_shows_how_it_does_and_its_forms_do_what_they_say() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[]).await;
    let mut heard = site.network.carried_out();
    let (_, admin) = site.admin("Ada").await;
    let (_, operator) = site.operator("Opa").await;
    assert_eq!(site.look("/admin/network", &operator).await.0, 403);
    let (_, _, text) = site.look("/admin/network", &admin).await;
    assert!(text.contains("network is its own") && !text.contains("/admin/network/join"), "{text}");
    site.sees(seen(vec![cable(Internet::Full), radio(Some("Campus"), Internet::Limited)]));
    let (_, _, text) = site.look("/admin/network", &admin).await;
    for words in [
        "192.168.1.7",
        "1000 Mbit/s",
        "Wi-Fi Campus",
        "Good (71 %), 2.4 GHz",
        "No internet",
        "DC:A6:32:00:0A:1B",
        "Forget",
        "comes up by itself",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("<guests>") && text.contains("?ssid=Caf%C3%A9+%3Cguests%3E#join"), "{text}");
    let (_, _, text) = site.look("/admin/network?ssid=Venue", &admin).await;
    assert!(text.contains("name=\"ssid\" type=\"text\" value=\"Venue\""), "{text}");

    let join = |ssid: &'static str, password: &'static str| {
        [("ssid", ssid), ("password", password), ("identity", ""), ("server", "")]
    };
    site.does(&admin, "/admin/network/join", &join("Venue", "sword fish"), "/admin/network", "joining Venue").await;
    assert_eq!(next(&mut heard).await, "join Venue with a password");
    site.does(&admin, "/admin/network/forget", &[("ssid", "Campus")], "/admin/network", "Campus is forgotten").await;
    assert_eq!(next(&mut heard).await, "forget Campus");
    site.does(&admin, "/admin/network/hotspot", &[("on", "true")], "/admin/network", "comes in a moment").await;
    assert_eq!(next(&mut heard).await, "access point up");
    let fixed =
        [("interface", "eth0"), ("address", "192.168.1.9/24"), ("gateway", "192.168.1.1"), ("dns", "9.9.9.9, 1.1.1.1")];
    site.does(&admin, "/admin/network/address", &fixed, "/admin/network", "being tried for a minute").await;
    assert_eq!(
        next(&mut heard).await,
        "eth0: Fixed { address: 192.168.1.9/24, gateway: Some(192.168.1.1), dns: [9.9.9.9, 1.1.1.1] }"
    );
    let As::Cookie(cookie) = &admin else { unreachable!("signed in") };
    let wrong = [("interface", "wlan0"), ("address", "10.0.0.7"), ("gateway", "10.0.0.1"), ("dns", "")];
    let (status, _, text) = told(site.form("/admin/network/address", &wrong).header("cookie", cookie)).await;
    assert!(status == 422 && text.contains("id=\"address-2-wrong\"") && text.contains("value=\"10.0.0.7\""), "{text}");
    assert!(!text.contains("id=\"address-1-wrong\""));

    // What is tried is kept or taken back.
    let until_ms = 90_000;
    let trial = Some(Trial { what: "192.168.1.9/24 on the cable".to_owned(), until_ms });
    site.sees(Snapshot { trial, ..seen(vec![cable(Internet::Full)]) });
    let (_, _, text) = site.look("/admin/network", &admin).await;
    assert!(
        text.contains("192.168.1.9/24 on the cable is being tried") && text.contains("data-ends=\"90000\""),
        "{text}"
    );
    site.does(&admin, "/admin/network/trial", &[("keep", "true")], "/admin/network", "It is kept").await;
    assert_eq!(next(&mut heard).await, "confirm true");
    site.does(&admin, "/admin/network/trial", &[("keep", "false")], "/admin/network", "taken back").await;
    assert_eq!(next(&mut heard).await, "confirm false");
    site.end().await;
}

#[tokio::test]
async fn crew_is_told_on_every_page_what_is_wrong_with_the_network() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    let (_, operator) = site.operator("Opa").await;
    let (_, streamer) = site.streamer("Bo").await;
    site.sees(seen(vec![radio(None, Internet::None)]));
    let words = "No network: no cable is plugged in, and no Wi-Fi is joined.";
    for (path, who) in [
        ("/admin", &operator),
        ("/admin/destinations", &operator),
        ("/admin/system", &operator),
        ("/admin/settings", &admin),
        ("/admin/network", &admin),
    ] {
        assert_eq!(site.look(path, who).await.2.matches(words).count(), 1, "{path}");
    }
    assert!(!site.look("/me", &streamer).await.2.contains(words));
    let console = site.get("/api/v1/console", &As::Machine).await;
    assert!(console.is(200).body["troubles"].to_string().contains(words), "{console:?}");
    site.sees(seen(vec![cable(Internet::Full)]));
    assert!(!site.look("/admin", &operator).await.2.contains("No network"));
    site.end().await;
}

#[tokio::test]
async fn whoever_would_lose_the_box_by_a_button_is_told_before_or_kept_from_it() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[]).await;
    let mut heard = site.network.carried_out();
    let (_, admin) = site.admin("Ada").await;
    site.sees(seen(vec![radio(Some("Campus"), Internet::Full)]));
    let (_, _, text) = site.look("/admin/network", &admin).await;
    assert!(text.contains("Motherstream-0A1C comes up within 2 min"), "{text}");
    assert!(text.contains("for its own Wi-Fi it leaves the Wi-Fi Campus"), "{text}");
    // With a cable neither is so.
    site.sees(seen(vec![cable(Internet::Full), radio(Some("Campus"), Internet::Full)]));
    let (_, _, text) = site.look("/admin/network", &admin).await;
    assert!(!text.contains("comes up within"), "{text}");
    site.sees(seen(vec![radio(Some("Campus"), Internet::Full)]));
    site.patch("/api/v1/settings", &As::Token, json!({"network.hotspot": "off"})).await.is(200);
    let refused = site.delete("/api/v1/network/wifi?ssid=Campus", &As::Token).await;
    assert!(refused.is(409).body.to_string().contains("plug a cable in"), "{refused:?}");
    site.sees(seen(vec![cable(Internet::Full), radio(Some("Campus"), Internet::Full)]));
    site.delete("/api/v1/network/wifi?ssid=Campus", &As::Token).await.is(204);
    assert_eq!(next(&mut heard).await, "forget Campus");
    site.end().await;
}
