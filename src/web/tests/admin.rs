//! The pages of those who run the night.

use super::{
    pages::{Ear, told},
    *,
};
use crate::{core::queue::EntryId, director::Presence};

impl Site {
    /// Makes an operator and signs in.
    pub(super) async fn operator(&self, name: &str) -> (AccountId, As) {
        let id = self.account(name).await;
        let edit = Edit { role: Some(Role::Operator), ..Edit::default() };
        self.state.accounts.edit(id, edit).await.unwrap();
        (id, self.session(name).await)
    }

    /// A form of an admin's page, as its sender sends it: status, headers, and what is said.
    pub(super) async fn sends(&self, who: &As, path: &str, fields: &[(&str, &str)], htmx: bool) -> Sent {
        let mut request = self.form(path, fields);
        request = match who {
            As::Nobody => request,
            As::Cookie(cookie) => request.header("cookie", cookie),
            As::Token => request.bearer_auth(TOKEN),
            As::Machine => request.bearer_auth(self.state.machine.expose()),
        };
        if htmx {
            request = request.header("hx-request", "true");
        }
        let (status, headers, text) = told(request).await;
        Sent { status, headers, text }
    }

    /// As [`Self::sends`] without a script, and that it is done: led back to `to`, where `words` stand.
    pub(super) async fn does(&self, who: &As, path: &str, fields: &[(&str, &str)], to: &str, words: &str) -> String {
        let sent = self.sends(who, path, fields, false).await;
        let location = sent.headers.get("location").map(|to| to.to_str().unwrap());
        assert_eq!((sent.status, location), (303, Some(to)), "{path}: {}", sent.text);
        let flash = sent.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
        let As::Cookie(session) = who else { panic!("a session is wanted") };
        let cookie = format!("{session}; {flash}");
        let (status, _, page) = self.look_with(to, &As::Nobody, &[("cookie", &cookie)]).await;
        assert_eq!(status, 200, "{to}: {page}");
        let toast = page.split("class=\"toast\"").nth(1).unwrap_or_else(|| panic!("{path}: nothing is said: {page}"));
        let toast = toast.split("<main").next().unwrap().to_owned();
        assert!(toast.contains(words), "{path}: {toast}");
        toast
    }
}

/// The answer to a form.
pub(super) struct Sent {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Four wait, of whom nobody is ready: their encoders send nothing.
async fn four_wait(site: &Site) -> Vec<EntryId> {
    for name in ["Ada", "Bo", "Cy", "Di"] {
        let id = site.account(name).await;
        assert!(site.publish(id, name).await);
    }
    site.state.director.snapshot().borrow().queue.waiting.iter().map(|entry| entry.id).collect()
}

fn order(site: &Site) -> String {
    let snapshot = site.state.director.snapshot().borrow().clone();
    snapshot.queue.waiting.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn night_is_for_those_who_run_it_and_sign_in_leads_there() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let (_, streamer) = site.streamer("Ada").await;
    for (who, status) in [(&admin, 200), (&operator, 200), (&streamer, 403)] {
        let (answered, _, text) = site.look("/admin", who).await;
        assert_eq!(answered, status, "{who:?}");
        assert_eq!(text.contains("Panic"), status == 200, "{who:?}");
        // The way there is in the header of every page.
        let (_, _, room) = site.look("/", who).await;
        assert_eq!(room.contains("href=\"/admin\""), status == 200, "{who:?}");
    }
    let nobody = Site::without_redirects().get(format!("http://{}/admin", site.address));
    let (status, headers, _) = told(nobody.header("accept", "text/html")).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (303, "/login?next=%2Fadmin"));
    for (name, to) in [("Root", "/admin"), ("Opa", "/admin"), ("Ada", "/me")] {
        let (status, headers, _) = told(site.form("/login", &[("name", name), ("password", PASSWORD)])).await;
        assert_eq!((status, headers["location"].to_str().unwrap()), (303, to), "{name}");
    }
    site.end().await;
}

#[tokio::test]
async fn every_action_of_the_night_is_a_form_that_says_what_it_did_and_offers_to_take_it_back() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for (name, admin) in [("Root", true), ("Opa", false)] {
        let who = if admin { site.admin(name).await.1 } else { site.operator(name).await.1 };
        let look = || site.state.director.snapshot().borrow().queue.clone();
        for (path, words) in [("/admin/hold", "on hold"), ("/admin/block", "go first")] {
            let toast = site.does(&who, path, &[("on", "true")], "/admin", words).await;
            assert!(toast.contains(&format!("action=\"{path}\"")) && toast.contains("value=\"false\""), "{toast}");
        }
        assert!(look().hold && look().block);
        site.does(&who, "/admin/hold", &[("on", "false")], "/admin", "goes on").await;
        site.does(&who, "/admin/block", &[("on", "false")], "/admin", "at once").await;
        site.does(&who, "/admin/slate", &[("on", "true")], "/admin", "slate covers").await;
        assert!(look().forced_slate);
        let (_, _, page) = site.look("/admin", &who).await;
        assert!(page.contains("The slate is up.") && !page.contains("Panic:"), "{page}");
        site.does(&who, "/admin/slate", &[("on", "false")], "/admin", "lifted").await;
        assert!(!look().forced_slate && !look().hold && !look().block);

        site.does(&who, "/admin/show", &[("on", "true")], "/admin", "The show is on").await;
        assert!(look().show);
        site.does(&who, "/admin/show", &[("on", "false")], "/admin", "The show is over").await;
        let toast = site.does(&who, "/admin/turn/every", &[("minutes", "45")], "/admin", "45 minutes").await;
        assert_eq!(look().turn_seconds, 2700);
        assert!(toast.contains("name=\"seconds\" value=\"3600\""), "{toast}");
        site.does(&who, "/admin/turn/every", &[("seconds", "3600")], "/admin", "60 minutes").await;
    }
    site.end().await;
}

