//! Whole-box tests: the real binary, real ffmpeg publishers, a real RTMP server as the platform. One file for each claim.
//!
//! Limits on media time are exact; limits on arrival and on times are three times those of the design, because the machine
//! that runs tests is noisy. `make bench` reports against the limits themselves. `MOTHERSTREAM_TEST_SOAK` makes runs long.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "benches and the demo use what tests do not, and the other way round")]
mod support;

/// Tests that a box must pass by either ingest, with the same figures at the platform. By SRS only where there is a real one.
macro_rules! through_both {
    ($($body:ident),* $(,)?) => {
        mod through_embedded {
            $(#[test] fn $body() { super::$body($crate::support::boxed::Through::Embedded); })*
        }

        mod through_srs {
            $(#[test] fn $body() {
                if $crate::support::real_srs().is_some() {
                    super::$body($crate::support::boxed::Through::Srs);
                }
            })*
        }
    };
}

mod busy;
mod crash;
mod crowd;
mod dark;
mod destinations;
mod egress;
mod evening;
mod full_card;
mod goodbye;
mod inputs;
mod lag;
mod machine;
mod no_store;
mod refusals;
mod screen;
mod srs;
mod srs_elsewhere;
mod srs_trouble;
mod systemd;
mod takes;
mod tools;
mod unbroken;
mod unusable;
