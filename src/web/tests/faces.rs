//! One engine, many faces: what is ordered by one of them is shown by all of them within a second, and by nothing else than the order.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{pages::Ear, *};
use crate::{
    control::testing::Camera,
    core::destination::{DestinationId, DestinationState},
};

/// So soon after an order's answer every face shows what it did.
const SOON: Duration = Duration::from_secs(1);

/// So long may it take until somebody is on air, which is nothing that these tests judge.
const ON_AIR: Duration = Duration::from_secs(10);

/// A face that is open already while something changes.
struct Open {
    path: &'static str,
    part: &'static str,
    ear: Ear,
}

impl Open {
    async fn at(site: &Site, path: &'static str, part: &'static str, who: &As) -> Self {
        Self { path, part, ear: Ear::as_who(site, path, who).await }
    }

    /// That the part says so by then.
    async fn says(&mut self, by: Instant, so: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let heard = async {
            while !so(&last) {
                last = self.ear.hears(self.part).await;
            }
        };
        let in_time = timeout_at(by, heard).await.is_ok();
        assert!(in_time, "{} of {} said last: {last}", self.part, self.path);
    }
}

async fn all_say(open: &mut [Open], by: Instant, so: impl Fn(&str) -> bool) {
    for open in open {
        open.says(by, &so).await;
    }
}

/// That it is so by then.
async fn by_then(by: Instant, what: &str, so: impl AsyncFn() -> bool) {
    let seen = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout_at(by, seen).await.is_ok(), "not in time: {what}");
}

#[tokio::test]
async fn new_name_of_who_is_on_air_is_on_every_face_within_a_second_whoever_gave_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let (id, own) = site.streamer("Ada").await;
    assert!(site.publish(id, "one").await);
    let _camera = Camera::start(&site.state, "one").await;
    let mut stage = site.stage.clone();
    let on_air = stage.wait_for(|stage| stage.streamer.as_deref() == Some("Ada"));
    assert!(tokio::time::timeout(ON_AIR, on_air).await.is_ok(), "not on air");

    let mut open = [
        Open::at(&site, "/live/room", "stage", &As::Nobody).await,
        Open::at(&site, "/live/overlay", "queue", &As::Nobody).await,
        Open::at(&site, "/live/overlay", "now", &As::Nobody).await,
        Open::at(&site, "/live/admin", "air", &operator).await,
        Open::at(&site, "/api/v1/events", "queue", &As::Nobody).await,
        Open::at(&site, "/api/v1/events", "queue", &operator).await,
    ];
    let account = format!("/api/v1/accounts/{}", id.0);
    for (path, who, name) in [(account.as_str(), &As::Token, "Bea"), ("/api/v1/me", &own, "Cleo")] {
        site.patch(path, who, json!({"name": name})).await.is(200);
        let by = Instant::now() + SOON;
        all_say(&mut open, by, |said| said.contains(name)).await;
        let shown = timeout_at(by, stage.wait_for(|stage| stage.streamer.as_deref() == Some(name))).await;
        assert!(shown.is_ok_and(|stage| stage.is_ok()), "OBS is not told of {name}");
        by_then(by, "/queue-json", async || site.get("/queue-json", &As::Nobody).await.body == json!([name])).await;
        by_then(by, "/api/v1/queue", async || {
            site.get("/api/v1/queue", &As::Nobody).await.body["on_air"]["entry"]["name"] == name
        })
        .await;
    }
    site.end().await;
}

#[tokio::test]
async fn streamer_under_the_slate_is_not_told_that_the_room_sees_them() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, own) = site.streamer("Ada").await;
    assert!(site.publish(id, "one").await);
    let _camera = Camera::start(&site.state, "one").await;
    let by = Instant::now() + ON_AIR;
    let says = async |by, words: &str| {
        by_then(by, words, async || site.look("/me", &own).await.2.contains(words)).await;
    };
    says(by, "The room sees you").await;
    site.post("/api/v1/queue/slate", &As::Token, json!({"on": true})).await.is(204);
    says(Instant::now() + SOON, "nobody sees or hears you").await;
    assert!(!site.look("/me", &own).await.2.contains("The room sees you"));
    site.post("/api/v1/queue/slate", &As::Token, json!({"on": false})).await.is(204);
    says(Instant::now() + SOON, "The room sees you").await;
    site.end().await;
}

