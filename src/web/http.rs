//! The kit that both faces are made with: who asks and what they may, what requests carry, how they are refused, and the connections
//! beneath. It names neither face.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod captive;
pub(crate) mod connections;
pub(crate) mod cookie;
pub(crate) mod crowd;
pub(crate) mod describe;
pub(crate) mod devices;
pub(crate) mod forwarded;
pub(crate) mod guard;
pub(crate) mod hosts;
pub(crate) mod kept;
pub(crate) mod lines;
pub(crate) mod metrics;
pub(crate) mod problem;
pub(crate) mod refusals;
pub(crate) mod rights;
pub(crate) mod seals;
pub(crate) mod sessions;
pub(crate) mod tls;
pub(crate) mod upload;
pub(crate) mod watched;
