//! `/admin`: the pages of those who run the night, and of those who run the box. Operators see what their right allows.

use crate::web::http::rights::Routes;

mod accounts;
mod desk;
pub(crate) mod destinations;
mod invitations;
mod machine;
pub(crate) mod network;
pub(crate) mod night;
pub(crate) mod obs;
mod past;
mod settings;
mod slate;
mod system;

pub(super) fn routes() -> Routes {
    Routes::new()
        .merge(night::routes())
        .merge(destinations::routes())
        .merge(obs::routes())
        .merge(accounts::routes())
        .merge(invitations::routes())
        .merge(past::routes())
        .merge(settings::routes())
        .merge(slate::routes())
        .merge(system::routes())
        .merge(machine::routes())
        .merge(network::routes())
}
