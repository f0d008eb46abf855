//! Tests of the rules, one by one.
