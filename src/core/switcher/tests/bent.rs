//! Healthy streams whose time stamps, order and spacing are bent as encoders bend them, before two judges:
//!
//! 1. nothing healthy is lost: every picture leaves once and in the order in which it is shown, every frame of sound leaves once and where
//!    the one before it ends, and picture and sound stay together;
//! 2. whoever can be taken is taken, within two key frame intervals, and no slate is seen while somebody else can be.
//!
//! A new bend is one more line in [`BENDS`].

use super::*;

/// Sound may have a hole, or an overlap, of so many microseconds.
const SOUND_GAP: i64 = 5_000;

/// What a bend changes: arrivals (in microseconds) and frames, in order of arrival.
type Frames = Vec<(i64, Frame)>;

struct Bend {
    name: &'static str,
    by: fn(Frames) -> Frames,
    /// What healthy streams it can be applied to without making them ill.
    to: To,
    /// How far, in milliseconds, the sound may lie from where its stamps are on average, ...
    astray: f64,
    /// ... or from where it truly belongs, since its stamps run at a wrong speed.
    stamps_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Any,
    /// Streams of at most 30 pictures a second without B-frames: of others it would change the order.
    Plain,
    /// Streams at 48 kHz.
    Rate48,
    /// Streams with sound, whose pictures become slow or still; key frames each 2 s at 30 fps, without B-frames.
    Still,
}

const fn bend(name: &'static str, by: fn(Frames) -> Frames) -> Bend {
    Bend { name, by, to: To::Any, astray: 20.0, stamps_run: false }
}

impl Bend {
    const fn to(self, to: To) -> Self {
        Self { to, ..self }
    }

    const fn astray(self, millis: f64) -> Self {
        Self { astray: millis, ..self }
    }

    const fn stamps_run(self) -> Self {
        Self { stamps_run: true, ..self }
    }
}

