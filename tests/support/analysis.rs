//! Judges of what a platform received: time stamps, arrivals, pictures, sound.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    path::Path,
    process::Command,
    time::Duration,
};

use super::{
    assets::{Asset, CLOCK_BITS, run},
    flv::{self, Content},
    recorder::{Record, Session},
    rtmp::{AUDIO, DATA, VIDEO},
};

/// Figures of one session.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Largest step between two pictures' DTS, in milliseconds.
    pub(crate) video_step_ms: i64,
    /// Largest step between two frames of sound, in milliseconds.
    pub(crate) audio_step_ms: i64,
    /// Largest time between two messages' arrivals.
    pub(crate) arrival_gap: Duration,
    /// The programme time after which that was, in milliseconds.
    pub(crate) arrival_gap_at_ms: i64,
    /// Largest time between two pictures' arrivals.
    pub(crate) picture_gap: Duration,
    /// Largest hole between two pictures' presentation times, in milliseconds.
    pub(crate) presentation_hole_ms: i64,
    /// Where the largest holes between presentation times are: begin and length in milliseconds.
    pub(crate) holes_ms: Vec<(i64, i64)>,
    /// How many pictures there are.
    pub(crate) pictures: usize,
    /// Changes of the pictures' configuration, the first included.
    pub(crate) video_configs: usize,
    /// Different configurations of the sound.
    pub(crate) audio_configs: usize,
    /// The longest time by which the machine itself was late meanwhile.
    pub(crate) machine_was_late: Duration,
    /// What must never be, in words.
    pub(crate) faults: Vec<String>,
}

/// Looks through a session.
pub(crate) fn figures(session: &Session) -> Figures {
    Figures { machine_was_late: session.machine_was_late, ..figures_of(&session.records) }
}

/// Looks through messages in the order of their arrival.
pub(crate) fn figures_of(records: &[Record]) -> Figures {
    let mut figures = Figures::default();
    // Metadata has no time of its own: it is stamped 0 wherever it comes.
    let mut last: Option<&Record> = None;
    let (mut last_picture, mut last_sound): (Option<&Record>, Option<&Record>) = (None, None);
    let mut presentation = Vec::new();
    let (mut video_config, mut audio_configs): (&[u8], HashSet<&[u8]>) = (&[], HashSet::new());
    for record in records {
        if let Some(last) = last {
            if record.arrival - last.arrival > figures.arrival_gap {
                figures.arrival_gap = record.arrival - last.arrival;
                figures.arrival_gap_at_ms = last.time;
            }
            if record.time < last.time && record.kind != DATA {
                let (from, to) = (last.time, record.time);
                figures.faults.push(format!("time runs back from {from} to {to} ms ({:?})", record.content));
            }
        } else if record.time > 100 {
            figures.faults.push(format!("the session begins at {} ms", record.time));
        }
        if record.kind != DATA || last.is_none() {
            last = Some(record);
        }
        match record.content {
            Content::VideoConfig => {
                if record.payload != video_config {
                    video_config = &record.payload;
                    figures.video_configs += 1;
                }
            }
            Content::AudioConfig => {
                audio_configs.insert(&record.payload);
            }
            Content::Picture { idr, composition_ms } => {
                if let Some(last) = last_picture {
                    let step = record.time - last.time;
                    figures.video_step_ms = figures.video_step_ms.max(step);
                    figures.picture_gap = figures.picture_gap.max(record.arrival - last.arrival);
                    if step <= 0 {
                        figures.faults.push(format!("two pictures are decoded at {} ms", record.time));
                    }
                } else if !idr {
                    figures.faults.push("the first picture is no IDR".to_owned());
                }
                if video_config.is_empty() {
                    figures.faults.push("a picture before any configuration".to_owned());
                }
                presentation.push(record.time + i64::from(composition_ms));
                figures.pictures += 1;
                last_picture = Some(record);
            }
            Content::Sound => {
                if let Some(last) = last_sound {
                    figures.audio_step_ms = figures.audio_step_ms.max(record.time - last.time);
                }
                last_sound = Some(record);
            }
            Content::Other => {}
        }
    }
    figures.audio_configs = audio_configs.len();
    presentation.sort_unstable();
    // What is shown later than this may lie around pictures that a session's end has cut off.
    let complete_until = last_picture.map_or(0, |picture| picture.time);
    for pair in presentation.windows(2).filter(|pair| pair[1] <= complete_until) {
        figures.presentation_hole_ms = figures.presentation_hole_ms.max(pair[1] - pair[0]);
        if pair[1] - pair[0] > 50 {
            figures.holes_ms.push((pair[0], pair[1] - pair[0]));
        }
        if pair[0] == pair[1] {
            figures.faults.push(format!("two pictures are shown at {} ms", pair[0]));
        }
    }
    figures
}