#[tokio::test]
async fn queue_is_reordered_by_buttons_and_by_dragging_and_back() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let ids = four_wait(&site).await;
    let path = |index: usize| format!("/admin/entries/{}/move", ids[index].0);
    for (index, fields, words, after) in [
        (2, vec![("to", "up")], "number 2", "Ada Cy Bo Di"),
        (2, vec![("to", "down")], "number 3", "Ada Bo Cy Di"),
        (3, vec![("to", "first")], "number 1", "Di Ada Bo Cy"),
        (3, vec![("to", "last")], "number 4", "Ada Bo Cy Di"),
        (0, vec![("to", "up")], "number 1", "Ada Bo Cy Di"),
        (3, vec![("to", "down")], "number 4", "Ada Bo Cy Di"),
    ] {
        site.does(&operator, &path(index), &fields, "/admin", words).await;
        assert_eq!(order(&site), after, "{index} {fields:?}");
    }
    let before = ids[1].0.to_string();
    let toast = site.does(&operator, &path(3), &[("to", "before"), ("before", &before)], "/admin", "number 2").await;
    assert_eq!(order(&site), "Ada Di Bo Cy");
    // Back to the tail, where it was.
    assert!(toast.contains("value=\"last\""), "{toast}");
    let toast = site.does(&operator, &path(0), &[("to", "last")], "/admin", "number 4").await;
    assert!(toast.contains(&format!("name=\"before\" value=\"{}\"", ids[3].0)), "{toast}");

    let gone = site.sends(&operator, "/admin/entries/999999/move", &[("to", "up")], false).await;
    assert_eq!(gone.status, 404);
    let nonsense = site.sends(&operator, &path(0), &[("to", "sideways")], false).await;
    assert_eq!(nonsense.status, 422);
    site.end().await;
}

#[tokio::test]
async fn kicked_and_banned_streamers_are_out_and_can_be_let_in() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let ids = four_wait(&site).await;
    let account = |name: &str| site.state.accounts.list().into_iter().find(|one| one.name == name).unwrap();
    let ada = account("Ada").id.0;

    let toast = site.does(&operator, &format!("/admin/entries/{}/kick", ids[0].0), &[], "/admin", "Ada is out").await;
    assert!(toast.contains(&format!("action=\"/admin/streamers/{ada}/lift\"")), "{toast}");
    let (_, _, page) = site.look("/admin", &operator).await;
    assert!(page.contains("Kept out") && page.contains(&format!("held-{ada}")), "{page}");
    site.does(&operator, &format!("/admin/streamers/{ada}/lift"), &[], "/admin", "may join again").await;

    let bo = account("Bo").id.0;
    let toast = site.does(&operator, &format!("/admin/streamers/{bo}/ban"), &[], "/admin", "Bo is banned").await;
    assert!(toast.contains(&format!("action=\"/admin/streamers/{bo}/unban\"")), "{toast}");
    assert!(account("Bo").banned);
    assert_eq!(order(&site), "Cy Di");
    let (_, _, page) = site.look("/admin", &operator).await;
    assert!(page.contains(&format!("banned-{bo}")), "{page}");
    site.does(&operator, &format!("/admin/streamers/{bo}/unban"), &[], "/admin", "not banned any more").await;
    assert!(!account("Bo").banned);

    // Nobody above a streamer.
    let root = site.admin("Root").await.0;
    let refused = site.sends(&operator, &format!("/admin/streamers/{}/ban", root.0), &[], false).await;
    assert_eq!(refused.status, 403);
    site.end().await;
}

