//! The box and a real OBS 30.2 that follows it: the real binary, real ffmpeg publishers, and OBS read back over its own websocket and
//! looked at by screenshots of what it sends. `scripts/obs-root` makes what OBS runs in; without it all of this is skipped, and says so.

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

mod night;
mod stream;
mod streamer;
mod trouble;
mod venue;