#[tokio::test]
async fn name_that_is_written_from_right_to_left_keeps_to_itself() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let name = "\u{5d3}\u{5e0}\u{5d4}";
    let id = site.account(name).await;
    assert!(site.publish(id, "one").await);
    for (path, who) in [("/", &As::Nobody), ("/queue-list", &As::Nobody), ("/admin", &operator)] {
        let by = Instant::now() + ON_AIR;
        by_then(by, path, async || site.look(path, who).await.2.contains(&format!(" dir=\"auto\">{name}<"))).await;
    }
    site.end().await;
}

#[tokio::test]
async fn new_name_of_who_waits_is_on_every_face_within_a_second() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let id = site.account("Ada").await;
    assert!(site.publish(id, "one").await);
    let mut open = [
        Open::at(&site, "/live/room", "queue", &As::Nobody).await,
        Open::at(&site, "/live/overlay", "queue", &As::Nobody).await,
        Open::at(&site, "/live/admin", "waiting", &operator).await,
        Open::at(&site, "/api/v1/events", "queue", &As::Nobody).await,
    ];
    all_say(&mut open, Instant::now() + ON_AIR, |said| said.contains("Ada")).await;
    site.patch(&format!("/api/v1/accounts/{}", id.0), &As::Token, json!({"name": "Bea"})).await.is(200);
    let by = Instant::now() + SOON;
    all_say(&mut open, by, |said| said.contains("Bea") && !said.contains("Ada")).await;
    by_then(by, "/queue-json", async || site.get("/queue-json", &As::Nobody).await.body == json!(["Bea"])).await;
    site.end().await;
}

#[tokio::test]
async fn registration_is_open_or_closed_on_open_pages_and_new_ones_whoever_switched_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let mut room = Open::at(&site, "/live/room", "stage", &As::Nobody).await;
    let mut around = [
        Open::at(&site, "/live/room", "registration", &As::Nobody).await,
        Open::at(&site, "/live/admin", "registration", &admin).await,
    ];
    room.says(Instant::now() + SOON, |stage| stage.contains("Take the stage")).await;
    let api = async |policy: &str| {
        site.patch("/api/v1/settings", &As::Token, json!({"accounts.registration": policy})).await.is(200);
    };
    let form = async |policy: &str| {
        let fields = [("section", "accounts"), ("accounts.registration", policy), ("accounts.most", "10000")];
        assert_eq!(site.sends(&admin, "/admin/settings", &fields, false).await.status, 303, "{policy}");
    };
    for (by_form, policy, open) in [
        (false, "closed", false),
        (false, "open", true),
        (true, "invite", false),
        (true, "approval", true),
        (true, "closed", false),
    ] {
        if by_form {
            form(policy).await;
        } else {
            api(policy).await;
        }
        let by = Instant::now() + SOON;
        room.says(by, |stage| stage.contains("Take the stage") == open && !stage.is_empty()).await;
        let word = if open { "data: open" } else { "data: closed" };
        all_say(&mut around, by, |said| said.contains(word)).await;
        let (_, _, page) = site.look("/", &As::Nobody).await;
        assert_eq!(page.contains("Take the stage"), open, "{policy}: {page}");
        // What `web/assets/app.js` shows and hides: the way in, and what stands in its place.
        for (shown, hidden) in [("open", !open), ("closed", open)] {
            for element in page.split(&format!("data-registration=\"{shown}\"")).skip(1) {
                assert_eq!(element.starts_with(" hidden>"), hidden, "{policy}: {shown}: {page}");
            }
        }
        let (_, _, login) = site.look("/login", &As::Nobody).await;
        assert_eq!(login.contains("New here?"), open, "{policy}: {login}");
    }
    site.end().await;
}

