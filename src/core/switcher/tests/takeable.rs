//! What is judged of a take before it is ordered is what comes of it.

use super::*;
use crate::core::fitness::{MOST_APART, Takeable, Unfit};

/// How a healthy source is bent.
#[derive(Clone, Copy, Debug)]
enum Bend {
    None,
    /// One IDR, then none.
    OpenGop,
    /// Pictures count from so many milliseconds later than the sound.
    Apart(i64),
}

/// A cued input that is fed up to `asked`, what is judged of it then, and how long a take that is ordered then takes.
fn judged_and_taken(source: &Source, bend: Bend, latency: i64, asked: i64) -> (Option<Takeable>, Option<i64>) {
    let mut switcher = Switcher::new(settings(latency), slate(), at(0));
    switcher.cue(&source.id);
    let end = asked + latency * 1000 + MOST_APART.as_micros() + SECOND;
    let mut arrivals = source.frames(end).into_iter().peekable();
    let (mut first, mut judged) = (true, None);
    let (mut out, mut events) = (Vec::new(), Vec::new());
    for now in (0..end).step_by(TICK as usize) {
        while let Some((arrival, mut frame)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            if frame.track == Track::Video {
                match bend {
                    Bend::None => {}
                    Bend::OpenGop => frame.keyframe = std::mem::take(&mut first),
                    Bend::Apart(millis) => (frame.dts, frame.pts) = (frame.dts + ms(millis), frame.pts + ms(millis)),
                }
            }
            switcher.push(&source.id, frame, at(arrival));
        }
        switcher.poll(at(now), &mut out, &mut events);
        if events.iter().any(|event| matches!(event, SwitchEvent::Taken(_))) {
            return (judged, Some(now - asked));
        }
        if now >= asked && judged.is_none() {
            judged = switcher.can_take(&source.id, at(now));
            switcher.take(TakeId(1), &source.id, Urgency::Now, at(now));
        }
    }
    (judged, None)
}

#[test]
fn stream_without_another_key_frame_and_tracks_that_are_apart_cannot_be_taken() {
    let source = Source::new("a", 0);
    let (judged, taken) = judged_and_taken(&source, Bend::None, 1500, 6 * SECOND);
    assert_eq!((judged, taken.is_some_and(|taken| taken < 2 * SECOND)), (Some(Takeable::Yes), true), "{taken:?}");
    let (judged, taken) = judged_and_taken(&source, Bend::OpenGop, 1500, 20 * SECOND);
    assert_eq!((judged, taken), (Some(Takeable::No(Unfit::NoEntry)), None));
    let (judged, taken) = judged_and_taken(&source, Bend::Apart(60_000), 1500, 6 * SECOND);
    assert!(matches!(judged, Some(Takeable::No(Unfit::Apart(_)))), "{judged:?}");
    assert_eq!(taken, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A take of which *yes* is said happens, as soon as what waits in the buffer is due; one of which *no* is said does not happen just then.
    #[test]
    fn judgement_and_take_agree(
        gop in prop_oneof![Just(15_u32), Just(60), Just(250)],
        b_frames in 0..3_u32,
        latency in prop_oneof![Just(300_i64), Just(1500)],
        bend in prop_oneof![3 => Just(Bend::None), 1 => Just(Bend::OpenGop), 1 => (-30_000..30_000_i64).prop_map(Bend::Apart)],
        asked in 1_000_000..16_000_000_i64,
    ) {
        let source = Source { gop, b_frames, ..Source::new("a", 0) };
        let (judged, taken) = judged_and_taken(&source, bend, latency, asked);
        match judged {
            Some(Takeable::Yes) => prop_assert!(taken.is_some(), "{bend:?}"),
            Some(Takeable::No(_)) => prop_assert!(taken.is_none_or(|taken| taken > 60_000), "{taken:?}"),
            Some(Takeable::Unknown) | None => {}
        }
    }
}
