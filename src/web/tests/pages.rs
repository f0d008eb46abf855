//! The page as browsers see it.

use std::{fs, path::PathBuf, time::Duration};

use super::*;
use crate::{
    control::testing::{cable, radio, seen},
    network::Internet,
};

pub(super) const NAME: &str = "<script>x</script>";

/// What a browser says when somebody follows a link.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

impl Site {
    pub(super) async fn look(&self, path: &str, who: &As) -> (u16, HeaderMap, String) {
        self.look_with(path, who, &[]).await
    }

    pub(super) async fn look_with(&self, path: &str, who: &As, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let mut request = self.request(Method::GET, path, who).header("accept", BROWSER);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        told(request).await
    }

    /// A form, as a browser sends it from the box's own page.
    pub(super) fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::without_redirects()
            .post(format!("http://{}{path}", self.address))
            .header("accept", BROWSER)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    pub(super) fn without_redirects() -> reqwest::Client {
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
    }

    /// Somebody with a name that is HTML waits in the queue.
    pub(super) async fn somebody_waits(&self) {
        let id = self.account(NAME).await;
        assert!(self.publish(id, "one").await);
    }
}

pub(super) async fn told(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

#[tokio::test]
async fn pages_are_html_under_the_strict_policy() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("VENUE__NAME", "Zum <b>Anker</b>")]).await;
    for path in ["/", "/queue-list", "/timer-page", "/now-page?size=40&colour=%22%3E%3Cscript%3E"] {
        let (status, headers, text) = site.look(path, &As::Nobody).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        // What has neither sign-in nor controls may stand on another site's page.
        let frames = if path == "/" { "frame-ancestors 'none'" } else { "frame-ancestors *" };
        for rule in ["default-src 'none'", "script-src 'self'", frames, "form-action 'self'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(!text.contains("<b>Anker") && text.contains("Anker"), "{path}");
        assert!(!text.contains("\"><script>"), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn names_are_text_wherever_they_stand() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.somebody_waits().await;
    let session = site.session(NAME).await;
    for (path, who) in [("/", &session), ("/", &As::Nobody), ("/queue-list", &As::Nobody)] {
        let (_, _, text) = site.look(path, who).await;
        assert!(text.contains("script&#62;x") || text.contains("script&gt;x"), "{path}: {text}");
        assert!(!text.contains("<script>x"), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn assets_are_kept_for_a_year_under_their_hash_and_not_at_all_under_another() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, _, page) = site.look("/", &As::Nobody).await;
    let mut paths: Vec<_> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    paths.sort_unstable();
    paths.dedup();
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        let path = path.split('#').next().unwrap();
        let (status, headers, _) = site.look_with(path, &As::Nobody, &[("accept-encoding", "gzip, deflate")]).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable", "{path}");
        let old = format!("/assets/000000000000/{}", path.rsplit('/').next().unwrap());
        let (status, headers, _) = site.look(&old, &As::Nobody).await;
        assert_eq!((status, headers["cache-control"].to_str().unwrap()), (200, "no-store"), "{old}");
    }
    let (status, ..) = site.look("/assets/000000000000/../../Cargo.toml", &As::Nobody).await;
    assert_eq!(status, 404);
    site.end().await;
}

#[tokio::test]
async fn first_look_weighs_less_than_100_kilobytes() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let gzip = [("accept-encoding", "gzip")];
    let length = |headers: &HeaderMap| headers["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    let (_, headers, _) = site.look_with("/", &As::Nobody, &gzip).await;
    let mut bytes = length(&headers);
    let (_, _, page) = site.look("/", &As::Nobody).await;
    let mut paths: Vec<_> =
        page.split('"').filter(|part| part.starts_with("/assets/")).filter_map(|path| path.split('#').next()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let (_, headers, _) = site.look_with(path, &As::Nobody, &gzip).await;
        bytes += length(&headers);
    }
    assert!(bytes < 100_000, "{bytes} bytes");
    site.end().await;
}

#[tokio::test]
async fn errors_are_pages_for_people_messages_for_htmx_and_problems_for_programs() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (status, headers, text) = site.look("/nowhere?x=<script>", &As::Nobody).await;
    assert_eq!(status, 404);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    assert!(text.contains("<main") && !text.contains("<script>"), "{text}");

    let (status, headers, text) = site.look_with("/nowhere", &As::Nobody, &[("hx-request", "true")]).await;
    assert_eq!((status, headers["hx-reswap"].to_str().unwrap()), (404, "none"));
    assert!(text.contains("hx-swap-oob") && !text.contains("<html"), "{text}");

    let (status, headers, _) = site.look("/api/v1/nowhere", &As::Nobody).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (404, "application/problem+json"));
    site.get("/nowhere", &As::Nobody).await.is(404);
    site.end().await;
}

