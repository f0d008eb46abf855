//! What is kept of the programme for its watchers, and how it is told to them (RFC 8216).

use std::{collections::VecDeque, fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::cutter::{Segment, TARGET_SECONDS};
use crate::core::frame::MediaTime;

/// So many segments are listed: players begin two or three before the end, and may read a little late.
const LISTED: usize = 6;
/// Unless they are shorter than this together: three times the target duration (RFC 8216, 6.2.2).
const LISTED_LENGTH: MediaTime = MediaTime::from_millis(3 * 1000 * TARGET_SECONDS);
/// All of them together, with those that are not listed any more: 12 s listed and as much to be had still at 8 Mbit/s. Streams with a higher rate
/// keep fewer, whatever the rules say: a small board has no more to give.
const LARGEST: usize = 24 << 20;
/// Even when they are larger.
const FEWEST: usize = 3;

/// One consistent look at what can be watched.
#[derive(Debug, Default)]
pub(super) struct Window {
    spare: VecDeque<Arc<Segment>>,
    listed: VecDeque<Arc<Segment>>,
    playlist: Bytes,
}

impl Window {
    /// The window once `segment` is finished. `zero` is the wall clock's time at programme time zero.
    pub(super) fn with(&self, segment: Segment, zero: Timestamp) -> Self {
        let (mut spare, mut listed) = (self.spare.clone(), self.listed.clone());
        listed.push_back(Arc::new(segment));
        let is_over = |listed: &VecDeque<Arc<Segment>>| {
            let long = listed.len() > LISTED && length(listed.iter().skip(1)) >= LISTED_LENGTH;
            long || listed.len() > FEWEST && size(listed) > LARGEST || listed.len() > 10 * LISTED
        };
        while is_over(&listed)
            && let Some(oldest) = listed.pop_front()
        {
            spare.push_back(oldest);
        }
        // Whoever has read a list may ask for what is in it for as long as it takes to play it, and the segment (6.2.2).
        let is_past = |spare: &VecDeque<Arc<Segment>>| {
            let played = spare.front().map(|oldest| oldest.duration + length(listed.iter()));
            played.is_some_and(|played| {
                length(spare.iter().skip(1)) >= played
                    || spare.len() > 10 * LISTED
                    || size(spare) + size(&listed) > LARGEST
            })
        };
        while is_past(&spare) {
            spare.pop_front();
        }
        let playlist = write(&listed, zero).into();
        Self { spare, listed, playlist }
    }

    /// None before the first segment.
    pub(super) fn playlist(&self) -> Option<Bytes> {
        (!self.playlist.is_empty()).then(|| self.playlist.clone())
    }

    pub(super) fn last_number(&self) -> Option<u64> {
        self.listed.back().map(|segment| segment.number)
    }

    pub(super) fn segment(&self, number: u64) -> Option<Bytes> {
        self.all().find(|segment| segment.number == number).map(|segment| segment.bytes.clone())
    }

    pub(super) fn initialisation(&self, number: u64) -> Option<Bytes> {
        let mut all = self.all().map(|segment| &segment.initialisation);
        all.find(|initialisation| initialisation.number == number).map(|initialisation| initialisation.bytes.clone())
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.spare.iter().chain(&self.listed)
    }
}

fn size(segments: &VecDeque<Arc<Segment>>) -> usize {
    segments.iter().map(|segment| segment.bytes.len()).sum()
}

fn length<'a>(segments: impl Iterator<Item = &'a Arc<Segment>>) -> MediaTime {
    segments.fold(MediaTime::ZERO, |sum, segment| sum + segment.duration)
}

/// The media playlist. Names of files are relative to its own.
pub(super) fn write(segments: &VecDeque<Arc<Segment>>, zero: Timestamp) -> String {
    let first = segments.front();
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{TARGET_SECONDS}\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        first.map_or(0, |segment| segment.number),
        // One more with every initialisation.
        first.map_or(0, |segment| segment.initialisation.number),
    );
    if segments.iter().all(|segment| segment.independent) {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let mut period = None;
    for segment in segments {
        let number = segment.initialisation.number;
        if period != Some(number) {
            if period.is_some() {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            period = Some(number);
            let since = SignedDuration::from_micros(segment.start.as_micros());
            let left = zero.checked_add(since).unwrap_or(zero);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"init-{number}.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:{left:.3}");
        }
        let micros = u64::try_from(segment.duration.as_micros()).unwrap_or_default();
        let length = Duration::from_micros(micros).as_secs_f64();
        let _ = writeln!(text, "#EXTINF:{length:.3},\n{}.m4s", segment.number);
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::media::hls::cutter::Initialisation;

    /// Segments of so many milliseconds and kilobytes, one after the other; the window after each.
    fn windows(lengths: &[(i64, usize)]) -> Vec<Window> {
        let mut window = Window::default();
        let mut start = MediaTime::ZERO;
        let mut all = Vec::new();
        for (number, (millis, kilobytes)) in lengths.iter().enumerate() {
            let segment = Segment {
                number: number as u64,
                initialisation: Arc::new(Initialisation::empty(number as u64 / 3)),
                start,
                duration: MediaTime::from_millis(*millis),
                independent: true,
                bytes: Bytes::from(vec![0; kilobytes << 10]),
            };
            start += segment.duration;
            window = window.with(segment, Timestamp::UNIX_EPOCH);
            all.push(Window {
                spare: window.spare.clone(),
                listed: window.listed.clone(),
                playlist: window.playlist.clone(),
            });
        }
        all
    }

    fn value(window: &Window, tag: &str) -> u64 {
        let text = String::from_utf8(window.playlist.to_vec()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().parse().unwrap()
    }

    #[test]
    fn target_duration_never_changes_and_discontinuities_that_left_the_list_are_counted() {
        let windows = windows(
            &[(920, 10), (1080, 10), (2000, 10), (4499, 10), (400, 10), (2000, 10), (40, 10), (4000, 10)].repeat(3),
        );
        for window in &windows {
            assert_eq!(value(window, "#EXT-X-TARGETDURATION:"), 4);
            let text = String::from_utf8(window.playlist.to_vec()).unwrap();
            let left = window.listed.front().unwrap().number / 3;
            assert_eq!(value(window, "#EXT-X-DISCONTINUITY-SEQUENCE:"), left);
            let last = window.listed.back().unwrap().number / 3;
            assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count() as u64, last - left);
            assert_eq!(text.matches("#EXT-X-MAP").count() as u64, last - left + 1);
        }
    }

    #[test]
    fn list_holds_three_target_durations_and_what_left_it_stays_as_long_as_it_may_be_asked_for() {
        let windows = windows(&[(1000, 10); 60]);
        let lengths: Vec<_> = windows.iter().map(|window| length(window.listed.iter()).as_millis()).collect();
        assert_eq!(lengths.iter().max(), Some(&12_000));
        for pair in windows.windows(2) {
            let [before, after] = pair else { unreachable!("they are two") };
            assert!(before.listed.len() < 13 || after.listed.len() == before.listed.len());
        }
        let last = windows.last().unwrap();
        // 12 s are listed; the oldest that can still be had left the list 12 s ago.
        let oldest = last.listed.front().unwrap().number - 13;
        assert!(last.segment(oldest).is_some() && last.segment(oldest - 1).is_none());
    }

    #[test]
    fn window_stays_small_whatever_the_rate() {
        for window in windows(&[(2000, 4000); 40]) {
            assert!(size(&window.listed) + size(&window.spare) <= LARGEST + (4000 << 10));
            assert!(window.spare.is_empty() || size(&window.listed) + size(&window.spare) <= LARGEST);
        }
    }
}
