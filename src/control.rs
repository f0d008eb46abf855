//! The control room: everything that a person may order of the box, without HTTP.
//!
//! An order is a function that takes [`room::Control`], who gives it ([`journal::By`]) and what is wanted. It checks what has to hold
//! first, carries the order out in the right sequence, tells what happened ([`news`]), and answers with an outcome or with why not
//! ([`denied::Denied`]). Faces (the API, the page) put these into words of their own; what every face has to do alike is done here.
//!
//! - [`people`], [`own`], [`sessions`]: accounts, one's own account, who is signed in.
//! - [`night`]: the queue, the panic button, the show.
//! - [`destinations`], [`settings`], [`slate`], [`obs`], [`viewers`]: what the box is set to. [`players`]: who plays the programme.
//!   [`whip`]: publishing by WebRTC.
//! - [`machine`], [`backup`]: updates, restart, reset; everything in one file. [`network`]: what the box joins, and its own access point.
//! - [`looks`], [`stills`], [`status`], [`readiness`], [`storing`], [`figures`], [`log`], [`ways`], [`addresses`], [`stage`]: what may be looked
//!   at.
//! - [`journal`]: who did what. [`limits`]: how often one address may try. [`machine_key`], [`neighbours`]: who is on this machine, and who
//!   in its network.

pub mod addresses;
pub(crate) mod backup;
pub mod denied;
pub mod destinations;
pub(crate) mod figures;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod log;
mod looks;
pub(crate) mod machine;
pub mod machine_key;
mod neighbours;
pub(crate) mod network;
pub mod news;
pub(crate) mod night;
pub(crate) mod obs;
pub(crate) mod own;
pub(crate) mod people;
pub(crate) mod players;
pub mod readiness;
pub mod room;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod slate;
pub mod stage;
pub(crate) mod status;
pub(crate) mod stills;
pub(crate) mod storing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod viewers;
pub(crate) mod ways;
pub(crate) mod whip;
