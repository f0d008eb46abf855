//! Whether the box is ready: latches that the supervisor sets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use utoipa::ToSchema;

/// The latches of readiness. The supervisor sets each once its part works; readiness never waits for the internet.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    latches: Arc<Latches>,
}

#[derive(Debug, Default)]
struct Latches {
    store: AtomicBool,
    program: AtomicBool,
    ingest: AtomicBool,
    web: AtomicBool,
}

/// One part of the box that has to work before the box is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// The store is open and migrated.
    Store,
    /// The programme runs, on the slate at least.
    Program,
    /// Encoders can connect.
    Ingest,
    /// Pages and API are served. Set by the web.
    Web,
}

/// Which parts work.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each told by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ready {
    /// Whether all of them do.
    pub ready: bool,
    /// The store is open and migrated.
    pub store: bool,
    /// The programme runs, on the slate at least.
    pub program: bool,
    /// Encoders can connect.
    pub ingest: bool,
    /// Pages and API are served.
    pub web: bool,
    /// The disk takes what is written. The latches do not know: `control/status.rs` looks.
    pub storing: bool,
}

impl Readiness {
    /// Says that a part works, or does no longer.
    pub fn set(&self, latch: Latch, works: bool) {
        self.latch(latch).store(works, Ordering::Release);
    }

    /// Which parts work at this moment.
    pub fn look(&self) -> Ready {
        let [store, program, ingest, web] = [Latch::Store, Latch::Program, Latch::Ingest, Latch::Web]
            .map(|latch| self.latch(latch).load(Ordering::Acquire));
        Ready { ready: store && program && ingest && web, store, program, ingest, web, storing: store }
    }

    fn latch(&self, latch: Latch) -> &AtomicBool {
        match latch {
            Latch::Store => &self.latches.store,
            Latch::Program => &self.latches.program,
            Latch::Ingest => &self.latches.ingest,
            Latch::Web => &self.latches.web,
        }
    }
}
