//! The pure core: it is given frames, events and moments, and says what follows.

pub mod account;
pub mod amf;
mod bits;
pub mod destination;
pub mod flv;
pub mod frame;
pub mod moment;
pub mod origin;
pub mod queue;
pub mod switcher;
pub mod timeline;
