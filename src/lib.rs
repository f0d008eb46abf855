//! Motherstream: streamers take turns, the platforms see one unbroken programme.
//!
//! Imports run one way, and a test holds it: `core <- adapters <- director, accounts <- web <- supervisor <- main`.
//! `core` is pure: no clock, no I/O, no tokio, no GStreamer. The adapters (`clock`, `config`, `files`, `telemetry`, `store`,
//! `ingest`, `media`, `obs`, `update`) never import each other, but for `clock`, `config`, `files` and `telemetry`, which all of them may use.

pub mod core;

pub mod clock;
pub mod config;
pub mod files;
pub mod ingest;
pub mod media;
pub mod obs;
pub mod store;
pub mod telemetry;
pub mod update;

pub mod accounts;
pub mod director;

pub mod web;

pub mod console;
pub mod doctor;
pub mod supervisor;
