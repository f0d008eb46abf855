//! The page: HTML made here, brought to life in the browser by a little script. Everything essential works without that.
//!
//! - [`assets`]: styles, scripts, font and icons, embedded.
//! - [`layout`]: what every page shows: header, footer, messages, theme; and how a template becomes an answer.
//! - [`form`]: what forms send, and what they are answered.
//! - [`live`]: parts of pages that change by themselves; [`channels`]: those that many see alike.
//! - [`errors`]: errors as people read them.
//! - [`room`], [`overlay`]: the pages for everybody.
//! - [`admin`]: the pages of those who run the night, and the box.
//! - [`setup`]: the steps that set a box up.
//! - [`people`]: coming in and going out; [`reset`]: a forgotten password; [`me`]: one's own page, [`own`]: one's own account.
//! - [`words`]: what the box knows, in words for people.
//! - [`ui`]: small pieces for templates: icons, times, QR codes.

use super::http::rights::Routes;

pub(crate) mod admin;
pub(crate) mod assets;
pub(crate) mod channels;
pub(crate) mod errors;
pub(crate) mod flash;
pub(crate) mod form;
pub(crate) mod layout;
pub(crate) mod live;
mod me;
mod overlay;
mod own;
mod people;
mod reset;
pub(crate) mod room;
mod setup;
pub(crate) mod ui;
mod words;

/// Pages, what they load, what they send and what they listen to.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(assets::routes())
        .merge(layout::routes())
        .merge(channels::routes())
        .merge(room::routes())
        .merge(overlay::routes())
        .merge(people::routes())
        .merge(setup::routes())
        .merge(reset::routes())
        .merge(me::routes())
        .merge(own::routes())
        .merge(admin::routes())
}
