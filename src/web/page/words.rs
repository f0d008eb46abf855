//! What the box knows, in words for people: states, lengths, sizes, times of day, and what to do about a stream.

use jiff::{Timestamp, tz::TimeZone};

use super::ui;
use crate::{
    core::{destination::DestinationState, moment::Moment, remark::Remark},
    director::TurnView,
    media::InputStatus,
    web::app::App,
};

/// A destination's state: the class of its badge, in a word or two, and what went wrong.
pub(crate) fn told(state: &DestinationState) -> (&'static str, &'static str, Option<String>) {
    match state {
        DestinationState::Disabled => ("", "Off", None),
        DestinationState::WaitingForShow => ("", "Ready", None),
        DestinationState::WaitingForClock => (
            "badge-warn",
            "Waiting",
            Some("The box's clock is not right yet, and an encrypted connection needs it.".into()),
        ),
        DestinationState::Connecting => ("badge-warn", "Connecting", None),
        DestinationState::Live => ("badge-good", "Live", None),
        DestinationState::BackingOff { reason, .. } => ("badge-bad", "Failed", Some(reason.clone())),
        DestinationState::Refused { reason, .. } => ("badge-bad", "Refused", Some(reason.clone())),
    }
}

/// A length of turns: `45 minutes`, `1 minute 30 seconds`.
pub(crate) fn minutes_in_words(seconds: u64) -> String {
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (seconds / 60, seconds % 60) {
        (0, seconds) => counted(seconds, "second"),
        (minutes, 0) => counted(minutes, "minute"),
        (minutes, seconds) => format!("{} {}", counted(minutes, "minute"), counted(seconds, "second")),
    }
}

/// A count of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let count = count as f64;
    match count {
        ..1e6 => format!("{:.0} kB", count / 1e3),
        ..1e9 => format!("{:.0} MB", count / 1e6),
        _ => format!("{:.1} GB", count / 1e9),
    }
}

/// The venue's time zone: how times of day are told.
pub(crate) fn zone(app: &App) -> TimeZone {
    let name = app.control.config().venue.timezone.clone();
    name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or_else(TimeZone::system)
}

/// A moment of the wall clock, as people of the venue say it.
pub(crate) fn wall(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%a %-d %b %Y, %H:%M").to_string()
}

/// What to do about a stream.
pub(crate) struct Advice {
    /// For those who run the night.
    pub(crate) short: &'static str,
    /// For its streamer.
    pub(crate) text: String,
}

/// What to do about a stream, the most urgent first. Nothing when it is well, or not known yet.
pub(crate) fn advice(health: &InputStatus) -> Vec<Advice> {
    let remarks = || health.remarks.iter().map(|told| told.remark);
    let mut advice = Vec::new();
    let mut say = |short, text: String| advice.push(Advice { short, text });
    // What is left out is no trouble: it comes last.
    let minor = |remark: &Remark| matches!(remark, Remark::SecondPicture | Remark::SecondSound);
    for remark in remarks().filter(|remark| !minor(remark)) {
        say(remark.short(), remark.words().to_owned());
    }
    for odd in health.odd_messages.iter().filter(|odd| odd.goes_on && odd.kind.hurts()) {
        let text = format!(
            "Your encoder goes on sending {} ({} so far), and they are left out. Start the stream again; if that does not help, \
             update the encoder or try another.",
            odd.kind.words(),
            odd.count
        );
        say("Odd messages", text);
    }
    let arrives = health.video_kbps > 0.0 || health.audio_kbps > 0.0;
    let told = |remark: Remark| remarks().any(|other| other == remark);
    if arrives && health.video_kbps <= 0.0 && !told(Remark::NoPictureConfiguration) {
        let text = "No picture arrives. Choose H.264 as the video encoder, and look whether the scene has a source.";
        say("No picture", text.to_owned());
    }
    if arrives && health.audio_kbps <= 0.0 && !told(Remark::NoSoundConfiguration) {
        let text = "No sound arrives. Choose AAC as the audio encoder, and look whether a source is muted.";
        say("No sound", text.to_owned());
    }
    if let Some(seconds) = health.keyframe_interval_seconds.filter(|seconds| *seconds > 2.6) {
        let text = format!(
            "Key frames come every {seconds:.0} s, and taking over waits for one. Set the keyframe interval to 2 s."
        );
        say("Key frames too rare", text);
    }
    if health.video_kbps > 7000.0 {
        let text = format!(
            "{:.0} kbit/s is more than the venue's line is made for. Set the video bitrate to 6,000 at most.",
            health.video_kbps
        );
        say("Bitrate too high", text);
    } else if health.video_kbps > 0.0 && health.video_kbps < 800.0 {
        let text = "The video bitrate is low, and the picture will look soft. 2,500 to 6,000 kbit/s look good.";
        say("Low bitrate", text.to_owned());
    }
    if health.frame_rate > 0.0 && health.frame_rate < 20.0 {
        let text = "Few pictures a second arrive. Close what else the computer does, or choose a smaller picture.";
        say("Few pictures a second", text.to_owned());
    }
    if health.jitter_ms > 150.0 {
        let text = "The line is unsteady. Use a cable instead of Wi-Fi, come closer, or lower the video bitrate.";
        say("Unsteady line", text.to_owned());
    }
    for remark in remarks().filter(minor) {
        say(remark.short(), remark.words().to_owned());
    }
    advice
}

