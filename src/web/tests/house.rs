//! The house: the machine's figures, the log, the history as a table.

use tracing_subscriber::layer::SubscriberExt;

use super::{running::eventually, *};
use crate::{
    core::queue::TurnId,
    store::{Change, Durability, HistoryRecord},
};

#[tokio::test]
async fn machine_tells_how_it_does() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let first = site.get("/api/v1/system", &As::Token).await.is(200).body.clone();
    for key in ["memory_total_bytes", "memory_available_bytes", "own_memory_bytes", "disk_total_bytes", "cpus"] {
        assert!(first[key].as_u64().unwrap() > 0, "{key}: {first}");
    }
    assert!(first["disk_free_bytes"].as_u64() <= first["disk_total_bytes"].as_u64());
    assert!((0.0..=100.0).contains(&first["cpu_percent"].as_f64().unwrap()), "{first}");
    assert_eq!(first["versions"]["motherstream"], env!("CARGO_PKG_VERSION"));
    assert!(first["versions"]["gstreamer"].as_str().unwrap().contains("GStreamer"));
    // Not measured anew so soon.
    let second = site.get("/api/v1/system", &As::Token).await.body;
    assert_eq!(first["own_cpu_percent"], second["own_cpu_percent"]);
    site.end().await;
}

#[tokio::test]
async fn log_is_filtered_and_holds_no_secret() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "the-token-of-this-box")]).await;
    let subscriber = tracing_subscriber::Registry::default().with(site.state.recent.layer());
    let heard = tracing::subscriber::set_default(subscriber);
    let token = |request: RequestBuilder| request.bearer_auth("the-token-of-this-box");
    let made = json!({"name": "Ada", "password": PASSWORD});
    answer(site.request(Method::POST, "/api/v1/accounts", &As::Nobody).json(&made)).await.is(201);
    site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "not the password"})).await.is(401);
    let input = json!({"name": "Twitch", "url": "rtmp://127.0.0.1:1/app", "key": "live_secret_of_twitch"});
    answer(token(site.request(Method::POST, "/api/v1/destinations", &As::Nobody)).json(&input)).await.is(201);
    let ada = site.state.accounts.list().into_iter().find(|account| account.name == "Ada").unwrap().id;
    let key = site.state.accounts.stream_key(ada).unwrap();
    // As another program's words that are passed on.
    tracing::warn!("srs: client /live/{} of {}", key.expose(), "live_secret_of_twitch");
    tracing::error!(what = "the-token-of-this-box", "something failed");
    drop(heard);
    let get = async |path: &str| answer(token(site.request(Method::GET, path, &As::Nobody))).await;
    let all = get("/api/v1/log").await;
    let texts: Vec<_> = all.is(200).body.as_array().unwrap().iter().map(|event| event["text"].clone()).collect();
    assert_eq!(texts[0], "something failed what=[redacted]");
    assert_eq!(texts[1], "srs: client /live/[redacted] of [redacted]");
    let number = all.body[0]["number"].as_u64().unwrap();
    for (query, count) in [
        ("?level=error", 1),
        ("?level=warn&search=SRS%3A%20client", 1),
        ("?level=WARN&limit=1", 1),
        (&format!("?level=error&before={number}"), 0),
        ("?search=live_secret", 0),
    ] {
        let found = get(&format!("/api/v1/log{query}")).await;
        assert_eq!(found.is(200).body.as_array().unwrap().len(), count, "{query}: {found:?}");
    }
    get("/api/v1/log?level=loud").await.blames(422, "level");
    let file = get("/api/v1/log/download").await;
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(file.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = format!("{}{}", file.is(200).body.as_str().unwrap(), all.body);
    assert!(text.contains("ERROR") && text.contains("srs: client"), "{text}");
    for secret in [key.expose(), "live_secret_of_twitch", "the-token-of-this-box", PASSWORD, "not the password"] {
        assert!(!text.contains(secret), "{text}");
    }
    site.end().await;
}

