//! How often one address may try: sign-in, registration, the setup code, publishing by WebRTC. Nobody is ever locked out for what others do.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::problem::{Kind, Problem};
use crate::core::origin::Origin;

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
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            sign_in: Limit::new(10, Duration::from_secs(6)),
            registration: Limit::new(20, Duration::from_secs(30)),
            setup: Limit::new(5, Duration::from_secs(10)),
            whip: Limit::new(30, Duration::from_secs(2)),
        }
    }

    /// Forgets addresses that have their full allowance again.
    pub(crate) fn forget_the_quiet(&self) {
        for limit in [&self.sign_in, &self.registration, &self.setup, &self.whip] {
            limit.forget_the_quiet();
        }
    }
}

/// An allowance per address.
pub(crate) struct Limit {
    attempts: DefaultKeyedRateLimiter<Origin>,
}

impl Limit {
    /// `burst` attempts at once, and one more every `period`.
    fn new(burst: u32, period: Duration) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        // A period of zero is the only one refused; a second is then as good as any.
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        Self { attempts: RateLimiter::keyed(quota) }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// 429 with the time to wait, when the address has used up its allowance.
    pub(crate) fn attempt(&self, address: IpAddr) -> Result<(), Problem> {
        if self.attempts.len() > MOST_ADDRESSES {
            self.forget_the_quiet();
        }
        self.attempts.check_key(&Origin::of(address)).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Problem::new(Kind::TooManyAttempts, "too many attempts from your address; wait a little").retry_after(wait)
        })
    }

    fn forget_the_quiet(&self) {
        self.attempts.retain_recent();
        self.attempts.shrink_to_fit();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse};

    use super::*;

    #[test]
    fn one_address_runs_out_and_the_others_do_not() {
        let limit = Limit::new(3, Duration::from_mins(1));
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..3 {
            assert!(limit.attempt(a).is_ok());
        }
        let refusal = limit.attempt(a).unwrap_err().into_response();
        assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = refusal.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(limit.attempt(b).is_ok());
    }
}
