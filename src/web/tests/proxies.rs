//! A proxy before the page: one that says nothing, one that is named, one that is not; and a shared address in general.

use tokio::{io::copy_bidirectional, net::TcpStream};

use super::*;

/// Passes bytes on to the site, and adds nothing.
async fn forwarder(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

/// All cookies that an answer sets, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").into_iter();
    set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
}

fn device(answer: &Answer) -> String {
    let all = cookies(answer);
    all.split("; ").find(|cookie| cookie.contains("motherstream_device=")).expect("a device's cookie").to_owned()
}

impl Site {
    /// Signs in with what a browser brings.
    async fn enters(&self, name: &str, password: &str, cookie: &str) -> Answer {
        let request = self.request(Method::POST, "/api/v1/session", &As::Cookie(cookie.to_owned()));
        answer(request.json(&json!({"name": name, "password": password}))).await
    }

    /// Guesses until the address has used up what it may.
    async fn is_guessed_at(&self, name: &str) {
        for _ in 0..30 {
            if self.enters(name, "a guess, no more", "").await.status == 429 {
                return;
            }
        }
        panic!("guesses have no end");
    }
}

#[tokio::test]
async fn stranger_behind_a_forwarder_that_adds_no_header_gets_neither_the_setup_code_nor_health() {
    let folder = folder();
    let settings = [("ADMIN__TOKEN", ""), ("WEB__PUBLIC_HOST", "stream.venue.example")];
    let site = Site::start(folder.path(), &settings).await;
    let code = site.state.accounts.setup_code().unwrap();
    let code = secrecy::ExposeSecret::expose_secret(&code);
    let proxy = forwarder(site.address).await;
    for path in ["/api/v1/console", "/healthz", "/readyz", "/metrics", "/setup", "/"] {
        let request = site.client.get(format!("http://{proxy}{path}")).header("host", "stream.venue.example");
        let told = answer(request).await;
        assert_eq!(told.status, if path.len() < 7 { 200 } else { 401 }, "{path}: {told:?}");
        assert!(!told.body.to_string().contains(code), "{path} tells the setup code: {told:?}");
    }
    // Nor on this machine without its key.
    site.get("/api/v1/console", &As::Nobody).await.is(401);
    assert_eq!(site.get("/api/v1/console", &As::Machine).await.is(200).body["setup_code"], code);
    site.end().await;
}

#[tokio::test]
async fn visitors_of_a_named_proxy_have_limits_of_their_own_and_those_of_another_share_one() {
    for (named, limited) in [("[\"127.0.0.0/8\"]", false), ("[\"10.0.0.1\"]", true)] {
        let folder = folder();
        let site = Site::start(folder.path(), &[("WEB__TRUSTED_PROXIES", named)]).await;
        let mut refused = 0;
        for guest in 0..25 {
            // Refused for its name: the attempt counts, and no password is hashed.
            let request = site.request(Method::POST, "/api/v1/accounts", &As::Nobody);
            let request = request.header("x-forwarded-for", format!("198.51.100.7, 203.0.113.{guest}"));
            let made = answer(request.json(&json!({"name": "x", "password": PASSWORD}))).await;
            refused += u32::from(made.status == 429);
        }
        assert_eq!(refused > 0, limited, "{named}: {refused}");
        site.end().await;
    }
}

#[tokio::test]
async fn page_behind_a_named_proxy_that_encrypts_has_careful_cookies_and_links_of_https() {
    let folder = folder();
    let settings = [("WEB__TRUSTED_PROXIES", "[\"127.0.0.1\"]"), ("WEB__HOSTS", "[\"stage.example\"]")];
    let site = Site::start(folder.path(), &settings).await;
    let (id, _) = site.admin("Ada").await;
    let by_proxy = |method: Method, path: &str, scheme: &str| {
        let request = site.request(method, path, &As::Nobody).header("host", "stage.example");
        request.header("x-forwarded-for", "203.0.113.9").header("x-forwarded-proto", scheme.to_owned())
    };
    let credentials = json!({"name": "Ada", "password": PASSWORD});
    let entered = answer(by_proxy(Method::POST, "/api/v1/session", "https").json(&credentials)).await;
    for cookie in entered.is(200).headers.get_all("set-cookie") {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("__Host-motherstream") && cookie.contains("Secure"), "{cookie}");
    }
    let session = cookies(&entered);
    let link = |scheme| by_proxy(Method::POST, &format!("/api/v1/accounts/{}/reset-link", id.0), scheme);
    let made = answer(link("https").header("cookie", &session).json(&json!({}))).await;
    assert!(made.body["url"].as_str().unwrap().starts_with("https://stage.example/reset/"), "{made:?}");
    // Where it went in the clear, that cookie is none.
    answer(link("http").header("cookie", &session).json(&json!({}))).await.is(401);
    let rows = site.get("/api/v1/audit", &As::Token).await.body;
    let addresses: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["address"].clone()).collect();
    assert!(addresses.contains(&json!("203.0.113.9")), "{addresses:?}");

    // What another site's page makes a browser send through the proxy stays refused, whatever it adds.
    let foreign = site.request(Method::GET, "/", &As::Nobody).header("host", "evil.example");
    answer(foreign.header("x-forwarded-host", "stage.example")).await.is(421);
    let foreign = site.request(Method::GET, "/", &As::Nobody).header("x-forwarded-host", "evil.example");
    answer(foreign).await.is(421);
    site.end().await;
}

