//! switcher
