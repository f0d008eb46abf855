//! How long before its presentation a picture leaves: as long as the inputs at hand need, and no stream's constant offset counts.

use super::*;
use crate::core::fitness::{Takeable, Unfit};

fn taken(source: &Source, seconds: i64) -> Run {
    let (mut switcher, sources) = two(source.clone(), Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let run = run(&mut switcher, sources, acts, seconds * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    run
}

fn delays(run: &Run, source: &super::super::Source) -> BTreeSet<i64> {
    run.track(Track::Video)
        .filter(|frame| frame.source == *source && frame.frame.keyframe)
        .map(|frame| (frame.frame.pts - frame.frame.dts).as_millis())
        .collect()
}

#[test]
fn without_b_frames_every_picture_leaves_when_it_is_shown() {
    let run = taken(&Source::new("a", 0), 10);
    assert!(run.track(Track::Video).all(|frame| frame.frame.dts == frame.frame.pts));
    assert_eq!(run.track(Track::Video).next().unwrap().frame.pts, MediaTime::ZERO);
    assert_eq!(run.track(Track::Audio).next().unwrap().frame.pts, MediaTime::ZERO);
    assert!(run.share(Track::Video, Some(0), 4 * SECOND, 10 * SECOND) > 0.999);
    // The buffer is what was promised, for picture and sound.
    for track in [Track::Video, Track::Audio] {
        let last = run.track(track).last().unwrap();
        let behind = last.frame.pts.as_micros() as f64 / 1e6 - run.sources[0].shown_at(track, &last.frame.payload);
        assert!((behind - 1.5).abs() < 0.05, "{track:?}: {behind}");
    }
}

#[test]
fn delay_is_what_the_cued_inputs_need_and_changes_at_a_cut() {
    let b = Source { fps: 25.0, b_frames: 2, gop: 50, ..Source::new("b", 0) };
    let (mut switcher, sources) = two(Source::new("a", 0), b);
    let acts = vec![
        (0, Act::Cue(0)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (6 * SECOND, Act::Cue(1)),
        (9 * SECOND, Act::Take { source: 1, urgency: Urgency::Planned }),
        (16 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (20 * SECOND, Act::End(1)),
        (21 * SECOND, Act::Clear),
    ];
    let run = run(&mut switcher, sources, acts, 30 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    let id = |source: usize| super::super::Source::Input(run.sources[source].id.clone());
    let at = |source: super::super::Source, from: i64, to: i64| {
        run.track(Track::Video)
            .filter(|frame| frame.source == source && frame.frame.keyframe)
            .filter(|frame| (from * SECOND..to * SECOND).contains(&frame.frame.pts.as_micros()))
            .map(|frame| (frame.frame.pts - frame.frame.dts).as_millis())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(at(id(0), 0, 13), [0].into());
    // The first one of the second source is as early as it can be: behind the last of the first one.
    let second = at(id(1), 0, 30);
    assert!(second.iter().all(|delay| (30..=40).contains(delay)) && second.contains(&40), "{second:?}");
    assert_eq!(at(id(0), 13, 30), [40].into());
    assert_eq!(at(super::super::Source::Slate, 0, 3), [0].into());
    assert_eq!(at(super::super::Source::Slate, 26, 30), [0].into());
    for (source, from, to) in [(0, 4, 9), (1, 12, 16), (0, 19, 21)] {
        assert!(run.lip_sync(source, from * SECOND, to * SECOND) < 30.0);
    }
    assert!(run.share(Track::Video, None, 4 * SECOND, 20 * SECOND) < f64::EPSILON);
}

#[test]
fn constant_offset_is_presentation_and_no_reordering() {
    for (b_frames, composition) in [(0, 150), (0, 400), (0, 1500), (2, 200), (2, -33), (3, -33)] {
        let source = Source { b_frames, composition, ..Source::new("a", 0) };
        let run = taken(&source, 14);
        let id = super::super::Source::Input(source.id);
        let expected = if b_frames > 0 { 33 } else { 0 };
        let delays = delays(&run, &id);
        assert!(delays.iter().all(|delay| (delay - expected).abs() <= 1 || *delay < 33), "{delays:?}");
        assert!((delays.last().unwrap() - expected).abs() <= 1, "{delays:?}");
        assert!(run.share(Track::Video, Some(0), 6 * SECOND, 14 * SECOND) > 0.99);
        // The picture stays where it was sent, against the sound.
        assert!(run.lip_sync(0, 7 * SECOND, 12 * SECOND) < 30.0, "{b_frames} {composition}");
    }
}

/// Stamped with when they are shown, and nothing besides: B-frames run back.
#[test]
fn pictures_stamped_with_their_presentation_are_shown_in_order() {
    let source = Source { b_frames: 2, ..Source::new("a", 0) };
    let mut switcher = Switcher::new(settings(1500), slate(), Moment::ZERO);
    let (mut out, mut now) = (Vec::new(), 0);
    let mut newest = MediaTime::from_micros(-1);
    let mut frames: Vec<_> = source.frames(12 * SECOND);
    for (_, frame) in frames.iter_mut().filter(|(_, frame)| frame.track == Track::Video) {
        // slice_type 6 or 5, behind its length; then the number.
        let kind = if frame.pts < newest { 0b1001_1100 } else { 0b1001_1000 };
        newest = newest.max(frame.pts);
        let slice = [&[0, 0, 0, 6, 0x41, kind], &frame.payload[..4]].concat();
        frame.payload = slice.into();
        frame.dts = frame.pts;
    }
    let mut frames = frames.into_iter().peekable();
    switcher.cue(&source.id);
    switcher.take(TakeId(1), &source.id, Urgency::Planned, at(0));
    while now < 12 * SECOND {
        while let Some((arrival, frame)) = frames.next_if(|(arrival, _)| *arrival <= now) {
            switcher.push(&source.id, frame, at(arrival));
        }
        switcher.poll(at(now), &mut out, &mut Vec::new());
        now += TICK;
    }
    let id = super::super::Source::Input(source.id);
    let pictures: Vec<_> = out.iter().filter(|frame| frame.frame.track == Track::Video && frame.source == id).collect();
    assert!(pictures.windows(2).all(|pair| pair[0].frame.dts < pair[1].frame.dts));
    let shown: BTreeMap<_, _> = pictures
        .iter()
        .map(|frame| (frame.frame.pts, u32::from_be_bytes(frame.frame.payload[6..10].try_into().unwrap())))
        .collect();
    assert_eq!(shown.len(), pictures.len(), "two at one instant");
    let shown: Vec<_> = shown.into_iter().collect();
    for pair in shown.windows(2) {
        assert_eq!(pair[1].1, pair[0].1 + 1, "{pair:?}");
        assert!(((pair[1].0 - pair[0].0).as_millis() - 33).abs() <= 1, "{pair:?}");
    }
    assert!(shown.len() > 250, "{}", shown.len());
}

#[test]
fn only_a_stream_that_goes_on_reordering_too_far_is_refused() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let bend = |far: &dyn Fn(usize) -> bool| {
        let mut frames = sources[0].frames(8 * SECOND);
        for (index, (_, frame)) in frames.iter_mut().enumerate() {
            if frame.track == Track::Video && !frame.keyframe && far(index) {
                frame.pts = frame.dts - ms(700);
            }
        }
        frames
    };
    for (far, refused) in
        [(&(|index: usize| index % 40 == 39) as &dyn Fn(usize) -> bool, false), (&|index| index % 4 == 3, true)]
    {
        let id = ConnectionId::new(if refused { "often" } else { "seldom" });
        switcher.cue(&id);
        let mut now = 0;
        for (arrival, frame) in bend(far) {
            switcher.push(&id, frame, at(arrival));
            now = arrival;
        }
        assert_eq!(switcher.can_take(&id, at(now)) == Some(Takeable::No(Unfit::Reordered)), refused);
    }
}
