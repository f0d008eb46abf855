//! Which steps there are, and which is the next.

use crate::{
    core::network::Hotspot,
    network::{Internet, Manager},
    web::app::App,
};

/// How many there are.
pub(super) const COUNT: usize = Step::ALL.len();

/// A step, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Claim,
    Venue,
    Network,
    Destination,
    Streamers,
    Done,
}

impl Step {
    const ALL: [Self; 6] = [Self::Claim, Self::Venue, Self::Network, Self::Destination, Self::Streamers, Self::Done];

    /// Where it is.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Claim => "/setup",
            Self::Venue => "/setup/venue",
            Self::Network => "/setup/network",
            Self::Destination => "/setup/destination",
            Self::Streamers => "/setup/streamers",
            Self::Done => "/setup/done",
        }
    }

    /// Its number, from 1.
    pub(super) fn number(self) -> usize {
        Self::ALL.iter().position(|step| *step == self).map_or(1, |index| index + 1)
    }

    /// Where the one before is, if one may go back to it.
    pub(super) fn before(self) -> Option<&'static str> {
        let before = Self::ALL.get(self.number().checked_sub(2)?)?;
        (*before != Self::Claim).then(|| before.path())
    }

    /// Where the next one is.
    pub(super) fn after(self) -> &'static str {
        Self::ALL.get(self.number()).copied().unwrap_or(Self::Done).path()
    }

    /// The first that is not done, of a box with an owner.
    pub(super) fn first_open(app: &App) -> Self {
        let config = app.control.config();
        if config.venue.timezone.is_none() {
            return Self::Venue;
        }
        let network = app.control.network();
        let ours = network.own && network.manager == Manager::There;
        let leads = network.uplink().is_some_and(|uplink| uplink.internet != Internet::Portal);
        if ours && !leads && config.network.hotspot != Hotspot::Always {
            return Self::Network;
        }
        if app.control.destinations().is_empty() {
            return Self::Destination;
        }
        Self::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_leads_to_the_next_and_back_to_the_one_before_but_for_the_claim() {
        assert_eq!((Step::Claim.number(), Step::Done.number()), (1, 6));
        assert_eq!(
            (Step::Claim.after(), Step::Streamers.after(), Step::Done.after()),
            ("/setup/venue", "/setup/done", "/setup/done")
        );
        assert_eq!(
            (Step::Claim.before(), Step::Venue.before(), Step::Network.before()),
            (None, None, Some("/setup/venue"))
        );
    }
}
