//! The pages of those who run the box: destinations, people, what was.

use super::*;
use crate::{
    core::queue::TurnId,
    store::{Change, Durability, HistoryRecord},
};

/// The key of the tests' destinations.
const KEY: &str = "a-very-secret-stream-key";

async fn destination(site: &Site, name: &str) -> u64 {
    let input = json!({"name": name, "url": "rtmp://127.0.0.1:1/live", "key": KEY});
    let made = site.post("/api/v1/destinations", &As::Token, input).await;
    made.is(201).body["id"].as_u64().unwrap()
}

#[tokio::test]
async fn operators_see_the_pages_that_their_right_allows_and_no_others() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (root, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let person = format!("/admin/people/{}", root.0);
    for (path, admins) in [
        ("/admin", false),
        ("/admin/destinations", false),
        ("/admin/history", false),
        ("/admin/obs", true),
        ("/admin/people", true),
        ("/admin/people/new", true),
        (person.as_str(), true),
        ("/admin/audit", true),
        ("/admin/settings", true),
        ("/admin/network", true),
        ("/admin/system", false),
        ("/admin/destinations/new", true),
        ("/admin/destinations/new?platform=twitch", true),
    ] {
        let (status, _, page) = site.look(path, &operator).await;
        assert_eq!(status, if admins { 403 } else { 200 }, "{path}");
        assert!(!page.contains("href=\"/admin/people\""), "{path}");
        let (status, _, page) = site.look(path, &admin).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(page.contains("href=\"/admin/people\"") && page.contains("href=\"/admin/audit\""), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn destination_is_added_from_a_preset_edited_and_deleted_and_its_key_is_never_shown() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, _, page) = site.look("/admin/destinations/new", &admin).await;
    assert!(page.contains("platform=youtube") && page.contains("platform=custom"), "{page}");
    let (_, _, page) = site.look("/admin/destinations/new?platform=twitch", &admin).await;
    assert!(page.contains("value=\"rtmp://live.twitch.tv/app\"") && page.contains("value=\"Twitch\""), "{page}");

    let add = "/admin/destinations/new";
    let wrong = site.sends(&admin, add, &[("name", "Here"), ("url", "http://x/y"), ("key", KEY)], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("id=\"url-wrong\"") && wrong.text.contains("value=\"Here\""), "{}", wrong.text);
    assert!(!wrong.text.contains(KEY));
    let fields = [("name", "Here"), ("url", "rtmp://127.0.0.1:1/live"), ("key", KEY), ("enabled", "yes")];
    site.does(&admin, add, &fields, "/admin/destinations", "Here is there").await;
    let made = site.state.destinations.all().pop().unwrap();
    let path = format!("/admin/destinations/{}", made.id.0);
    let key = |site: &Site| secrecy::ExposeSecret::expose_secret(&site.state.destinations.all()[0].key).to_owned();
    assert!(made.enabled && key(&site) == KEY);

    // The key stays when it is left empty; a box that is not ticked is not sent.
    let edit = [("name", "There"), ("url", "rtmp://127.0.0.1:1/live"), ("key", "")];
    site.does(&admin, &path, &edit, "/admin/destinations", "There is changed").await;
    let changed = site.state.destinations.all().pop().unwrap();
    assert!(changed.name == "There" && !changed.enabled && key(&site) == KEY);
    for page in ["/admin/destinations", &path, &format!("{path}/delete"), "/admin", "/admin/audit"] {
        let (status, _, text) = site.look(page, &admin).await;
        assert_eq!(status, 200, "{page}");
        assert!(!text.contains(KEY), "{page}");
    }
    site.does(&admin, &format!("{path}/delete"), &[], "/admin/destinations", "There is deleted").await;
    assert!(site.state.destinations.all().is_empty());
    let (status, ..) = site.look(&path, &admin).await;
    assert_eq!(status, 404);
    site.end().await;
}

#[tokio::test]
async fn operators_switch_destinations_and_are_offered_no_more() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, operator) = site.operator("Opa").await;
    let (_, admin) = site.admin("Root").await;
    let id = destination(&site, "Twitch").await;
    let path = format!("/admin/destinations/{id}");
    let switch = format!("{path}/switch");
    let toast = site.does(&operator, &switch, &[("on", "false")], "/admin/destinations", "switched off").await;
    assert!(toast.contains(&format!("action=\"{switch}\"")), "{toast}");
    assert!(!site.state.destinations.all()[0].enabled);
    let (_, _, seen) = site.look("/admin/destinations", &operator).await;
    assert!(seen.contains("Twitch") && !seen.contains(&format!("{path}/test")) && !seen.contains("Delete"), "{seen}");
    let (_, _, seen) = site.look("/admin/destinations", &admin).await;
    assert!(seen.contains(&format!("{path}/test")) && seen.contains(&format!("{path}/delete")), "{seen}");
    for refused in [path.clone(), format!("{path}/delete"), format!("{path}/test")] {
        assert_eq!(site.sends(&operator, &refused, &[], false).await.status, 403, "{refused}");
    }
    // Each hears what they may see.
    for (who, offered) in [(&operator, false), (&admin, true)] {
        let mut ear = pages::Ear::as_who(&site, "/live/admin/destinations", who).await;
        assert_eq!(ear.hears("destinations").await.contains("/delete"), offered, "{who:?}");
    }
    // Nobody answers there, and that is said.
    let sent = site.sends(&admin, &format!("{path}/test"), &[], true).await;
    assert_eq!(sent.status, 200);
    assert!(sent.text.contains("toast-failed") && sent.text.contains("Twitch: "), "{}", sent.text);
    site.end().await;
}

