//! One encoder's connection: moves bytes between its socket and its dialogue, asks the director, hands frames to media.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    dialogue::{Dialogue, DialogueError, Event},
    registry::{Headway, Publication, Registry, Visit},
};
use crate::{
    clock::Clock,
    core::{
        account::StreamKey,
        flaw::Flaw,
        flv::{FlvError, Sieve, Sifted},
        frame::{ConnectionId, FrameSink, FrameSinks},
        moment::Moment,
        oddity::Oddity,
    },
    ingest::{IngestEvent, PublishRequest, PublishVerdict},
    telemetry::seldom::{seldom, start_of},
};

/// What is read at once before a publish: a handshake's two packets.
const SMALL_READ: usize = 4 * 1024;

/// What is read at once from a publisher: 80 ms of 6 Mbit/s. Only what arrives is touched, so a connection that sends little
/// costs little.
const LARGE_READ: usize = 64 * 1024;

/// A peer that does not read our few bytes for this long is gone, as long as it is not live.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// One that is live need not read: many encoders never do. But no more than this is kept for it, thousands of answers to what it asks.
const MOST_UNREAD: usize = 64 * 1024;

/// How long the connection that is taken over has to go.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(2);

/// How long a peer that was told why may take to read it and hang up. Closing with its bytes unread would reset the
/// connection and destroy what we said.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug, Error)]
enum End {
    #[error("the connection is closed")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("it does not read what it is sent")]
    NotReading,
    #[error("no publish was accepted in time")]
    Late,
    #[error("it made room for another connection")]
    PutOut,
    #[error("refused: {0}")]
    Refused(String),
    #[error("disconnected: {0}")]
    Ordered(String),
    #[error("the encoder ended its stream")]
    Unpublished,
    #[error("nothing was received for {} s", .0.as_secs())]
    Silent(Duration),
    #[error(
        "the stream is malformed and cannot be read on: {0}; start it again, and if that recurs, update the encoder"
    )]
    Dialogue(#[from] DialogueError),
    #[error(transparent)]
    Media(#[from] FlvError),
    #[error("the box stops")]
    Stopping,
}

impl End {
    /// What the streamer should know when it ends an accepted connection by a rule of the ingest's own.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::NotReading | Self::Silent(_) | Self::Dialogue(_) | Self::Media(_) => Some(self.to_string()),
            _ => None,
        }
    }

    /// What is wrong with its stream, if it would be the next time, too.
    const fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Media(error) => Flaw::of(error),
            _ => None,
        }
    }

    /// What the encoder is told; `None` when there is nobody to tell or nothing to say.
    fn farewell(&self) -> Option<String> {
        match self {
            Self::Refused(reason) | Self::Ordered(reason) => Some(reason.clone()),
            _ => self.trouble(),
        }
    }

    /// Whether the peer is still there to be told.
    const fn peer_is_there(&self) -> bool {
        !matches!(self, Self::Closed | Self::Io(_) | Self::NotReading | Self::PutOut | Self::Stopping)
    }
}

/// What every connection needs.
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) sinks: Arc<dyn FrameSinks>,
    pub(super) events: mpsc::Sender<IngestEvent>,
    pub(super) token: CancellationToken,
    pub(super) registry: Arc<Registry>,
    pub(super) handshake: Duration,
    pub(super) silence: Duration,
}

