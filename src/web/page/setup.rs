//! `/setup`: the steps that set a box up, from a phone as from anything else. Each is a plain form that can be left and taken up again; what is
//! done is seen by how the box is, and noted nowhere.
//!
//! - [`step`]: which steps there are, and which is the next.
//! - [`claim`]: the box gets its owner. [`venue`]: name, time zone, country ([`countries`]). [`network`]: the cable, or a Wi-Fi.
//! - [`destination`]: the first one. [`streamers`]: how they join, a poster, and the end.

use crate::web::http::rights::Routes;

mod claim;
mod countries;
mod destination;
mod network;
mod step;
mod streamers;
mod venue;

pub(super) fn routes() -> Routes {
    Routes::new()
        .merge(claim::routes())
        .merge(venue::routes())
        .merge(network::routes())
        .merge(destination::routes())
        .merge(streamers::routes())
}