#[tokio::test]
async fn venues_new_name_is_on_open_pages_and_new_ones_whoever_gave_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let mut open = Vec::new();
    for (path, who) in [
        ("/live/room", &As::Nobody),
        ("/live/overlay", &As::Nobody),
        ("/live/me", &operator),
        ("/live/admin", &operator),
        ("/live/admin/destinations", &operator),
        ("/live/admin/destinations", &admin),
        ("/live/admin/obs", &admin),
    ] {
        open.push(Open::at(&site, path, "venue", who).await);
    }
    all_say(&mut open, Instant::now() + SOON, |said| said.ends_with("data: Motherstream")).await;
    // A name is text: what it would be as HTML is nobody's business.
    for (by_form, name, escaped) in
        [(false, "Blue Room", "Blue Room"), (true, "Zum <b>Anker</b>", "Zum &#60;b&#62;Anker&#60;/b&#62;")]
    {
        if by_form {
            let fields = [("section", "venue"), ("venue.name", name), ("venue.timezone", "")];
            assert_eq!(site.sends(&admin, "/admin/settings", &fields, false).await.status, 303);
        } else {
            site.patch("/api/v1/settings", &As::Token, json!({"venue.name": name})).await.is(200);
        }
        all_say(&mut open, Instant::now() + SOON, |said| said.ends_with(&format!("data: {name}"))).await;
        for (path, who) in [
            ("/", &As::Nobody),
            ("/login", &As::Nobody),
            ("/register", &As::Nobody),
            ("/queue-list", &As::Nobody),
            ("/timer-page", &As::Nobody),
            ("/now-page", &As::Nobody),
            ("/reset/nothing", &As::Nobody),
            ("/nothing-is-here", &As::Nobody),
            ("/admin/people", &operator),
            ("/me", &operator),
            ("/admin", &admin),
            ("/admin/destinations", &admin),
            ("/admin/settings", &admin),
            ("/admin/system", &admin),
        ] {
            let (_, _, page) = site.look(path, who).await;
            let title = page.split("</title>").next().unwrap();
            assert!(title.ends_with(&format!(" · {escaped}")), "{path}: {page}");
            // From this the browser knows which name it has to replace.
            assert!(title.contains(&format!("data-venue=\"{escaped}\"")), "{path}: {page}");
            assert!(!page.contains("Zum <b>"), "{path}: {page}");
        }
        let console = site.get("/api/v1/console", &As::Token).await;
        assert_eq!(console.is(200).body["venue"], name);
    }
    site.end().await;
}

/// What media was told last of a destination, as far as it can be seen without a show: whether it takes part.
fn told(site: &Site, id: DestinationId) -> Option<bool> {
    let status = site.state.media.status().borrow().clone();
    status.destinations.get(&id).map(|status| status.state != DestinationState::Disabled)
}

#[tokio::test]
async fn edited_destination_is_on_every_list_and_with_media_within_a_second_whoever_edited_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let mut open = [
        Open::at(&site, "/live/admin/destinations", "destinations", &admin).await,
        Open::at(&site, "/live/admin/destinations", "destinations", &operator).await,
        Open::at(&site, "/live/admin", "show", &operator).await,
    ];
    let listed = async || site.get("/api/v1/destinations", &As::Token).await.is(200).body.clone();
    let is_shown = async |open: &mut [Open], id: DestinationId, name: &str, enabled: bool| {
        let by = Instant::now() + SOON;
        by_then(by, "media is told", async || told(&site, id) == Some(enabled)).await;
        let (lists, show) = open.split_at_mut(2);
        let switch = format!("aria-checked=\"{enabled}\"");
        all_say(lists, by, |said| said.contains(name) && said.contains(&switch)).await;
        all_say(show, by, |said| said.contains(name) && said.contains(">Off<") != enabled).await;
        by_then(by, "the API's list", async || {
            let list = listed().await;
            let state = if enabled { "waiting_for_show" } else { "disabled" };
            list.as_array().unwrap().len() == 1
                && (&list[0]["name"], &list[0]["enabled"], &list[0]["state"])
                    == (&json!(name), &json!(enabled), &json!(state))
        })
        .await;
    };
    let input = json!({"name": "Twitch", "url": "rtmp://127.0.0.1:1/live", "key": "a-secret", "enabled": true});
    let made = site.post("/api/v1/destinations", &As::Token, input).await;
    let id = DestinationId(made.is(201).body["id"].as_u64().unwrap());
    is_shown(&mut open, id, "Twitch", true).await;
    let api = format!("/api/v1/destinations/{}", id.0);
    site.patch(&api, &As::Token, json!({"name": "Kick", "enabled": false})).await.is(200);
    is_shown(&mut open, id, "Kick", false).await;
    // Of a new name alone media has nothing to say.
    site.patch(&api, &As::Token, json!({"name": "Owncast"})).await.is(200);
    is_shown(&mut open, id, "Owncast", false).await;
    let page = format!("/admin/destinations/{}", id.0);
    let fields = [("name", "Archive"), ("url", "rtmp://127.0.0.1:1/live"), ("key", ""), ("enabled", "yes")];
    assert_eq!(site.sends(&admin, &page, &fields, false).await.status, 303);
    is_shown(&mut open, id, "Archive", true).await;
    assert_eq!(site.sends(&operator, &format!("{page}/switch"), &[("on", "false")], false).await.status, 303);
    is_shown(&mut open, id, "Archive", false).await;
    assert_eq!(site.sends(&admin, &format!("{page}/delete"), &[], false).await.status, 303);
    let by = Instant::now() + SOON;
    all_say(&mut open, by, |said| !said.is_empty() && !said.contains("Archive")).await;
    by_then(by, "media lets go", async || told(&site, id).is_none()).await;
    assert_eq!(listed().await, json!([]));
    site.end().await;
}

