//! Motherstream: streamers take turns, the platforms see one unbroken programme.
//!
//! Imports run one way, and a test holds it:
//! `core <- adapters <- director, accounts <- control <- web <- supervisor, doctor, console <- main`.
//! `core` is pure: no clock, no I/O, no tokio, no GStreamer. The adapters (`clock`, `config`, `files`, `precedence`, `telemetry`, `store`,
//! `ingest`, `media`, `network`, `obs`, `update`) never import each other, but for `clock`, `config`, `files`, `precedence` and `telemetry`, which all of
//! them may use.
//! The director owns the queue, and accounts the people. The control room ([`control`]) has everything that a person may order, without
//! HTTP; the faces of [`web`], the API and the page, put it into words of their own.

pub mod core;

pub mod clock;
pub mod config;
pub mod files;
pub mod ingest;
pub mod media;
pub mod network;
pub mod obs;
pub mod precedence;
pub mod store;
pub mod telemetry;
pub mod update;

pub mod accounts;
pub mod director;

pub mod control;

pub mod web;

pub mod console;
pub mod doctor;
pub mod supervisor;
