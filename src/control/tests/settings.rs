//! What the box is set to: settings, slate, destinations, and all of it in one file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    config,
    control::{
        backup::{self, Restoring},
        destinations::{self, trial, wanted::EditDestination},
        settings, slate,
    },
    core::destination::{DestinationId, DestinationInput},
    media::egress::TrialVerdict,
};

async fn change(room: &mut Room, key: &str, value: Value) -> Ended<settings::Changed> {
    let edits = BTreeMap::from([(key.to_owned(), value)]);
    room.order(&Caller::Token, async |control, by| settings::change(control, by, edits).await).await
}

#[tokio::test]
async fn setting_is_in_force_when_its_change_is_told() {
    let mut room = Room::open(&[("QUEUE__HOLD_OFF_SECONDS", "5")]).await;
    change(&mut room, "nothing.here", json!(1)).await.denied("admin.token settings.change nothing.here", "no such key");
    let locked = change(&mut room, "queue.hold_off_seconds", json!(9)).await;
    locked.denied("admin.token settings.change queue.hold_off_seconds", "MOTHERSTREAM_QUEUE__HOLD_OFF_SECONDS");
    change(&mut room, "queue.turn_seconds", json!(0))
        .await
        .denied("admin.token settings.change queue.turn_seconds", "86400");
    let mut heard = room.control.news();
    let (changed, news) =
        change(&mut room, "queue.turn_seconds", json!(90)).await.done("admin.token settings.change queue.turn_seconds");
    assert_eq!(news, [News::SettingsChanged(vec!["queue.turn_seconds"])]);
    assert_eq!((changed.settings.len(), changed.notes), (1, Vec::new()));
    assert_eq!(heard.next().await, Some(Heard::News(news[0].clone())));
    assert_eq!((room.control.config().queue.turn_seconds, room.control.snapshot().queue.turn_seconds), (90, 90));
    change(&mut room, "accounts.registration", json!("invite"))
        .await
        .done("admin.token settings.change accounts.registration");
    assert_eq!(room.control.registration(), config::Registration::Invite);
    change(&mut room, "queue.turn_seconds", Value::Null).await.done("admin.token settings.change queue.turn_seconds");
    assert_eq!(room.control.config().queue.turn_seconds, 3600);
}

fn picture() -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let red = image::RgbImage::from_pixel(320, 180, image::Rgb([200, 0, 0]));
    red.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

#[tokio::test]
async fn slate_is_shown_kept_and_taken_away() {
    let mut room = Room::open(&[]).await;
    let look = async |room: &Room| {
        let jpeg = slate::shown(&room.control).await.unwrap().jpeg;
        image::load_from_memory(&jpeg).unwrap().to_rgb8().get_pixel(640, 360).0[0] > 150
    };
    let tag = async |room: &Room| slate::shown(&room.control).await.unwrap().tag;
    let before = tag(&room).await;
    let set = async |room: &mut Room, picture: Vec<u8>| {
        room.order(&Caller::Token, async |control, by| slate::set(control, by, picture.into()).await).await
    };
    set(&mut room, b"no picture".to_vec()).await.denied("admin.token slate.set", "this picture cannot be used");
    assert!(!look(&room).await);
    let (_, news) = set(&mut room, picture()).await.done("admin.token slate.set");
    assert_eq!(news, [News::SettingsChanged(vec!["program.slate"])]);
    assert!(look(&room).await);
    assert_ne!(tag(&room).await, before);
    let unset = async |control: &Control, by: &By| slate::unset(control, by).await;
    let (_, news) = room.order(&Caller::Token, unset).await.done("admin.token slate.remove");
    assert_eq!(news, [News::SettingsChanged(vec!["program.slate"])]);
    assert!(!look(&room).await);
    assert_eq!(tag(&room).await, before);
}

fn input(name: &str, url: &str) -> DestinationInput {
    DestinationInput { name: name.to_owned(), url: url.to_owned(), key: "a-secret".into(), enabled: true }
}

const URL: &str = "rtmp://127.0.0.1:1/live";

