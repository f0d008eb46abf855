//! The bar with the pages of those who run the night and the box.

use std::sync::Arc;

use axum::extract::FromRequestParts;

use crate::{
    control::journal::Caller,
    web::{app::App, http::problem::Problem},
};

/// The bar with the pages: the field `desk` of their templates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk {
    /// Whether who looks runs the box, too.
    pub(super) admin: bool,
}

/// One page of the bar.
pub(super) struct Tab {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
}

/// All pages; `true` for those that only admins see.
const TABS: &[(bool, &str, &str)] = &[
    (false, "/admin", "Night"),
    (false, "/admin/destinations", "Destinations"),
    (true, "/admin/obs", "OBS"),
    (true, "/admin/people", "People"),
    (false, "/admin/history", "History"),
    (true, "/admin/settings", "Settings"),
    (true, "/admin/network", "Network"),
    (false, "/admin/system", "System"),
    (true, "/admin/audit", "Audit"),
];

impl Desk {
    /// The pages that are open to who looks.
    pub(super) fn tabs(self) -> impl Iterator<Item = Tab> {
        TABS.iter().filter(move |(admins, ..)| self.admin || !admins).map(|&(_, path, name)| Tab { path, name })
    }
}

impl FromRequestParts<Arc<App>> for Desk {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self { admin: Caller::from_request_parts(parts, app).await?.is_admin() })
    }
}