#[tokio::test]
async fn form_of_another_sites_page_is_refused_and_of_our_own_is_taken() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let own = format!("http://{}", site.address);
    for (headers, status) in [
        // A browser on plain HTTP sends Origin with each POST; one on localhost or HTTPS, Sec-Fetch-Site as well.
        (vec![("origin", own.as_str())], 303),
        (vec![("origin", own.as_str()), ("sec-fetch-site", "same-origin")], 303),
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", own.as_str()), ("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        // Neither: no browser of the last years sends a form like this; a script does, and it brings its own credentials.
        (vec![], 303),
    ] {
        let mut request = site.form("/theme", &[("theme", "dark"), ("back", "/queue-list")]);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let (answered, answer, _) = told(request).await;
        assert_eq!(answered, status, "{headers:?}");
        assert_eq!(answer.contains_key("set-cookie"), status == 303, "{headers:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn theme_is_remembered_and_leads_back_to_this_box_only() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for (back, to) in [("/queue-list", "/queue-list"), ("//evil.example", "/"), ("http://evil.example", "/")] {
        let (status, headers, _) = told(site.form("/theme", &[("theme", "light"), ("back", back)])).await;
        assert_eq!((status, headers["location"].to_str().unwrap()), (303, to));
        let cookie = headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
        let (_, _, text) = site.look_with("/", &As::Nobody, &[("cookie", cookie)]).await;
        assert!(text.contains("data-theme=\"light\""));
    }
    let (status, headers, _) = told(site.form("/theme", &[("theme", "dark")]).header("hx-request", "true")).await;
    assert_eq!((status, headers["hx-redirect"].to_str().unwrap()), (200, "/"));
    let (status, ..) = told(site.form("/theme", &[("theme", "\"><script>")])).await;
    assert_eq!(status, 422);
    site.end().await;
}

/// Listens to a live stream.
pub(super) struct Ear {
    response: reqwest::Response,
    heard: String,
}

impl Ear {
    async fn at(site: &Site, path: &str) -> Self {
        Self::as_who(site, path, &As::Nobody).await
    }

    pub(super) async fn as_who(site: &Site, path: &str, who: &As) -> Self {
        let response = site.request(Method::GET, path, who).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, heard: String::new() }
    }

    /// The next event of this name, with its data.
    pub(super) async fn hears(&mut self, name: &str) -> String {
        let head = format!("event: {name}\n");
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let found = event.strip_prefix(&head).map(str::to_owned);
                self.heard = rest.to_owned();
                if let Some(found) = found {
                    return found;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(5), self.response.chunk());
            let chunk = chunk.await.unwrap_or_else(|_| panic!("{name} is not heard")).unwrap().unwrap();
            self.heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// That the stream ends, and what was said until then.
    pub(super) async fn until_the_end(mut self) -> String {
        let end = tokio::time::timeout(Duration::from_secs(5), async {
            while let Ok(Some(chunk)) = self.response.chunk().await {
                self.heard.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        });
        assert!(end.await.is_ok(), "the stream goes on");
        self.heard
    }

    /// That no event comes for a while.
    async fn hears_nothing(&mut self) {
        assert_eq!(self.heard, "");
        let chunk = tokio::time::timeout(Duration::from_millis(600), self.response.chunk()).await;
        assert!(chunk.is_err(), "{chunk:?}");
    }
}

#[tokio::test]
async fn live_part_is_sent_when_it_changed_and_not_otherwise() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut ear = Ear::at(&site, "/live/room").await;
    let beat = ear.hears("beat").await;
    assert_eq!(beat.split_whitespace().count(), 3, "{beat}");
    assert!(ear.hears("stage").await.contains("The stage is free"));
    ear.hears("queue").await;
    ear.hears_nothing().await;

    site.somebody_waits().await;
    let queue = ear.hears("queue").await;
    assert!(queue.contains("script") && !queue.contains("<script"), "{queue}");
    // The stage is as it was, and nobody is told of it again.
    ear.hears_nothing().await;

    // A change that the room does not see.
    site.put("/api/v1/block", &As::Token, json!({"on": true})).await.is(200);
    ear.hears_nothing().await;
    site.end().await;
}