#[tokio::test]
async fn device_on_which_somebody_signed_in_before_is_let_in_although_others_guess_from_the_same_address() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let id = site.account("Ada").await;
    site.account("Bob").await;
    let first = site.enters("Ada", PASSWORD, "").await;
    let ada = device(first.is(200));
    let set = first.headers.get_all("set-cookie").iter().next_back().unwrap().to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Max-Age=34560000"), "{set}");
    let elsewhere = device(site.enters("Ada", PASSWORD, "").await.is(200));
    let both = device(site.enters("Bob", PASSWORD, &ada).await.is(200));
    let bob = device(site.enters("Bob", PASSWORD, "").await.is(200));
    site.is_guessed_at("Ada").await;

    site.enters("Ada", PASSWORD, "").await.is(429);
    site.enters("Ada", PASSWORD, &bob).await.is(429);
    site.enters("Ada", PASSWORD, "motherstream_device=AAAA.BBBB").await.is(429);
    site.enters("Ada", PASSWORD, &both).await.is(200);
    site.enters("Ada", PASSWORD, &ada).await.is(200);
    // It opens nothing by itself, and the password is guessed there no more than elsewhere.
    site.get("/api/v1/me", &As::Cookie(ada.clone())).await.is(401);
    let mut guesses = 0;
    while site.enters("Ada", "a guess, no more", &ada).await.status != 429 {
        guesses += 1;
        assert!(guesses < 30, "guesses on a device have no end");
    }
    site.enters("Ada", PASSWORD, &ada).await.is(429);
    site.enters("Ada", PASSWORD, &elsewhere).await.is(200);

    // Another password, and it says nothing any more.
    let path = format!("/api/v1/accounts/{}", id.0);
    site.patch(&path, &As::Token, json!({"password": "a new password"})).await.is(200);
    site.is_guessed_at("Ada").await;
    site.enters("Ada", "a new password", &both).await.is(429);
    site.end().await;
}

#[tokio::test]
async fn page_s_form_remembers_the_device_too_and_a_registration_by_the_api_does_not() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let made = site.post("/api/v1/accounts", &As::Nobody, json!({"name": "Ada", "password": PASSWORD})).await;
    assert_eq!(cookies(made.is(201)), "");
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = "name=Ada&password=correct+horse";
    let entered = client
        .post(format!("http://{}/login", site.address))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let entered = answer(entered).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    site.is_guessed_at("Ada").await;
    site.enters("Ada", PASSWORD, &device(&entered)).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn link_and_key_that_are_right_are_taken_although_others_guess_from_the_same_address() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let id = site.account("Ada").await;
    let made = site.post(&format!("/api/v1/accounts/{}/reset-link", id.0), &As::Token, json!({})).await;
    let url = made.is(201).body["url"].as_str().unwrap().to_owned();
    let path = url.splitn(4, '/').last().unwrap().to_owned();
    site.is_guessed_at("Ada").await;
    site.get("/reset/0123456789", &As::Nobody).await.is(429);
    assert_eq!(site.get(&format!("/{path}"), &As::Nobody).await.status, 200);
    site.end().await;
}

#[tokio::test]
async fn live_parts_ask_a_proxy_to_pass_them_on_as_they_come() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for path in ["/api/v1/events", "/live/overlay"] {
        let stream = site.request(Method::GET, path, &As::Nobody).send().await.unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        assert_eq!(stream.headers()["x-accel-buffering"], "no", "{path}");
    }
    let page = site.get("/", &As::Nobody).await;
    assert!(!page.headers.contains_key("x-accel-buffering"));
    site.end().await;
}
