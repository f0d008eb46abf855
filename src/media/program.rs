//! The pacing thread: inputs, switcher, house stage, fan-out.
//!
//! Every 40 ms it takes in what arrived, lets the switcher decide what is due within the horizon, passes the sound through the
//! house stage, and lets go what is due now: as tags, to every destination and player. It waits for nobody: orders and frames
//! come through bounded channels that it only polls, and what it publishes are atomics and pointers.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc as orders},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    MediaEvent, ProgramStatus,
    egress::EgressFeed,
    house::House,
    listeners::Listeners,
    pictures::Shutter,
    source::{Arrival, Gauge, Gauges},
    tag::{Preroll, Tag, TagKind},
};
use crate::{
    clock::Clock,
    core::{
        destination::DestinationId,
        fitness::Takeable,
        flv::{self, MetaData},
        frame::{CodecConfig, ConnectionId, Frame, MediaTime, Track},
        moment::Moment,
        queue::{TakeId, Urgency},
        switcher::{ProgramFrame, SlateLoop, Source, SwitchEvent, Switcher},
    },
    precedence,
};

/// How often the thread looks. A frame leaves at most so late, a quarter of the hole that a platform may notice. Measured: at 20 ms the
/// whole box takes half as much CPU again, because the sound's codecs find cold caches twice as often.
const TICK: Duration = Duration::from_millis(40);
/// How far ahead of its time a frame is decided upon: the house stage's lag, two ticks and some.
pub(super) const HORIZON: MediaTime = MediaTime::from_millis(180);
const _: () = assert!(HORIZON.as_millis() >= House::LAG.as_millis() + 80, "the sound would leave late");
/// The ring that new sessions begin with holds one group of pictures, and at most so much.
const MAX_PREROLL_BYTES: usize = 16 << 20;
/// Nor one that is longer. A session gets the ring at once, so that this is how far behind it may begin; OBS sends a key frame every 8.3 s by
/// default.
const LONGEST_PREROLL: MediaTime = MediaTime::from_millis(20_000);
/// Where a group is larger or longer it holds so many frames of sound, which is a second and a half.
const SOUNDS_ALONE: usize = 64;
/// Tags are written into blocks of this size, which are used again once nobody holds a tag of them.
const BLOCK: usize = 256 << 10;
/// How often figures are published when nothing changes.
const PUBLISH: Duration = Duration::from_millis(500);

/// What the handle and the monitor order.
pub(super) enum ProgramOrder {
    SetCued(Vec<ConnectionId>),
    Take(TakeId, ConnectionId, Urgency),
    Cancel(TakeId),
    GiveUp(TakeId, ConnectionId),
    Clear,
    ForceSlate(bool),
    Slate(Box<SlateLoop>),
    AddFeed(DestinationId, EgressFeed),
    RemoveFeed(DestinationId),
}

/// What the thread publishes.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) program: ProgramStatus,
    /// Who is on air: seen, stalled, or covered by the forced slate.
    pub(super) on_air: Option<ConnectionId>,
    /// Whether cued connections that are not on air could be taken, as far as their rings say.
    pub(super) takeable: Vec<(ConnectionId, Takeable)>,
}

/// All that the thread needs.
pub(super) struct Program {
    pub(super) clock: Clock,
    pub(super) switcher: Switcher,
    pub(super) house: Option<House>,
    pub(super) frames: mpsc::Receiver<Arrival>,
    pub(super) orders: orders::Receiver<ProgramOrder>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) listeners: Listeners,
    pub(super) shutter: Arc<Shutter>,
    pub(super) events: mpsc::Sender<MediaEvent>,
    pub(super) published: Arc<ArcSwap<Published>>,
    pub(super) changed: Arc<Notify>,
    pub(super) token: CancellationToken,
}