#[tokio::test]
async fn history_is_a_table_for_spreadsheets_and_no_formula() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let started: jiff::Timestamp = "2026-05-01T20:00:00Z".parse().unwrap();
    let changes = (1..=1200)
        .map(|number| {
            Change::AppendHistory(HistoryRecord {
                turn: TurnId(number),
                account: AccountId(1),
                name: if number == 1200 { "=1+\"1\",x".into() } else { format!("Zoë {number}") },
                started,
                ended: started + jiff::SignedDuration::from_mins(1),
                seconds_on_air: 60.04,
                reason: "time is up".into(),
                extra: serde_json::Map::new(),
            })
        })
        .collect();
    site.state.store.commit(changes, Durability::Durable).await.unwrap();
    let table = site.get("/api/v1/history.csv", &As::Token).await;
    assert!(table.is(200).headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert!(table.headers["content-disposition"].to_str().unwrap().contains("motherstream-history.csv"));
    let text = table.body.as_str().unwrap().trim_start_matches('\u{feff}');
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1201);
    assert_eq!(lines[0], "turn,streamer,started,ended,seconds_on_air,reason");
    assert_eq!(lines[1], "1200,\"'=1+\"\"1\"\",x\",2026-05-01T20:00:00Z,2026-05-01T20:01:00Z,60.0,time is up");
    assert!(lines[1200].starts_with("1,Zoë 1,"), "{}", lines[1200]);
    site.end().await;
}

#[tokio::test]
async fn platforms_are_offered_with_address_and_place_of_the_key() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let presets = site.get("/api/v1/destinations/presets", &As::Token).await.is(200).body.clone();
    let ids: Vec<_> = presets.as_array().unwrap().iter().map(|preset| preset["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["twitch", "youtube", "kick", "facebook", "custom"]);
    for preset in presets.as_array().unwrap().iter().filter(|preset| preset["complete"] == true) {
        let input = json!({"name": preset["name"], "url": preset["url"], "key": "live_1_abcdef", "enabled": false});
        site.post("/api/v1/destinations", &As::Token, input).await.is(201);
        assert!(preset["key_help"].as_str().unwrap().contains("tream key") || preset["id"] == "kick", "{preset}");
    }
    site.end().await;
}

#[tokio::test]
async fn destination_is_tried_out_one_at_a_time_and_not_while_it_is_live() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let add = async |name: &str, url: String| {
        let made = site.post("/api/v1/destinations", &As::Token, json!({"name": name, "url": url, "key": "k"})).await;
        format!("/api/v1/destinations/{}", made.is(201).body["id"])
    };
    let slow = add("slow", format!("rtmp://{}/app", silent.local_addr().unwrap())).await;
    let dead = add("dead", "rtmp://127.0.0.1:1/app".to_owned()).await;
    let tried = site.post(&format!("{dead}/test"), &As::Token, json!({})).await;
    assert_eq!(tried.is(200).body["verdict"], "failed");
    assert!(tried.body["message"].as_str().unwrap().contains("takes no connections on port 1"), "{tried:?}");
    let first = tokio::spawn(site.request(Method::POST, &format!("{slow}/test"), &As::Token).send());
    // Its connection is the sign that it runs.
    let _connection = silent.accept().await.unwrap();
    site.post(&format!("{dead}/test"), &As::Token, json!({})).await.is(409);
    // The show begins: what goes live is no longer tried out.
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    assert_eq!(first.await.unwrap().unwrap().status(), 409);
    eventually(async || site.get("/api/v1/destinations", &As::Token).await.body[0]["state"] == "connecting").await;
    site.post(&format!("{slow}/test"), &As::Token, json!({})).await.is(409);
    site.post("/api/v1/destinations/12345/test", &As::Token, json!({})).await.is(404);
    let bitrate = site.get(&format!("{slow}/bitrate"), &As::Token).await;
    assert_eq!(bitrate.is(200).body["step_seconds"], 5);
    assert!(bitrate.body["kbps"].is_array(), "{bitrate:?}");
    site.get("/api/v1/destinations/12345/bitrate", &As::Token).await.is(404);
    site.end().await;
}

