//! One contract for every ingest: whatever an encoder does, the director and media see the same, in the same order, from the embedded
//! ingest, from SRS as `SimulatedSrs` plays it, and from a real SRS (`MOTHERSTREAM_TEST_SRS` names its program).

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
#[expect(dead_code, reason = "other tests use what these do not")]
mod support;

mod behaviours;
mod captured;
mod srs;
mod venue;

/// Every behaviour at every ingest.
macro_rules! at_every_ingest {
    ($($behaviour:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $behaviour() { crate::behaviours::$behaviour(crate::venue::Kind::Embedded); })*
        }

        mod simulated_srs {
            $(#[test] fn $behaviour() { crate::behaviours::$behaviour(crate::venue::Kind::Simulated); })*
        }

        mod real_srs {
            $(#[test] fn $behaviour() {
                if crate::support::real_srs().is_some() {
                    crate::behaviours::$behaviour(crate::venue::Kind::Real);
                }
            })*
        }
    };
}

at_every_ingest![
    an_encoder_is_let_in_and_ends_cleanly,
    a_killed_encoder_is_unpublished_at_once,
    a_refused_encoder_is_told_and_never_unpublished,
    a_verdict_that_never_comes_refuses,
    another_application_is_asked_for_as_such,
    the_same_key_takes_over_and_the_old_one_is_gone_before_the_new_one_is_in,
    a_frozen_encoder_is_taken_over_from,
    an_encoder_that_media_pulls_is_taken_over_from,
    a_refused_second_encoder_leaves_the_first_alone,
    a_disconnect_ends_one_connection_and_is_told_once,
    a_disconnect_of_nobody_changes_nothing,
    fifty_encoders_come_and_go_at_once,
    connections_are_those_that_were_let_in,
    a_silent_encoder_is_dropped_after_the_limit_and_no_sooner,
    an_encoder_that_comes_back_is_another_connection,
    a_stop_of_the_box_unpublishes_nobody,
];
