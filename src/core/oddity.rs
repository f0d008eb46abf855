//! What is odd about single messages of an encoder: each is left out and counted, and its stream goes on.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::moment::Moment;

/// More than so many of one kind within [`WITHIN`] go on: their streamer is told. Fewer are an encoder's hiccup.
const MANY: u64 = 10;

/// See [`MANY`].
const WITHIN: Duration = Duration::from_mins(1);

/// How often counts are noted: a remark comes and goes within so much of its time.
const STEP: Duration = Duration::from_secs(5);

/// What is odd about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// A picture or sound without content.
    Empty,
    /// It ends inside its header.
    CutHeader,
    /// A picture that is cut short.
    CutPicture,
    /// A configuration that cannot be used, while another is in force or may come.
    Configuration,
    /// A picture or sound in a codec that is not taken, in a stream that is.
    OtherCodec,
    /// It is longer than anything of its kind needs to be.
    TooLong,
    /// A bundle of pictures and sound whose parts do not fill it.
    Bundle,
    /// A protocol control message that is cut short.
    Control,
    /// A command without a name, or one that cannot be read.
    Command,
    /// A command that was carried out before: another connect, or publish.
    Again,
    /// Media on a message stream that nobody publishes on.
    OtherStream,
    /// Text that is not UTF-8.
    Text,
}

impl Oddity {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::CutHeader,
        Self::CutPicture,
        Self::Configuration,
        Self::OtherCodec,
        Self::TooLong,
        Self::Bundle,
        Self::Control,
        Self::Command,
        Self::Again,
        Self::OtherStream,
        Self::Text,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()
    }

    /// What arrives, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Empty => "empty pictures or sounds",
            Self::CutHeader => "pictures or sounds that end inside their header",
            Self::CutPicture => "pictures that are cut short",
            Self::Configuration => "configurations that cannot be used",
            Self::OtherCodec => "pictures or sounds in a codec that is not taken",
            Self::TooLong => "messages that are too long",
            Self::Bundle => "bundles of pictures and sound that are malformed",
            Self::Control => "control messages that are cut short",
            Self::Command => "commands that cannot be read",
            Self::Again => "commands that were carried out before",
            Self::OtherStream => "pictures or sounds on a second stream of the connection",
            Self::Text => "text that is not UTF-8",
        }
    }

    /// Whether the streamer's picture or sound suffers from it, so that something is to be done.
    pub const fn hurts(self) -> bool {
        matches!(
            self,
            Self::CutHeader
                | Self::CutPicture
                | Self::Configuration
                | Self::OtherCodec
                | Self::TooLong
                | Self::Bundle
                | Self::OtherStream
        )
    }
}

/// How many messages were odd, by kind: in the order of [`Oddity::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OddCounts(pub [u64; Oddity::ALL.len()]);

impl OddCounts {
    /// How many there were of one kind.
    pub fn of(&self, kind: Oddity) -> u64 {
        self.0.get(kind.index()).copied().unwrap_or_default()
    }
}

/// Tells which kinds go on from what was counted before.
#[derive(Debug, Default)]
pub struct OddWatch {
    /// Bounded by `WITHIN / STEP`.
    noted: VecDeque<(Moment, OddCounts)>,
}

impl OddWatch {
    /// Notes the counts, and returns the kinds that go on.
    pub fn look(&mut self, counts: OddCounts, now: Moment) -> Vec<Oddity> {
        if self.noted.is_empty() {
            // Whatever came before the first look came since the connection began.
            self.noted.push_back((now, OddCounts::default()));
        }
        if self.noted.back().is_some_and(|(at, _)| now.since(*at) >= STEP) {
            self.noted.push_back((now, counts));
        }
        while self.noted.get(1).is_some_and(|(at, _)| now.since(*at) >= WITHIN) {
            self.noted.pop_front();
        }
        let before = self.noted.front().map(|(_, counts)| *counts).unwrap_or_default();
        Oddity::ALL.into_iter().filter(|kind| counts.of(*kind).saturating_sub(before.of(*kind)) > MANY).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(kind: Oddity, count: u64) -> OddCounts {
        let mut counts = OddCounts::default();
        if let Some(held) = counts.0.get_mut(kind.index()) {
            *held = count;
        }
        counts
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_kind_has_a_place_and_words_of_its_own() {
        for (index, kind) in Oddity::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(Oddity::ALL.iter().filter(|other| other.words() == kind.words()).count(), 1);
        }
    }

    #[test]
    fn what_happens_now_and_then_is_not_told() {
        let mut watch = OddWatch::default();
        // One every 7 s for an hour.
        for second in 0..3600 {
            assert!(watch.look(counts(Oddity::CutPicture, second / 7), at(second)).is_empty(), "after {second} s");
        }
    }

    #[test]
    fn what_goes_on_is_told_while_it_does_and_no_longer() {
        let mut watch = OddWatch::default();
        let mut told = Vec::new();
        for second in 0..300 {
            // One a second for two minutes.
            let kinds = watch.look(counts(Oddity::Command, second.min(120)), at(second));
            assert!(kinds.iter().all(|kind| *kind == Oddity::Command));
            if !kinds.is_empty() {
                told.push(second);
            }
            assert!(watch.noted.len() <= 14, "what is remembered is bounded");
        }
        assert_eq!(told.first(), Some(&11));
        let last = told.last().copied().unwrap_or_default();
        assert!((165..=180).contains(&last), "it was told until {last} s");
        assert_eq!(u64::try_from(told.len()).ok(), Some(last - 10), "without a break");
    }

    #[test]
    fn a_burst_before_the_first_look_counts() {
        let mut watch = OddWatch::default();
        assert_eq!(watch.look(counts(Oddity::Empty, 11), at(3)), [Oddity::Empty]);
        let mut last = 3;
        for second in 4..=70 {
            if !watch.look(counts(Oddity::Empty, 11), at(second)).is_empty() {
                last = second;
            }
        }
        assert!((62..=68).contains(&last), "it was told until {last} s");
    }
}