#[tokio::test]
async fn configured_destination_is_shown_and_not_offered_to_be_changed() {
    let folder = folder();
    std::fs::write(
        folder.path().join("none.toml"),
        "[[destinations]]\nname = \"House\"\nurl = \"rtmp://127.0.0.1:1/live\"\nkey = \"very-secret-key\"\n",
    )
    .unwrap();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let id = site.state.destinations.all()[0].id.0;
    let (_, _, page) = site.look("/admin/destinations", &admin).await;
    assert!(page.contains("Set in the configuration file") && !page.contains("/delete"), "{page}");
    let (status, ..) = site.look(&format!("/admin/destinations/{id}"), &admin).await;
    assert_eq!(status, 409);
    site.end().await;
}

#[tokio::test]
async fn people_are_found_let_in_promoted_disabled_and_deleted() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "approval")]).await;
    let (root, admin) = site.admin("Root").await;
    let body = json!({"name": "Zoë", "password": PASSWORD, "email": "zoe@example.org"});
    let id = site.post("/api/v1/accounts", &As::Nobody, body).await.is(201).body["id"].as_u64().unwrap();
    site.account("Bob").await;
    for (query, found, missed) in [
        ("", vec!["Bob", "Root", "Zoë"], vec![]),
        ("?q=zo", vec!["Zoë"], vec!["Bob"]),
        ("?q=EXAMPLE.org", vec!["Zoë"], vec!["Bob"]),
        ("?q=nobody", vec!["Nobody found"], vec!["Bob"]),
        ("?page=999", vec!["Bob"], vec![]),
    ] {
        let (status, _, page) = site.look(&format!("/admin/people{query}"), &admin).await;
        assert_eq!(status, 200, "{query}");
        for name in found {
            assert!(page.contains(name), "{query}: {name}");
        }
        for name in missed {
            assert!(!page.contains(&format!(">{name}</a>")), "{query}: {name}");
        }
        assert!(page.contains("Waiting to be let in"), "{query}");
    }
    let own = format!("/admin/people/{id}");
    let get = || site.state.accounts.get(AccountId(id)).unwrap();
    let enable = format!("{own}/enable");
    site.does(&admin, &enable, &[("on", "true")], "/admin/people", "Zoë is let in").await;
    assert!(get().enabled && !get().awaiting_approval);
    let toast = site.does(&admin, &enable, &[("on", "false")], &own, "Zoë is disabled").await;
    assert!(toast.contains(&format!("action=\"{enable}\"")) && toast.contains("value=\"true\""), "{toast}");
    site.does(&admin, &enable, &[("on", "true")], &own, "again").await;
    let toast = site.does(&admin, &format!("{own}/role"), &[("role", "operator")], &own, "operator").await;
    assert!(toast.contains("value=\"streamer\"") && get().role == Role::Operator, "{toast}");
    site.does(&admin, &format!("{own}/ban"), &[("on", "true")], &own, "banned").await;
    site.does(&admin, &format!("{own}/ban"), &[("on", "false")], &own, "not banned any more").await;
    let key = site.state.accounts.stream_key(AccountId(id)).unwrap().expose().to_owned();
    site.does(&admin, &format!("{own}/key"), &[], &own, "fresh key").await;
    assert_ne!(site.state.accounts.stream_key(AccountId(id)).unwrap().expose(), key);
    let (_, _, page) = site.look(&own, &admin).await;
    assert!(page.contains("zoe@example.org") && !page.contains("argon2"), "{page}");
    let (_, _, page) = site.look(&format!("{own}/delete"), &admin).await;
    assert!(page.contains("Delete Zoë?"), "{page}");
    site.does(&admin, &format!("{own}/delete"), &[], "/admin/people", "deleted").await;
    assert!(site.state.accounts.get(AccountId(id)).is_none());

    // The last admin stays.
    let refused = site.sends(&admin, &format!("/admin/people/{}/role", root.0), &[("role", "streamer")], false).await;
    assert_eq!(refused.status, 409);
    site.end().await;
}

