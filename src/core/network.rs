//! When the box's own access point is up. Pure: what is seen is handed in, and so is the time.
//!
//! The access point is the way in for somebody who has a phone and nothing else. It costs the box its Wi-Fi where one radio cannot be both, so it
//! is raised where nothing else leads to the box, or a person asks; it is never taken down under somebody who is in the middle of a step, and
//! never raised over a network that carries a show.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment::Moment;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
pub mod wifi;

/// So long a cable has to show a link after the start, before the access point of a box without an owner is raised.
pub const CABLE_TIME: Duration = Duration::from_secs(20);
/// So long after their last sign somebody on the access point counts as in the middle of a step: a captive page is read, a password looked for.
pub const STEP_TIME: Duration = Duration::from_mins(3);
/// How often the access point is lowered, while nobody is on it, to look for the known Wi-Fi: its one radio cannot look for others meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_mins(3);
/// For how long.
pub const LOOK_TIME: Duration = Duration::from_secs(40);
/// An access point that was asked for and that nobody uses goes after this.
pub const ASKED_TIME: Duration = Duration::from_mins(15);
/// After a join that failed the box has so long to be back in the network that it knew before.
pub const BACK_TIME: Duration = Duration::from_secs(20);
/// After an access point could not be raised it is tried again so much later.
pub const AGAIN_TIME: Duration = Duration::from_secs(15);

/// `network.hotspot`: what the box's own access point is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hotspot {
    /// It is raised when a person asks for it, and not otherwise.
    Off,
    /// It is the way in while nothing else leads to the box.
    #[default]
    Setup,
    /// It is the streamers' network too, all the time.
    Always,
}

/// What the rule is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "what is seen, each for itself")]
pub struct Seen {
    /// The box has an owner.
    pub claimed: bool,
    /// A show is on.
    pub show: bool,
    /// A Wi-Fi radio is there, switched on.
    pub radio: bool,
    /// A cable is plugged in at both ends.
    pub cable: bool,
    /// The box has an address in somebody's network, by cable or Wi-Fi.
    pub uplink: bool,
    /// The access point can be up beside that, or without one: the uplink is a cable or another radio, or the radio can be both.
    pub beside: bool,
    /// The venue's network wants somebody to sign in on a page of its own.
    pub portal: bool,
    /// A Wi-Fi network is kept that the box joins by itself.
    pub known: bool,
    /// A person had the box join one, and that is under way.
    pub joining: bool,
    /// What a person had the box join last did not work, and nothing was joined since.
    pub failed: bool,
    /// The file `wifi-setup` lies on the card's small partition, and nobody had the box join anything since.
    pub flag: bool,
    /// Somebody is on the access point: did something within [`STEP_TIME`], or their encoder was connected.
    pub guests: bool,
}

/// What the access point is up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Setting the box up.
    Setup,
    /// Signing in on the venue's own page, through the box.
    Portal,
    /// Streamers' encoders, and setting up too.
    Guests,
}

/// Why it is up, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The box has no owner and no cable.
    Unclaimed,
    /// What a person had the box join did not work.
    JoinFailed,
    /// There has been no network for [`Rule::after`].
    NoNetwork,
    /// A person asked for it.
    Asked,
    /// The file on the card.
    Flag,
    /// The venue's network has a page of its own to sign in on.
    Portal,
    /// `network.hotspot = always`.
    Always,
    /// The reason is over, and somebody is still on it.
    Guests,
}

/// What the rule wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// No access point.
    Down,
    /// None for a moment: the radio looks for the known Wi-Fi.
    Look,
    /// An access point.
    Up(Purpose, Reason),
}

impl Want {
    /// Whether it is up.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up(..))
    }
}

/// The rule, with what it remembers.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `network.hotspot`.
    pub hotspot: Hotspot,
    /// `network.setup_after_seconds`: no network for so long raises it.
    pub after: Duration,
    started: Moment,
    /// Since when there is no network.
    lost: Option<Moment>,
    /// When a person asked for it, or it was last used since.
    asked: Option<Moment>,
    /// Since when it has been up, or was last looked for another.
    up: Option<Moment>,
    /// What it was up for.
    purpose: Purpose,
    /// Since when the last join has failed.
    failed: Option<Moment>,
    /// The radio looks for the known Wi-Fi until then.
    looks: Option<Moment>,
}

impl Rule {
    /// The rule of a box that starts now.
    pub const fn new(hotspot: Hotspot, after: Duration, now: Moment) -> Self {
        Self {
            hotspot,
            after,
            started: now,
            lost: None,
            asked: None,
            up: None,
            purpose: Purpose::Setup,
            failed: None,
            looks: None,
        }
    }

