//! What SRS's API says of a stream, turned into figures that can be compared from one moment to the next.
//!
//! SRS adds up received bytes every 3 s (its `tick` of 3 s; measured: every 2.3 to 3.7 s), so its figure stands still in between,
//! and whoever asks whether a connection delivered within the last 2.5 s (QUEUE.md, rule 3) would hear no two times in three.

use std::time::Duration;

use super::api::{Audio, Stream, Video};
use crate::core::{frame::RemoteFigures, moment::Moment};

/// After each growth the bytes are taken to grow on at the same rate for so long. With the 2.5 s within which a connection counts as
/// alive this bridges SRS's longest pause of 3.7 s, and a dead connection counts as alive for 4 s after SRS's last word.
const GROWS_ON: Duration = Duration::from_millis(1500);

/// What is remembered of one connection's figures.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// What SRS counted for the stream before this connection; none before the first sample.
    base: Option<u64>,
    bytes: u64,
    /// When `bytes` was seen to have grown, and bytes per second since the time before.
    grown: Option<(Moment, f64)>,
    reported: u64,
}

impl Meter {
    /// What to report of `stream` at `now` for a connection that is there since `since`. `successor`: the stream's bytes so far are
    /// another connection's.
    pub(super) fn sample(&mut self, stream: &Stream, since: Moment, successor: bool, now: Moment) -> RemoteFigures {
        let base = *self.base.get_or_insert(if successor { stream.recv_bytes } else { 0 });
        let bytes = stream.recv_bytes.saturating_sub(base);
        if bytes > self.bytes {
            let begin = self.grown.map_or(since, |(at, _)| at);
            let seconds = now.since(begin).as_secs_f64().max(0.1);
            self.grown = Some((now, (bytes - self.bytes) as f64 / seconds));
            self.bytes = bytes;
        }
        let ahead = self.grown.map_or(0.0, |(at, rate)| rate * now.since(at).min(GROWS_ON).as_secs_f64());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate times 1.5 s, never negative"
        )]
        let ahead = ahead as u64;
        self.reported = self.reported.max(self.bytes.saturating_add(ahead));
        let kbps = if stream.kbps.recv_30s > 0.0 {
            Some(stream.kbps.recv_30s)
        } else {
            // SRS says it only after 30 s.
            self.grown.map(|(_, rate)| rate * 8.0 / 1000.0)
        };
        RemoteFigures {
            bytes: self.reported,
            kbps,
            size: stream.video.as_ref().map(|video| (video.width, video.height)).filter(|size| *size != (0, 0)),
            video_codec: stream.video.as_ref().map(video_codec),
            audio_codec: stream.audio.as_ref().map(audio_codec),
            uptime: now.since(since),
        }
    }

    /// Bytes a second, as of the last growth; 0 before the first.
    pub(super) fn rate(&self) -> f64 {
        self.grown.map_or(0.0, |(_, rate)| rate)
    }

    /// When bytes were seen to arrive last.
    pub(super) fn last_growth(&self) -> Option<Moment> {
        self.grown.map(|(at, _)| at)
    }
}

fn video_codec(video: &Video) -> String {
    let codec = if video.codec == "H264" { "H.264" } else { &video.codec };
    words(&[codec, &video.profile, &video.level])
}

fn audio_codec(audio: &Audio) -> String {
    let channels = match audio.channel {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        channels => format!("{channels} channels"),
    };
    format!("{} {} Hz {channels}", audio.codec, audio.sample_rate)
}

/// Joined by spaces, without what SRS does not know.
fn words(words: &[&str]) -> String {
    let known: Vec<_> = words.iter().copied().filter(|word| !word.is_empty() && *word != "Other").collect();
    known.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    fn stream(bytes: u64) -> Stream {
        Stream { recv_bytes: bytes, ..Stream::default() }
    }

    /// As the director judges: growth seen every half second, alive for 2.5 s after the last.
    fn alive(meter: &mut Meter, srs: impl Fn(u64) -> u64, until: u64) -> Vec<u64> {
        let (mut seen, mut since, mut dead) = (0, 0, Vec::new());
        for now in (0..until).step_by(1000) {
            let bytes = meter.sample(&stream(srs(now)), at(0), false, at(now)).bytes;
            if bytes != seen {
                (seen, since) = (bytes, now);
            }
            if now - since > 2500 {
                dead.push(now);
            }
        }
        dead
    }

    #[test]
    fn a_delivering_connection_is_alive_between_two_steps_of_srs() {
        let dead = alive(&mut Meter::default(), |now| now / 3700 * 1_000_000, 60_000);
        assert_eq!(dead.into_iter().filter(|now| *now > 4000).collect::<Vec<_>>(), Vec::<u64>::new());
    }

    #[test]
    fn a_dead_connection_is_dead_within_five_seconds() {
        let dead = alive(&mut Meter::default(), |now| now.min(21_000) / 3000 * 1_000_000, 60_000);
        assert_eq!(dead.first(), Some(&26_000));
        assert_eq!(dead.len(), 34);
    }

    #[test]
    fn bytes_never_run_back() {
        let mut meter = Meter::default();
        let mut last = 0;
        for (now, bytes) in [(0, 0), (1000, 500), (2000, 500), (3000, 600), (4000, 600), (5000, 0), (6000, 10_000)] {
            let reported = meter.sample(&stream(bytes), at(0), false, at(now)).bytes;
            assert!(reported >= last);
            last = reported;
        }
    }

    #[test]
    fn a_successor_does_not_inherit_bytes() {
        let mut meter = Meter::default();
        assert_eq!(meter.sample(&stream(5000), at(0), true, at(1000)).bytes, 0);
        assert_eq!(meter.sample(&stream(7000), at(0), true, at(4000)).bytes, 2000);
    }

    #[test]
    fn codecs_are_said_in_words() {
        let known =
            Video { codec: "H264".into(), profile: "High".into(), level: "3.1".into(), width: 1280, height: 720 };
        let odd = Video { profile: "Other".into(), ..known.clone() };
        let sound = Audio { codec: "AAC".into(), sample_rate: 48_000, channel: 2, profile: "LC".into() };
        let stream = Stream { video: Some(known), audio: Some(sound), ..Stream::default() };
        let figures = Meter::default().sample(&stream, at(0), false, at(2000));
        assert_eq!(figures.video_codec.as_deref(), Some("H.264 High 3.1"));
        assert_eq!(figures.audio_codec.as_deref(), Some("AAC 48000 Hz stereo"));
        assert_eq!((figures.size, figures.uptime), (Some((1280, 720)), Duration::from_secs(2)));
        assert_eq!(video_codec(&odd), "H.264 3.1");
    }
}
