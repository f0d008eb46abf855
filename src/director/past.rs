//! What became of the show that was on before the box started.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;

use super::Parts;
use crate::core::{
    account::AccountId,
    moment::Moment,
    queue::Record,
    show::darkness::{DarkShow, LifeSign, Resumption},
};

/// What became of the show of before the start, as long as that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PastShow {
    /// It is not known yet whether it goes on; at this moment it will be.
    Waits(Moment),
    /// It ended.
    Ended(Ended),
}

/// A show that ended because the box was dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When the box was seen alive last; none where that was not noted.
    pub last_alive: Option<Timestamp>,
    /// For how long it was dark; none where the machine cannot tell.
    pub dark_for: Option<Duration>,
}

impl Ended {
    /// Why it ended, as the end of "The show ended: ...".
    pub fn reason(&self) -> String {
        match self.dark_for {
            Some(dark) => format!("the box was dark for {}", length(dark)),
            None => "the box does not know for how long it was dark, and none of those who were there was back in time"
                .to_owned(),
        }
    }
}

/// A length of time in the largest unit of which there are two, or of which it is one.
fn length(time: Duration) -> String {
    let minutes = time.as_secs().saturating_add(30) / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1440),
    }
}

/// A show of which it is not known yet whether it goes on; or one that was ended by hand, of which it is not known yet whether this is
/// still the same night.
pub(super) struct Dark {
    pub(super) show: DarkShow,
    /// Whether it was on, and not ended by hand.
    pub(super) was_on: bool,
    /// Who was on air or waited, and who of them was connected still.
    pub(super) there: HashSet<AccountId>,
    pub(super) connected: HashSet<AccountId>,
    /// Whether media was told to let nothing begin meanwhile.
    pub(super) held: bool,
}

impl Dark {
    pub(super) fn new<M, I, S, A>(record: Option<&Record>, parts: &Parts<M, I, S, A>, now: Moment) -> Self {
        let stored = record.and_then(|record| record.alive.clone());
        let noted = parts.stored.note.alive.clone();
        let last = match (stored, noted) {
            (Some(stored), Some(noted)) => Some(stored.later(noted)),
            (stored, noted) => stored.or(noted),
        };
        let there = record.into_iter().flat_map(Record::accounts).collect();
        let connected = record.into_iter().flat_map(Record::connected).collect();
        Self {
            show: DarkShow::new(last, parts.resume, parts.settings.restart_grace, now),
            was_on: parts.stored.show,
            there,
            connected,
            held: false,
        }
    }

    /// Whether it goes on whoever is back.
    pub(super) fn is_short(&self, clocks: &LifeSign, now: Moment) -> bool {
        self.show.look(clocks, false, true, now) == Resumption::GoesOn
    }

    /// When the box was seen alive before.
    pub(super) fn last_alive(&self) -> Option<LifeSign> {
        self.show.last().cloned()
    }

    /// When it is decided at the latest.
    pub(super) fn decided_by(&self) -> Moment {
        self.show.decided_by()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_ended_is_said_as_people_say_it() {
        let said =
            |seconds: Option<u64>| Ended { last_alive: None, dark_for: seconds.map(Duration::from_secs) }.reason();
        assert_eq!(said(Some(16 * 60)), "the box was dark for 16 min");
        assert_eq!(said(Some(119 * 60)), "the box was dark for 119 min");
        assert_eq!(said(Some(16 * 3600 + 300)), "the box was dark for 16 h");
        assert_eq!(said(Some(3 * 86_400 - 60)), "the box was dark for 3 days");
        assert!(said(None).contains("does not know"));
    }
}