/// Destinations that are edited at once, beside the one that says when media has heard of all of it.
const RIVALS: usize = 7;

/// Rounds of edits between two starts.
const ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_edits_of_one_destination_at_once_end_alike_in_list_store_and_media() {
    let folder = folder();
    let mut site = Site::start(folder.path(), &[]).await;
    let make = async |name: String| {
        let input = json!({"name": name, "url": "rtmp://127.0.0.1:1/live", "key": name, "enabled": true});
        let made = site.post("/api/v1/destinations", &As::Token, input).await;
        DestinationId(made.is(201).body["id"].as_u64().unwrap())
    };
    let mut ids = Vec::new();
    for number in 0..=RIVALS {
        ids.push(make(format!("number-{number}")).await);
    }
    let last = ids.pop().unwrap();
    for start in 0..3 {
        for round in 0..ROUNDS {
            let edits = ids.iter().flat_map(|id| [(id, true), (id, false)]).map(|(id, enabled)| {
                let name = format!("{} {start} {round} {enabled}", id.0);
                let path = format!("/api/v1/destinations/{}", id.0);
                let site = &site;
                async move { site.patch(&path, &As::Token, json!({"name": name, "enabled": enabled})).await }
            });
            for edited in join_all(edits.collect::<Vec<_>>()).await {
                edited.is(200);
            }
            // Media takes orders one after another: with this one all before it are done.
            let marked = round % 2 == 1;
            let path = format!("/api/v1/destinations/{}", last.0);
            site.patch(&path, &As::Token, json!({"enabled": marked})).await.is(200);
            let by = Instant::now() + SOON;
            by_then(by, "media is done", async || told(&site, last) == Some(marked)).await;
            agree(&site, &ids, by).await;
        }
        let listed = list(&site);
        site.end().await;
        site = Site::start(folder.path(), &[]).await;
        assert_eq!(list(&site), listed, "the store says otherwise");
        agree(&site, &ids, Instant::now() + SOON).await;
    }
    site.end().await;
}

fn list(site: &Site) -> Vec<(DestinationId, String, bool)> {
    let all = site.state.destinations.all();
    let mut all: Vec<_> = all.into_iter().map(|one| (one.id, one.name, one.enabled)).collect();
    all.sort();
    all
}

/// That each is one of its two edits and not a mixture, and that media was told that one last.
async fn agree(site: &Site, ids: &[DestinationId], by: Instant) {
    let listed = list(site);
    for (id, name, enabled) in listed.into_iter().filter(|(id, ..)| ids.contains(id)) {
        assert!(name.ends_with(&enabled.to_string()), "{name}: {enabled}");
        by_then(by, &format!("media says of {name}: {:?}", told(site, id)), async || told(site, id) == Some(enabled))
            .await;
    }
}
