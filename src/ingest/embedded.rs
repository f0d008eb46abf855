//! The RTMP listener in the process.
//!
//! An RTMP dialogue of our own, because neither crate there is could face a network: one spins on a peer that hangs up in the
//! handshake and panics on an acknowledgement window of 0, the other bounds neither chunks nor messages, and both refuse a
//! publish in ways encoders do not understand. `dialogue` and `chunk` do no I/O and are fuzzed; `naming` knows where encoders put the
//! key, and `dialect` who speaks something else; `connection` moves the bytes; `registry` knows who is here.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{Ingest, IngestEvent, IngestOrder, IngestState};
use crate::{clock::Clock, config::IngestConfig, core::frame::FrameSinks};

mod chunk;
mod connection;
mod dialect;
mod dialogue;
mod naming;
mod registry;

use connection::{Common, Connection};
use registry::Registry;

/// Connections beyond twice the publishers that are allowed: room for those that are being refused or taken over.
const SLACK: usize = 64;

/// After a failed accept (no file descriptors, mostly) the listener waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts the ingest on `listener`. Its tasks live on `tracker` until `token` is cancelled; then every connection is closed
/// without an `Unpublish`: the process stops, and the queue keeps everybody's place for its restart.
///
/// `chosen_because` says why this ingest runs, for the status. `events` is bounded; while it is full only the connections that have something to say wait.
#[expect(clippy::too_many_arguments, reason = "what the front door is made of, named once, at its only caller")]
pub fn start(
    listener: TcpListener,
    config: &IngestConfig,
    chosen_because: &str,
    clock: Clock,
    sinks: Arc<dyn FrameSinks>,
    events: mpsc::Sender<IngestEvent>,
    token: CancellationToken,
    tracker: &TaskTracker,
) -> Ingest {
    let port = listener.local_addr().map_or(config.rtmp_listen.port(), |address| address.port());
    let state = IngestState::embedded(port, chosen_because);
    // It never changes, so its sender need not live.
    let (ingest, orders) = Ingest::channel(watch::channel(state).1, None);
    let common = Common {
        clock,
        sinks,
        events,
        token,
        registry: Registry::new(2 * config.max_publishers + SLACK),
        handshake: Duration::from_secs(config.handshake_seconds),
        silence: Duration::from_secs(config.silence_seconds),
    };
    let task = listen(listener, orders, Arc::new(common), tracker.clone());
    tracker.spawn(task.instrument(tracing::info_span!("ingest")));
    ingest
}

async fn listen(
    listener: TcpListener,
    mut orders: mpsc::Receiver<IngestOrder>,
    common: Arc<Common>,
    tracker: TaskTracker,
) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = common.token.cancelled() => return,
            Some(order) = orders.recv() => {
                match order {
                    IngestOrder::Disconnect(connection, reason) => {
                        common.registry.disconnect(&connection, reason);
                    }
                    // Nobody waits for the list any more: no harm.
                    IngestOrder::List(answer) => drop(answer.send(common.registry.accepted())),
                    // It is no process of its own.
                    IngestOrder::StopServer(answer) => drop(answer.send(())),
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                let address = peer.ip().to_canonical();
                // Where all publish or are about to, the stream is dropped: the cheapest refusal there is.
                let Some(visit) = common.registry.enter(address) else { continue };
                let deadline = Instant::now() + common.handshake;
                let connection = Connection::new(stream, address, Arc::clone(&common));
                tracker.spawn(connection.run(visit, deadline).instrument(tracing::info_span!("encoder", %address)));
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
