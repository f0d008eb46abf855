//! The slate, rendered and encoded once.
