//! Connections: accepted, bounded, and given up when their client is too slow to be honest.

use std::{
    collections::HashMap,
    error::Error as _,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size, set_tcp_nodelay, set_tcp_user_timeout};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{Instrument, debug, debug_span, warn};

use super::sessions::Local;
use crate::core::origin::Origin;

/// Connections at once. More wait in the listener's backlog, which costs nothing.
const MOST_CONNECTIONS: usize = 1024;

/// Connections at once from one origin: a whole venue may share one behind a router, but nobody can take all places.
const MOST_FROM_ONE: usize = 640;

/// How long a client may take over the head of a request, and how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// A peer that acknowledges nothing for so long is gone; without this a closed laptop holds a stream's place for a quarter of
/// an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A client that takes nothing for so long is given up. Sooner than the system does it, which tells the client nothing: a player that was
/// frozen meanwhile would wait on a dead connection for ever.
const UNREAD: Duration = Duration::from_secs(10);

/// Bytes that wait in the system for a client; the system doubles them for its own records. Few, so that a player that does not read is
/// noticed within seconds at the rate of a slate; enough for 30 Mbit/s over 30 ms.
const SEND_BUFFER: usize = 128 * 1024;

/// How long answers under way may take once the box stops; the whole box has 5 s.
const GRACE: Duration = Duration::from_secs(2);

/// In the extensions of every request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// How many connections there are, of all listeners together.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    sources: Sources,
}

impl Default for Limits {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_CONNECTIONS)), sources: Sources::default() }
    }
}

/// Accepts and serves until `stop`; over TLS where there is an acceptor.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    Limits { places, sources }: Limits,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    // Cancelled once the grace is over: whoever is still there is dropped.
    let end = CancellationToken::new();
    let _end_with_this = end.clone().drop_guard();
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
        // Closed without a word: whoever holds so many connections reads no answer.
        let Some(source) = sources.enter(peer.ip()) else {
            continue;
        };
        let (router, tls, stop, end) = (router.clone(), tls.clone(), stop.clone(), end.clone());
        let task = async move {
            tokio::select! {
                () = connection(socket, peer, tls, router, stop) => {}
                () = end.cancelled() => {}
            }
            drop((place, source));
        };
        tasks.spawn(task.instrument(debug_span!("web_connection")));
    }
    drop(listener);
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
        debug!("web connections cut off at the stop");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok((socket, peer, place))
}

/// How many connections each origin has.
#[derive(Clone, Debug, Default)]
struct Sources {
    open: Arc<Mutex<HashMap<Origin, usize>>>,
}

/// One connection of an address; given back when dropped.
#[derive(Debug)]
struct Source {
    of: Sources,
    origin: Origin,
}

impl Sources {
    fn enter(&self, address: IpAddr) -> Option<Source> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = Origin::of(address);
        let count = open.entry(origin).or_default();
        if *count >= MOST_FROM_ONE {
            return None;
        }
        *count += 1;
        Some(Source { of: self.clone(), origin })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut open = self.of.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.origin);
            }
        }
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    // No failure of these harms: answers come later, or a dead peer is noticed later.
    let _ = set_tcp_nodelay(&socket, true);
    let _ = set_tcp_user_timeout(&socket, patience);
    let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER);
    let local = socket.local_addr().ok().map(Local);
    let encrypted = tls.is_some().then_some(Encrypted);
    let router = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        if let Some(local) = local {
            extensions.insert(local);
        }
        if let Some(encrypted) = encrypted {
            extensions.insert(encrypted);
        }
        request
    });
    let service = TowerToHyperService::new(router);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(UNREAD));
    let socket = Box::pin(socket);
    match tls {
        None => talk(socket, service, stop).await,
        Some(tls) => match timeout(HEAD_TIME, tls.accept(socket)).await {
            Ok(Ok(socket)) => talk(socket, service, stop).await,
            // Browsers hang up on a certificate that nobody has told them to trust: no more than a remark.
            Ok(Err(error)) => debug!(%error, "no TLS with a web connection"),
            Err(_) => debug!("a web connection did not finish its TLS handshake"),
        },
    }
}