impl Program {
    /// Runs until the token is cancelled. To be called in a thread of its own.
    pub(super) fn run(self) {
        // Said once, when media starts.
        let _ = precedence::go_first();
        let token = self.token.clone();
        let mut pacer = Pacer::new(self);
        let mut next = Instant::now();
        while !token.is_cancelled() {
            let late = next.elapsed();
            pacer.note_lateness(late);
            // After a pause of the whole machine nothing is made up for.
            next = if late > TICK * 50 { Instant::now() } else { next } + TICK;
            pacer.tick();
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// The thread's state.
struct Pacer {
    at: Program,
    /// Cued or on-air connections whose frames come in.
    fed: Vec<Arc<Gauge>>,
    /// Which of them are over, for one tick.
    ended: Vec<bool>,
    wanted: Vec<ConnectionId>,
    feeds: Vec<(DestinationId, EgressFeed)>,
    decided: Vec<ProgramFrame>,
    happened: Vec<SwitchEvent>,
    made: Vec<ProgramFrame>,
    video: VecDeque<ProgramFrame>,
    audio: VecDeque<ProgramFrame>,
    writer: Writer,
    batch: Vec<Tag>,
    /// Events that found the channel full.
    backlog: VecDeque<MediaEvent>,
    status: ProgramStatus,
    published: Instant,
}

impl Pacer {
    fn new(at: Program) -> Self {
        Self {
            at,
            fed: Vec::new(),
            ended: Vec::new(),
            wanted: Vec::new(),
            feeds: Vec::new(),
            decided: Vec::with_capacity(256),
            happened: Vec::new(),
            made: Vec::with_capacity(256),
            video: VecDeque::with_capacity(256),
            audio: VecDeque::with_capacity(256),
            writer: Writer::default(),
            batch: Vec::with_capacity(64),
            backlog: VecDeque::new(),
            status: ProgramStatus::default(),
            published: Instant::now(),
        }
    }

    fn note_lateness(&mut self, late: Duration) {
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.status.latest_tick_ms = self.status.latest_tick_ms.max(late);
    }

    fn tick(&mut self) {
        self.obey_all();
        self.take_in();
        let now = self.at.clock.now();
        let time = self.at.switcher.program_time(now);
        self.at.switcher.poll(now, &mut self.decided, &mut self.happened);
        self.make(time + HORIZON);
        self.release(time);
        for (_, feed) in &mut self.feeds {
            feed.push(&self.batch, &self.writer.preroll, now);
        }
        self.at.listeners.push(&self.batch, &self.writer.preroll);
        if self.at.shutter.is_open() {
            self.writer.show(&self.at.shutter);
        }
        self.batch.clear();
        self.report(time);
    }

    fn obey_all(&mut self) {
        while let Ok(order) = self.at.orders.try_recv() {
            self.obey(order);
        }
    }

    fn obey(&mut self, order: ProgramOrder) {
        let now = self.at.clock.now();
        match order {
            ProgramOrder::SetCued(connections) => {
                // Met before they go, so that what already comes in ends.
                self.meet();
                for connection in self.wanted.iter().filter(|old| !connections.contains(old)) {
                    self.at.switcher.uncue(connection);
                }
                self.wanted = connections;
                self.meet();
            }
            ProgramOrder::Take(take, connection, urgency) => {
                if self.feed(&connection) {
                    self.at.switcher.take(take, &connection, urgency, now);
                } else {
                    self.backlog.push_back(MediaEvent::TakeFailed(take));
                }
            }
            ProgramOrder::Cancel(take) => self.at.switcher.cancel(take),
            ProgramOrder::GiveUp(take, connection) => {
                // Also where it happened meanwhile: the queue counts it as not ready, and has to hear when it is.
                if let Some(gauge) = self.at.gauges.get(&connection) {
                    gauge.not_taken.fetch_add(1, Relaxed);
                    self.at.changed.notify_one();
                }
                self.at.switcher.cancel(take);
            }
            ProgramOrder::Clear => self.at.switcher.clear(),
            ProgramOrder::ForceSlate(on) => self.at.switcher.force_slate(on),
            ProgramOrder::AddFeed(id, feed) => {
                self.feeds.retain(|(held, _)| *held != id);
                self.feeds.push((id, feed));
            }
            ProgramOrder::Slate(slate) => self.at.switcher.set_slate(*slate),
            ProgramOrder::RemoveFeed(id) => self.feeds.retain(|(held, _)| *held != id),
        }
    }

    /// Lets the frames of those come in that were cued before they opened.
    fn meet(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        for connection in &wanted {
            self.feed(connection);
        }
        self.wanted = wanted;
    }

    /// Lets the frames of a connection come in. False when there is no such connection, or not any more.
    fn feed(&mut self, connection: &ConnectionId) -> bool {
        if !self.fed.iter().any(|gauge| gauge.connection == *connection) {
            let open = |gauge: &Arc<Gauge>| !gauge.ended.load(Relaxed);
            let Some(gauge) = self.at.gauges.get(connection).filter(open) else { return false };
            gauge.set_fed(true);
            self.fed.push(gauge);
        }
        self.at.switcher.cue(connection);
        self.expect_pictures();
        true
    }

    /// Takes the frames that arrived, and notes who is over.
    fn take_in(&mut self) {
        // Looked at before the channel: what was sent before the end is in it by then.
        self.ended.clear();
        self.ended.extend(self.fed.iter().map(|gauge| gauge.ended.load(Relaxed)));
        while let Ok((gauge, frame, arrival)) = self.at.frames.try_recv() {
            gauge.landed(&frame);
            if !self.fed.iter().any(|fed| Arc::ptr_eq(fed, &gauge)) {
                // The order that it is cued is here by now.
                self.obey_all();
                self.meet();
            }
            self.at.switcher.push(&gauge.connection, frame, arrival);
        }
        let mut ended = self.ended.iter().copied();
        let switcher = &mut self.at.switcher;
        self.fed.retain(|gauge| {
            let over = ended.next().unwrap_or(false);
            if over {
                switcher.end(&gauge.connection);
            }
            let keep = !over && switcher.holds(&gauge.connection);
            if !keep {
                gauge.set_fed(false);
            }
            keep
        });
    }

    /// Passes what was decided through the house stage, into one queue per track.
    fn make(&mut self, decided_until: MediaTime) {
        for frame in self.decided.drain(..) {
            match (frame.frame.track, &mut self.at.house) {
                (Track::Video, _) => self.video.push_back(frame),
                (Track::Audio, None) => self.audio.push_back(frame),
                (Track::Audio, Some(house)) => house.push(&frame, &mut self.made),
            }
        }
        if let Some(house) = &mut self.at.house {
            house.fill_until(decided_until, &mut self.made);
            self.audio.extend(self.made.drain(..).filter(|frame| frame.frame.dts >= MediaTime::ZERO));
        }
    }

    /// Lets go what is due, both tracks in one order.
    fn release(&mut self, time: MediaTime) {
        loop {
            let due =
                |queue: &VecDeque<ProgramFrame>| queue.front().map(|frame| frame.frame.dts).filter(|dts| *dts <= time);
            let queue = match (due(&self.video), due(&self.audio)) {
                (Some(video), Some(audio)) if video <= audio => &mut self.video,
                (Some(_), None) => &mut self.video,
                (_, Some(_)) => &mut self.audio,
                (None, None) => break,
            };
            let Some(frame) = queue.pop_front() else { break };
            self.status.frames += 1;
            let gauge = match &frame.source {
                Source::Input(id) => self.fed.iter().find(|gauge| gauge.connection == *id),
                Source::Slate => None,
            };
            self.writer.write(&frame, gauge, &mut self.batch);
        }
    }

    /// Tells the director what happened, and publishes the figures.
    fn report(&mut self, time: MediaTime) {
        let mut news = false;
        for event in self.happened.drain(..) {
            news = true;
            let stalled = |id: &ConnectionId, on| {
                if let Some(gauge) = self.fed.iter().find(|gauge| gauge.connection == *id) {
                    gauge.set_stalled(on);
                }
            };
            let event = match event {
                SwitchEvent::Taken(take) => {
                    self.status.takes += 1;
                    MediaEvent::Taken(take)
                }
                SwitchEvent::TakeFailed(take) => MediaEvent::TakeFailed(take),
                SwitchEvent::Stalled(id) => {
                    self.status.starvations += 1;
                    stalled(&id, true);
                    MediaEvent::Stalled(id)
                }
                SwitchEvent::Recovered(id) => {
                    stalled(&id, false);
                    MediaEvent::Recovered(id)
                }
            };
            self.backlog.push_back(event);
        }
        while let Some(event) = self.backlog.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.at.events.try_send(event) {
                self.backlog.push_front(event);
                break;
            }
        }
        let now = self.at.clock.now();
        // Who can be taken from now on is told at once.
        let (told, switcher) = (self.at.published.load(), &self.at.switcher);
        let known = |id| told.takeable.iter().any(|(other, said)| other == id && *said == Takeable::Yes);
        let turned = switcher.cued().any(|id| !known(id) && switcher.can_take(id, now) == Some(Takeable::Yes));
        if news || turned || self.published.elapsed() >= PUBLISH {
            self.publish(time, now);
        }
        if news || turned {
            self.at.changed.notify_one();
        }
    }

    /// Whose pictures are on their way is not taken for sound alone, though none of them is kept yet.
    fn expect_pictures(&mut self) {
        for gauge in self.fed.iter().filter(|gauge| gauge.has_pictures()) {
            self.at.switcher.expect_pictures(&gauge.connection);
        }
    }

    fn publish(&mut self, time: MediaTime, now: Moment) {
        self.published = Instant::now();
        self.expect_pictures();
        let name = |source| match source {
            Source::Slate => None,
            Source::Input(id) => Some(id),
        };
        let (picture, sound) = self.at.switcher.on_air();
        (self.status.picture, self.status.sound) = (name(picture), name(sound));
        self.status.time_ms = u64::try_from(time.as_millis()).unwrap_or(0);
        let takeable = |id: &ConnectionId| Some((id.clone(), self.at.switcher.can_take(id, now)?));
        self.at.published.store(Arc::new(Published {
            program: self.status.clone(),
            on_air: self.at.switcher.selected().cloned(),
            takeable: self.at.switcher.cued().filter_map(takeable).collect(),
        }));
    }
}

/// Makes tags of frames, with configuration where it changes, and keeps the ring that new sessions begin with.
#[derive(Default)]
struct Writer {
    block: BytesMut,
    /// Configurations in force.
    video: Option<Arc<CodecConfig>>,
    audio: Option<Arc<CodecConfig>>,
    preroll: Preroll,
    preroll_bytes: usize,
    headers: Headers,
    /// The latest time that left: the tags of both tracks together never run back.
    latest: MediaTime,
}

/// The configuration tags in force.
#[derive(Default)]
struct Headers {
    metadata: Option<Tag>,
    video: Option<Tag>,
    audio: Option<Tag>,
}

impl Writer {
    fn write(&mut self, frame: &ProgramFrame, gauge: Option<&Arc<Gauge>>, batch: &mut Vec<Tag>) {
        let time = frame.frame.dts.max(self.latest);
        self.latest = time;
        self.configure(frame, time, gauge, batch);
        if self.block.capacity() < frame.frame.payload.len() + 4096 {
            self.block.reserve(BLOCK.max(frame.frame.payload.len() + 4096));
        }
        let kind = match frame.frame.track {
            Track::Video => {
                let picture = &frame.frame;
                if time == picture.dts {
                    flv::video_body(picture, &mut self.block);
                } else {
                    // One that leaves late is shown when it was to be.
                    let late = Frame { dts: time, pts: picture.pts.max(time), ..picture.clone() };
                    flv::video_body(&late, &mut self.block);
                }
                TagKind::Video
            }
            Track::Audio => {
                flv::audio_body(&frame.frame, &mut self.block);
                TagKind::Audio
            }
        };
        let keyframe = frame.frame.keyframe && kind == TagKind::Video;
        if keyframe {
            self.preroll.tags.clear();
            self.preroll_bytes = 0;
            self.renew_headers();
        }
        let body = self.block.split().freeze();
        self.emit(Tag { kind, time, keyframe, header: false, body }, batch);
    }

    /// Announces a configuration that is new.
    fn configure(&mut self, frame: &ProgramFrame, time: MediaTime, gauge: Option<&Arc<Gauge>>, batch: &mut Vec<Tag>) {
        let config = &frame.frame.config;
        let held = match frame.frame.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        // A picture's configuration is said again at each cut, also when it is the same: so does every encoder that reconnects.
        let again = frame.splice && frame.frame.track == Track::Video;
        if !again && held.as_ref().is_some_and(|held| Arc::ptr_eq(held, config) || held == config) {
            return;
        }
        *held = Some(config.clone());
        let header = |kind, body| Tag { kind, time, keyframe: false, header: true, body };
        let tag = match &**config {
            CodecConfig::Avc(avc) => header(TagKind::Video, flv::video_header(avc)),
            CodecConfig::Aac(aac) => header(TagKind::Audio, flv::audio_header(aac)),
        };
        let metadata = header(TagKind::Script, flv::on_metadata(&self.metadata(gauge)));
        self.headers.metadata = Some(metadata.clone());
        match frame.frame.track {
            Track::Video => self.headers.video = Some(tag.clone()),
            Track::Audio => self.headers.audio = Some(tag.clone()),
        }
        self.emit(metadata, batch);
        self.emit(tag, batch);
    }

    fn metadata(&self, gauge: Option<&Arc<Gauge>>) -> MetaData {
        let mut data =
            MetaData { encoder: concat!("Motherstream ", env!("CARGO_PKG_VERSION")).to_owned(), ..MetaData::default() };
        if let Some(CodecConfig::Avc(avc)) = self.video.as_deref() {
            (data.width, data.height) = (Some(avc.width), Some(avc.height));
            data.frame_rate = match gauge {
                Some(gauge) => gauge.frame_rate(),
                None => Some(30.0),
            };
        }
        if let Some(CodecConfig::Aac(aac)) = self.audio.as_deref() {
            data.sample_rate = Some(aac.sample_rate);
            data.stereo = Some(aac.channels == 2);
        }
        data
    }

    /// Hands over the key frame that the ring begins with.
    fn show(&self, shutter: &Arc<Shutter>) {
        if let (Some(tag), Some(config)) = (self.preroll.tags.front(), &self.video)
            && tag.keyframe
        {
            shutter.take(tag.time, config, &tag.body.slice(tag.body.len().min(5)..));
        }
    }

    fn emit(&mut self, tag: Tag, batch: &mut Vec<Tag>) {
        self.keep(&tag);
        batch.push(tag);
    }

    /// Puts a tag into the ring. It begins with a key frame, or holds sound alone; its own headers stand apart.
    fn keep(&mut self, tag: &Tag) {
        let tags = &mut self.preroll.tags;
        if tag.keyframe || tags.front().is_some_and(|first| first.keyframe) {
            self.preroll_bytes += tag.body.len();
            tags.push_back(tag.clone());
            let is_long = tags.front().is_some_and(|first| tag.time - first.time > LONGEST_PREROLL);
            if is_long || self.preroll_bytes > MAX_PREROLL_BYTES {
                tags.retain(|tag| tag.kind == TagKind::Audio && !tag.header);
                tags.drain(..tags.len().saturating_sub(SOUNDS_ALONE));
                self.renew_headers();
            }
        } else if tag.header {
            self.renew_headers();
        } else if tag.kind == TagKind::Audio {
            tags.push_back(tag.clone());
            if tags.len() > SOUNDS_ALONE {
                tags.pop_front();
            }
        }
    }

    fn renew_headers(&mut self) {
        let held = [&self.headers.metadata, &self.headers.video, &self.headers.audio];
        self.preroll.headers.clear();
        self.preroll.headers.extend(held.into_iter().flatten().cloned());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;

    use super::*;
    use crate::core::frame::{AacConfig, AvcConfig};

    fn frame(track: Track, millis: i64, keyframe: bool, size: usize) -> ProgramFrame {
        let config = match track {
            Track::Video => CodecConfig::Avc(AvcConfig::of_tests()),
            Track::Audio => CodecConfig::Aac(AacConfig {
                record: Bytes::from_static(&[0x11, 0x90]),
                sample_rate: 48_000,
                channels: 2,
                frame_samples: 1024,
            }),
        };
        let (dts, payload) = (MediaTime::from_millis(millis), Bytes::from(vec![0; size]));
        let frame = Frame { track, dts, pts: dts, keyframe, payload, config: Arc::new(config) };
        ProgramFrame { frame, source: Source::Slate, splice: false }
    }

    #[test]
    fn ring_of_a_group_that_is_too_large_holds_sound_until_a_key_frame_comes() {
        let mut writer = Writer::default();
        let mut batch = Vec::new();
        let mut write = |writer: &mut Writer, track, millis, keyframe, size| {
            writer.write(&frame(track, millis, keyframe, size), None, &mut batch);
        };
        write(&mut writer, Track::Video, 0, true, 1000);
        for second in 0..10 {
            for number in 0..48 {
                write(&mut writer, Track::Audio, second * 1000 + number * 20 + 1, true, 300);
            }
            assert_eq!(writer.preroll.tags.iter().any(|tag| tag.keyframe), second < 8);
            write(&mut writer, Track::Video, second * 1000 + 999, false, if second < 8 { 2 << 20 } else { 1 << 20 });
        }
        let (base, tags) = writer.preroll.beginning().unwrap();
        let tags: Vec<_> = tags.map(|tag| (tag.kind, tag.header)).collect();
        assert!(base > MediaTime::from_millis(8000), "{base:?}");
        assert_eq!(tags.iter().filter(|(_, header)| *header).count(), 3, "metadata and both configurations");
        assert_eq!(tags.iter().filter(|tag| **tag == (TagKind::Audio, false)).count(), SOUNDS_ALONE);
        assert!(!tags.contains(&(TagKind::Video, false)));
        write(&mut writer, Track::Video, 10_100, true, 1000);
        assert_eq!(writer.preroll.beginning().unwrap().0, MediaTime::from_millis(10_100));
    }

    #[test]
    fn session_that_begins_long_after_the_only_key_frame_hears_the_present_and_is_not_shown_the_past() {
        let mut writer = Writer::default();
        let mut batch = Vec::new();
        for number in 0..60 * 25 {
            writer.write(&frame(Track::Video, number * 40, number == 0, 100), None, &mut batch);
            writer.write(&frame(Track::Audio, number * 40, true, 100), None, &mut batch);
            let (base, mut tags) = writer.preroll.beginning().unwrap();
            let begins_with_picture = tags.any(|tag| tag.keyframe);
            assert_eq!((begins_with_picture, base == MediaTime::ZERO), (number <= 500, number <= 500), "{number}");
        }
        let (base, tags) = writer.preroll.beginning().unwrap();
        assert!(base > MediaTime::from_millis(57_000), "{base:?}");
        assert_eq!(tags.filter(|tag| !tag.header && tag.kind != TagKind::Audio).count(), 0);
        writer.write(&frame(Track::Video, 60_000, true, 100), None, &mut batch);
        assert_eq!(writer.preroll.beginning().unwrap().0, MediaTime::from_millis(60_000));
    }
}