/// Largest arrival gap that `make test` bears: three times the promise of 150 ms, because the machine is noisy.
pub(crate) const ARRIVAL_LIMIT: Duration = Duration::from_millis(450);

/// What the promises bear, for inputs of some frame rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) video_step_ms: i64,
    pub(crate) presentation_hole_ms: i64,
    pub(crate) arrival: Duration,
}

/// Between 25 and 60 pictures a second.
const LIVE: Limits = Limits { video_step_ms: 50, presentation_hole_ms: 100, arrival: ARRIVAL_LIMIT };

/// The promises of the design, all of them on media time exact.
#[track_caller]
pub(crate) fn assert_unbroken(figures: &Figures) {
    assert_unbroken_within(figures, LIVE);
}

/// The same for inputs of another frame rate.
#[track_caller]
pub(crate) fn assert_unbroken_within(figures: &Figures, limits: Limits) {
    assert!(figures.faults.is_empty(), "{figures:#?}");
    assert!(figures.pictures > 0, "{figures:#?}");
    assert!(figures.video_step_ms <= limits.video_step_ms, "{figures:#?}");
    assert!(figures.audio_step_ms <= 50, "{figures:#?}");
    assert!(figures.presentation_hole_ms <= limits.presentation_hole_ms, "{figures:#?}");
    // What the machine kept from everybody is not the box's doing; twice, as sender and receiver both wait for it.
    assert!(figures.arrival_gap <= limits.arrival + figures.machine_was_late * 2, "{figures:#?}");
    assert!(figures.audio_configs <= 1, "the sound's configuration changed: {figures:#?}");
}

/// `framemd5` of every picture of a file, in the order in which they are shown.
pub(crate) fn picture_sums(file: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    // Pictures keep their own size and their own times: what is compared must not be scaled, dropped or repeated.
    // Not `-autoscale 0`, which FFmpeg 7 and later take for an output file called 0.
    command.args(["-map", "0:v", "-noautoscale", "-fps_mode", "passthrough", "-enc_time_base", "1/90000"]);
    command.args(["-f", "framemd5", "-"]);
    let text = String::from_utf8(run(&mut command)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Remuxes a file to MPEG-TS as platforms do, decodes the result, and gives every complaint.
pub(crate) fn remux_complaints(file: &Path) -> String {
    let transport = file.with_extension("ts");
    let mut complaints = String::new();
    let mut step = |command: &mut Command| {
        let output = command.output().unwrap();
        complaints += &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {complaints}");
    };
    let quiet = ["-nostdin", "-v", "error", "-y"];
    step(Command::new("ffmpeg").args(quiet).arg("-i").arg(file).args(["-c", "copy", "-f", "mpegts"]).arg(&transport));
    let decode = ["-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-f", "null", "-"];
    step(Command::new("ffmpeg").args(quiet).arg("-i").arg(&transport).args(decode));
    complaints
}

/// Whose a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Slate,
    Source(Asset),
    Nobody,
}

/// A stretch of the programme by one owner.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<T> {
    pub(crate) owner: T,
    /// Programme milliseconds.
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
}

impl<T> Stretch<T> {
    /// How long it lasts.
    pub(crate) fn length_ms(&self) -> i64 {
        self.end_ms - self.begin_ms
    }
}