/// Every way to bend that must come out right.
const BENDS: &[Bend] = &[
    bend("not at all", |frames| frames),
    bend("two frames of sound with one stamp", |frames| {
        sound(frames, |n, stamp, all| if n % 2 == 1 { all[n - 1] } else { stamp })
    }),
    bend("three frames of sound with one stamp", |frames| sound(frames, |n, _, all| all[n - n % 3])),
    bend("six frames of sound with one stamp", |frames| sound(frames, |n, _, all| all[n - n % 6])).astray(60.0),
    bend("each tenth stamp of the sound twice", |frames| {
        sound(frames, |n, stamp, all| if n % 10 == 9 { all[n - 1] } else { stamp })
    }),
    bend("stamps of neighbouring sounds swapped", |frames| {
        sound(frames, |n, stamp, all| all.get(n ^ 1).copied().unwrap_or(stamp))
    }),
    bend("sound 10 ms early and late by turns", |frames| {
        sound(frames, |n, stamp, _| stamp + if n % 2 == 0 { 10 } else { -10 })
    }),
    bend("sound off by up to 10 ms", |frames| sound(frames, |n, stamp, _| stamp + noise(n, 10))),
    bend("sound off by up to 30 ms", |frames| sound(frames, |n, stamp, _| stamp + noise(n, 30))),
    bend("sound on a clock of 10 ms", |frames| sound(frames, |_, stamp, _| stamp / 10 * 10)),
    bend("sound on a clock of 16 ms", |frames| sound(frames, |_, stamp, _| stamp / 16 * 16)),
    bend("sound on a clock of 32 ms", |frames| sound(frames, |_, stamp, _| stamp / 32 * 32)),
    bend("sound on a clock of 33 ms", |frames| sound(frames, |_, stamp, _| stamp / 33 * 33)),
    bend("sound on a clock of 50 ms", |frames| sound(frames, |_, stamp, _| stamp / 50 * 50)),
    bend("everything on a clock of 10 ms", |frames| stamps(frames, |stamp| stamp / 10 * 10)).to(To::Plain),
    bend("everything on a clock of 16 ms", |frames| stamps(frames, |stamp| stamp / 16 * 16)).to(To::Plain),
    bend("everything on a clock of 32 ms", |frames| stamps(frames, |stamp| stamp / 32 * 32)).to(To::Plain),
    bend("sound with the pictures' stamps", with_stamps_of_pictures),
    bend("sound whose stamps are of another rate", |frames| {
        sound(frames, |n, _, _| i64::try_from(n).unwrap() * 1024 * 1000 / 44_100)
    })
    .to(To::Rate48)
    .stamps_run()
    .astray(50.0),
    bend("one stamp of the sound far ahead", |frames| {
        sound(frames, |n, stamp, _| if n % 400 == 399 { stamp + 700 } else { stamp })
    }),
    bend("three stamps of the sound far behind", |frames| {
        sound(frames, |n, stamp, _| if n % 400 > 396 { stamp - 300 } else { stamp })
    }),
    bend("one stamp of the sound is zero", |frames| sound(frames, |n, stamp, _| if n == 400 { 0 } else { stamp }))
        .astray(45.0),
    bend("sound clock 200 ppm fast", |frames| sound(frames, |_, stamp, _| stamp - stamp / 5000)),
    bend("sound clock 200 ppm slow", |frames| sound(frames, |_, stamp, _| stamp + stamp / 5000)),
    bend("sound in bursts of three", |frames| bursts(frames, Some(Track::Audio), 64_000)),
    bend("everything in bursts of half a second", |frames| bursts(frames, None, 500_000)),
    bend("sound arrives 400 ms late", |frames| late(frames, Track::Audio, 400_000)),
    bend("pictures arrive 400 ms late", |frames| late(frames, Track::Video, 400_000)),
    bend("sound begins 2 s late", |mut frames| {
        let from = frames[0].0 + 2 * SECOND;
        frames.retain(|(arrival, frame)| frame.track == Track::Video || *arrival >= from);
        frames
    }),
    bend("sound stamped a second ahead", |frames| sound(frames, |_, stamp, _| stamp + 1000)),
    bend("sound stamped a second behind", |frames| sound(frames, |_, stamp, _| stamp - 1000)),
    bend("stamps begin at a day", |frames| stamps(frames, |stamp| stamp + 86_400_000)),
    bend("stamps wrap at 32 bits", |frames| stamps(frames, |stamp| stamp + (1 << 32) - 13_000)),
    bend("stamps pass 24 bits", |frames| stamps(frames, |stamp| stamp + (1 << 24) - 13_000)),
    bend("stamps jump an hour ahead", |frames| jump(frames, 3_600_000)).astray(45.0),
    bend("stamps jump 5 s back", |frames| jump(frames, -5_000)).astray(45.0),
    bend("stamps begin anew", |frames| jump(frames, -20_000)).astray(45.0),
    bend("pictures shown 150 ms after they are decoded", |frames| composition(frames, 150)).to(To::Plain),
    bend("pictures shown 400 ms after they are decoded", |frames| composition(frames, 400)).to(To::Plain),
    bend("B-frames shown 200 ms later", |frames| composition(frames, 200)),
    bend("key frames shown when they are decoded", |frames| {
        let first = frames.iter().find(|(_, frame)| frame.keyframe && frame.track == Track::Video);
        let by = first.map_or(0, |(_, frame)| (frame.pts - frame.dts).as_millis());
        composition(frames, -by)
    }),
    bend("a picture each second", |frames| each_nth_picture(frames, 30)).to(To::Still),
    bend("two pictures a second", |frames| each_nth_picture(frames, 15)).to(To::Still),
    bend("three pictures a second", |frames| each_nth_picture(frames, 10)).to(To::Still),
    bend("a picture each second, without sound", |frames| without_sound(each_nth_picture(frames, 30))).to(To::Still),
    bend("a picture each two seconds", |frames| each_nth_picture(frames, 60)).to(To::Still),
    bend("a picture each two seconds, without sound", |frames| without_sound(each_nth_picture(frames, 60)))
        .to(To::Still),
    bend("a screen that stands still at times", |frames| still(frames, 30)).to(To::Still),
    bend("a screen that stands still for long", |frames| still(frames, 150)).to(To::Still),
];

