//! How soon a take comes, what it leaves behind, and how far behind live the turn is.

use super::*;

/// How far behind live the last picture shown before `at` is.
fn behind(run: &Run, source: usize, at: i64) -> f64 {
    let id = super::super::Source::Input(run.sources[source].id.clone());
    let last = run
        .track(Track::Video)
        .filter(|frame| frame.source == id && frame.frame.pts.as_micros() < at)
        .max_by_key(|frame| frame.frame.pts)
        .unwrap();
    let source = &run.sources[source];
    let shown = source.shown_at(Track::Video, &last.frame.payload) + source.start as f64 / 1e6;
    last.frame.pts.as_micros() as f64 / 1e6 - shown
}

/// The longest time between two pictures, in order of presentation, with the later one shown in `from..to`.
fn hole(run: &Run, from: i64, to: i64) -> (i64, i64) {
    let mut shown: Vec<_> = run.track(Track::Video).map(|frame| frame.frame.pts.as_micros()).collect();
    shown.sort_unstable();
    shown
        .windows(2)
        .filter(|pair| (from..to).contains(&pair[1]))
        .map(|pair| (pair[1] - pair[0], pair[1]))
        .max()
        .unwrap()
}

#[test]
fn turn_taken_from_the_rings_past_is_as_far_behind_live_as_promised_within_two_key_frames() {
    for (skipped, open, b_frames) in [(true, false, 0), (false, false, 2), (true, true, 2)] {
        let b = Source { gop: 240, b_frames, open, ..Source::new("b", 0) };
        let (mut switcher, sources) = two(Source::new("a", 0), b);
        let mut acts = vec![
            (0, Act::Cue(0)),
            (0, Act::Cue(1)),
            (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
            (14 * SECOND, Act::Take { source: 1, urgency: Urgency::Now }),
        ];
        if !skipped {
            acts.push((14 * SECOND, Act::End(0)));
        }
        let run = run(&mut switcher, sources, acts, 40 * SECOND, |source, arrival, _| {
            (skipped || source == 1 || arrival < 14 * SECOND).then_some(arrival)
        });
        run.assert_sound();
        assert!(behind(&run, 1, 15_500_000) > 6.0, "{}", behind(&run, 1, 15_500_000));
        // Key frames come at 16 s and 24 s, and are shown a buffer later.
        let late = behind(&run, 1, 30 * SECOND);
        assert!((late - 1.5).abs() < 0.1, "{late}");
        assert!(hole(&run, 13 * SECOND, 39 * SECOND).0 <= 67_000, "{:?}", hole(&run, 13 * SECOND, 39 * SECOND));
        assert!(run.share(Track::Video, None, 4 * SECOND, 39 * SECOND) < f64::EPSILON);
        assert!(run.share(Track::Audio, None, 4 * SECOND, 39 * SECOND) < f64::EPSILON);
        assert!(run.lip_sync(1, 20 * SECOND, 39 * SECOND) < 30.0);
        // Picture and sound jump at the same time.
        let jump = |track| {
            let id = super::super::Source::Input(run.sources[1].id.clone());
            let jumps: Vec<_> = run
                .track(track)
                .filter(|frame| frame.splice && frame.source == id)
                .map(|frame| frame.frame.pts)
                .collect();
            assert_eq!(jumps.len(), 2, "{track:?}: {jumps:?}");
            jumps[1]
        };
        assert!((jump(Track::Video) - jump(Track::Audio)).abs() <= ms(30));
    }
}

/// It came on the ring too late to have a past, and its first key frame comes a second after the death.
#[test]
fn one_that_has_just_been_cued_is_entered_early_rather_than_covered_by_the_slate() {
    let b = Source::new("b", 40_000);
    let (mut switcher, sources) = two(Source::new("a", 0), b);
    let death = 13 * SECOND;
    let acts = vec![
        (0, Act::Cue(0)),
        (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (death - 500_000, Act::Cue(1)),
        (death, Act::End(0)),
        (death, Act::ExpectPictures(1)),
        (death, Act::Take { source: 1, urgency: Urgency::Now }),
    ];
    let run = run(&mut switcher, sources, acts, 24 * SECOND, |source, arrival, _| {
        (source == 1 || arrival < death).then_some(arrival)
    });
    run.assert_sound();
    let id = super::super::Source::Input(run.sources[1].id.clone());
    let first = run.track(Track::Video).find(|frame| frame.source == id).unwrap().frame.pts.as_micros();
    assert!(first - death <= 2 * SECOND, "after {} us", first - death);
    assert!(run.share(Track::Video, None, 5 * SECOND, 23 * SECOND) < 0.01);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// Whoever is on air dies at any moment: the next one is seen within one key frame interval, and what is missing between is short.
    #[test]
    fn death_is_followed_within_one_key_frame_interval(
        death in 0_i64..4_000_000,
        phase in 0_i64..2_000_000,
        cue in 0_i64..3_000_000,
        told in 0_i64..200_000,
        rates in prop::sample::select(vec![(30.0, 30.0), (30.0, 25.0), (25.0, 30.0), (25.0, 50.0), (50.0, 25.0), (15.0, 30.0)]),
        b_frames in (0_u32..4, 0_u32..4),
        burst in prop::sample::select(vec![0_i64, 0, 20_000, 150_000, 350_000]),
    ) {
        let key = 2 * SECOND;
        let a = Source { fps: rates.0, gop: (rates.0 * 2.0) as u32, b_frames: b_frames.0, ..Source::new("a", 0) };
        let b = Source { fps: rates.1, gop: (rates.1 * 2.0) as u32, b_frames: b_frames.1, ..Source::new("b", phase) };
        let (mut switcher, sources) = two(a, b);
        let death = 12 * SECOND + death;
        let acts = vec![
            (0, Act::Cue(0)),
            (cue, Act::Cue(1)),
            (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
            (death + told, Act::End(0)),
            (death + told, Act::Take { source: 1, urgency: Urgency::Now }),
        ];
        let run = run(&mut switcher, sources, acts, 24 * SECOND, |source, arrival, _| {
            let arrival = if burst > 0 { (arrival / burst + 1) * burst } else { arrival };
            (source == 1 || arrival < death).then_some(arrival)
        });
        run.assert_sound();
        let id = super::super::Source::Input(run.sources[1].id.clone());
        let first = run.track(Track::Video).find(|frame| frame.source == id).unwrap().frame.pts.as_micros();
        prop_assert!(first - death <= key, "after {} us", first - death);
        prop_assert!(run.share(Track::Video, None, death - SECOND, 23 * SECOND) < f64::EPSILON, "slate");
        let hole = hole(&run, death - SECOND, 23 * SECOND);
        prop_assert!(hole.0 <= 100_000, "{:?} {}", hole, death);
    }

    /// Takes between all rates and depths of reordering, whatever bursts the pictures come in, leave no hole.
    #[test]
    fn takes_leave_no_hole_in_presentation(
        takes in prop::collection::vec((400_000_i64..5_000_000, any_urgency()), 1..6),
        phase in 0_i64..2_000_000,
        rates in (prop::sample::select(vec![25.0, 30.0, 50.0, 29.97, 60.0]), prop::sample::select(vec![25.0, 30.0, 50.0])),
        b_frames in (0_u32..4, 0_u32..4),
        open in any::<bool>(),
        bursts in (prop::sample::select(vec![0_i64, 20_000, 150_000, 350_000]), prop::sample::select(vec![0_i64, 20_000, 150_000, 350_000, 700_000])),
        shift in 0_i64..700_000,
    ) {
        let source = |name, fps: f64, b_frames: u32, start| {
            let gop = (fps * 2.0).round() as u32;
            let open = open && b_frames > 0;
            let gop = if open { gop.next_multiple_of(b_frames + 1) } else { gop };
            Source { fps, gop, b_frames, open, ..Source::new(name, start) }
        };
        let (mut switcher, sources) = two(source("a", rates.0, b_frames.0, 0), source("b", rates.1, b_frames.1, phase));
        let mut acts = vec![(0, Act::Cue(0)), (0, Act::Cue(1)), (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
        let mut when = 8 * SECOND;
        for (number, (wait, urgency)) in takes.into_iter().enumerate() {
            when += wait;
            acts.push((when, Act::Take { source: (number + 1) % 2, urgency }));
        }
        let until = when + 8 * SECOND;
        let run = run(&mut switcher, sources, acts, until, |source, arrival, _| {
            let burst = if source == 0 { bursts.0 } else { bursts.1 };
            Some(if burst > 0 { ((arrival + shift) / burst + 1) * burst - shift } else { arrival })
        });
        run.assert_sound();
        let hole = hole(&run, 8 * SECOND, until - SECOND);
        prop_assert!(hole.0 <= 100_000, "{:?}", hole);
        prop_assert!(run.share(Track::Video, None, 8 * SECOND, until) < f64::EPSILON, "slate");
    }

    /// A server keeps the pictures since the last key frame and hands them over at once when it is asked for a stream, then in bursts:
    /// a take, or a death, soon after that leaves no hole either.
    #[test]
    fn takes_of_what_has_just_been_fetched_leave_no_hole(
        take in (700_000_i64..6_000_000, any_urgency()),
        dies in any::<bool>(),
        phase in 0_i64..2_000_000,
        rates in (prop::sample::select(vec![25.0, 30.0, 50.0]), prop::sample::select(vec![25.0, 30.0, 50.0])),
        b_frames in (0_u32..4, 0_u32..4),
        burst in prop::sample::select(vec![20_000_i64, 100_000, 350_000]),
        audio_ahead in prop::sample::select(vec![0_i64, 0, 100_000, -300_000]),
    ) {
        let source = |name, fps: f64, b_frames: u32, start| {
            Source { fps, gop: (fps * 2.0) as u32, b_frames, audio_ahead, ..Source::new(name, start) }
        };
        let (mut switcher, sources) = two(source("a", rates.0, b_frames.0, 0), source("b", rates.1, b_frames.1, phase));
        let asked = 10 * SECOND;
        let key = (asked - phase) / (2 * SECOND) * 2 * SECOND + phase;
        let when = asked + take.0;
        let mut acts = vec![
            (0, Act::Cue(0)),
            (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
            (asked, Act::Cue(1)),
            (asked + 100_000, Act::ExpectPictures(1)),
            (when, Act::Take { source: 1, urgency: if dies { Urgency::Now } else { take.1 } }),
        ];
        if dies {
            acts.push((when, Act::End(0)));
        }
        let until = when + 10 * SECOND;
        let run = run(&mut switcher, sources, acts, until, |source, arrival, _| {
            if source == 0 && dies && arrival >= when || source == 1 && arrival + 1000 < key {
                return None;
            }
            // In order, as TCP has it, but no burst when it should come.
            let number = arrival / burst;
            let arrival = (number + 1) * burst + number * 7919 % 1000 * burst / 1000;
            Some(if source == 1 { arrival.max(asked + 50_000) } else { arrival })
        });
        run.assert_sound();
        let id = super::super::Source::Input(run.sources[1].id.clone());
        let first = run.track(Track::Video).find(|frame| frame.source == id).unwrap().frame.pts.as_micros();
        // What comes in a burst is there so much later.
        prop_assert!(first - when <= if dies { 2 } else { 4 } * SECOND + burst, "after {} us", first - when);
        let hole = hole(&run, 8 * SECOND, until - SECOND);
        prop_assert!(hole.0 <= 100_000, "{:?}", hole);
        // Of one that was asked for a moment ago and comes in bursts there may be too little.
        prop_assert!(dies && take.0 < 3 * SECOND || run.share(Track::Video, None, 8 * SECOND, until) < f64::EPSILON, "slate");
    }
}