#[tokio::test]
async fn admins_make_accounts_whatever_registration_says() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "closed")]).await;
    let (_, admin) = site.admin("Root").await;
    let form = "/admin/people/new";
    let wrong = site.sends(&admin, form, &[("name", "Zoë"), ("password", "short")], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("id=\"password-wrong\"") && wrong.text.contains("value=\"Zoë\""), "{}", wrong.text);
    let made = site.sends(&admin, form, &[("name", "Zoë"), ("password", PASSWORD)], false).await;
    assert_eq!(made.status, 303, "{}", made.text);
    site.session("Zoë").await;
    site.end().await;
}

#[tokio::test]
async fn invitations_and_password_links_are_shown_once_with_their_qr_code() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "invite")]).await;
    let (_, admin) = site.admin("Root").await;
    let (zoe, _) = site.streamer("Zoë").await;
    let fields = [("label", "The band"), ("uses", "5"), ("days", "7")];
    let made = site.sends(&admin, "/admin/invitations", &fields, false).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let code = made.text.split("/register?invitation=").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(made.text.contains("class=\"qr\"") && made.text.contains("5 people"), "{}", made.text);
    assert!(!made.headers.contains_key("content-encoding"));
    let (_, _, list) = site.look("/admin/invitations", &admin).await;
    assert!(list.contains("The band") && list.contains("0 of 5 used") && !list.contains(&code), "{list}");
    let wrong = site.sends(&admin, "/admin/invitations", &[("label", ""), ("uses", "5"), ("days", "7")], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("id=\"label-wrong\""), "{}", wrong.text);
    let id = site.state.accounts.invitations()[0].id;
    site.does(&admin, &format!("/admin/invitations/{id}/revoke"), &[], "/admin/invitations", "is gone").await;
    assert!(!site.state.accounts.invitations().iter().any(|one| one.open));

    let link = site.sends(&admin, &format!("/admin/people/{}/reset", zoe.0), &[], false).await;
    assert_eq!(link.status, 200, "{}", link.text);
    assert!(link.text.contains("/reset/") && link.text.contains("class=\"qr\""), "{}", link.text);
    let (_, _, audit) = site.look("/admin/audit", &admin).await;
    assert!(!audit.contains("/reset/") && !audit.contains(&code), "{audit}");
    site.end().await;
}

