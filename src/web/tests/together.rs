//! Two admins have the same page open, and both save.

use super::{pages::told, *};

/// What the form with this `action` would send as it stands, by name. `part` tells it from others with the same action.
fn form(page: &str, action: &str, part: &str) -> Vec<(String, String)> {
    let forms = page.split("<form ").filter(|form| form.contains(&format!("action=\"{action}\"")));
    let form = forms.map(|form| form.split("</form>").next().unwrap()).find(|form| form.contains(part)).unwrap();
    let attribute = |tag: &str, name: &str| {
        let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
        Some(value.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&"))
    };
    let mut fields = Vec::new();
    for tag in form.split('<').map(|tag| tag.split('>').next().unwrap()) {
        let kind = attribute(tag, "type").unwrap_or_default();
        let sends = tag.starts_with("input ") && (kind != "checkbox" || tag.contains(" checked"));
        if let Some(name) = attribute(tag, "name").filter(|_| sends) {
            fields.push((name, attribute(tag, "value").unwrap_or_default()));
        }
    }
    for select in form.split("<select ").skip(1) {
        let chosen = select.split("<option").find(|option| option.split('>').next().unwrap().contains(" selected"));
        let value = chosen.and_then(|option| attribute(option, "value")).unwrap_or_default();
        fields.push((attribute(&format!(" {select}"), "name").unwrap(), value));
    }
    fields
}

/// The same with one value written anew.
fn with(fields: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut fields = fields.to_vec();
    fields.iter_mut().find(|(field, _)| field == name).unwrap().1 = value.to_owned();
    fields
}

impl Site {
    async fn opened(&self, path: &str, who: &As) -> String {
        let (status, _, page) = told(self.request(Method::GET, path, who).header("accept", "text/html")).await;
        assert_eq!(status, 200, "{page}");
        page
    }

    /// Sends a form; gives the status and what was answered.
    async fn saved(&self, path: &str, who: &As, fields: &[(String, String)]) -> (u16, String) {
        let As::Cookie(cookie) = who else { panic!("nobody") };
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, _, page) = told(self.form(path, &fields).header("cookie", cookie)).await;
        (status, page)
    }
}

#[tokio::test]
async fn whoever_saves_old_settings_changes_only_what_they_have_touched() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, anna) = site.admin("Anna").await;
    let (_, bert) = site.admin("Bert").await;
    let queue = |page: &str| form(page, "/admin/settings", "value=\"queue\"");
    let page = site.opened("/admin/settings", &bert).await;
    let (annas, berts) = (queue(&page), queue(&page));
    let (status, _) = site.saved("/admin/settings", &anna, &with(&annas, "queue.rejoin_seconds", "120")).await;
    assert_eq!(status, 303);
    let (status, page) = site.saved("/admin/settings", &bert, &with(&berts, "queue.hold_off_seconds", "600")).await;
    assert_eq!(status, 303, "{page}");
    let now = |site: &Site| site.state.settings.now().queue.clone();
    assert_eq!((now(&site).rejoin_seconds, now(&site).hold_off_seconds), (120, 600));
    // A box that Anna has ticked, and a value that both have changed: told, and nothing is saved.
    let berts = with(&berts, "queue.turn_seconds", "1200");
    let (status, page) = site.saved("/admin/settings", &bert, &with(&berts, "queue.rejoin_seconds", "30")).await;
    assert_eq!(status, 409);
    assert!(page.contains("Somebody else has changed this meanwhile, to: 120 seconds"), "{page}");
    assert_eq!((now(&site).rejoin_seconds, now(&site).turn_seconds), (120, 3600));
    // What Bert wrote stands there, what he did not touch is as it is now, and to save again is to mean it.
    let again = queue(&page);
    let told: BTreeMap<_, _> = again.iter().cloned().collect();
    assert_eq!(
        (&*told["queue.rejoin_seconds"], &*told["queue.turn_seconds"], &*told["queue.hold_off_seconds"]),
        ("30", "1200", "600")
    );
    let (status, page) = site.saved("/admin/settings", &bert, &again).await;
    assert_eq!(status, 303, "{page}");
    assert_eq!((now(&site).rejoin_seconds, now(&site).turn_seconds), (30, 1200));
    site.end().await;
}

