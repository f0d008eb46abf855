//! What the tap of a connection hands on.

use super::{super::tap::Tap, *};
use crate::core::frame::{AacConfig, AvcConfig};

pub(super) fn picture(shown: i64, keyframe: bool) -> Frame {
    let config = Arc::new(CodecConfig::Avc(AvcConfig::of_tests()));
    let pts = MediaTime::from_millis(shown);
    Frame { track: Track::Video, dts: pts, pts, keyframe, payload: vec![0; 8].into(), config }
}

/// A frame of silence of 32 ms.
pub(super) fn sound(millis: i64) -> Frame {
    let config = AacConfig { record: vec![0x14, 0x08].into(), sample_rate: 32_000, channels: 1, frame_samples: 1024 };
    let at = MediaTime::from_millis(millis);
    let config = Arc::new(CodecConfig::Aac(config));
    Frame { track: Track::Audio, dts: at, pts: at, keyframe: true, payload: vec![0; 8].into(), config }
}

/// An open GOP's leading pictures refer to what is missing, the first time and after each hole.
#[tokio::test]
async fn leading_pictures_are_handed_on_only_where_nothing_was_missing_before_their_key_frame() {
    gstreamer::init().unwrap();
    let gauge = Arc::new(Gauge::new(ConnectionId::new("a"), None, &Pictures::start().unwrap()));
    let (sender, mut frames) = mpsc::channel(64);
    let mut tap = Tap::new(gauge, sender, Arc::new(Notify::new()));
    let mut handed_on = |tap: &mut Tap, pictures: &[(i64, bool)]| {
        for (shown, keyframe) in pictures {
            tap.feed(picture(*shown, *keyframe), Moment::from_start(Duration::ZERO));
        }
        std::iter::from_fn(|| frames.try_recv().ok()).map(|(_, frame, _)| frame.pts.as_millis()).collect::<Vec<_>>()
    };
    let group = [(100, true), (40, false), (80, false), (140, false)];
    assert_eq!(handed_on(&mut tap, &[(0, false), (20, false)]), [] as [i64; 0], "nothing to decode from yet");
    assert_eq!(handed_on(&mut tap, &group), [100, 140], "the first group");
    let later = group.map(|(shown, keyframe)| (shown + 200, keyframe));
    assert_eq!(handed_on(&mut tap, &later), [300, 240, 280, 340], "whole");
    tap.skip();
    let after = group.map(|(shown, keyframe)| (shown + 400, keyframe));
    assert_eq!(handed_on(&mut tap, &[(360, false)]), [] as [i64; 0], "a hole");
    assert_eq!(handed_on(&mut tap, &after), [500, 540], "after a hole");
}

/// Events follow that order, so that of several who are ready at once the first is taken.
#[tokio::test]
async fn open_connections_are_looked_at_in_the_order_in_which_they_opened() {
    gstreamer::init().unwrap();
    let (gauges, pictures) = (Gauges::default(), Pictures::start().unwrap());
    let names: Vec<_> = (0..20).map(|number| format!("c-{number}")).collect();
    for name in &names {
        gauges.insert(Arc::new(Gauge::new(ConnectionId::new(name.as_str()), None, &pictures)));
    }
    let order: Vec<_> = gauges.all().iter().map(|gauge| gauge.connection.to_string()).collect();
    assert_eq!(order, names);
}
