//! The API: calls for programs, described by an OpenAPI document that is made from them. It never names the pages.

use super::http::rights::Routes;

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod console;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod invitations;
pub(crate) mod log;
pub(crate) mod me;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod obs;
pub(crate) mod obs_profile;
pub(crate) mod pictures;
pub(crate) mod queue;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod slate;
pub(crate) mod system;
pub(crate) mod updates;
pub(crate) mod viewers;
pub(crate) mod whip;

/// Every call.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(accounts::routes())
        .merge(me::routes())
        .merge(obs::routes())
        .merge(obs_profile::routes())
        .merge(queue::routes())
        .merge(show::routes())
        .merge(history::routes())
        .merge(system::routes())
        .merge(slate::routes())
        .merge(log::routes())
        .merge(destinations::routes())
        .merge(viewers::routes())
        .merge(pictures::routes())
        .merge(events::routes())
        .merge(settings::routes())
        .merge(network::routes())
        .merge(audit::routes())
        .merge(backup::routes())
        .merge(updates::routes())
        .merge(console::routes())
        .merge(invitations::routes())
        .merge(health::routes())
        .merge(whip::routes())
}
