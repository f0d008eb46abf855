//! What both faces share: the control room, and what the web itself keeps.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::http::{hosts::Hosts, lines::Lines, metrics::HttpMetrics, seals::Seals};
use crate::control::room::Control;

/// What handlers share.
pub(crate) struct App {
    /// Everything that a person may order and look at.
    pub(crate) control: Control,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) http: HttpMetrics,
    /// Places for whoever listens.
    pub(crate) lines: Lines,
    pub(crate) seals: Seals,
    pub(crate) stop: CancellationToken,
}

impl App {
    pub(crate) fn new(control: Control, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            control,
            hosts: Arc::new(Hosts::of_this_machine()),
            http: HttpMetrics::default(),
            lines: Lines::default(),
            seals: Seals::new(),
            stop,
        })
    }
}
