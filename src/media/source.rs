//! One input: measured always, kept in a ring while cued.
