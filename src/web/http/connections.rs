//! Connections: accepted while there is room for them ([`super::crowd`]), and given up when their client is too slow to be honest.

use std::{
    convert::Infallible,
    error::Error as _,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, header},
    response::IntoResponse,
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size, set_tcp_nodelay, set_tcp_user_timeout};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{Instrument, debug, debug_span};

use super::{
    crowd::{Crowd, UnderWay, Visitor},
    problem::{Kind, Problem},
};
use crate::telemetry::seldom::seldom;

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

/// Requests at once on one HTTP/2 connection.
const MOST_STREAMS: u32 = 100;

/// How long answers under way may take once the box stops; the whole box has 5 s.
const GRACE: Duration = Duration::from_secs(2);

/// This end of the connection: by which of the machine's addresses the client reached it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local(pub(crate) SocketAddr);

/// In the extensions of every request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// Accepts and serves until `stop`; over TLS where there is an acceptor.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    crowd: Crowd,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    // Cancelled once the grace is over: whoever is still there is dropped.
    let end = CancellationToken::new();
    let _end_with_this = end.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; or the peer was gone already.
                seldom!(WARN, %error, "web connection not accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Closed without a word: it costs least.
        let Some(seat) = crowd.enter(peer.ip()) else {
            continue;
        };
        let (router, tls, stop, end, streams) =
            (router.clone(), tls.clone(), stop.clone(), end.clone(), Streams(tasks.clone()));
        let task = async move {
            let visitor = seat.visitor();
            tokio::select! {
                () = connection(socket, peer, tls, router, visitor, streams, stop) => {}
                () = visitor.put_out() => debug!("a web connection makes room"),
                () = end.cancelled() => {}
            }
        };
        tasks.spawn(task.instrument(debug_span!("web_connection")));
    }
    drop(listener);
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
        debug!("web connections cut off at the stop");
    }
}

/// Where the streams of an HTTP/2 connection run: they end with it.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream.instrument(debug_span!("web_stream")));
    }
}

/// A request on its way to the router, with what is known of its connection.
async fn serve_request(
    request: Request<Incoming>,
    router: Router,
    visitor: Visitor,
    peer: SocketAddr,
    local: Option<Local>,
    encrypted: Option<Encrypted>,
) -> Result<Response<Watched>, Infallible> {
    let Some(mut under_way) = visitor.begin() else {
        let problem = Problem::new(Kind::TooMany, "too many requests come from this address at once");
        return Ok(problem.retry_after(HEAD_TIME).into_response().map(|body| Watched { body, _under_way: None }));
    };
    let mut request = request.map(Body::new);
    let extensions = request.extensions_mut();
    extensions.insert(ConnectInfo(peer));
    extensions.insert(visitor);
    if let Some(local) = local {
        extensions.insert(local);
    }
    if let Some(encrypted) = encrypted {
        extensions.insert(encrypted);
    }
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        under_way.listens();
    }
    Ok(response.map(|body| Watched { body, _under_way: Some(under_way) }))
}

/// An answer's body. Its request is under way until this is dropped.
struct Watched {
    body: Body,
    _under_way: Option<UnderWay>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    visitor: &Visitor,
    streams: Streams,
    stop: CancellationToken,
) {
    let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    // No failure of these harms: answers come later, or a dead peer is noticed later.
    let _ = set_tcp_nodelay(&socket, true);
    let _ = set_tcp_user_timeout(&socket, patience);
    let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER);
    let local = socket.local_addr().ok().map(Local);
    let encrypted = tls.is_some().then_some(Encrypted);
    let whose = visitor.clone();
    let service =
        service_fn(move |request| serve_request(request, router.clone(), whose.clone(), peer, local, encrypted));
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(UNREAD));
    let socket = Box::pin(socket);
    match tls {
        None => talk(socket, service, stop).await,
        Some(tls) => match timeout(HEAD_TIME, tls.accept(socket)).await {
            Ok(Ok(socket)) if socket.get_ref().1.alpn_protocol() == Some(b"h2") => {
                talk_by_streams(socket, service, visitor, streams, stop).await;
            }
            Ok(Ok(socket)) => talk(socket, service, stop).await,
            // Browsers hang up on a certificate that nobody has told them to trust: no more than a remark.
            Ok(Err(error)) if hung_up(&error) => debug!(%error, "no TLS with a web connection"),
            Ok(Err(error)) => seldom!(WARN, address = %peer.ip(), %error, "no TLS with a web connection"),
            Err(_) => seldom!(WARN, address = %peer.ip(), "a web connection did not finish its TLS handshake"),
        },
    }
}

