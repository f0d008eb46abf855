//! A few GStreamer elements used as a plain function: a buffer in, buffers out, in the caller's thread.
//!
//! Two pads of our own stand at the ends. What is pushed into the first one runs through all elements and into the last
//! one's chain function before the push returns: there is no queue, no thread, no clock and no bus, so that the same input
//! gives the same output.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Why a chain cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// An element is missing.
    #[error("the GStreamer element `{0}` is not installed; `motherstream doctor` says which package has it")]
    Missing(&'static str),
    /// GStreamer did not do what it must.
    #[error("the {chain} cannot be started: {reason}")]
    Start {
        /// Which chain of elements.
        chain: &'static str,
        /// What GStreamer said, or could not do.
        reason: String,
    },
}

/// Elements with a pad of ours at either end.
#[derive(Debug)]
pub(super) struct Chain {
    name: &'static str,
    elements: Vec<gst::Element>,
    head: gst::Pad,
    tail: gst::Pad,
    output: Arc<Mutex<Output>>,
}

/// What has come out since it was last asked for.
#[derive(Debug, Default)]
struct Output {
    caps: Option<gst::Caps>,
    buffers: Vec<gst::Buffer>,
}

/// Makes one element.
pub(super) fn element(factory: &'static str) -> Result<gst::Element, ChainError> {
    gst::ElementFactory::make(factory).build().map_err(|_| ChainError::Missing(factory))
}

/// A filter that lets only `caps` through.
pub(super) fn filter(caps: &gst::Caps) -> Result<gst::Element, ChainError> {
    let filter = element("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

impl Chain {
    /// Links `elements` one after the other and says that `caps` will be pushed.
    pub(super) fn new(name: &'static str, elements: Vec<gst::Element>, caps: &gst::Caps) -> Result<Self, ChainError> {
        let output = Arc::new(Mutex::new(Output::default()));
        let head = gst::Pad::builder(gst::PadDirection::Src).name("head").build();
        let tail = gst::Pad::builder(gst::PadDirection::Sink)
            .name("tail")
            .chain_function({
                let output = output.clone();
                move |_, _, buffer| {
                    lock(&output).buffers.push(buffer);
                    Ok(gst::FlowSuccess::Ok)
                }
            })
            .event_function({
                let output = output.clone();
                move |_, _, event| {
                    if let gst::EventView::Caps(caps) = event.view() {
                        lock(&output).caps = Some(caps.caps_owned());
                    }
                    true
                }
            })
            .build();
        let chain = Self { name, elements, head, tail, output };
        chain.start(caps).map_err(|reason| ChainError::Start { chain: name, reason: reason.to_string() })?;
        Ok(chain)
    }

    fn start(&self, caps: &gst::Caps) -> Result<(), gst::glib::BoolError> {
        gst::Element::link_many(&self.elements)?;
        let (Some(first), Some(last)) = (self.elements.first(), self.elements.last()) else {
            return Err(gst::glib::bool_error!("it has no elements"));
        };
        let missing = || gst::glib::bool_error!("an element has no pad to link to");
        let entry = first.static_pad("sink").ok_or_else(missing)?;
        let exit = last.static_pad("src").ok_or_else(missing)?;
        let refused = |error| gst::glib::bool_error!("two pads cannot be linked: {error:?}");
        self.head.link(&entry).map_err(refused)?;
        exit.link(&self.tail).map_err(refused)?;
        // From the end to the beginning, so that nothing is pushed into an element that is not ready.
        self.tail.set_active(true)?;
        for element in self.elements.iter().rev() {
            element
                .set_state(gst::State::Paused)
                .map_err(|_| gst::glib::bool_error!("{} does not start", element.name()))?;
        }
        self.head.set_active(true)?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let accepted = self.head.push_event(gst::event::StreamStart::new(self.name))
            && self.head.push_event(gst::event::Caps::new(caps))
            && self.head.push_event(gst::event::Segment::new(&segment));
        if accepted { Ok(()) } else { Err(gst::glib::bool_error!("{caps} is not accepted")) }
    }

    /// Runs one buffer through and gives what came out. After an error the chain is of no more use.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<Vec<gst::Buffer>, gst::FlowError> {
        self.head.push(buffer)?;
        Ok(self.take())
    }

    /// Gives what the elements still hold. The chain takes no buffer after that.
    pub(super) fn finish(self) -> Vec<gst::Buffer> {
        self.head.push_event(gst::event::Eos::new());
        self.take()
    }

    /// The caps of what comes out, once something has.
    pub(super) fn caps(&self) -> Option<gst::Caps> {
        lock(&self.output).caps.clone()
    }

    fn take(&self) -> Vec<gst::Buffer> {
        mem::take(&mut lock(&self.output).buffers)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for element in &self.elements {
            // Going down cannot fail in an element without hardware; there is nothing to do if it did.
            let _ = element.set_state(gst::State::Null);
        }
        for pad in [&self.head, &self.tail] {
            let _ = pad.set_active(false);
        }
    }
}

fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
