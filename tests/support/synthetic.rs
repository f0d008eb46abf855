//! A switcher with made-up inputs, stepped by hand: for the bench of the splice and the count of its allocations.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use motherstream::core::{
    frame::{AacConfig, AvcConfig, CodecConfig, ConnectionId, Frame, MediaTime, Track},
    moment::Moment,
    queue::{TakeId, Urgency},
    switcher::{ProgramFrame, SlateLoop, SlatePicture, SwitchEvent, Switcher, SwitcherSettings},
};

/// As often as the programme's thread looks.
const TICK_MICROS: u64 = 10_000;

/// One encoder: 30 pictures and 46.875 frames of sound a second, a key frame every 2 s.
struct Encoder {
    connection: ConnectionId,
    pictures: u64,
    sounds: u64,
}

/// The switcher, its inputs, and the time.
pub(crate) struct Stage {
    switcher: Switcher,
    encoders: Vec<Encoder>,
    micros: u64,
    takes: u64,
    tags: u64,
    out: Vec<ProgramFrame>,
    events: Vec<SwitchEvent>,
    video: Arc<CodecConfig>,
    audio: Arc<CodecConfig>,
    picture: Bytes,
    sound: Bytes,
}

fn media_time(micros: u64) -> MediaTime {
    MediaTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn moment(micros: u64) -> Moment {
    Moment::from_start(Duration::from_micros(micros))
}

impl Stage {
    /// With so many cued inputs, the first of them on air.
    pub(crate) fn new(inputs: usize) -> Self {
        let video = Arc::new(CodecConfig::Avc(AvcConfig {
            record: Bytes::new(),
            length_size: 4,
            sps: Vec::new(),
            pps: Vec::new(),
            width: 1280,
            height: 720,
            profile: 100,
            level: 31,
        }));
        let record = Bytes::new();
        let audio = AacConfig { record, sample_rate: 48_000, channels: 2, frame_samples: 1024 };
        let audio = Arc::new(CodecConfig::Aac(audio));
        let picture = |keyframe| SlatePicture { payload: Bytes::from_static(b"slate"), keyframe };
        let slate = SlateLoop {
            video: video.clone(),
            pictures: (0..60).map(|at| picture(at == 0)).collect(),
            picture_duration: MediaTime::from_micros(33_333),
            audio: audio.clone(),
            sounds: vec![Bytes::from_static(b"silence"); 94],
        };
        let settings = SwitcherSettings {
            latency: MediaTime::from_millis(1500),
            horizon: MediaTime::from_millis(100),
            max_input_bytes: 20_000_000,
        };
        let mut this = Self {
            switcher: Switcher::new(settings, slate, Moment::ZERO),
            encoders: Vec::new(),
            micros: 0,
            takes: 0,
            tags: 0,
            out: Vec::with_capacity(4096),
            events: Vec::with_capacity(64),
            video,
            audio,
            // 6 Mbit/s at 30 a second.
            picture: Bytes::from(vec![0; 24_500]),
            sound: Bytes::from(vec![0; 340]),
        };
        for n in 0..inputs {
            let connection = ConnectionId::new(format!("input-{n}"));
            this.switcher.cue(&connection);
            this.encoders.push(Encoder { connection, pictures: 0, sounds: 0 });
        }
        this.take(0);
        this
    }

    /// Tags that have gone in and come out so far.
    pub(crate) fn tags(&self) -> u64 {
        self.tags
    }

    fn take(&mut self, input: usize) {
        if let Some(encoder) = self.encoders.get(input) {
            self.takes += 1;
            self.switcher.take(TakeId(self.takes), &encoder.connection, Urgency::Planned, moment(self.micros));
        }
    }

    /// Lets media flow for so long; a take of the next input every `cut_every` seconds.
    pub(crate) fn run_seconds(&mut self, seconds: u64, cut_every: Option<u64>) {
        let end = self.micros + seconds * 1_000_000;
        while self.micros < end {
            self.micros += TICK_MICROS;
            if cut_every.is_some_and(|every| self.micros.is_multiple_of(every * 1_000_000)) && !self.encoders.is_empty()
            {
                let next = usize::try_from(self.takes).unwrap_or(0) % self.encoders.len();
                self.take(next);
            }
            let now = moment(self.micros);
            for encoder in &mut self.encoders {
                let frame = |track, time, keyframe, payload: &Bytes, config: &Arc<CodecConfig>| Frame {
                    track,
                    dts: time,
                    pts: time,
                    keyframe,
                    payload: payload.clone(),
                    config: config.clone(),
                };
                while encoder.pictures * 1_000_000 / 30 <= self.micros {
                    let time = media_time(encoder.pictures * 1_000_000 / 30);
                    let frame = frame(Track::Video, time, encoder.pictures % 60 == 0, &self.picture, &self.video);
                    self.switcher.push(&encoder.connection, frame, now);
                    encoder.pictures += 1;
                    self.tags += 1;
                }
                while encoder.sounds * 1024 * 1_000_000 / 48_000 <= self.micros {
                    let time = media_time(encoder.sounds * 1024 * 1_000_000 / 48_000);
                    self.switcher.push(
                        &encoder.connection,
                        frame(Track::Audio, time, true, &self.sound, &self.audio),
                        now,
                    );
                    encoder.sounds += 1;
                    self.tags += 1;
                }
            }
            self.switcher.poll(now, &mut self.out, &mut self.events);
            self.tags += self.out.len() as u64;
            self.out.clear();
            self.events.clear();
        }
    }
}