/// Whether the client ended the handshake, by a word of TLS's own or without one.
fn hung_up(error: &io::Error) -> bool {
    let alert = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(alert, Some(rustls::Error::AlertReceived(_)))
        || matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
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
    S: hyper::service::HttpService<Incoming, ResBody = Watched>,
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

/// Serves the requests of one HTTP/2 connection, which carries as many at once as a browser has pages and more.
async fn talk_by_streams<S>(
    connected: impl Connected + Send + 'static,
    service: S,
    visitor: &Visitor,
    streams: Streams,
    stop: CancellationToken,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Watched, Future: Send + 'static>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut served = hyper::server::conn::http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(32 * 1024)
        .max_send_buf_size(64 * 1024)
        // A browser that is gone without a word.
        .keep_alive_interval(UNACKNOWLEDGED / 2)
        .keep_alive_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(connected), service);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = idle(visitor) => {
            Pin::new(&mut served).graceful_shutdown();
            timeout(GRACE, &mut served).await.unwrap_or(Ok(()))
        }
        () = stop.cancelled() => {
            Pin::new(&mut served).graceful_shutdown();
            (&mut served).await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "web connection ended");
    }
}

/// Resolves when no request has been under way for as long as an idle connection is kept.
async fn idle(visitor: &Visitor) {
    loop {
        match visitor.quiet() {
            Some(quiet) if quiet >= HEAD_TIME => return,
            Some(quiet) => sleep(HEAD_TIME.saturating_sub(quiet)).await,
            None => sleep(HEAD_TIME).await,
        }
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
        (address, stop.clone(), tokio::spawn(serve(listener, None, router, Crowd::default(), stop)))
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
        let endless = || Body::from_stream(futures_util::stream::repeat(Ok::<_, Infallible>(vec![0_u8; 32 * 1024])));
        let (address, _stop, _served) = served(Router::new().route("/", get(async move || endless()))).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        sleep(UNREAD * 2).await;
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
        let tls = Some(crate::web::http::tls::acceptor_for_tests());
        let stop = CancellationToken::new();
        let _served = tokio::spawn(serve(listener, tls, Router::new(), Crowd::default(), stop));
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
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        stop.cancel();
        served.await.unwrap();
        assert!(began.elapsed() <= GRACE + Duration::from_millis(100), "{:?}", began.elapsed());
        assert!(
            timeout(HEAD_TIME, client.read_to_end(&mut Vec::new())).await.is_ok(),
            "the connection outlives the stop"
        );
    }

    /// Two addresses could hold all connections between them, and each all that its neighbours may have.
    #[tokio::test]
    async fn whoever_comes_is_answered_although_others_hold_every_place_and_ask_for_nothing() {
        crate::web::tests::allow_sockets();
        let router = Router::new().route("/", get(async || "here"));
        let (address, _stop, _served) = served(router).await;
        let from = async |last: u8| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, last], 0).into()).unwrap();
            socket.connect(address).await.unwrap()
        };
        let mut held = Vec::new();
        for last in [1, 2].into_iter().cycle().take(1300) {
            held.push(from(last).await);
        }
        for last in [1, 2, 3] {
            let mut client = from(last).await;
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            let answered = timeout(HEAD_TIME / 2, client.read_to_string(&mut answer)).await;
            assert!(answered.is_ok() && answer.ends_with("here"), "127.0.0.{last}: {answered:?} {answer}");
        }
    }

    #[tokio::test]
    async fn answer_under_way_is_finished_at_the_stop() {
        let router = Router::new().route(
            "/",
            get(async || {
                sleep(Duration::from_millis(200)).await;
                "finished"
            }),
        );
        let (address, stop, served) = served(router).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{address}/")));
        sleep(Duration::from_millis(100)).await;
        stop.cancel();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "finished");
        served.await.unwrap();
    }
}
