#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const SOUND: SoundLength = SoundLength::new(1024, 48_000);

/// How a stream is bent that would be healthy: its raw stamps in milliseconds, of what was sent when.
#[derive(Clone, Copy, Debug)]
enum Bend {
    None,
    Nanoseconds,
    Microseconds,
    NinetyKilohertz,
    Zero,
    /// Pictures begin so many seconds later than the sound.
    Apart(i64),
    /// One IDR, then none.
    OpenGop,
    /// A composition offset of so many milliseconds at each IDR.
    Offset(i64),
}

/// A stream as it arrives: 25 pictures a second with an IDR every `gop` of them, and 48 kHz of sound.
struct Source {
    bend: Bend,
    gop: i64,
    rate: i64,
    /// Milliseconds by which arrivals vary.
    jitter: i64,
    fitness: Fitness,
    pictures: i64,
    sounds: i64,
}

impl Source {
    fn new(bend: Bend) -> Self {
        Self { bend, gop: 50, rate: 25, jitter: 0, fitness: Fitness::default(), pictures: 0, sounds: 0 }
    }

    fn raw(&self, micros: i64, picture: bool) -> MediaTime {
        let millis = match self.bend {
            Bend::Nanoseconds => micros * 1000,
            Bend::Microseconds => micros,
            Bend::NinetyKilohertz => micros * 9 / 100,
            Bend::Zero => 0,
            Bend::Apart(seconds) => micros / 1000 + if picture { seconds * 1000 } else { 0 },
            Bend::None | Bend::OpenGop | Bend::Offset(_) => micros / 1000,
        };
        MediaTime::from_millis(millis.rem_euclid(1 << 32))
    }

    /// What arrives up to `until`, and what was judged every 100 ms.
    fn run(&mut self, until: i64) -> Vec<(MediaTime, Takeable)> {
        let mut judged = Vec::new();
        loop {
            let picture = self.pictures * SECOND / self.rate;
            let sound = self.sounds * 1024 * SECOND / 48_000;
            let at = picture.min(sound);
            if at >= until {
                return judged;
            }
            let wobble = (self.pictures * 7919 + self.sounds * 104_729) % (self.jitter * 1000).max(1);
            let arrival = MediaTime::from_micros(at + wobble);
            if picture <= sound {
                let keyframe = match self.bend {
                    Bend::OpenGop => self.pictures == 0,
                    _ => self.pictures % self.gop == 0,
                };
                let dts = self.raw(picture, true);
                let offset = match self.bend {
                    Bend::Offset(millis) if keyframe => millis,
                    _ => 0,
                };
                self.fitness.note_picture(dts, dts + MediaTime::from_millis(offset), keyframe, arrival);
                self.pictures += 1;
            } else {
                let dts = self.raw(sound, false);
                self.fitness.note_sound(dts, SOUND, arrival);
                self.sounds += 1;
            }
            judged.push((arrival, self.fitness.judge(arrival)));
        }
    }
}

#[test]
fn healthy_stream_can_be_taken_within_a_second_and_stays_so() {
    for (gop, rate, jitter) in [(50, 25, 0), (250, 30, 30), (60, 60, 80), (1, 25, 0), (8, 4, 0)] {
        let mut source = Source { gop, rate, jitter, ..Source::new(Bend::None) };
        let judged = source.run(30 * SECOND);
        let first = judged.iter().position(|(_, judged)| *judged == Takeable::Yes).unwrap();
        let limit = if rate < 10 { 1300 } else { 800 };
        assert!(judged[first].0 < MediaTime::from_millis(limit), "{gop} {rate} {jitter}: {:?}", judged[first].0);
        let lost = judged[first..].iter().find(|(_, judged)| *judged != Takeable::Yes);
        assert!(lost.is_none_or(|(_, judged)| *judged == Takeable::Unknown), "{gop} {rate} {jitter}: {lost:?}");
    }
}

#[test]
fn what_cannot_be_taken_is_never_said_to_be_and_has_its_own_reason() {
    let apart = |seconds: i64| Takeable::No(Unfit::Apart(MediaTime::from_millis(seconds * 1000)));
    for (bend, why) in [
        (Bend::Nanoseconds, Takeable::No(Unfit::Fast)),
        (Bend::Microseconds, Takeable::No(Unfit::Fast)),
        (Bend::NinetyKilohertz, Takeable::No(Unfit::Fast)),
        (Bend::Zero, Takeable::No(Unfit::Still)),
        (Bend::Apart(1000), apart(1000)),
        (Bend::Offset(1500), Takeable::No(Unfit::Reordered)),
    ] {
        let mut source = Source::new(bend);
        let judged = source.run(12 * SECOND);
        let said = judged.iter().find(|(_, judged)| *judged == Takeable::Yes);
        assert_eq!(said, None, "{bend:?}");
        let last = judged.last().unwrap().1;
        let close = |one: &Takeable, other: &Takeable| match (one, other) {
            (Takeable::No(Unfit::Apart(one)), Takeable::No(Unfit::Apart(other))) => {
                (*one - *other).abs() < MediaTime::from_millis(1000)
            }
            (one, other) => one == other,
        };
        assert!(close(&last, &why), "{bend:?}: {last:?}");
    }
}

#[test]
fn one_key_frame_and_no_other_is_no_way_in_after_ten_seconds() {
    let mut source = Source::new(Bend::OpenGop);
    let judged = source.run(20 * SECOND);
    for (at, judged) in judged.into_iter().filter(|(at, _)| *at > MediaTime::from_millis(1000)) {
        if at < MediaTime::from_millis(9_500) {
            assert_eq!(judged, Takeable::Yes, "{at:?}");
        } else if at > MediaTime::from_millis(10_500) {
            assert_eq!(judged, Takeable::No(Unfit::NoEntry), "{at:?}");
        }
    }
}

