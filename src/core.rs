//! The pure core: it is given frames, events and moments, and says what follows.

pub mod account;
pub mod amf;
mod bits;
pub mod destination;
pub mod fitness;
pub mod flaw;
pub mod flv;
pub mod frame;
pub mod moment;
pub mod network;
pub mod oddity;
pub mod origin;
pub mod queue;
pub mod remark;
pub mod show;
pub mod switcher;
pub mod timeline;
pub mod words;