/// Presentation times of a session's pictures in the order in which they are shown.
pub(crate) fn presentation_times(session: &Session) -> Vec<i64> {
    let mut times: Vec<_> = session
        .pictures()
        .map(|record| match record.content {
            Content::Picture { composition_ms, .. } => record.time + i64::from(composition_ms),
            _ => record.time,
        })
        .collect();
    times.sort_unstable();
    times
}

/// Finds the owner of every picture of a session dumped to `file`. The pictures shown before `slate_until_ms` are the slate's.
pub(crate) fn picture_stretches(
    session: &Session,
    file: &Path,
    slate_until_ms: i64,
    assets: &[Asset],
) -> Vec<Stretch<Owner>> {
    let times = presentation_times(session);
    let sums = picture_sums(file);
    assert_eq!(sums.len(), times.len(), "every picture that was sent can be decoded, and no more");
    let mut owners = HashMap::new();
    for asset in assets {
        for sum in asset.picture_sums() {
            owners.insert(sum, Owner::Source(*asset));
        }
    }
    for (sum, _) in sums.iter().zip(&times).take_while(|(_, time)| **time < slate_until_ms) {
        owners.insert(sum.clone(), Owner::Slate);
    }
    let owned = sums.iter().zip(&times);
    stretches(owned.map(|(sum, time)| (*time, owners.get(sum).copied().unwrap_or(Owner::Nobody))))
}

/// Joins neighbours of one owner; a stretch ends where the next begins.
pub(crate) fn stretches<T: PartialEq>(items: impl Iterator<Item = (i64, T)>) -> Vec<Stretch<T>> {
    let mut found: Vec<Stretch<T>> = Vec::new();
    for (time, owner) in items {
        match found.last_mut() {
            Some(last) if last.owner == owner => last.end_ms = time,
            last => {
                if let Some(last) = last {
                    last.end_ms = time;
                }
                found.push(Stretch { owner, begin_ms: time, end_ms: time });
            }
        }
    }
    found
}

/// Leaves out the slate where it only bridged a cut, and joins what it parted.
pub(crate) fn without_bridges<T: Copy + PartialEq>(
    stretches: &[Stretch<T>],
    slate: T,
    bridge_ms: i64,
) -> Vec<Stretch<T>> {
    let mut kept: Vec<Stretch<T>> = Vec::new();
    for stretch in stretches.iter().filter(|s| s.owner != slate || s.length_ms() > bridge_ms) {
        match kept.last_mut() {
            Some(last) if last.owner == stretch.owner => last.end_ms = stretch.end_ms,
            _ => kept.push(stretch.clone()),
        }
    }
    kept
}

/// Prints stretches for a failure's message.
pub(crate) fn describe<T: std::fmt::Debug>(stretches: &[Stretch<T>]) -> String {
    let mut text = String::new();
    for stretch in stretches {
        writeln!(text, "{:>8} .. {:>8} ms {:?}", stretch.begin_ms, stretch.end_ms, stretch.owner).unwrap();
    }
    text
}

/// Decoded sound, one channel.
pub(crate) struct Sound {
    /// Samples per second.
    pub(crate) rate: u32,
    /// Samples, 1024 for each frame that arrived.
    pub(crate) samples: Vec<f32>,
    /// Each frame's time stamp in milliseconds.
    times: Vec<i64>,
}

