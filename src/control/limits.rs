//! How often one address may try: sign-in, registration, the setup code, publishing by WebRTC; and how often one account may change what is
//! its own. Nobody is ever locked out for what others do: many people may share one address (behind a router, behind a proxy that nobody
//! named), and so whoever shows who they are has an allowance of their own.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::denied::Denied;
use crate::core::{account::AccountId, origin::Origin};

/// So many addresses at once are remembered; beyond that those that have been quiet are forgotten first.
const MOST_ADDRESSES: usize = 10_000;

/// One counter per address for each thing that is limited.
pub(crate) struct Limits {
    /// Sign-in, and wrong bearer tokens: 10 at once, then one in 6 s. Somebody who mistypes never notices; at two hashes at
    /// once a dictionary takes years.
    pub(crate) sign_in: Limit,
    /// Registration: 20 at once, then one in 30 s. A venue's guests may share one address behind a router.
    pub(crate) registration: Limit,
    /// The setup code: 5 at once, then one in 10 s. Its 40 bits last for centuries.
    pub(crate) setup: Limit,
    /// Publishing by WebRTC: 30 at once, then one in 2 s. A venue's encoders may share one address behind a router, and all come back
    /// at once when the line was down; a key of 130 bits is not guessed at any rate.
    pub(crate) whip: Limit,
    /// What an account changes of its own (name, password, key, place): 30 at once, then one in 2 s. Each is written to a card, and a new
    /// key or a place that is left also disturbs the queue.
    own: Limit,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            sign_in: Limit::new(10, Duration::from_secs(6)),
            registration: Limit::new(20, Duration::from_secs(30)),
            setup: Limit::new(5, Duration::from_secs(10)),
            whip: Limit::new(30, Duration::from_secs(2)),
            own: Limit::new(30, Duration::from_secs(2)),
        }
    }

    /// Forgets addresses that have their full allowance again.
    pub(crate) fn forget_the_quiet(&self) {
        for limit in [&self.sign_in, &self.registration, &self.setup, &self.whip, &self.own] {
            limit.forget_the_quiet();
        }
    }

    /// Counts a change that an account makes of its own.
    ///
    /// # Errors
    ///
    /// The time to wait, when the account has used up its allowance.
    pub(crate) fn change_own(&self, account: AccountId) -> Result<(), Denied> {
        self.own.count(Whom::Account(account)).map_err(|wait| Denied::TooManyChanges { wait })
    }
}

/// Whose attempts are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whom {
    /// Everybody at one address.
    Address(Origin),
    /// A device on which somebody has signed in before, by its number. Nobody makes one up.
    Device(u64),
    /// Whoever has shown whose account it is, by a session or a key.
    Account(AccountId),
}

/// An allowance for each of them.
pub(crate) struct Limit {
    attempts: DefaultKeyedRateLimiter<Whom>,
}

impl Limit {
    /// `burst` attempts at once, and one more every `period`.
    fn new(burst: u32, period: Duration) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        // A period of zero is the only one refused; a second is then as good as any.
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        Self { attempts: RateLimiter::keyed(quota) }
    }

    /// Counts an attempt from an address.
    ///
    /// # Errors
    ///
    /// The time to wait, when the address has used up its allowance.
    pub(crate) fn attempt(&self, address: IpAddr) -> Result<(), Denied> {
        self.attempt_of(Whom::Address(Origin::of(address)))
    }

    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// The time to wait, when the allowance is used up.
    pub(crate) fn attempt_of(&self, whom: Whom) -> Result<(), Denied> {
        self.count(whom).map_err(|wait| Denied::TooManyAttempts { wait })
    }

    /// Counts one more, or says how long it takes until one is allowed.
    fn count(&self, whom: Whom) -> Result<(), Duration> {
        if self.attempts.len() > MOST_ADDRESSES {
            self.forget_the_quiet();
        }
        self.attempts.check_key(&whom).map_err(|early| early.wait_time_from(DefaultClock::default().now()))
    }

    fn forget_the_quiet(&self) {
        self.attempts.retain_recent();
        self.attempts.shrink_to_fit();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_address_runs_out_and_the_others_do_not() {
        let limit = Limit::new(3, Duration::from_mins(1));
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..3 {
            assert!(limit.attempt(a).is_ok());
        }
        let Denied::TooManyAttempts { wait } = limit.attempt(a).unwrap_err() else { panic!("no limit") };
        assert!((1..=60).contains(&wait.as_secs()), "{wait:?}");
        assert!(limit.attempt(b).is_ok());
        // Whoever shows who they are is not held up by others at their address.
        for whom in [Whom::Device(7), Whom::Device(8), Whom::Account(AccountId(7))] {
            for _ in 0..3 {
                assert!(limit.attempt_of(whom).is_ok(), "{whom:?}");
            }
            assert!(limit.attempt_of(whom).is_err(), "{whom:?}");
        }
    }
}