#[tokio::test]
async fn everybody_hears_the_same_and_latecomers_hear_what_is_true_now() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut first = Ear::at(&site, "/live/room").await;
    let before = first.hears("queue").await;
    drop(first);
    site.somebody_waits().await;
    let (mut one, mut two) = (Ear::at(&site, "/live/room").await, Ear::at(&site, "/live/room").await);
    // The change may be on its way still when they come.
    let mut now = one.hears("queue").await;
    while now == before {
        now = one.hears("queue").await;
    }
    while two.hears("queue").await != now {}
    let mut overlay = Ear::at(&site, "/live/overlay").await;
    while !overlay.hears("queue").await.contains("script") {}
    site.end().await;
}

#[tokio::test]
async fn live_streams_end_when_the_box_stops() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut ear = Ear::at(&site, "/live/room").await;
    ear.hears("queue").await;
    let end = tokio::time::timeout(Duration::from_secs(2), async {
        site.end().await;
        while let Ok(Some(_)) = ear.response.chunk().await {}
    });
    assert!(end.await.is_ok());
}

fn web(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(folder)
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn templates() -> Vec<(String, String)> {
    files(&web("templates"))
        .into_iter()
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn no_template_has_anything_that_the_policy_forbids() {
    for (name, text) in templates() {
        for tag in text.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap().to_ascii_lowercase();
            assert!(!tag.starts_with("style"), "{name}: <{tag}>");
            assert!(!tag.starts_with("script") || tag.contains(" src="), "{name}: <{tag}>");
            assert!(!tag.starts_with("base"), "{name}: <{tag}>");
            let attributes = tag.split_ascii_whitespace().skip(1);
            // Words of a text within quotes are not attributes.
            for attribute in attributes.filter(|part| part.contains('=')) {
                let attribute = attribute.split('=').next().unwrap();
                assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: <{tag}>");
                assert!(!attribute.starts_with("hx-on") && attribute != "hx-vars", "{name}: <{tag}>");
            }
            assert!(!tag.contains("javascript:") && !tag.contains("js:"), "{name}: <{tag}>");
            assert!(!tag.contains("http://") && !tag.contains("https://"), "{name} loads from elsewhere: <{tag}>");
        }
    }
}

#[test]
fn every_asset_and_icon_that_a_template_names_is_there() {
    let sprite = fs::read_to_string(web("assets/icons.svg")).unwrap();
    for (name, text) in templates() {
        for asset in text.split("assets::url(\"").skip(1) {
            let asset = asset.split('"').next().unwrap();
            assert!(page::assets::exists(asset), "{name}: {asset}");
        }
        for icon in text.split("ui::icon(\"").skip(1) {
            let icon = icon.split('"').next().unwrap();
            assert!(sprite.contains(&format!("<symbol id=\"{icon}\"")), "{name}: {icon}");
        }
    }
}

#[test]
fn fields_of_forms_are_written_by_their_macros_alone() {
    let (macros, others): (Vec<_>, Vec<_>) =
        templates().into_iter().partition(|(name, _)| name.ends_with("parts/form.html"));
    for piece in
        ["<div class=\"field\">", "<p class=\"hint\" id=\"", "<p class=\"wrong\"", " aria-invalid=\"true\"", "-wrong\""]
    {
        assert!(macros.iter().any(|(_, text)| text.contains(piece)), "the macros write {piece} no longer");
        for (name, text) in &others {
            assert!(!text.contains(piece), "{name} writes {piece} by hand: call what parts/form.html has");
        }
    }
}

/// The values of an attribute on a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn fields_are_labelled_and_described_by_what_is_on_the_page() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "open")]).await;
    let (_, admin) = site.admin("Root").await;
    site.sees(seen(vec![cable(Internet::Full), radio(None, Internet::None)]));
    let mut pages = Vec::new();
    for (path, who) in [
        ("/register", &As::Nobody),
        ("/login", &As::Nobody),
        ("/me", &admin),
        ("/admin/destinations/new?platform=custom", &admin),
        ("/admin/invitations", &admin),
        ("/admin/obs", &admin),
        ("/admin/network", &admin),
        ("/setup/venue", &admin),
        ("/setup/network?ssid=Venue", &admin),
        ("/setup/network?other=1", &admin),
        ("/setup/destination?platform=custom", &admin),
        ("/setup/streamers", &admin),
        ("/admin/people/new", &admin),
        ("/admin/settings", &admin),
        ("/admin/system", &admin),
    ] {
        let (status, _, text) = site.look(path, who).await;
        assert_eq!(status, 200, "{path}");
        pages.push((path, None, text));
    }
    let zone = [("section", "venue"), ("venue.name", "Anker"), ("venue.timezone", "Nowhere/Land")];
    for (path, who, fields, blamed) in [
        ("/register", &As::Nobody, &[("name", "Ada"), ("password", "short")][..], "password"),
        ("/me/password", &admin, &[("current_password", "not this one"), ("password", PASSWORD)], "current-password"),
        ("/admin/invitations", &admin, &[("label", "Crew"), ("uses", "0"), ("days", "7")], "uses"),
        ("/admin/obs/connection", &admin, &[("host", "a b"), ("port", ""), ("password", "")], "obs-host"),
        ("/admin/settings", &admin, &zone, "venue-timezone"),
        ("/admin/viewers", &admin, &[("label", "")], "viewer"),
    ] {
        let sent = site.sends(who, path, fields, false).await;
        assert_eq!(sent.status, 422, "{path}");
        pages.push((path, Some(blamed), sent.text));
    }
    for (path, blamed, text) in pages {
        let ids = values(&text, "id");
        let labelled = values(&text, "for");
        let described: Vec<_> = values(&text, "aria-describedby").join(" ").split(' ').map(str::to_owned).collect();
        assert!(!labelled.is_empty(), "{path}");
        for id in labelled.into_iter().chain(described.iter().map(String::as_str)).filter(|id| !id.is_empty()) {
            assert_eq!(ids.iter().filter(|there| **there == id).count(), 1, "{path}: {id}");
        }
        // What is wrong is told at its field, and at no other.
        let wrong: Vec<_> = described.iter().filter_map(|id| id.strip_suffix("-wrong")).collect();
        assert_eq!(wrong, blamed.into_iter().collect::<Vec<_>>(), "{path}");
        assert_eq!(values(&text, "aria-invalid").len(), wrong.len(), "{path}");
    }
    site.end().await;
}

#[test]
fn everything_vendored_has_its_licence_and_version() {
    let mut folders = 0;
    for entry in fs::read_dir(web("vendor")).unwrap() {
        let folder = entry.unwrap().path();
        folders += 1;
        for file in ["LICENSE", "VERSION"] {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            assert!(!text.trim().is_empty(), "{} lacks {file}", folder.display());
        }
    }
    assert!(folders >= 4);
}

#[test]
fn nothing_of_the_page_is_loaded_from_elsewhere() {
    for path in files(&web("assets")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{}", path.display());
        assert!(!text.contains("@import") && !text.contains("url(//"), "{}", path.display());
    }
}

#[tokio::test]
async fn picture_is_offered_only_to_whom_it_is_shown() {
    for (open, offered) in [("false", false), ("true", true)] {
        let folder = folder();
        let site = Site::start(folder.path(), &[("WEB__OPEN_PREVIEW", open)]).await;
        let (_, _, text) = site.look("/", &As::Nobody).await;
        assert_eq!(text.contains("/picture/program.jpg"), offered, "open_preview = {open}");
    }
}