#[tokio::test]
async fn ninth_destination_and_second_of_a_name_are_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let input = |name: &str| json!({"name": name, "url": "rtmp://127.0.0.1:1/app", "key": "k"});
    for number in 1..=8 {
        site.post("/api/v1/destinations", &As::Token, input(&format!("d{number}"))).await.is(201);
    }
    site.post("/api/v1/destinations", &As::Token, input("D1")).await.blames(422, "name");
    site.post("/api/v1/destinations", &As::Token, input("d9")).await.blames(422, "destinations");
    site.end().await;
    // The configuration gets two more, one of them with a name that is taken.
    let more = "[{name = \"d3\", url = \"rtmp://127.0.0.1:2/app\", key = \"k\"}, {name = \"new\", url = \"rtmp://127.0.0.1:2/app\", key = \"k\"}]";
    let site = Site::start(folder.path(), &[("DESTINATIONS", more)]).await;
    let all = site.get("/api/v1/destinations", &As::Token).await.is(200).body.clone();
    let told: Vec<_> =
        all.as_array().unwrap().iter().map(|one| (one["name"].as_str().unwrap(), one["enabled"] == true)).collect();
    assert_eq!(told.len(), 10, "{told:?}");
    assert_eq!(told.iter().filter(|(_, enabled)| *enabled).count(), 8, "{told:?}");
    assert!(told.contains(&("d3 2", true)) || told.contains(&("d3 2", false)), "{told:?}");
    site.end().await;
}

fn picture(colour: [u8; 3]) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(320, 180, image::Rgb(colour)).write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

fn pictures(folder: &TempDir) -> usize {
    let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("slate-")).count()
}

#[tokio::test]
async fn venues_picture_is_shown_kept_and_taken_away() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let look = async |site: &Site| {
        let file = site.request(Method::GET, "/api/v1/slate", &As::Token).send().await.unwrap().bytes().await.unwrap();
        image::load_from_memory(&file).unwrap().to_rgb8().get_pixel(640, 360).0
    };
    let put = |file: Vec<u8>| answer(site.request(Method::PUT, "/api/v1/slate", &As::Token).body(file));
    let built_in = look(&site).await;
    let changed = put(picture([220, 10, 10])).await;
    assert_eq!(changed.is(200).body["settings"][0]["key"], "program.slate");
    assert!(look(&site).await[0] > 200);
    put(picture([10, 220, 10])).await.is(200);
    assert_eq!(pictures(&folder), 1, "old pictures are removed");
    for wrong in [b"what is this".to_vec(), picture([1, 2, 3])[..60].to_vec()] {
        put(wrong).await.blames(422, "picture");
    }
    let too_large = put(vec![0; 8 * 1024 * 1024 + 1]).await;
    assert_eq!(too_large.is(413).body["detail"], "a picture may be 8 MB at most; save it smaller");
    assert!(look(&site).await[1] > 200, "what was refused changed nothing");
    let tag = site.get("/api/v1/slate", &As::Token).await.headers["etag"].clone();
    let again = answer(site.request(Method::GET, "/api/v1/slate", &As::Token).header("if-none-match", tag)).await;
    assert_eq!(again.status, 304);
    site.end().await;
    let site = Site::start(folder.path(), &[]).await;
    assert!(look(&site).await[1] > 200, "it outlives a restart");
    site.delete("/api/v1/slate", &As::Token).await.is(200);
    assert_eq!((look(&site).await, pictures(&folder)), (built_in, 0));
    site.end().await;
}