fn noise(n: usize, most: i64) -> i64 {
    // Any numbers will do, and the same each time.
    let mixed =
        (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33;
    i64::try_from(mixed).unwrap() % (2 * most + 1) - most
}

/// Gives each frame of sound the stamp that `to` makes of its number, its stamp and all stamps, in milliseconds.
fn sound(mut frames: Frames, to: impl Fn(usize, i64, &[i64]) -> i64) -> Frames {
    let all: Vec<i64> = frames
        .iter()
        .filter(|(_, frame)| frame.track == Track::Audio)
        .map(|(_, frame)| frame.dts.as_millis())
        .collect();
    for (n, (_, frame)) in frames.iter_mut().filter(|(_, frame)| frame.track == Track::Audio).enumerate() {
        frame.dts = wrapped(to(n, all[n], &all));
        frame.pts = frame.dts;
    }
    frames
}

/// Changes the stamps of both tracks, not when a picture is shown after it.
fn stamps(mut frames: Frames, to: impl Fn(i64) -> i64) -> Frames {
    for (_, frame) in &mut frames {
        let composition = frame.pts - frame.dts;
        frame.dts = wrapped(to(frame.dts.as_millis()));
        frame.pts = frame.dts + composition;
    }
    frames
}

fn wrapped(millis: i64) -> MediaTime {
    ms(millis.rem_euclid(1 << 32))
}

fn with_stamps_of_pictures(mut frames: Frames) -> Frames {
    let mut latest = ms(0);
    for (_, frame) in &mut frames {
        match frame.track {
            Track::Video => latest = frame.dts,
            Track::Audio => (frame.dts, frame.pts) = (latest, latest),
        }
    }
    frames
}

/// Everything (of `track`) arrives in bursts, `each` microseconds apart.
fn bursts(mut frames: Frames, track: Option<Track>, each: i64) -> Frames {
    for (arrival, _) in frames.iter_mut().filter(|(_, frame)| track.is_none_or(|track| track == frame.track)) {
        *arrival = (*arrival + each - 1).div_euclid(each) * each;
    }
    in_order(frames)
}

fn late(mut frames: Frames, track: Track, by: i64) -> Frames {
    for (arrival, _) in frames.iter_mut().filter(|(_, frame)| frame.track == track) {
        *arrival += by;
    }
    in_order(frames)
}

fn in_order(mut frames: Frames) -> Frames {
    frames.sort_by_key(|(arrival, _)| *arrival);
    frames
}

/// The stamps of both tracks jump in mid run.
fn jump(mut frames: Frames, by: i64) -> Frames {
    let from = frames[0].0 + 20 * SECOND;
    for (_, frame) in frames.iter_mut().filter(|(arrival, _)| *arrival >= from) {
        let composition = frame.pts - frame.dts;
        frame.dts = wrapped(frame.dts.as_millis() + by);
        frame.pts = frame.dts + composition;
    }
    frames
}

/// All pictures are shown `by` milliseconds later after their decoding.
fn composition(mut frames: Frames, by: i64) -> Frames {
    for (_, frame) in frames.iter_mut().filter(|(_, frame)| frame.track == Track::Video) {
        frame.pts += ms(by);
    }
    frames
}

fn without_sound(mut frames: Frames) -> Frames {
    frames.retain(|(_, frame)| frame.track == Track::Video);
    frames
}

/// One picture of `n` is sent, as if the others had never been.
fn each_nth_picture(mut frames: Frames, n: u32) -> Frames {
    frames.retain(|(_, frame)| frame.track == Track::Audio || number_of(frame).is_multiple_of(n));
    frames
}

/// From the tenth second on, five of ten seconds stand still: one picture of `n` is sent then, and key frames only where the stream has
/// them.
fn still(mut frames: Frames, n: u32) -> Frames {
    let from = frames[0].0;
    frames.retain(|(arrival, frame)| {
        let stands = (arrival - from) / SECOND >= 10 && (arrival - from) / SECOND % 10 < 5;
        frame.track == Track::Audio || !stands || number_of(frame).is_multiple_of(n)
    });
    frames
}

/// Plays `streams`: each a source and what it sends.
fn play(streams: &[(Source, Frames)], mut acts: Vec<(i64, Act)>, until: i64) -> Run {
    let mut switcher = Switcher::new(settings(1500), slate(), Moment::ZERO);
    let mut arrivals: Vec<(i64, usize, Frame)> = Vec::new();
    for (index, (_, frames)) in streams.iter().enumerate() {
        arrivals.extend(frames.iter().map(|(arrival, frame)| (*arrival, index, frame.clone())));
    }
    arrivals.sort_by_key(|(arrival, ..)| *arrival);
    acts.sort_by_key(|(when, _)| *when);
    let (mut arrivals, mut acts) = (arrivals.into_iter().peekable(), acts.into_iter().peekable());
    let (mut out, mut events, mut decided) = (Vec::new(), Vec::new(), Vec::new());
    let (mut takes, mut now) = (0, 0);
    while now < until {
        while let Some((_, act)) = acts.next_if(|(when, _)| *when <= now) {
            match act {
                Act::Cue(source) => switcher.cue(&streams[source].0.id),
                Act::Take { source, urgency } => {
                    takes += 1;
                    switcher.take(TakeId(takes), &streams[source].0.id, urgency, at(now));
                }
                other => unreachable!("{other:?}"),
            }
        }
        while let Some((arrival, index, frame)) = arrivals.next_if(|(arrival, ..)| *arrival <= now) {
            switcher.push(&streams[index].0.id, frame, at(arrival));
        }
        let mut new = Vec::new();
        switcher.poll(at(now), &mut out, &mut new);
        events.extend(new.into_iter().map(|event| (now, event)));
        decided.resize(out.len(), now);
        now += TICK;
    }
    let sources = streams.iter().map(|(source, _)| source.clone()).collect();
    Run { sources, out, events, decided, most_ring_bytes: 0, lost: BTreeSet::new(), paused: BTreeSet::new() }
}

/// What leaves of a track of source `index`, from its first frame on, with nothing else in between.
fn unbroken(run: &Run, track: Track, index: usize) -> Result<Vec<&ProgramFrame>, String> {
    let source = super::super::Source::Input(run.sources[index].id.clone());
    let from_it: Vec<_> = run.track(track).skip_while(|frame| frame.source != source).collect();
    match from_it.iter().find(|frame| frame.source != source) {
        None => Ok(from_it),
        Some(other) => Err(format!("{track:?} of {:?} at {} ms", other.source, other.frame.dts.as_millis())),
    }
}

/// The first judge.
fn nothing_is_lost(bend: &Bend, source: &Source, sent: &Frames, run: &Run, until: i64) -> Result<(), String> {
    for (frame, decided) in run.out.iter().zip(&run.decided) {
        if frame.frame.dts.as_micros() < *decided {
            return Err(format!("late: {frame:?}"));
        }
    }
    if let Some((when, event)) = run.events.iter().find(|(_, event)| !matches!(event, SwitchEvent::Taken(_))) {
        return Err(format!("{event:?} at {} ms", when / 1000));
    }
    let pictures = unbroken(run, Track::Video, 0)?;
    let Some(first) = pictures.first() else { return Err("never on air".to_owned()) };
    for pair in pictures.windows(2) {
        if pair[0].frame.dts >= pair[1].frame.dts {
            return Err(format!("decoding runs back: {pair:?}"));
        }
    }
    let mut shown: Vec<_> = pictures.iter().map(|frame| (frame.frame.pts, number_of(&frame.frame))).collect();
    shown.sort_unstable();
    if let Some(pair) = shown.windows(2).find(|pair| pair[0].1 >= pair[1].1 || pair[0].0 == pair[1].0) {
        return Err(format!("shown out of order: {pair:?}"));
    }
    // What arrived by then has left when the run ends.
    let over = until - 4 * SECOND;
    let left: BTreeSet<u32> = shown.iter().map(|(_, number)| *number).collect();
    let lost: Vec<u32> = sent
        .iter()
        .filter(|(arrival, frame)| frame.track == Track::Video && *arrival < over)
        .map(|(_, frame)| number_of(frame))
        .filter(|number| *number > number_of(&first.frame) && !left.contains(number))
        .collect();
    if !lost.is_empty() {
        return Err(format!("{} pictures lost: {:?}", lost.len(), &lost[..lost.len().min(8)]));
    }
    if !sent.iter().any(|(_, frame)| frame.track == Track::Audio) {
        return Ok(());
    }
    let sounds = unbroken(run, Track::Audio, 0)?;
    let length = 1024 * SECOND / i64::from(source.sample_rate);
    for pair in sounds.windows(2) {
        let gap = (pair[1].frame.pts - pair[0].frame.pts).as_micros() - length;
        if gap.abs() > SOUND_GAP {
            return Err(format!("a gap of {gap} us in the sound: {pair:?}"));
        }
        if number_of(&pair[1].frame) != number_of(&pair[0].frame) + 1 {
            return Err(format!("sound lost: {pair:?}"));
        }
    }
    let final_one = sounds.last().map_or(0, |frame| number_of(&frame.frame));
    let due = sent
        .iter()
        .filter(|(arrival, frame)| frame.track == Track::Audio && *arrival < over)
        .map(|(_, frame)| number_of(frame))
        .max();
    if due.is_none_or(|due| final_one < due) {
        return Err(format!("the sound ends with {final_one} instead of {due:?}"));
    }
    let late = |track, frames: &[&ProgramFrame]| {
        lateness(source, track, frames.iter().rev().take(50).map(|frame| &frame.frame))
    };
    let behind = late(Track::Audio, &sounds) - late(Track::Video, &pictures);
    let stamped = |track| {
        let of_track = sent.iter().rev().map(|(_, frame)| frame).filter(|frame| frame.track == track);
        lateness(source, track, of_track.take(400))
    };
    let wanted = if bend.stamps_run { 0.0 } else { stamped(Track::Audio) - stamped(Track::Video) };
    if (behind - wanted).abs() > bend.astray {
        return Err(format!("the sound is {behind} ms behind the pictures instead of {wanted}"));
    }
    Ok(())
}

/// How far time stamps are behind the true times on average, in milliseconds.
fn lateness<'frames>(source: &Source, track: Track, frames: impl Iterator<Item = &'frames Frame>) -> f64 {
    let late: Vec<f64> = frames
        .map(|frame| {
            let true_time = source.shown_at(track, &frame.payload) * 1000.0;
            (frame.pts.as_micros() as f64 / 1000.0 - true_time + 2_147_483_648.0).rem_euclid(4_294_967_296.0)
        })
        .collect();
    late.iter().sum::<f64>() / late.len() as f64
}