/// One encoder's connection: the socket beneath a [`Session`], which does no I/O.
pub(super) struct Connection {
    stream: TcpStream,
    address: IpAddr,
    common: Arc<Common>,
    dialogue: Dialogue,
    input: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, address: IpAddr, common: Arc<Common>) -> Self {
        Self { stream, address, common, dialogue: Dialogue::new(), input: BytesMut::new() }
    }

    /// Serves the connection to its end. By `deadline` a publish must have been accepted.
    pub(super) async fn run(mut self, visit: Visit, deadline: Instant) {
        // Our answers are small and each is waited for.
        let _ = self.stream.set_nodelay(true);
        let token = self.common.token.clone();
        let end = tokio::select! {
            biased;
            () = token.cancelled() => End::Stopping,
            () = visit.put_out() => {
                self.say(&End::PutOut);
                End::PutOut
            }
            end = self.serve(&visit, deadline) => end,
        };
        tracing::debug!(%end, "connection ends");
        visit.leave();
        if end.peer_is_there() {
            tokio::select! {
                () = token.cancelled() => {}
                () = visit.put_out() => {}
                _ = timeout(LINGER, self.part(&end)) => {}
            }
        }
    }

    async fn serve(&mut self, visit: &Visit, mut deadline: Instant) -> End {
        // It ended a publish and may begin another.
        let mut idle = false;
        loop {
            let asked = timeout_at(deadline, self.greet(visit)).await.unwrap_or(Err(End::Late));
            let (app, key) = match asked {
                Ok(asked) => asked,
                Err(End::Late) if idle => return End::Unpublished,
                Err(end) => {
                    self.say(&end);
                    return end;
                }
            };
            let mut publication = visit.ask();
            if let Err(end) = self.ask(&publication, app, key, deadline).await {
                self.say(&end);
                return end;
            }
            visit.accepted(&publication);

            let end = self.publish(&mut publication).await;
            if let Some(reason) = end.trouble() {
                seldom!(INFO, connection = %publication.id, error = %end, "publisher is dropped");
                let connection = publication.id.clone();
                self.tell(match end.flaw() {
                    Some(flaw) => IngestEvent::Unusable { connection, flaw, reason: reason.into() },
                    None => IngestEvent::Trouble { connection, reason },
                })
                .await;
            }
            self.tell(IngestEvent::Unpublish(publication.id.clone())).await;
            if !matches!(end, End::Unpublished) {
                return end;
            }
            idle = true;
            visit.leave();
            deadline = Instant::now() + self.common.handshake;
        }
    }

    /// Says in the log why a connection ends that was never accepted.
    fn say(&self, end: &End) {
        let address = self.address;
        match end {
            End::Refused(reason) => {
                seldom!(WARN, %address, reason = start_of(reason), "publish refused");
            }
            End::Dialogue(error) => {
                seldom!(WARN, %address, %error, "what connects to the ingest does not speak RTMP as it should");
            }
            End::Late | End::PutOut => {
                seldom!(WARN, %address, error = %end, "a connection that does not publish is put out");
            }
            _ => {}
        }
    }

    /// Up to the wish to publish.
    async fn greet(&mut self, visit: &Visit) -> Result<(String, StreamKey), End> {
        let mut open = self.dialogue.is_open();
        loop {
            let event = self.dialogue.advance(&mut self.input)?;
            self.flush().await?;
            match event {
                Some(Event::Publish { app, key }) => return Ok((app, key)),
                Some(Event::Refused(reason)) => return Err(End::Refused(reason.to_owned())),
                Some(Event::Odd(oddity)) => {
                    let address = self.address;
                    seldom!(INFO, %address, what = oddity.words(), "what an encoder says is odd and passed over");
                }
                Some(Event::Media { .. } | Event::TooLong { .. } | Event::Unpublish) => {}
                None => {
                    if !open && self.dialogue.is_open() {
                        open = true;
                        visit.reach(Headway::Talking);
                    }
                    self.read(SMALL_READ).await?;
                }
            }
        }
    }

    /// Asks the director, and puts out the connection that is replaced.
    async fn ask(
        &mut self,
        publication: &Publication,
        app: String,
        key: StreamKey,
        deadline: Instant,
    ) -> Result<(), End> {
        let (verdict, answer) = oneshot::channel();
        let connection = publication.id.clone();
        let request = PublishRequest { connection, app, key, address: self.address, verdict };
        match timeout_at(deadline, self.common.events.send(IngestEvent::Publish(request))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(End::Stopping),
            Err(_) => return Err(End::Refused("the box is too busy, try again".to_owned())),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(PublishVerdict::Accept { replaces })) => {
                if let Some(old) = replaces {
                    self.take_over(&old).await;
                }
                Ok(())
            }
            Ok(Ok(PublishVerdict::Refuse { reason })) => Err(End::Refused(reason)),
            Ok(Err(_)) => Err(End::Refused("the box cannot take streams at the moment, try again".to_owned())),
            Err(_) => {
                // It may be accepted this very moment: then it ends here.
                self.tell(IngestEvent::Unpublish(publication.id.clone())).await;
                Err(End::Refused("the box did not answer in time, try again".to_owned()))
            }
        }
    }

    async fn take_over(&self, old: &ConnectionId) {
        let reason = "another encoder took over with the same stream key";
        if let Some(gone) = self.common.registry.disconnect(old, reason.to_owned())
            && timeout(TAKEOVER_LIMIT, gone.cancelled()).await.is_err()
        {
            seldom!(WARN, connection = %old, "replaced connection does not go");
        }
    }

    /// From the accepted publish to its end, however it comes.
    async fn publish(&mut self, publication: &mut Publication) -> End {
        let mut sink = self.common.sinks.open(publication.id.clone());
        let mut sieve = Sieve::new();
        let mut said = Vec::new();
        let silence = self.common.silence;
        let mut last_media = Instant::now();
        let timer = sleep_until(last_media + silence);
        tokio::pin!(timer);
        self.dialogue.accept();
        loop {
            let mut odd = |oddity: Oddity| {
                // Once for each kind: the figures count them all.
                if !said.contains(&oddity) {
                    said.push(oddity);
                    seldom!(INFO, connection = %publication.id, what = oddity.words(), "odd message is left out");
                }
            };
            match self.deliver(&mut sieve, sink.as_mut(), self.common.clock.now(), &mut odd) {
                Ok(true) => last_media = Instant::now(),
                Ok(false) => {}
                Err(end) => return end,
            }
            // One timer for the connection's life; it looks at what happened since instead of being set for each read.
            tokio::select! {
                biased;
                order = &mut publication.disconnect => {
                    return End::Ordered(order.unwrap_or_default());
                }
                () = &mut timer => {
                    if last_media.elapsed() >= silence {
                        return End::Silent(silence);
                    }
                    timer.as_mut().reset(last_media + silence);
                }
                done = self.exchange() => {
                    if let Err(end) = done {
                        return end;
                    }
                }
            }
        }
    }

    /// Hands what has arrived to media, and tells `odd` what is left out of it. True when there was media among it.
    fn deliver(
        &mut self,
        sieve: &mut Sieve,
        sink: &mut dyn FrameSink,
        arrival: Moment,
        odd: &mut dyn FnMut(Oddity),
    ) -> Result<bool, End> {
        let mut any = false;
        while let Some(event) = self.dialogue.advance(&mut self.input)? {
            let oddity = match event {
                Event::Media { track, timestamp, body } => {
                    any = true;
                    let sifted = sieve.take(track, &body, timestamp)?;
                    while let Some(remark) = sieve.next_remark() {
                        sink.remark(remark);
                    }
                    match sifted {
                        Sifted::Frame(frame) => {
                            sink.push(frame, arrival);
                            continue;
                        }
                        Sifted::Nothing => continue,
                        Sifted::Odd(oddity) => oddity,
                    }
                }
                Event::TooLong { track, start } => {
                    any = true;
                    sieve.lose(track, &start);
                    Oddity::TooLong
                }
                Event::Odd(oddity) => oddity,
                Event::Unpublish => return Err(End::Unpublished),
                Event::Refused(reason) => return Err(End::Refused(reason.to_owned())),
                Event::Publish { .. } => continue,
            };
            sink.odd(oddity);
            odd(oddity);
        }
        Ok(any)
    }

    /// Makes room for `size` bytes.
    fn make_room(&mut self, size: usize) {
        // All but a part of a header was consumed: this moves a few bytes to the front, and allocates once.
        self.input.reserve(size.saturating_sub(self.input.len()).max(1));
    }

    /// Waits for bytes of a publisher, or for it to take some of what the dialogue has to say. Safe to be cancelled.
    async fn exchange(&mut self) -> Result<(), End> {
        if self.dialogue.output().len() > MOST_UNREAD {
            self.flush().await?;
        }
        self.make_room(LARGE_READ);
        let output = self.dialogue.output();
        let (mut from, mut to) = self.stream.split();
        let moved = tokio::select! {
            biased;
            written = to.write_buf(output), if !output.is_empty() => written?,
            read = from.read_buf(&mut self.input) => read?,
        };
        if moved == 0 { Err(End::Closed) } else { Ok(()) }
    }

    /// Waits for bytes, at most `size` at once.
    async fn read(&mut self, size: usize) -> Result<(), End> {
        self.make_room(size);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Sends what the dialogue has to say.
    async fn flush(&mut self) -> Result<(), End> {
        let output = self.dialogue.output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout(WRITE_LIMIT, self.stream.write_all_buf(output)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::NotReading),
        }
    }

    /// Tells the peer why, and waits until it has hung up.
    async fn part(&mut self, end: &End) -> Result<(), End> {
        if let Some(reason) = end.farewell() {
            self.dialogue.refuse(&reason);
        }
        self.flush().await?;
        // A peer that ended by itself hangs up by itself: GStreamer takes it for an error when we do it first.
        if !matches!(end, End::Unpublished) {
            self.stream.shutdown().await?;
        }
        loop {
            self.input.clear();
            self.read(SMALL_READ).await?;
        }
    }

    async fn tell(&self, event: IngestEvent) {
        // Nobody listens only when the box stops.
        let _ = self.common.events.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::net::TcpSocket;

    use super::*;
    use crate::{
        core::frame::{Frame, PullAddress, RemoteInput},
        ingest::embedded::{chunk::kind, dialogue::tests::Encoder},
    };

    /// Media: notes that a frame has come.
    struct Sinks(mpsc::UnboundedSender<()>);

    impl FrameSinks for Sinks {
        fn open(&self, _: ConnectionId) -> Box<dyn FrameSink> {
            Box::new(Self(self.0.clone()))
        }

        fn announce(&self, _: ConnectionId, _: PullAddress) -> Box<dyn RemoteInput> {
            unreachable!("the embedded ingest delivers its frames")
        }
    }

    impl FrameSink for Sinks {
        fn push(&mut self, _: Frame, _: Moment) {
            self.0.send(()).unwrap();
        }
    }

    /// As those do that are made with librtmp: after the answer to the publish they read nothing.
    #[tokio::test]
    async fn encoder_that_never_reads_stays_on_air_when_its_socket_is_full() {
        let listening = TcpSocket::new_v4().unwrap();
        listening.set_send_buffer_size(1).unwrap();
        listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listening.listen(1).unwrap();
        let calling = TcpSocket::new_v4().unwrap();
        calling.set_recv_buffer_size(1).unwrap();
        let mut encoder = calling.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();

        let (events, mut asked) = mpsc::channel(8);
        let (came, mut frames) = mpsc::unbounded_channel();
        let common = Arc::new(Common {
            clock: Clock::start(),
            sinks: Arc::new(Sinks(came)),
            events,
            token: CancellationToken::new(),
            registry: Registry::new(4),
            handshake: Duration::from_mins(1),
            silence: Duration::from_mins(1),
        });
        let visit = common.registry.enter(peer.ip()).unwrap();
        let connection = Connection::new(stream, peer.ip(), common.clone());
        tokio::spawn(connection.run(visit, Instant::now() + common.handshake));
        tokio::spawn(async move {
            while let Some(event) = asked.recv().await {
                if let IngestEvent::Publish(request) = event {
                    let _ = request.verdict.send(PublishVerdict::Accept { replaces: None });
                }
            }
        });

        let mut said = Encoder::publishing();
        encoder.write_all_buf(&mut said.bytes).await.unwrap();
        let mut heard = Vec::new();
        while !heard.windows(23).any(|window| window == b"NetStream.Publish.Start") {
            let more = timeout(Duration::from_secs(20), encoder.read_buf(&mut heard)).await.unwrap().unwrap();
            assert_ne!(more, 0, "{}", String::from_utf8_lossy(&heard));
        }
        // An acknowledgement is due after each frame: 40 kB of them, and the sockets hold 7.
        said.control(kind::WINDOW_SIZE, 0);
        said.audio(&[0xaf, 0, 0x11, 0x90]);
        for number in 0..2500 {
            said.audio(&[[0xaf, 1].as_slice(), &[7; 1100]].concat());
            encoder.write_all_buf(&mut said.bytes).await.unwrap();
            // Less than anybody waits for a peer that does not read.
            let frame = timeout(WRITE_LIMIT / 2, frames.recv()).await;
            assert_eq!(frame, Ok(Some(())), "frame {number}");
        }
    }
}