impl Sound {
    /// Decodes the sound of `file`, which holds AAC frames with the time stamps `times`.
    pub(crate) fn decode(file: &Path, rate: u32, times: Vec<i64>) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
        command.args(["-map", "0:a", "-ac", "1", "-f", "f32le", "-"]);
        let bytes = run(&mut command);
        let samples = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        Self { rate, samples: samples.collect(), times }
    }

    /// The sound of a session dumped to `file`: 48 kHz, the house format.
    pub(crate) fn of_session(session: &Session, file: &Path) -> Self {
        Self::decode(file, 48_000, session.sounds().map(|record| record.time).collect())
    }

    /// The programme time of a sample, by the time stamp of the frame that holds it.
    pub(crate) fn time_ms(&self, sample: usize) -> f64 {
        let frame = (sample / 1024).min(self.times.len() - 1);
        self.times[frame] as f64 + (sample - frame * 1024) as f64 * 1000.0 / f64::from(self.rate)
    }

    /// Energy of `hz` in `samples` (Goertzel's algorithm), as the amplitude of a sine.
    fn amplitude(&self, samples: &[f32], hz: f64) -> f64 {
        let turn = 2.0 * (std::f64::consts::TAU * hz / f64::from(self.rate)).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in samples {
            (before, last) = (last, f64::from(*sample) + turn * last - before);
        }
        let power = last * last + before * before - turn * last * before;
        2.0 * power.max(0.0).sqrt() / samples.len() as f64
    }

    /// Which of the tones sounds when; `None` for none of them. In windows of 20 ms.
    pub(crate) fn tones(&self, tones: &[f64]) -> Vec<Stretch<Option<u32>>> {
        let window = self.rate as usize / 50;
        let loudest = |samples: &[f32]| {
            let amplitudes = tones.iter().map(|hz| (self.amplitude(samples, *hz), *hz));
            let (amplitude, hz) = amplitudes.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            (amplitude > 0.03).then_some(hz as u32)
        };
        let windows = self.samples.chunks_exact(window).enumerate();
        let found = stretches(windows.map(|(n, samples)| (self.time_ms(n * window) as i64, loudest(samples))));
        // A cut falls into a window that belongs to nobody; it is neither a tone nor a silence.
        let long = found.into_iter().filter(|stretch| stretch.length_ms() >= 100);
        let mut joined: Vec<Stretch<Option<u32>>> = Vec::new();
        for stretch in long {
            match joined.last_mut() {
                Some(last) if last.owner == stretch.owner => last.end_ms = stretch.end_ms,
                _ => joined.push(stretch),
            }
        }
        joined
    }

    /// The pitch between two programme times, by counting zero crossings.
    pub(crate) fn pitch_hz(&self, begin_ms: i64, end_ms: i64) -> f64 {
        let within = |sample: &usize| (begin_ms as f64..end_ms as f64).contains(&self.time_ms(*sample));
        let mut crossings = Vec::new();
        for sample in (1..self.samples.len()).filter(within) {
            let (before, after) = (self.samples[sample - 1], self.samples[sample]);
            if before < 0.0 && after >= 0.0 {
                crossings.push(sample as f64 - f64::from(after / (after - before)));
            }
        }
        let (Some(first), Some(last)) = (crossings.first(), crossings.last()) else { return 0.0 };
        (crossings.len() - 1) as f64 * f64::from(self.rate) / (last - first)
    }

    /// When each beep of 1 kHz begins, in programme milliseconds.
    pub(crate) fn beeps(&self) -> Vec<f64> {
        let mut found = Vec::new();
        let mut quiet_since = 0;
        for (index, sample) in self.samples.iter().enumerate() {
            if sample.abs() > 0.1 {
                // Half a second of silence comes before a beep; within one every period is loud.
                if index - quiet_since > self.rate as usize / 2 {
                    found.push(self.time_ms(index));
                }
                quiet_since = index;
            }
        }
        found
    }
}