/// A connection, down to its socket.
trait Connected: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Connected for Pin<Box<TimeoutStream<TcpStream>>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

impl<C: Connected> Connected for TlsStream<C> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

/// Serves the requests of one connection.
async fn talk<S>(connected: impl Connected, service: S, stop: CancellationToken)
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(connected), service);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            Pin::new(&mut served).graceful_shutdown();
            (&mut served).await
        }
    };
    let Err(error) = ended else { return };
    debug!(%error, "web connection ended");
    let stuck = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if stuck.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        // A reset reaches the client even when what was sent before does not; failing, it finds out by itself, or never.
        let _ = set_socket_linger(served.into_parts().io.inner().socket(), Some(Duration::ZERO));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    async fn served(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        (address, stop.clone(), tokio::spawn(serve(listener, None, router, Limits::default(), stop)))
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_finish_the_head_is_given_up() {
        let (address, _stop, _served) = served(Router::new()).await;
        for begun in ["", "GET / HTT", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(begun.as_bytes()).await.unwrap();
            let began = Instant::now();
            let mut answer = Vec::new();
            let ended = timeout(HEAD_TIME * 2, client.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "{begun:?} is waited for");
            assert!(began.elapsed() <= HEAD_TIME + Duration::from_secs(1), "{begun:?} took {:?}", began.elapsed());
        }
    }

    /// A frozen player must find out when it thaws, or it waits for ever.
    #[tokio::test(start_paused = true)]
    async fn client_that_takes_nothing_is_cut_off_so_that_it_notices() {
        let endless = || {
            Body::from_stream(futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(vec![0_u8; 32 * 1024])))
        };
        let (address, _stop, _served) = served(Router::new().route("/", get(async move || endless()))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        tokio::time::sleep(UNREAD * 2).await;
        let mut taken = Vec::new();
        let ended = timeout(HEAD_TIME, client.read_to_end(&mut taken)).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(taken.starts_with(b"HTTP/1.1 200"), "what had arrived is read first");
        assert!(taken.len() < 8 * 1024 * 1024, "{} bytes waited for a client that takes nothing", taken.len());
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_finish_the_handshake_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Some(crate::web::tls::acceptor_for_tests());
        let stop = CancellationToken::new();
        let _served = tokio::spawn(serve(listener, tls, Router::new(), Limits::default(), stop));
        for begun in [&b""[..], b"\x16\x03\x01\x02"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(begun).await.unwrap();
            let ended = timeout(HEAD_TIME * 2, client.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "{begun:?} is waited for");
        }
        // Who speaks plain HTTP here is sent away at once.
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let began = Instant::now();
        let _ = client.read_to_end(&mut Vec::new()).await;
        assert!(began.elapsed() < HEAD_TIME, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn answer_that_does_not_come_holds_the_stop_up_for_the_grace_only() {
        let router = Router::new().route("/", get(async || std::future::pending::<&str>().await));
        let (address, stop, served) = served(router).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        stop.cancel();
        served.await.unwrap();
        assert!(began.elapsed() <= GRACE + Duration::from_millis(100), "{:?}", began.elapsed());
        assert!(
            timeout(HEAD_TIME, client.read_to_end(&mut Vec::new())).await.is_ok(),
            "the connection outlives the stop"
        );
    }

    #[test]
    fn one_address_can_not_take_all_places() {
        let sources = Sources::default();
        let (greedy, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut held: Vec<_> = (0..MOST_FROM_ONE).map(|_| sources.enter(greedy).unwrap()).collect();
        assert!(sources.enter(greedy).is_none());
        assert!(sources.enter(other).is_some());
        held.pop();
        assert!(sources.enter(greedy).is_some());
        drop(held);
        assert!(sources.open.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn answer_under_way_is_finished_at_the_stop() {
        let router = Router::new().route(
            "/",
            get(async || {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "finished"
            }),
        );
        let (address, stop, served) = served(router).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{address}/")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "finished");
        served.await.unwrap();
    }
}