/// The turn's clock. `now` is there in a page, which may stay without a script, and not in a live part, whose text must not
/// change with every second.
pub(crate) struct Clock {
    /// The end of the turn by the box's clock, in milliseconds; none while the turn's clock stands.
    pub(crate) ends: Option<u64>,
    /// The turn's length in milliseconds.
    pub(crate) length: u64,
    /// What is left, in words: always while the clock stands, and in a page.
    pub(crate) left: String,
    /// What has passed, in milliseconds, under the same conditions.
    pub(crate) passed: u64,
}

impl Clock {
    /// `turn` is as of `taken`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of turns: a day at most")]
    pub(crate) fn of(turn: &TurnView, taken: Moment, now: Option<Moment>) -> Self {
        let milliseconds = |seconds: f64| (seconds.max(0.0) * 1000.0).round() as u64;
        let taken_ms = ui::milliseconds(taken);
        // From what has passed, so that overtime counts on; in steps of 0.1 s, so that rounding does not make it another moment
        // each time.
        let length = milliseconds(turn.length_seconds);
        let end = (taken_ms + length).saturating_sub(milliseconds(turn.elapsed_seconds));
        let since = now.filter(|_| turn.running).map_or(0.0, |now| now.since(taken).as_secs_f64());
        let says = !turn.running || now.is_some();
        let left = (turn.remaining_seconds - since).max(0.0);
        Self {
            ends: turn.running.then_some((end + 50) / 100 * 100),
            length,
            left: if says { ui::clock(left) } else { String::new() },
            passed: if says { length.saturating_sub(milliseconds(left)) } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::oddity::Oddity, media::OddMessages};

    fn well() -> InputStatus {
        InputStatus {
            video_kbps: 4000.0,
            audio_kbps: 160.0,
            frame_rate: 30.0,
            keyframe_interval_seconds: Some(2.0),
            jitter_ms: 12.0,
            ..InputStatus::default()
        }
    }

    #[test]
    fn length_of_turns_is_told_in_words() {
        for (seconds, words) in
            [(30, "30 seconds"), (60, "1 minute"), (2700, "45 minutes"), (61, "1 minute 1 second"), (1, "1 second")]
        {
            assert_eq!(minutes_in_words(seconds), words);
        }
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (count, text) in [(0, "0 kB"), (123_456, "123 kB"), (98_000_000, "98 MB"), (3_450_000_000, "3.5 GB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn stream_that_arrives_well_needs_no_advice() {
        assert!(advice(&well()).is_empty());
        // Not measured yet.
        assert!(advice(&InputStatus::default()).is_empty());
    }

    #[test]
    fn remarks_are_told_with_what_to_do_and_what_is_left_out_last() {
        let remarks = |all: &[Remark]| all.iter().copied().map(Into::into).collect();
        let health = InputStatus {
            remarks: remarks(&[Remark::BitDepth, Remark::SecondSound]),
            keyframe_interval_seconds: Some(8.0),
            ..well()
        };
        let told = advice(&health);
        let shorts: Vec<_> = told.iter().map(|told| told.short).collect();
        assert_eq!(shorts, ["10-bit picture: platforms refuse it", "Key frames too rare", "Second sound left out"]);
        assert!(told.first().is_some_and(|told| told.text.contains("NV12")));
        // What cannot be decoded is not told as missing too.
        let silent = InputStatus { remarks: remarks(&[Remark::NoSoundConfiguration]), audio_kbps: 0.0, ..well() };
        assert_eq!(advice(&silent).len(), 1);
    }

    #[test]
    fn odd_messages_are_told_when_they_go_on_and_hurt() {
        let odd =
            |kind, goes_on| InputStatus { odd_messages: vec![OddMessages { kind, count: 12, goes_on }], ..well() };
        assert!(advice(&odd(Oddity::CutPicture, false)).is_empty());
        assert!(advice(&odd(Oddity::Again, true)).is_empty(), "nobody has to do anything about it");
        let told = advice(&odd(Oddity::CutPicture, true));
        assert!(told.len() == 1 && told.iter().all(|told| told.text.contains("cut short (12 so far)")));
    }

    #[test]
    fn each_trouble_is_told_with_what_to_do() {
        for (health, word) in [
            (InputStatus { video_kbps: 0.0, ..well() }, "No picture"),
            (InputStatus { audio_kbps: 0.0, ..well() }, "No sound"),
            (InputStatus { keyframe_interval_seconds: Some(8.3), ..well() }, "every 8 s"),
            (InputStatus { video_kbps: 12_000.0, ..well() }, "6,000 at most"),
            (InputStatus { video_kbps: 300.0, ..well() }, "bitrate is low"),
            (InputStatus { frame_rate: 9.0, ..well() }, "Few pictures"),
            (InputStatus { jitter_ms: 400.0, ..well() }, "unsteady"),
        ] {
            let told = advice(&health);
            assert!(told.len() == 1 && told.iter().all(|told| told.text.contains(word)), "{word} is not told");
        }
    }
}