/// When each flash begins, in programme milliseconds, of pictures shown at `times`.
pub(crate) fn flashes(file: &Path, times: &[i64]) -> Vec<f64> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    command.args(["-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "1/90000"]);
    command.args(["-vf", "scale=16:9,format=gray", "-s", "16x9", "-f", "rawvideo", "-"]);
    let bytes = run(&mut command);
    let mut found = Vec::new();
    let mut bright = true;
    for (picture, time) in bytes.chunks_exact(16 * 9).zip(times) {
        let mean = picture.iter().map(|pixel| u32::from(*pixel)).sum::<u32>() / (16 * 9);
        if mean > 200 && !bright {
            found.push(*time as f64);
        }
        bright = mean > 200;
    }
    found
}

/// What [`Asset::Clock`] shows in each picture of `file`, in order. None for a picture of anything else.
pub(crate) fn clock_pictures(file: &Path) -> Vec<Option<u32>> {
    let bits = CLOCK_BITS as usize;
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    command.args(["-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "1/90000"]);
    // The bars alone, and of each its middle; what is right of them is black.
    let filter = format!("scale=320:180,crop=312:60:0:60,scale={}:1:flags=area,format=gray", bits + 1);
    command.args(["-vf", &filter, "-s", &format!("{}x1", bits + 1), "-f", "rawvideo", "-"]);
    let read = |bars: &[u8]| {
        let clear = bars.iter().all(|bar| *bar < 60 || *bar > 195) && bars[bits] < 60;
        clear.then(|| (0..bits).map(|bit| u32::from(bars[bit] > 128) << bit).sum())
    };
    run(&mut command).chunks_exact(bits + 1).map(read).collect()
}

/// For each flash, how much later (positive) its beep begins, in milliseconds. Those without a beep nearby are left out.
pub(crate) fn offsets(flashes: &[f64], beeps: &[f64]) -> Vec<(f64, f64)> {
    let nearest = |flash: f64| beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()));
    flashes
        .iter()
        .filter_map(|flash| Some((*flash, nearest(*flash)?)))
        .filter(|(_, offset)| offset.abs() < 400.0)
        .collect()
}

/// How far sound is from where its source had it against the picture.
#[derive(Debug)]
pub(crate) struct Drift {
    /// Programme milliseconds of the flash that it was measured at.
    pub(crate) at_ms: f64,
    /// How much later than at the source the beep is.
    pub(crate) late_ms: f64,
    pub(crate) asset: Asset,
}

/// Every flash of a session, dumped to `file`, whose source is certain: the assets that may be in it, with their sampling rates.
pub(crate) fn drifts(session: &Session, file: &Path, beeps: &[f64], assets: &[(Asset, u32)]) -> Vec<Drift> {
    let names: Vec<_> = assets.iter().map(|(asset, _)| *asset).collect();
    let at_source: HashMap<_, _> = assets.iter().map(|(asset, rate)| (*asset, source_offset(*asset, *rate))).collect();
    let pictures = picture_stretches(session, file, 0, &names);
    let configurations = session.records.iter().filter(|record| matches!(record.content, Content::VideoConfig));
    let cuts: Vec<_> = configurations.map(|record| record.time as f64).collect();
    let judge = |(flash, offset): (f64, f64)| {
        // Near a cut the flash, or its beep, may be the other streamer's.
        let within = |s: &&Stretch<Owner>| flash > s.begin_ms as f64 + 300.0 && flash < s.end_ms as f64 - 300.0;
        let Owner::Source(asset) = pictures.iter().find(within)?.owner else { return None };
        // Two streamers may send the same pictures: a cut between them shows in the configuration alone.
        let cut = cuts.iter().any(|cut| (flash - cut).abs() < 600.0);
        (!cut).then(|| Drift { at_ms: flash, late_ms: offset - at_source[&asset], asset })
    };
    offsets(&flashes(file, &presentation_times(session)), beeps).into_iter().filter_map(judge).collect()
}

/// The offset of sound against picture in an asset, the median.
pub(crate) fn source_offset(asset: Asset, rate: u32) -> f64 {
    let path = asset.path();
    let tags = flv::read(&path).unwrap();
    let mut pictures = Vec::new();
    let mut sounds = Vec::new();
    for tag in &tags {
        match flv::content(tag.kind, &tag.payload) {
            Content::Picture { composition_ms, .. } if tag.kind == VIDEO => {
                pictures.push(i64::from(tag.timestamp) + i64::from(composition_ms));
            }
            Content::Sound if tag.kind == AUDIO => sounds.push(i64::from(tag.timestamp)),
            _ => {}
        }
    }
    pictures.sort_unstable();
    let beeps = Sound::decode(&path, rate, sounds).beeps();
    let mut offsets: Vec<_> =
        offsets(&flashes(&path, &pictures), &beeps).into_iter().map(|(_, offset)| offset).collect();
    offsets.sort_by(f64::total_cmp);
    assert!(offsets.len() > 20, "{} flashes with a beep in {asset:?}", offsets.len());
    offsets[offsets.len() / 2]
}
