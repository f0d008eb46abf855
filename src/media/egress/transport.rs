//! A protocol as a session and a trial see it: a [`Driver`] opens, and the [`Transport`] that it makes says when the peer has
//! accepted, what it has taken, and ends politely. Each protocol has a file of its own; `protocols.rs` lists them.

use std::{fmt, time::Duration};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::AppSrc;

use super::liveness::Sample;
use crate::{
    core::{
        destination::{Destination, DestinationFailure},
        frame::MediaTime,
    },
    media::tag::Tag,
};

/// A peer that has said nothing for this long while a connection is made is given up by its protocol.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// What the box can do with a protocol before there is a session.
#[derive(Debug)]
pub(super) struct Driver {
    /// The elements it is built from.
    pub(super) elements: &'static [&'static str],
    /// Makes what carries one session to a destination. It connects when its element's pipeline starts. May block for seconds.
    pub(super) open: fn(&Destination) -> Result<Box<dyn Transport>, gst::glib::BoolError>,
    /// Looks once more at what an error of the pipeline does not tell; none if there is nothing more to see. Blocks for seconds.
    pub(super) closer: fn(&Destination, &DestinationFailure) -> Option<DestinationFailure>,
}

/// What carries one session.
pub(super) trait Transport: fmt::Debug + Send + Sync {
    /// What takes the session's bytes: an element with a sink pad, or a bin of several.
    fn element(&self) -> &gst::Element;

    /// Whether the peer accepted the session: sending may begin.
    fn is_accepted(&self) -> bool;

    /// A tag as the element takes it, `time` after the session's start. Called in the pacing thread, so it must not wait.
    fn write(&self, tag: &Tag, time: MediaTime) -> Bytes;

    /// Its counters, but for `waiting`, which the session knows.
    fn sample(&self) -> Sample;

    /// Begins the polite end: what `source` holds is sent, then the peer is told. The pipeline's end of stream says when that was
    /// handed over; from there the last words still take what is returned. None if the session is over already.
    fn finish(&self, source: &AppSrc) -> Option<Duration>;

    /// What an error of the pipeline means. `debug` is GStreamer's text besides.
    fn explain(&self, error: &gst::glib::Error, debug: &str) -> DestinationFailure;
}