#[tokio::test]
async fn pages_form_uploads_a_picture_too() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    let upload = async |file: &[u8]| {
        let part = |head: &str| format!("--b\r\ncontent-disposition: form-data; {head}\r\n\r\n").into_bytes();
        let back = part("name=\"back\"");
        let body = [
            &back[..],
            b"/admin/settings#slate\r\n",
            &part("name=\"picture\"; filename=\"a.png\""),
            file,
            b"\r\n--b--\r\n",
        ];
        let As::Cookie(cookie) = &admin else { unreachable!() };
        let request = Site::without_redirects()
            .post(format!("http://{}/admin/slate-picture", site.address))
            .header("cookie", cookie);
        answer(request.header("content-type", "multipart/form-data; boundary=b").body(body.concat())).await
    };
    let answered = upload(&picture([10, 10, 220])).await;
    assert_eq!(
        (answered.status, answered.headers["location"].to_str().unwrap()),
        (303, "/admin/settings#slate"),
        "{answered:?}"
    );
    assert_eq!(pictures(&folder), 1);
    assert_eq!(upload(b"").await.status, 422);
    assert_eq!(upload(&vec![0; 9 * 1024 * 1024]).await.status, 413);
    site.end().await;
}

#[tokio::test]
async fn profile_for_obs_is_its_owners_to_download() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("VENUE__NAME", "Blue Room")]).await;
    let (id, cookie) = site.streamer("Ada").await;
    let answered = site.request(Method::GET, "/me/obs-profile.zip", &cookie).send().await.unwrap();
    assert_eq!(answered.status(), 200);
    assert_eq!(answered.headers()["content-type"], "application/zip");
    assert_eq!(answered.headers()["cache-control"], "no-store");
    assert!(answered.headers()["content-disposition"].to_str().unwrap().contains("Blue-Room-obs-profile.zip"));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(answered.bytes().await.unwrap())).unwrap();
    let service: Value = serde_json::from_reader(archive.by_name("Blue-Room/service.json").unwrap()).unwrap();
    assert_eq!(service["settings"]["key"], site.state.accounts.stream_key(id).unwrap().expose());
    assert_eq!(service["settings"]["server"], format!("rtmp://127.0.0.1:{RTMP_PORT}/live"));
    let (_, _, page) = site.look("/me", &cookie).await;
    assert!(page.contains("/me/obs-profile.zip"));
    site.get("/me/obs-profile.zip", &As::Nobody).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn screen_of_the_box_shows_the_code_that_was_preset_until_there_is_an_owner() {
    let (folder, boot) = (folder(), folder());
    std::fs::write(boot.path().join("setup-code.txt"), "Blue Room 2345\r\n").unwrap();
    let settings = [("ADMIN__TOKEN", ""), ("BOX__BOOT_DIR", boot.path().to_str().unwrap())];
    let site = Site::start(folder.path(), &settings).await;
    let shown = site.get("/api/v1/console", &As::Machine).await;
    assert_eq!(shown.is(200).body["setup_code"], "Blue Room 2345", "{shown:?}");
    assert!(shown.body["pages"].is_array() && shown.body["on_air"].is_null());
    let claim = json!({"code": "blueroom2345", "name": "Root", "password": PASSWORD});
    site.post("/api/v1/setup", &As::Nobody, claim).await.is(201);
    let shown = site.get("/api/v1/console", &As::Machine).await;
    assert!(shown.is(200).body["setup_code"].is_null(), "{shown:?}");
    site.end().await;
}

#[tokio::test]
async fn nonsense_on_the_boot_partition_is_no_setup_code() {
    for text in ["", "short", "eight!!!", &"long".repeat(100)] {
        let (folder, boot) = (folder(), folder());
        std::fs::write(boot.path().join("setup-code.txt"), text).unwrap();
        let settings = [("ADMIN__TOKEN", ""), ("BOX__BOOT_DIR", boot.path().to_str().unwrap())];
        let site = Site::start(folder.path(), &settings).await;
        let code = site.get("/api/v1/console", &As::Machine).await.is(200).body["setup_code"].clone();
        assert!(code.as_str().is_some_and(|code| code.len() == 8 && code != text), "{text:?}: {code}");
        site.end().await;
    }
}
