//! Connections: accepted, bounded, and given up when their client is too slow to be honest.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::net::sockopt::{set_tcp_nodelay, set_tcp_user_timeout};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{Instrument, debug, debug_span, warn};

use super::App;

/// Connections at once. More wait in the listener's backlog, which costs nothing.
const MOST_CONNECTIONS: usize = 1024;

/// How long a client may take over the head of a request, and how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// A peer that acknowledges nothing for so long is gone; without this a closed laptop holds a stream's place for a quarter of
/// an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How long answers under way may take once the box stops; the whole box has 5 s.
const GRACE: Duration = Duration::from_secs(2);

/// How often what is expired is cleared out.
const HOUSEKEEPING: Duration = Duration::from_mins(1);

/// Accepts and serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, router: Router, app: Arc<App>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // Cancelled once the grace is over: whoever is still there is dropped.
    let end = CancellationToken::new();
    let _end_with_this = end.clone().drop_guard();
    tasks.spawn(keep_house(app, stop.clone()).instrument(debug_span!("web_housekeeping")));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; or the peer was gone already.
                warn!(%error, "web connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, stop, end) = (router.clone(), stop.clone(), end.clone());
        let task = async move {
            tokio::select! {
                () = connection(socket, peer, router, stop) => {}
                () = end.cancelled() => {}
            }
            drop(place);
        };
        tasks.spawn(task.instrument(debug_span!("web_connection")));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        debug!("web connections cut off at the stop");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok((socket, peer, place))
}

async fn connection(socket: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    // Neither failing harms: answers come later, or a dead peer is noticed later.
    let _ = set_tcp_nodelay(&socket, true);
    let _ = set_tcp_user_timeout(&socket, patience);
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "web connection ended");
    }
}

async fn keep_house(app: Arc<App>, stop: CancellationToken) {
    let mut minutes: u64 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
        app.limits.forget_the_quiet();
        // Sessions last for days: once an hour is enough, and spares the disk.
        minutes += 1;
        if minutes.is_multiple_of(60)
            && let Err(error) = app.sessions.delete_expired().await
        {
            warn!(%error, "expired sessions not deleted");
        }
    }
}