#[tokio::test]
async fn destinations_are_added_edited_switched_tried_and_removed() {
    let mut room = Room::open(&[]).await;
    let add = async |room: &mut Room, input: DestinationInput| {
        room.order(&Caller::Token, async |control, by| destinations::add(control, by, input).await).await
    };
    add(&mut room, input("Twitch", "http://x/y")).await.denied("admin.token destination.create Twitch", "url");
    let own = format!("rtmp://127.0.0.1:{RTMP_PORT}/live");
    add(&mut room, input("Twitch", &own)).await.denied("admin.token destination.create Twitch", "the box's own ingest");
    let (made, news) = add(&mut room, input("Twitch", URL)).await.done("admin.token destination.create Twitch");
    let id = made.id;
    assert_eq!(news, [News::DestinationPut(id)]);
    add(&mut room, input("Twitch", URL)).await.denied("admin.token destination.create Twitch", "name");

    let edit = async |room: &mut Room, id: DestinationId, name: &str| {
        let edit = EditDestination { name: Some(name.to_owned()), ..EditDestination::default() };
        room.order(&Caller::Token, async |control, by| destinations::edit(control, by, id, edit).await).await
    };
    edit(&mut room, DestinationId(77), "Kick").await.denied("admin.token destination.edit", "no such destination");
    edit(&mut room, id, "").await.denied("admin.token destination.edit Twitch", "name");
    let (edited, news) = edit(&mut room, id, "Kick").await.done("admin.token destination.edit Twitch");
    assert_eq!((edited.0.name.as_str(), news), ("Kick", vec![News::DestinationPut(id)]));

    let opa = Caller::Account(room.account("Opa", Role::Operator).await);
    let switch = async |room: &mut Room, id: DestinationId| {
        room.order(&opa, async |control, by| destinations::switch(control, by, id, false).await).await
    };
    switch(&mut room, DestinationId(77)).await.denied("Opa destination.switch : off", "no such destination");
    let (switched, news) = switch(&mut room, id).await.done("Opa destination.switch Kick: off");
    assert_eq!((switched.0.enabled, news), (false, vec![News::DestinationPut(id)]));
    assert!(room.control.destinations().iter().all(|view| !view.enabled && view.url == URL));

    let try_out = async |room: &mut Room, id: DestinationId| {
        room.order(&Caller::Token, async |control, by| trial::run(control, by, id).await).await
    };
    try_out(&mut room, DestinationId(77)).await.denied("", "no such destination");
    let trial = try_out(&mut room, id).await.done_quietly("admin.token destination.test Kick");
    assert_eq!(trial.verdict, TrialVerdict::Failed);

    assert!(room.control.bitrate(id).is_some());
    let remove = async |control: &Control, by: &By| destinations::remove(control, by, id).await;
    let ((), news) = room.order(&Caller::Token, remove).await.done("admin.token destination.delete Kick");
    assert_eq!(news, [News::DestinationGone(id)]);
    assert!(room.control.destinations().is_empty() && room.control.bitrate(id).is_none());
    room.order(&Caller::Token, remove).await.denied("admin.token destination.delete", "no such destination");
}

#[tokio::test]
async fn backup_is_packed_laid_ready_and_discarded_and_not_during_a_show() {
    let mut room = Room::open(&[]).await;
    room.streamer("Ada").await;
    let pack = async |control: &Control, by: &By| backup::pack(control, by, backup::Packing::default()).await;
    let (file, _) = room.order(&Caller::Token, pack).await.done_quietly("admin.token backup.download");
    let stage = async |room: &mut Room, file: Vec<u8>| {
        room.order(&Caller::Token, async |control, by| {
            backup::stage(control, by, file.into(), Restoring::default()).await
        })
        .await
    };
    stage(&mut room, b"no backup".to_vec()).await.denied("admin.token backup.restore", "backup");
    room.parts().director.begin_show().await.unwrap();
    room.until(|queue| queue.show).await;
    stage(&mut room, file.clone()).await.denied("admin.token backup.restore", "a show is on");
    room.parts().director.end_show().await.unwrap();
    room.until(|queue| !queue.show).await;
    assert!(!backup::is_staged(&room.control));
    let restored = stage(&mut room, file).await.done_quietly("admin.token backup.restore");
    assert!(restored.words().contains("with 1 account "), "{}", restored.words());
    assert!(backup::is_staged(&room.control));
    let unstage = async |control: &Control, by: &By| backup::unstage(control, by).await;
    room.order(&Caller::Token, unstage).await.done_quietly("admin.token backup.discard");
    assert!(!backup::is_staged(&room.control));
}