#[tokio::test]
async fn whoever_saves_an_old_switch_leaves_it_as_somebody_else_has_set_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, anna) = site.admin("Anna").await;
    let queue = form(&site.opened("/admin/settings", &anna).await, "/admin/settings", "value=\"queue\"");
    site.patch("/api/v1/settings", &As::Token, json!({"queue.block": true, "queue.overtime": false})).await.is(200);
    let (status, page) = site.saved("/admin/settings", &anna, &with(&queue, "queue.turn_seconds", "900")).await;
    assert_eq!(status, 303, "{page}");
    let now = site.state.settings.now().queue.clone();
    assert_eq!((now.block, now.overtime, now.turn_seconds), (true, false, 900));
    site.end().await;
}

#[tokio::test]
async fn whoever_renames_a_destination_leaves_its_address_as_somebody_else_has_set_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, anna) = site.admin("Anna").await;
    let input = json!({"name": "Twitch", "url": "rtmp://127.0.0.1:1/app", "key": "live_secret", "enabled": true});
    let made = site.post("/api/v1/destinations", &As::Token, input).await.is(201).body.clone();
    let id = made["id"].as_u64().unwrap();
    let path = format!("/admin/destinations/{id}");
    let old = form(&site.opened(&path, &anna).await, &path, "");
    let edit = json!({"url": "rtmp://127.0.0.1:1/other", "enabled": false});
    site.patch(&format!("/api/v1/destinations/{id}"), &As::Token, edit).await.is(200);
    let (status, page) = site.saved(&path, &anna, &with(&old, "name", "Twitch main")).await;
    assert_eq!(status, 303, "{page}");
    let now = site.get("/api/v1/destinations", &As::Token).await.body[0].clone();
    assert_eq!(
        (&now["name"], &now["url"], &now["enabled"]),
        (&json!("Twitch main"), &json!("rtmp://127.0.0.1:1/other"), &json!(false))
    );
    // Both have changed the name.
    let (status, page) = site.saved(&path, &anna, &with(&old, "name", "Kick")).await;
    assert_eq!(status, 409);
    assert!(page.contains("to: Twitch main") && page.contains("value=\"Kick\""), "{page}");
    assert_eq!(site.get("/api/v1/destinations", &As::Token).await.body[0]["name"], "Twitch main");
    site.end().await;
}

#[tokio::test]
async fn whoever_saves_an_old_mapping_of_obs_changes_only_what_they_have_touched() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, anna) = site.admin("Anna").await;
    let page = site.opened("/admin/obs", &anna).await;
    let (mapping, connection) = (form(&page, "/admin/obs/mapping", ""), form(&page, "/admin/obs/connection", ""));
    let edits = json!({"obs.scene_on_air": "Live", "obs.handover_seconds": 9, "obs.port": 4456});
    site.patch("/api/v1/settings", &As::Token, edits).await.is(200);
    let (status, page) = site.saved("/admin/obs/mapping", &anna, &with(&mapping, "obs.scene_slate", "Slate")).await;
    assert_eq!(status, 303, "{page}");
    let now = |site: &Site| site.state.settings.now().obs.clone();
    assert_eq!((now(&site).scene_on_air.as_deref(), now(&site).scene_slate.as_deref()), (Some("Live"), Some("Slate")));
    assert_eq!(now(&site).handover_seconds, 9);
    let (status, page) = site.saved("/admin/obs/mapping", &anna, &with(&mapping, "obs.scene_on_air", "Mine")).await;
    assert_eq!(status, 409);
    assert!(page.contains("to: Live") && page.contains("value=\"Mine\""), "{page}");
    assert_eq!(now(&site).scene_on_air.as_deref(), Some("Live"));
    let connection = [with(&connection, "host", "127.0.0.1"), vec![("act".to_owned(), "save".to_owned())]].concat();
    let (status, page) = site.saved("/admin/obs/connection", &anna, &connection).await;
    assert_eq!(status, 303, "{page}");
    assert_eq!((now(&site).host.as_deref(), now(&site).port), (Some("127.0.0.1"), 4456));
    site.end().await;
}
