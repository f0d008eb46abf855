//! The page and its API, from outside: in a real Chromium, by generated requests, and by many pages at once; against the real
//! binary with real publishers. `scripts/install test` brings what they need.

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
#[expect(dead_code, reason = "each of the test binaries uses other parts of it")]
mod support;

mod browser;
mod contract;
mod crowd;
