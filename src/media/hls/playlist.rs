//! What is kept of the programme for its watchers, and how it is told to them (RFC 8216).

use std::{collections::VecDeque, fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::cutter::Segment;
use crate::core::frame::MediaTime;

/// So many segments are listed: players begin two or three before the end, and may read a little late.
const LISTED: usize = 6;
/// Unless they are shorter than this together, as after several takes in a row.
const LISTED_LENGTH: MediaTime = MediaTime::from_millis(12_000);
/// Segments that are not listed any more and can still be had: a player may have read the list just before.
const SPARE: usize = 2;
/// All of them together: six of 6 Mbit/s and 4 s. Streams with a higher rate or rarer key frames keep fewer.
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
            let size: usize = listed.iter().map(|segment| segment.bytes.len()).sum();
            let length = listed.iter().skip(1).fold(MediaTime::ZERO, |sum, segment| sum + segment.duration);
            let long = listed.len() > LISTED && length >= LISTED_LENGTH;
            long || listed.len() > FEWEST && size > LARGEST || listed.len() > 10 * LISTED
        };
        while is_over(&listed)
            && let Some(oldest) = listed.pop_front()
        {
            spare.push_back(oldest);
        }
        let size =
            |segments: &VecDeque<Arc<Segment>>| segments.iter().map(|segment| segment.bytes.len()).sum::<usize>();
        while spare.len() > SPARE || !spare.is_empty() && size(&spare) + size(&listed) > LARGEST {
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

/// The media playlist. Names of files are relative to its own.
fn write(segments: &VecDeque<Arc<Segment>>, zero: Timestamp) -> String {
    // A segment rounded to whole seconds is never longer than this (4.3.3.1).
    let seconds = |segment: &Segment| (segment.duration.as_millis() + 500) / 1000;
    let target = segments.iter().map(|segment| seconds(segment)).max().unwrap_or_default().max(1);
    let first = segments.front();
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
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
            // Writing to a string can not fail.
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"init-{number}.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:{left:.3}");
        }
        let micros = u64::try_from(segment.duration.as_micros()).unwrap_or_default();
        let length = Duration::from_micros(micros).as_secs_f64();
        let _ = writeln!(text, "#EXTINF:{length:.3},\n{}.m4s", segment.number);
    }
    text
}
