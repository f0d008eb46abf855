#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod takes;

use super::*;
use crate::{
    core::{
        flv,
        frame::{CodecConfig, MediaTime},
    },
    media::{
        listeners::Listeners,
        slate::{self, SlateSettings},
        tag::{Preroll, TagKind},
    },
};

/// What the pacing thread would hand over: a ring that ends at `millis`, pictures every 40 ms and a key frame every second.
fn ring(slate: &crate::core::switcher::SlateLoop, from: i64, until: i64) -> Preroll {
    let CodecConfig::Avc(avc) = &*slate.video else { unreachable!("it is the pictures'") };
    let CodecConfig::Aac(aac) = &*slate.audio else { unreachable!("it is the sound's") };
    let header = |kind, body| Tag { kind, time: MediaTime::from_millis(from), keyframe: false, header: true, body };
    let headers = vec![header(TagKind::Video, flv::video_header(avc)), header(TagKind::Audio, flv::audio_header(aac))];
    Preroll { headers, tags: pictures(from, until).collect() }
}

fn pictures(from: i64, until: i64) -> impl Iterator<Item = Tag> {
    (from..until).step_by(40).map(move |millis| Tag {
        kind: TagKind::Video,
        time: MediaTime::from_millis(millis),
        keyframe: millis % 1000 == 0,
        header: false,
        body: Bytes::from_static(&[0x17, 1, 0, 0, 200, 0, 0, 0, 1, 0x65]),
    })
}

fn text(playlist: Option<Bytes>) -> String {
    String::from_utf8(playlist.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn first_playlist_comes_out_of_the_ring_and_production_ends_when_nobody_asks() {
    let slate = slate::render(SlateSettings { venue: "Room", picture: None, tone: false }).unwrap();
    let (door, mut listeners) = Listeners::new();
    let (watch, token) = (Watch::new(), CancellationToken::new());
    tokio::spawn(watch.clone().run(door, token.clone()));
    tokio::time::sleep(Duration::from_mins(1)).await;
    listeners.push(&[], &ring(&slate, 0, 1500));
    assert!(!watch.is_running(), "nobody asked");

    let asked = tokio::spawn({
        let watch = watch.clone();
        async move { watch.playlist(None).await }
    });
    tokio::time::sleep(Duration::from_millis(40)).await;
    listeners.push(&[], &ring(&slate, 0, 1500));
    let playlist = text(asked.await.unwrap());
    assert!(watch.is_running());
    assert_eq!(playlist.matches("#EXTINF:0.920").count(), 1, "{playlist}");
    let number = |playlist: &str, end: &str| -> u64 {
        let line = playlist.lines().rfind(|line| line.contains(end)).unwrap();
        line.split(['.', ':']).find_map(|part| part.parse().ok()).unwrap()
    };
    let segment = number(&playlist, ".m4s");
    assert!(watch.segment(segment).is_some() && watch.segment(segment + 1).is_none());
    let map = playlist.lines().find(|line| line.starts_with("#EXT-X-MAP")).unwrap();
    let initialisation = map.split(['-', '.']).find_map(|part| part.parse().ok()).unwrap();
    assert!(watch.initialisation(initialisation).is_some() && watch.initialisation(0).is_none());

    let more: Vec<_> = pictures(1520, 3240).collect();
    listeners.push(&more, &ring(&slate, 3000, 3240));
    tokio::time::sleep(Duration::from_millis(40)).await;
    let playlist = text(watch.playlist(None).await);
    assert_eq!(number(&playlist, ".m4s"), segment + 2, "{playlist}");

    let next = tokio::spawn({
        let watch = watch.clone();
        async move { watch.playlist(Some(segment + 3)).await }
    });
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert!(!next.is_finished(), "a segment that is about to be finished is waited for");
    listeners.push(&pictures(3240, 4240).collect::<Vec<_>>(), &ring(&slate, 4000, 4240));
    let playlist = text(next.await.unwrap());
    assert_eq!(number(&playlist, ".m4s"), segment + 3, "{playlist}");
    let begin = Instant::now();
    let playlist = text(watch.playlist(Some(segment + 90)).await);
    assert_eq!((number(&playlist, ".m4s"), begin.elapsed()), (segment + 3, Duration::ZERO));

    tokio::time::sleep(ALIVE + Duration::from_secs(2)).await;
    assert!(!watch.is_running());
    listeners.push(&more, &ring(&slate, 3000, 3240));
    assert!(watch.segment(segment).is_none(), "nothing is kept");

    let asked = tokio::spawn({
        let watch = watch.clone();
        async move { watch.playlist(None).await }
    });
    tokio::time::sleep(Duration::from_millis(40)).await;
    listeners.push(&[], &ring(&slate, 60_000, 61_500));
    let playlist = text(asked.await.unwrap());
    assert_eq!(number(&playlist, ".m4s"), segment + 4, "numbers go on: {playlist}");
    assert_eq!(number(&playlist, "#EXT-X-DISCONTINUITY-SEQUENCE"), initialisation + 1, "{playlist}");
    token.cancel();
}

/// A ring of more tags than a follower has room for.
#[tokio::test(start_paused = true)]
async fn production_that_cannot_keep_up_is_not_begun_again_at_every_tick() {
    let slate = slate::render(SlateSettings { venue: "Room", picture: None, tone: false }).unwrap();
    let (door, mut listeners) = Listeners::new();
    let (watch, token) = (Watch::new(), CancellationToken::new());
    tokio::spawn(watch.clone().run(door, token.clone()));
    watch.ask();
    let ring = ring(&slate, 0, 40 * 9000);
    let mut begun = std::collections::BTreeSet::new();
    for _ in 0..75 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        listeners.push(&[], &ring);
        tokio::task::yield_now().await;
        if let Some(playlist) = watch.shared.window.borrow().playlist() {
            let playlist = String::from_utf8(playlist.to_vec()).unwrap();
            begun.extend(playlist.lines().rfind(|line| line.starts_with("#EXT-X-MAP")).map(str::to_owned));
        }
    }
    assert!(watch.is_running());
    assert!((2..=4).contains(&begun.len()), "{} productions in 3 s", begun.len());
    token.cancel();
}

#[tokio::test(start_paused = true)]
async fn playlist_of_a_programme_that_shows_nothing_is_not_waited_for_long() {
    let (door, _listeners) = Listeners::new();
    let (watch, token) = (Watch::new(), CancellationToken::new());
    tokio::spawn(watch.clone().run(door, token.clone()));
    let begin = Instant::now();
    assert_eq!(watch.playlist(None).await, None);
    assert_eq!(begin.elapsed(), PATIENCE);
    token.cancel();
}
