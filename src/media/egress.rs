//! One destination: pipeline, liveness, backoff.