#[tokio::test]
async fn history_and_audit_come_in_pages_in_the_venues_time() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("VENUE__TIMEZONE", "Europe/Berlin")]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, _, page) = site.look("/admin/history", &admin).await;
    assert!(page.contains("Nothing yet") && !page.contains("history.csv"), "{page}");
    let turn = |number: u64| {
        Change::AppendHistory(HistoryRecord {
            turn: TurnId(number),
            account: AccountId(1),
            name: format!("Streamer {number}"),
            started: "2026-07-04T20:00:00Z".parse().unwrap(),
            ended: "2026-07-04T20:30:00Z".parse().unwrap(),
            seconds_on_air: 1800.0,
            reason: "skip".to_owned(),
            extra: serde_json::Map::new(),
        })
    };
    site.state.store.commit((1..=60).map(turn).collect(), Durability::Durable).await.unwrap();
    let (_, _, page) = site.look("/admin/history", &admin).await;
    assert!(page.contains("Sat 4 Jul 2026, 22:00") && page.contains("22:30") && page.contains("30:00"), "{page}");
    assert!(page.contains("Skipped") && page.contains("history.csv"), "{page}");
    assert!(page.contains("Streamer 60<") && page.contains("Streamer 11<") && !page.contains("Streamer 10<"));
    assert!(page.contains("href=\"/admin/history?before=11\""), "{page}");
    let (_, _, page) = site.look("/admin/history?before=11", &admin).await;
    assert!(page.contains("Streamer 10<") && page.contains("Streamer 1<") && !page.contains("?before="), "{page}");

    site.does(&admin, "/admin/hold", &[("on", "true")], "/admin", "on hold").await;
    // What comes after the row of the log is stored after it.
    site.state.store.commit(vec![turn(61)], Durability::Durable).await.unwrap();
    let (_, _, page) = site.look("/admin/audit", &admin).await;
    assert!(page.contains("Hold") && page.contains("Root") && page.contains("127.0.0.1"), "{page}");
    for nonsense in ["/admin/history?before=x", "/admin/audit?before=-1"] {
        assert_eq!(site.look(nonsense, &admin).await.0, 400, "{nonsense}");
    }
    site.end().await;
}