    /// A person wants the access point up, or not. One who does not is taken at their word until the network has been away for another
    /// [`Rule::after`].
    pub const fn ask(&mut self, on: bool, now: Moment) {
        if on {
            self.asked = Some(now);
            self.looks = None;
        } else {
            self.asked = None;
            self.up = None;
            self.lost = Some(now);
            self.failed = None;
            self.started = now;
        }
    }

    /// The access point stands already, raised by an earlier process: whoever is on it stays.
    pub const fn adopt(&mut self, purpose: Purpose, now: Moment) {
        self.up = Some(now);
        self.purpose = purpose;
    }

    /// What is wanted of the access point now.
    pub fn look(&mut self, now: Moment, seen: &Seen) -> Want {
        if seen.uplink {
            self.lost = None;
        } else if self.lost.is_none() {
            self.lost = Some(now);
        }
        self.failed = seen.failed.then(|| self.failed.unwrap_or(now));
        if seen.guests && self.asked.is_some() && self.up.is_some() {
            self.asked = Some(now);
        }
        if self.asked.is_some_and(|asked| now.since(asked) >= ASKED_TIME) {
            self.asked = None;
        }
        let want = self.judge(now, seen);
        match want {
            Want::Up(purpose, _) => {
                self.up.get_or_insert(now);
                self.purpose = purpose;
            }
            Want::Down | Want::Look => self.up = None,
        }
        want
    }

    fn judge(&mut self, now: Moment, seen: &Seen) -> Want {
        let over_a_show = seen.show && seen.uplink && !seen.beside;
        if !seen.radio || over_a_show || (seen.joining && !seen.beside) {
            self.looks = None;
            if over_a_show {
                // Whoever asked before is not to be surprised in the middle of it, or after it.
                self.asked = None;
            }
            return Want::Down;
        }
        let reason = self.reason(now, seen);
        let Some(reason) = reason.or((self.up.is_some() && seen.guests).then_some(Reason::Guests)) else {
            self.looks = None;
            return Want::Down;
        };
        // Whoever asked for it is on the way to it. Encoders on it are guests, also for a while after the last one.
        let may_look = !matches!(reason, Reason::Asked | Reason::Flag);
        if self.looks_now(now, seen, may_look) {
            return Want::Look;
        }
        let purpose = match reason {
            Reason::Flag => Purpose::Setup,
            _ if seen.claimed && self.hotspot == Hotspot::Always => Purpose::Guests,
            _ if seen.portal && seen.uplink => Purpose::Portal,
            _ => Purpose::Setup,
        };
        // Another network by another password is a network that is gone: not under somebody, and not in a show.
        let is_other = (purpose == Purpose::Guests) != (self.purpose == Purpose::Guests);
        if self.up.is_some() && is_other && (seen.guests || seen.show) {
            return Want::Up(self.purpose, reason);
        }
        Want::Up(purpose, reason)
    }

    /// Why it ought to be up.
    fn reason(&self, now: Moment, seen: &Seen) -> Option<Reason> {
        // Whatever a setting says of it: a person stands before the box and has no other way.
        if seen.flag {
            return Some(Reason::Flag);
        }
        if self.asked.is_some() {
            return Some(Reason::Asked);
        }
        if self.hotspot == Hotspot::Off {
            return None;
        }
        if seen.uplink && !seen.beside {
            return None;
        }
        // The known Wi-Fi comes first: a box that starts, or whose router starts anew, is given the time to join it.
        let may_come = seen.known && !seen.uplink;
        let waited = self.lost.is_some_and(|lost| now.since(lost) >= self.after);
        if self.hotspot == Hotspot::Always && seen.claimed && (!may_come || waited || self.up.is_some()) {
            return Some(Reason::Always);
        }
        if seen.portal && seen.uplink {
            return Some(Reason::Portal);
        }
        if seen.uplink {
            return None;
        }
        // Where another one is known, that is gone back to first.
        if self.failed.is_some_and(|failed| !seen.known || now.since(failed) >= BACK_TIME) {
            return Some(Reason::JoinFailed);
        }
        if !seen.claimed && !seen.cable && now.since(self.started) >= CABLE_TIME {
            return Some(Reason::Unclaimed);
        }
        waited.then_some(Reason::NoNetwork)
    }

    /// Whether the access point makes room for a look at who else is there.
    fn looks_now(&mut self, now: Moment, seen: &Seen, may_look: bool) -> bool {
        if !may_look || seen.guests || !seen.known || seen.uplink {
            self.looks = None;
            return false;
        }
        match (self.looks, self.up) {
            (Some(until), _) if now < until => true,
            (Some(_), _) => {
                self.looks = None;
                false
            }
            (None, Some(up)) if now.since(up) >= LOOK_EVERY => {
                self.looks = Some(now + LOOK_TIME);
                true
            }
            (None, _) => false,
        }
    }
}