#[tokio::test]
async fn what_can_not_be_is_said_and_skip_hits_only_the_turn_it_means() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let ids = four_wait(&site).await;
    assert!(site.state.director.snapshot().borrow().queue.waiting.iter().all(|one| one.presence != Presence::Ready));
    for (path, fields, status) in [
        ("/admin/skip".to_owned(), vec![("turn", "12345")], 409),
        ("/admin/skip".to_owned(), vec![], 422),
        ("/admin/turn/this".to_owned(), vec![("turn", "12345"), ("add", "5")], 409),
        ("/admin/turn/every".to_owned(), vec![("minutes", "0")], 422),
        ("/admin/turn/every".to_owned(), vec![("minutes", "1441")], 422),
        ("/admin/hold".to_owned(), vec![("on", "perhaps")], 422),
        (format!("/admin/entries/{}/take", ids[0].0), vec![], 409),
        ("/admin/streamers/999999/lift".to_owned(), vec![], 404),
        ("/admin/streamers/999999/ban".to_owned(), vec![], 404),
    ] {
        let page = site.sends(&operator, &path, &fields, false).await;
        assert_eq!(page.status, status, "{path} {fields:?}");
        assert!(page.text.contains("<main"), "{path}");
        let message = site.sends(&operator, &path, &fields, true).await;
        assert_eq!((message.status, message.headers["hx-reswap"].to_str().unwrap()), (status, "none"), "{path}");
        assert!(message.text.contains("toast-failed") && !message.text.contains("<html"), "{path}: {}", message.text);
    }
    site.end().await;
}

#[tokio::test]
async fn script_is_answered_with_the_message_alone() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let sent = site.sends(&admin, "/admin/hold", &[("on", "true")], true).await;
    assert_eq!((sent.status, sent.headers["hx-reswap"].to_str().unwrap()), (200, "none"));
    assert!(sent.text.contains("hx-swap-oob") && sent.text.contains("Undo") && !sent.text.contains("<html"));
    assert!(!sent.headers.contains_key("location"));
    site.end().await;
}

#[tokio::test]
async fn streamers_and_strangers_give_no_orders() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, streamer) = site.streamer("Eve").await;
    let ids = four_wait(&site).await;
    let entry = format!("/admin/entries/{}", ids[0].0);
    let paths = ["/admin/hold", "/admin/slate", "/admin/block", "/admin/show"].map(str::to_owned);
    let paths = paths.into_iter().chain([format!("{entry}/kick"), format!("{entry}/move"), format!("{entry}/take")]);
    for path in paths {
        let refused = site.sends(&streamer, &path, &[("on", "true"), ("to", "last")], false).await;
        assert_eq!(refused.status, 403, "{path}");
        let stranger = site.sends(&As::Nobody, &path, &[("on", "true"), ("to", "last")], false).await;
        let location = stranger.headers["location"].to_str().unwrap();
        assert_eq!((stranger.status, location), (303, "/login"), "{path}");
    }
    let queue = site.state.director.snapshot().borrow().queue.clone();
    assert!(!queue.hold && !queue.forced_slate && !queue.block && !queue.show);
    assert_eq!(order(&site), "Ada Bo Cy Di");
    site.end().await;
}

#[tokio::test]
async fn two_who_run_the_night_are_sent_the_same_until_their_right_ends() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (id, operator) = site.operator("Opa").await;
    let (_, streamer) = site.streamer("Ada").await;
    site.get("/live/admin", &streamer).await.is(403);
    let mut ears =
        [Ear::as_who(&site, "/live/admin", &admin).await, Ear::as_who(&site, "/live/admin", &operator).await];
    for part in ["tally", "panic", "unstored", "air", "timer", "show", "rules", "waiting", "held"] {
        let [one, two] = &mut ears;
        assert_eq!(one.hears(part).await, two.hears(part).await, "{part}");
    }
    site.somebody_waits().await;
    let [one, two] = &mut ears;
    let (mut first, mut second) = (one.hears("waiting").await, two.hears("waiting").await);
    // The change may have come in steps.
    while !first.contains("slot-") {
        first = one.hears("waiting").await;
    }
    while !second.contains("slot-") {
        second = two.hears("waiting").await;
    }
    assert_eq!(first, second);
    assert!(first.contains("script") && !first.contains("<script"), "{first}");

    // A demoted operator hears no more; a signed-out admin neither.
    site.state.accounts.edit(id, Edit { role: Some(Role::Streamer), ..Edit::default() }).await.unwrap();
    site.put("/api/v1/block", &As::Token, json!({"on": true})).await.is(200);
    let [one, two] = ears;
    assert!(!two.until_the_end().await.contains("aria-checked=\"true\""));
    site.call(Method::DELETE, "/api/v1/session", &admin, None).await.is(204);
    one.until_the_end().await;
    site.end().await;
}

#[tokio::test]
async fn show_is_asked_about_by_a_page_that_names_the_destinations_where_there_is_no_script() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    for (name, enabled) in [("Twitch of the house", true), ("Kick of the house", false)] {
        let input =
            json!({"name": name, "url": "rtmp://127.0.0.1:1/live", "key": "very-secret-key", "enabled": enabled});
        site.post("/api/v1/destinations", &As::Token, input).await.is(201);
    }
    let (_, _, page) = site.look("/admin/show", &operator).await;
    assert!(page.contains("Begin the show?") && page.contains("Twitch of the house"), "{page}");
    assert!(!page.contains("Kick of the house") && !page.contains("very-secret-key"), "{page}");
    site.does(&operator, "/admin/show", &[("on", "true")], "/admin", "Twitch of the house").await;
    let (_, _, page) = site.look("/admin/show", &operator).await;
    assert!(page.contains("End the show?"), "{page}");
    site.end().await;
}