#[tokio::test]
async fn settings_are_changed_by_groups_reset_and_refused_beside_their_field() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("QUEUE__REJOIN_SECONDS", "33")]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, _, page) = site.look("/admin/settings", &admin).await;
    for part in [
        "name=\"queue.turn_seconds\"",
        "Default: 3600 seconds",
        "Takes effect at the next start",
        "Set at installation",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // What the environment sets is told and not offered.
    assert!(!page.contains("name=\"queue.rejoin_seconds\"") && page.contains("queue.rejoin_seconds"), "{page}");
    assert!(!page.contains(TOKEN), "{page}");

    let save = "/admin/settings";
    let venue = [("section", "venue"), ("venue.name", "Zum Anker"), ("venue.timezone", "Europe/Berlin")];
    let sent = site.sends(&admin, save, &venue, false).await;
    assert_eq!((sent.status, sent.headers["location"].to_str().unwrap()), (303, "/admin/settings#venue"));
    let now = site.state.settings.now();
    assert_eq!((now.venue.name.as_str(), now.venue.timezone.as_deref()), ("Zum Anker", Some("Europe/Berlin")));
    let (_, _, page) = site.look("/admin/settings", &admin).await;
    assert!(page.contains("name=\"reset\" value=\"venue.name\""), "{page}");

    // A box that is not ticked is not sent.
    let queue = [
        ("section", "queue"),
        ("queue.turn_seconds", "900"),
        ("queue.restart_grace_seconds", "60"),
        ("queue.hold_off_seconds", "300"),
        ("queue.stall_limit_seconds", "20"),
        ("queue.block", "true"),
    ];
    assert_eq!(site.sends(&admin, save, &queue, false).await.status, 303);
    let now = site.state.settings.now();
    assert_eq!((now.queue.turn_seconds, now.queue.overtime, now.queue.block), (900, false, true));
    assert_eq!(site.state.director.snapshot().borrow().queue.turn_seconds, 900);

    for (value, field) in [("90000", "queue-turn_seconds"), ("soon", "queue-turn_seconds")] {
        let mut fields = queue;
        fields[1].1 = value;
        let wrong = site.sends(&admin, save, &fields, false).await;
        assert_eq!(wrong.status, 422, "{value}");
        assert!(wrong.text.contains(&format!("id=\"{field}-wrong\"")), "{}", wrong.text);
        assert!(wrong.text.contains(&format!("value=\"{value}\"")), "{}", wrong.text);
    }
    let nothing = [("section", "venue"), ("venue.name", "Zum Anker"), ("venue.timezone", "Europe/Berlin")];
    assert_eq!(site.sends(&admin, save, &nothing, false).await.status, 303);
    let reset = [("section", "venue"), ("reset", "venue.name")];
    assert_eq!(site.sends(&admin, save, &reset, false).await.status, 303);
    assert_eq!(site.state.settings.now().venue.name, "Motherstream");
    for fields in [vec![("section", "nothing")], vec![]] {
        assert_eq!(site.sends(&admin, save, &fields, false).await.status, 422, "{fields:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn token_for_a_player_is_shown_once_and_can_be_revoked() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let wrong = site.sends(&admin, "/admin/viewers", &[("label", "")], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("id=\"viewer-wrong\""), "{}", wrong.text);
    let made = site.sends(&admin, "/admin/viewers", &[("label", "Foyer")], false).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert!(!made.headers.contains_key("content-encoding"));
    // No phone's browser plays what a code would lead to.
    assert!(!made.text.contains("once-qr"), "{}", made.text);
    let token = made.text.split("/program.flv?token=").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(site.state.accounts.viewers().check(&token).is_some());
    let (_, _, page) = site.look("/admin/settings", &admin).await;
    assert!(page.contains("Foyer") && !page.contains(&token), "{page}");
    let id = site.state.accounts.viewers().list()[0].id;
    let sent = site.sends(&admin, &format!("/admin/viewers/{id}/revoke"), &[], false).await;
    assert_eq!((sent.status, sent.headers["location"].to_str().unwrap()), (303, "/admin/settings#viewers"));
    assert!(site.state.accounts.viewers().check(&token).is_none());
    assert_eq!(site.sends(&admin, "/admin/viewers/7/revoke", &[], false).await.status, 404);
    site.end().await;
}

#[tokio::test]
async fn system_is_told_to_operators_and_the_log_to_admins() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let (_, _, page) = site.look("/admin/system", &operator).await;
    assert!(page.contains("Memory") && page.contains("Processor") && !page.contains("log/download"), "{page}");
    let (status, _, page) = site.look("/admin/system?level=warn&search=nothing%20of%20that%20kind", &admin).await;
    assert_eq!(status, 200);
    assert!(page.contains("Nothing of that kind was logged") && page.contains("value=\"warn\" selected"), "{page}");
    assert!(page.contains("log/download?level=warn"), "{page}");
    let (status, ..) = site.look("/admin/system?level=loud", &admin).await;
    assert_eq!(status, 422);
    site.end().await;
}

#[tokio::test]
async fn another_destination_is_not_offered_where_there_can_be_no_more() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    for number in 0..8 {
        let (_, _, page) = site.look("/admin/destinations", &admin).await;
        assert!(page.contains("/admin/destinations/new"), "{number}");
        let input = json!({"name": format!("Platform {number}"), "url": "rtmp://127.0.0.1:1/app", "key": "k", "enabled": false});
        site.post("/api/v1/destinations", &As::Token, input).await.is(201);
    }
    let (_, _, page) = site.look("/admin/destinations", &admin).await;
    assert!(!page.contains("/admin/destinations/new") && page.contains("as many as there can be"), "{page}");
    site.end().await;
}