#[test]
fn sound_alone_can_be_taken_after_three_seconds() {
    let mut fitness = Fitness::default();
    for frame in 0..400_i64 {
        let at = MediaTime::from_micros(frame * 1024 * SECOND / 48_000);
        fitness.note_sound(at, SOUND, at);
        assert_eq!(fitness.judge(at) == Takeable::Yes, at >= SOUND_ALONE, "{at:?}");
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_start(Duration::from_millis(millis))
}

/// What is told when one thing is judged from `from` to `to`, looked at twice a second.
fn looks(confidence: &mut Confidence, judged: Takeable, from: u64, to: u64) -> Vec<(u64, Turned)> {
    let interval = Some(Duration::from_secs(2));
    let times = (from..to).step_by(500);
    times.filter_map(|time| Some((time, confidence.look(judged, interval, at(time))?))).collect()
}

#[test]
fn ready_is_taken_back_after_two_key_frame_intervals_and_comes_back_with_the_next_key_frame() {
    let mut confidence = Confidence::default();
    assert_eq!(looks(&mut confidence, Takeable::Yes, 0, 10_000), [(0, Turned::Ready)]);
    let no = Takeable::No(Unfit::NoEntry);
    assert_eq!(looks(&mut confidence, no, 10_000, 13_500), []);
    assert_eq!(looks(&mut confidence, Takeable::Yes, 13_500, 14_000), [], "one key frame in time");
    assert_eq!(looks(&mut confidence, no, 14_000, 20_000), [(18_000, Turned::Unfit(Unfit::NoEntry))]);
    assert_eq!(looks(&mut confidence, Takeable::Yes, 20_000, 25_000), [(20_000, Turned::Ready)]);
}

#[test]
fn who_was_not_what_it_seemed_has_to_prove_it_for_longer_each_time() {
    let mut confidence = Confidence::default();
    assert_eq!(looks(&mut confidence, Takeable::Yes, 0, 10_000), [(0, Turned::Ready)]);
    let unsettled = [(14_000, Turned::Unfit(Unfit::Unsettled))];
    assert_eq!(looks(&mut confidence, Takeable::Unknown, 10_000, 20_000), unsettled);
    assert_eq!(looks(&mut confidence, Takeable::Yes, 20_000, 25_000), [(24_000, Turned::Ready)]);
    let fast = [(25_500, Turned::Unfit(Unfit::Fast))];
    assert_eq!(looks(&mut confidence, Takeable::No(Unfit::Fast), 25_000, 30_000), fast);
    assert_eq!(looks(&mut confidence, Takeable::Yes, 30_000, 39_000), [(38_000, Turned::Ready)], "twice as long");
}

#[test]
fn absurd_time_stamps_are_not_given_two_key_frame_intervals() {
    let mut confidence = Confidence::default();
    looks(&mut confidence, Takeable::Yes, 0, 1000);
    let said = looks(&mut confidence, Takeable::No(Unfit::Fast), 1000, 3000);
    assert_eq!(said, [(1500, Turned::Unfit(Unfit::Fast))]);
    let mut confidence = Confidence::default();
    let said = looks(&mut confidence, Takeable::No(Unfit::Still), 0, 3000);
    assert_eq!(said, [(0, Turned::Unfit(Unfit::Still))], "it is told before it was ever ready");
}

#[test]
fn whose_take_did_not_happen_is_told_the_reason_that_is_known() {
    let mut confidence = Confidence::default();
    looks(&mut confidence, Takeable::Yes, 0, 1000);
    assert_eq!(confidence.not_taken(Takeable::Yes), Some(Turned::Unfit(Unfit::NotTaken)));
    assert!(!confidence.is_ready());
    assert_eq!(looks(&mut confidence, Takeable::Yes, 1000, 6000), [(5000, Turned::Ready)]);
    let apart = Unfit::Apart(MediaTime::from_millis(9000));
    assert_eq!(confidence.not_taken(Takeable::No(apart)), Some(Turned::Unfit(apart)));
}

proptest! {
    /// Whatever the stamps are, judging ends, and a flapping judgement does not make readiness flap: at most once in 4 s.
    #[test]
    fn readiness_does_not_flap(judged in prop::collection::vec(0_u8..4, 1..400)) {
        let mut confidence = Confidence::default();
        let mut turned: Vec<u64> = Vec::new();
        for (look, judged) in judged.into_iter().enumerate() {
            let judged = match judged {
                0 => Takeable::No(Unfit::NoEntry),
                1 => Takeable::Unknown,
                _ => Takeable::Yes,
            };
            let time = look as u64 * 500;
            if confidence.look(judged, None, at(time)) == Some(Turned::Ready) {
                turned.push(time);
            }
        }
        for two in turned.windows(2) {
            prop_assert!(two[1] - two[0] >= 4000, "{turned:?}");
        }
    }

    #[test]
    fn any_stamps_are_judged(frames in prop::collection::vec((any::<bool>(), any::<u32>(), 0_i64..200, any::<bool>()), 0..300)) {
        let mut fitness = Fitness::default();
        let mut now = MediaTime::ZERO;
        for (video, dts, wait, keyframe) in frames {
            now += MediaTime::from_millis(wait);
            let dts = MediaTime::from_millis(i64::from(dts));
            if video {
                fitness.note_picture(dts, dts, keyframe, now);
            } else {
                fitness.note_sound(dts, SOUND, now);
            }
            fitness.judge(now);
        }
    }
}
