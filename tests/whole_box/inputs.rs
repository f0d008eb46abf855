//! Inputs that are unlike what encoders usually send.

use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Sound},
    assets::Asset,
    boxed::{TheBox, Through},
    publisher::{Encoder, Manner, Paced},
    recorder::Recorder,
    seconds, wait,
};

through_both![
    unusual_inputs_are_part_of_one_unbroken_programme,
    pictures_without_key_frames_are_never_ready_and_the_streamer_is_told
];

/// What a streamer reads on their own page.
fn own_page(the_box: &TheBox, name: &str) -> serde_json::Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().cookie_store(true).build().unwrap();
        let credentials = json!({ "name": name, "password": format!("{name}-password") });
        let signed_in = client.post(the_box.api.url("/api/v1/session")).json(&credentials).send().await.unwrap();
        assert!(signed_in.status().is_success(), "{}", signed_in.status());
        client.get(the_box.api.url("/api/v1/me")).send().await.unwrap().json().await.unwrap()
    })
}

/// Time stamps that pass 0xFFFFFF (in both dialects) and 2^32, a GOP of 8 s, sound only, pictures only: one after the other.
fn unusual_inputs_are_part_of_one_unbroken_programme(ingest: Through) {
    let platform = Recorder::start();
    let the_box = TheBox::builder().through(ingest).destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    api.show(true);
    wait("the slate at the platform", seconds(5), || platform.first_picture(0));
    thread::sleep(seconds(6));
    let slate_until_ms = platform.look(|sessions| sessions[0].records.last().unwrap().time);
    let end_of = |moment: u64| (moment - 5000) as u32;

    for (name, manner) in [
        ("Extended", Manner { offset: end_of(0xff_ffff), ..Manner::default() }),
        ("Terse", Manner { offset: end_of(0xff_ffff), terse: true, ..Manner::default() }),
        ("Wrapping", Manner { offset: end_of(1 << 32), ..Manner::default() }),
    ] {
        let streamer = api.register(name);
        let publisher = Paced::publish(&Asset::A.path(), the_box.rtmp, &streamer.key, manner);
        api.wait_on_air(name, seconds(10));
        thread::sleep(seconds(9));
        assert!(!publisher.has_ended(), "{name} was disconnected");
        drop(publisher);
    }

    let patient = api.register("Patient");
    let encoder = Encoder::publish(&Asset::LongGop.path(), &the_box.publish_url(&patient.key));
    // The one before is kept a place for 15 s, which another who is taken ends.
    api.wait_on_air("Patient", seconds(20));
    thread::sleep(seconds(10));
    drop(encoder);

    let radio = api.register("Radio");
    let encoder = Encoder::publish_with(&Asset::B.path(), &the_box.publish_url(&radio.key), &["-vn"]);
    api.wait_on_air("Radio", seconds(20));
    thread::sleep(seconds(6));
    drop(encoder);

    let silent = api.register("Silent");
    let encoder = Encoder::publish_with(&Asset::C.path(), &the_box.publish_url(&silent.key), &["-an"]);
    api.wait_on_air("Silent", seconds(20));
    thread::sleep(seconds(6));
    drop(encoder);
    api.show(false);
    wait("the end of the session", seconds(5), || platform.look(|sessions| sessions[0].ended));

    let session = platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    assert_eq!(analysis::remux_complaints(&file), "");
    let assets = [Asset::A, Asset::LongGop, Asset::B, Asset::C];
    let pictures = analysis::picture_stretches(&session, &file, slate_until_ms, &assets);
    let tones = Sound::of_session(&session, &file).tones(&[440.0, 880.0, 660.0]);
    let all = format!("{}\n{}", analysis::describe(&pictures), analysis::describe(&tones));
    let mut shown: Vec<_> = pictures.iter().filter(|s| s.length_ms() > 2500).map(|s| s.owner).collect();
    shown.dedup();
    let a = Owner::Source(Asset::A);
    let without_slate: Vec<_> = shown.iter().copied().filter(|owner| *owner != Owner::Slate).collect();
    let long_gop = Owner::Source(Asset::LongGop);
    assert_eq!(without_slate.iter().filter(|owner| **owner == a).count() + 2, without_slate.len(), "\n{all}");
    assert_eq!(without_slate[without_slate.len() - 2..], [long_gop, Owner::Source(Asset::C)], "\n{all}");
    assert!(pictures.iter().all(|stretch| stretch.owner != Owner::Nobody), "\n{all}");
    // The radio plays under the slate's picture, and pictures without sound are shown over silence.
    let radio = tones.iter().find(|stretch| stretch.owner == Some(880)).unwrap_or_else(|| panic!("no radio\n{all}"));
    assert!(radio.length_ms() > 4000, "\n{all}");
    let under = |s: &&analysis::Stretch<Owner>| s.begin_ms < radio.begin_ms + 2000 && s.end_ms > radio.begin_ms + 2000;
    assert_eq!(pictures.iter().find(under).unwrap().owner, Owner::Slate, "\n{all}");
    assert!(tones.iter().all(|stretch| stretch.owner != Some(660)), "a sound that was never sent\n{all}");
}

/// Pictures that never begin with an IDR cannot be cut to: the streamer is told, and disconnected when the time is over.
fn pictures_without_key_frames_are_never_ready_and_the_streamer_is_told(ingest: Through) {
    let the_box =
        TheBox::builder().through(ingest).set("queue.stall_limit_seconds", 6).set("ingest.silence_seconds", 12).start();
    let streamer = the_box.api.register("Intra");
    let manner = Manner { without_idr: true, ..Manner::default() };
    let publisher = Paced::publish(&Asset::IntraRefresh.path(), the_box.rtmp, &streamer.key, manner);
    thread::sleep(seconds(4));
    assert_eq!(the_box.api.entry("Intra").unwrap()["presence"], "present");
    // Three times the limit, as for all times here.
    wait("the disconnection", seconds(18), || publisher.has_ended().then_some(()));
    assert_eq!(the_box.api.on_air(), None);
    let page = own_page(&the_box, "Intra");
    let reason = page["last_refusal"]["reason"].as_str().unwrap_or_else(|| panic!("{page}"));
    assert!(reason.contains("key frame") || reason.contains("keyframe"), "{reason}");
}
