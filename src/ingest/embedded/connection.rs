//! One encoder's connection: moves bytes between its socket and its session, asks the director, hands frames to media.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    House,
    registry::{Publication, Stage, Visit},
    session::{Event, Session, SessionError},
};
use crate::{
    core::{
        account::StreamKey,
        flv::{Demuxer, FlvError},
        frame::{ConnectionId, FrameSink, Track},
        moment::Moment,
    },
    ingest::{IngestEvent, PublishRequest, Verdict},
};

/// What is read at once before a publish: a handshake's two packets.
const SMALL_READ: usize = 4 * 1024;

/// What is read at once from a publisher: 80 ms of 6 Mbit/s. Only what arrives is touched, so a connection that sends little
/// costs little.
const LARGE_READ: usize = 64 * 1024;

/// A peer that does not read our few bytes for this long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

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
    #[error("too many unfinished connections from one address")]
    PutOut,
    #[error("refused: {0}")]
    Refused(String),
    #[error("disconnected: {0}")]
    Ordered(String),
    #[error("the encoder ended its stream")]
    Unpublished,
    #[error("nothing was received for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the stream is malformed: {0}")]
    Session(#[from] SessionError),
    #[error(transparent)]
    Media(#[from] FlvError),
    #[error("the box stops")]
    Stopping,
}

impl End {
    /// What the streamer should know when it ends an accepted connection by a rule of the ingest's own.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::NotReading | Self::Silent(_) | Self::Session(_) | Self::Media(_) => Some(self.to_string()),
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

/// The connection.
pub(super) struct Connection {
    stream: TcpStream,
    address: IpAddr,
    house: Arc<House>,
    session: Session,
    input: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, address: IpAddr, house: Arc<House>) -> Self {
        Self { stream, address, house, session: Session::new(), input: BytesMut::new() }
    }

    /// Serves the connection to its end. By `deadline` a publish must have been accepted.
    pub(super) async fn run(mut self, visit: Visit, deadline: Instant) {
        // Our answers are small and each is waited for.
        let _ = self.stream.set_nodelay(true);
        let token = self.house.token.clone();
        let end = tokio::select! {
            biased;
            () = token.cancelled() => End::Stopping,
            () = visit.put_out() => End::PutOut,
            end = self.serve(&visit, deadline) => end,
        };
        tracing::debug!(%end, "connection ends");
        if end.peer_is_there() {
            tokio::select! {
                () = token.cancelled() => {}
                () = visit.put_out() => {}
                _ = timeout(LINGER, self.part(&end)) => {}
            }
        }
    }

    async fn serve(&mut self, visit: &Visit, deadline: Instant) -> End {
        let asked = timeout_at(deadline, self.greet(visit)).await;
        let (app, key) = match asked {
            Ok(Ok(asked)) => asked,
            Ok(Err(end)) => return end,
            Err(_) => return End::Late,
        };
        let mut publication = visit.ask();
        if let Err(end) = self.ask(&publication, app, key, deadline).await {
            return end;
        }
        visit.accepted(&publication);

        let end = self.publish(&mut publication).await;
        if let Some(reason) = end.trouble() {
            tracing::info!(connection = %publication.id, error = %end, "publisher is dropped");
            self.tell(IngestEvent::Trouble { connection: publication.id.clone(), reason }).await;
        }
        self.tell(IngestEvent::Unpublish(publication.id.clone())).await;
        end
    }

    /// Up to the wish to publish.
    async fn greet(&mut self, visit: &Visit) -> Result<(String, StreamKey), End> {
        let mut open = false;
        loop {
            let event = self.session.advance(&mut self.input)?;
            self.flush().await?;
            match event {
                Some(Event::Publish { app, key }) => return Ok((app, key)),
                Some(Event::Refused(reason)) => return Err(End::Refused(reason.to_owned())),
                Some(Event::Media { .. } | Event::Unpublish) => {}
                None => {
                    if !open && self.session.is_open() {
                        open = true;
                        visit.reach(Stage::Talking);
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
        match timeout_at(deadline, self.house.events.send(IngestEvent::Publish(request))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(End::Stopping),
            Err(_) => return Err(End::Refused("the box is too busy, try again".to_owned())),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(Verdict::Accept { replaces })) => {
                if let Some(old) = replaces {
                    self.take_over(&old).await;
                }
                Ok(())
            }
            Ok(Ok(Verdict::Refuse { reason })) => Err(End::Refused(reason)),
            Ok(Err(_)) => Err(End::Refused("the box can not take streams at the moment, try again".to_owned())),
            Err(_) => {
                // It may be accepted this very moment: then it ends here.
                self.tell(IngestEvent::Unpublish(publication.id.clone())).await;
                Err(End::Refused("the box did not answer in time, try again".to_owned()))
            }
        }
    }

    async fn take_over(&self, old: &ConnectionId) {
        let reason = "another encoder took over with the same stream key";
        if let Some(gone) = self.house.registry.disconnect(old, reason.to_owned())
            && timeout(TAKEOVER_LIMIT, gone.cancelled()).await.is_err()
        {
            tracing::warn!(connection = %old, "replaced connection does not go");
        }
    }

    /// From the accepted publish to its end, however it comes.
    async fn publish(&mut self, publication: &mut Publication) -> End {
        let mut sink = self.house.sinks.open(publication.id.clone());
        let mut demuxer = Demuxer::new();
        let silence = self.house.silence;
        let mut last_media = Instant::now();
        let timer = sleep_until(last_media + silence);
        tokio::pin!(timer);
        self.session.accept();
        loop {
            match self.deliver(&mut demuxer, sink.as_mut(), self.house.clock.now()) {
                Ok(true) => last_media = Instant::now(),
                Ok(false) => {}
                Err(end) => return end,
            }
            // One timer for the connection's life; it looks at what happened since instead of being set for each read.
            let step = async {
                self.flush().await?;
                self.read(LARGE_READ).await
            };
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
                done = step => {
                    if let Err(end) = done {
                        return end;
                    }
                }
            }
        }
    }

    /// Hands what has arrived to media. True when there was media among it.
    fn deliver(&mut self, demuxer: &mut Demuxer, sink: &mut dyn FrameSink, arrival: Moment) -> Result<bool, End> {
        let mut any = false;
        while let Some(event) = self.session.advance(&mut self.input)? {
            match event {
                Event::Media { track, timestamp, body } => {
                    any = true;
                    let frame = match track {
                        Track::Video => demuxer.video(&body, timestamp)?,
                        Track::Audio => demuxer.audio(&body, timestamp)?,
                    };
                    if let Some(frame) = frame {
                        sink.push(frame, arrival);
                    }
                }
                Event::Unpublish => return Err(End::Unpublished),
                Event::Refused(reason) => return Err(End::Refused(reason.to_owned())),
                Event::Publish { .. } => {}
            }
        }
        Ok(any)
    }

    /// Waits for bytes, at most `size` at once.
    async fn read(&mut self, size: usize) -> Result<(), End> {
        // All but a part of a header was consumed: this moves a few bytes to the front, and allocates once.
        self.input.reserve(size.saturating_sub(self.input.len()).max(1));
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Sends what the session has to say.
    async fn flush(&mut self) -> Result<(), End> {
        let output = self.session.output();
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
            self.session.refuse(&reason);
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
        let _ = self.house.events.send(event).await;
    }
}