/// The second judge: `run` is of somebody else on air, the bent one taken at `takes[1]`, and back at `takes[2]`.
fn everybody_is_taken(run: &Run, takes: [i64; 3], intervals: [i64; 2]) -> Result<(), String> {
    for (number, ordered) in takes.into_iter().enumerate() {
        let interval = intervals[usize::from(number == 1)];
        let happened = run.events.iter().find(|(_, event)| *event == SwitchEvent::Taken(TakeId(number as u64 + 1)));
        match happened {
            Some((when, _)) if when - ordered <= 2 * interval + SECOND / 2 => {}
            other => return Err(format!("take {number}, ordered at {} ms: {other:?}", ordered / 1000)),
        }
    }
    let on_air = takes[0] + 2 * intervals[0] + SECOND / 2 + 1_700_000;
    let slate = run
        .track(Track::Video)
        .filter(|frame| frame.frame.dts.as_micros() > on_air && frame.source == super::super::Source::Slate)
        .count();
    if slate > 0 { Err(format!("{slate} pictures of the slate")) } else { Ok(()) }
}

fn judge(bend: &Bend, source: &Source) -> Result<(), String> {
    let source = match bend.to {
        To::Any => source.clone(),
        To::Plain => Source { b_frames: 0, fps: source.fps.min(30.0), ..source.clone() },
        To::Rate48 => Source { sample_rate: 48_000, ..source.clone() },
        To::Still => Source { b_frames: 0, fps: 30.0, gop: 60, ..source.clone() },
    };
    let until = 45 * SECOND;
    let sent = (bend.by)(source.frames(until));
    let acts = vec![(0, Act::Cue(0)), (7 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let run = play(&[(source.clone(), sent.clone())], acts, until);
    nothing_is_lost(bend, &source, &sent, &run, until)?;
    let other = Source::new("other", 0);
    let (intervals, takes) = ([2 * SECOND, interval(&sent)], [3 * SECOND, 14 * SECOND, 26 * SECOND]);
    let mut acts: Vec<_> = (0..2).map(|source| (0, Act::Cue(source))).collect();
    acts.extend(
        takes
            .iter()
            .enumerate()
            .map(|(number, when)| (*when, Act::Take { source: number % 2, urgency: Urgency::Planned })),
    );
    let healthy = other.frames(until);
    let run = play(&[(other, healthy), (source, sent)], acts, until);
    everybody_is_taken(&run, takes, intervals)
}

/// Most microseconds between two key frames.
fn interval(frames: &Frames) -> i64 {
    let keyframes: Vec<i64> = frames
        .iter()
        .filter(|(_, frame)| frame.track == Track::Video && frame.keyframe)
        .map(|(arrival, _)| *arrival)
        .collect();
    keyframes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

fn healthy_source() -> impl Strategy<Value = Source> {
    (
        prop::sample::select(vec![24.0, 25.0, 29.97, 30.0, 50.0, 60.0]),
        prop::sample::select(vec![0.5, 1.0, 2.0, 4.0]),
        0_u32..4,
        prop::sample::select(vec![22_050_u32, 32_000, 44_100, 48_000, 96_000]),
        0_i64..2_000_000,
    )
        .prop_map(|(fps, seconds, b_frames, sample_rate, start): (f64, f64, u32, u32, i64)| Source {
            fps,
            gop: (fps * seconds) as u32,
            b_frames,
            sample_rate,
            ..Source::new("bent", start)
        })
}

/// Each bend in every run, and named when it fails.
#[test]
fn every_bend_of_a_common_stream_comes_out_right() {
    let mut failed = Vec::new();
    for b_frames in [0, 2] {
        let source = Source { b_frames, ..Source::new("bent", 0) };
        failed.extend(BENDS.iter().filter_map(|bend| {
            judge(bend, &source).err().map(|error| format!("{}, {b_frames} B-frames: {error:.400}", bend.name))
        }));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn healthy_streams_survive_every_bend(source in healthy_source(), bend in 0..BENDS.len()) {
        let bend = &BENDS[bend];
        if let Err(error) = judge(bend, &source) {
            return Err(TestCaseError::fail(format!("{}: {error}", bend.name)));
        }
    }
}
