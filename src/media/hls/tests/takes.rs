//! Takes between streams of other sizes, played by those who are at hand: ffmpeg, and GStreamer's own demuxer of HLS.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use bytes::BytesMut;
use gstreamer::{
    self as gst,
    prelude::{Cast, ElementExt, GstBinExt, PadExt, PadExtManual},
};
use tempfile::TempDir;

use super::*;
use crate::core::flv::{Demuxer, FileReader, FileTagKind};

const SECONDS: i64 = 5;
const RATE: i64 = 25;

/// A programme of several streams, cut into segments, and put down as files.
struct Played {
    _folder: TempDir,
    path: PathBuf,
    playlist: String,
}

impl Played {
    /// One stream after the other, each a turn of its own: a key frame every `group` pictures, B-frames where it says so.
    fn of(streams: &[(&str, i64, u8)]) -> Self {
        let mut cutter = Cutter::new(Numbers { segment: 40, initialisation: 3 });
        let (mut segments, mut from) = (Vec::new(), 0);
        for (number, (size, group, b_frames)) in streams.iter().enumerate() {
            for tag in turn(size, *group, *b_frames, from, number == 0) {
                segments.extend(cutter.push(tag));
            }
            from += SECONDS * 1000;
        }
        // What comes next ends the last one.
        let mut next = turn(streams[0].0, 25, 0, from, false);
        next.truncate(60);
        segments.extend(next.into_iter().filter_map(|tag| cutter.push(tag)));

        // `scripts/chroot-night --players` shows it to others.
        let kept = std::env::var_os("MOTHERSTREAM_TEST_HLS").map(PathBuf::from);
        let folder = TempDir::new().unwrap();
        let path = kept.unwrap_or_else(|| folder.path().to_owned());
        let write = |name: String, bytes: &Bytes| fs::write(path.join(name), bytes).unwrap();
        for segment in &segments {
            write(format!("{}.m4s", segment.number), &segment.bytes);
            write(format!("init-{}.mp4", segment.initialisation.number), &segment.initialisation.bytes);
        }
        let segments: VecDeque<_> = segments.into_iter().map(Arc::new).collect();
        let playlist = playlist::write(&segments, Timestamp::UNIX_EPOCH) + "#EXT-X-ENDLIST\n";
        fs::write(path.join("program.m3u8"), &playlist).unwrap();
        let plain = without_discontinuities(&playlist.clone().into());
        fs::write(path.join("plain.m3u8"), plain).unwrap();
        Self { _folder: folder, path: path.join("program.m3u8"), playlist }
    }
}

/// What the programme sends of a stream that is on air from `from` on.
fn turn(size: &str, group: i64, b_frames: u8, from: i64, sound_is_new: bool) -> Vec<Tag> {
    let mut ffmpeg = Command::new("ffmpeg");
    let video = format!("testsrc2=size={size}:rate={RATE}:duration={SECONDS}");
    let audio = format!("sine=440:sample_rate=48000:duration={SECONDS}");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio]);
    let (group, reordered) = (group.to_string(), b_frames.to_string());
    // Another number of references, so that the parameter sets differ in more than the size.
    let references = if size.starts_with("640") { "1" } else { "3" };
    ffmpeg.args(["-c:v", "libx264", "-preset", "superfast", "-g", &group, "-bf", &reordered, "-refs", references]);
    ffmpeg.args(["-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "flv", "-"]);
    let output = ffmpeg.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "ffmpeg makes no {size}");

    let (mut reader, mut demuxer, mut tags) = (FileReader::new(), Demuxer::new(), Vec::new());
    reader.write(&output.stdout);
    let mut announced = [false, !sound_is_new];
    while let Some(tag) = reader.read().unwrap() {
        let time = MediaTime::from_millis(from + i64::from(tag.time_ms));
        let mut body = BytesMut::new();
        let (kind, frame) = match tag.kind {
            FileTagKind::Script => continue,
            FileTagKind::Video => (TagKind::Video, demuxer.video(&tag.body, tag.time_ms).unwrap()),
            FileTagKind::Audio => (TagKind::Audio, demuxer.audio(&tag.body, tag.time_ms).unwrap()),
        };
        let Some(mut frame) = frame else { continue };
        // As the programme does it: the same delay for all, whoever reorders pictures.
        if tag.kind == FileTagKind::Video && b_frames == 0 {
            frame.pts += MediaTime::from_millis(80);
        }
        let (header, track) = match &*frame.config {
            CodecConfig::Avc(config) => (flv::video_header(config), 0),
            CodecConfig::Aac(config) => (flv::audio_header(config), 1),
        };
        if !std::mem::replace(&mut announced[track], true) {
            tags.push(Tag { kind, time, keyframe: false, header: true, body: header });
        }
        match kind {
            TagKind::Video => flv::video_body(&frame, &mut body),
            _ => flv::audio_body(&frame, &mut body),
        }
        let keyframe = frame.keyframe && kind == TagKind::Video;
        tags.push(Tag { kind, time, keyframe, header: false, body: body.freeze() });
    }
    tags
}

/// How many pictures of each size ffmpeg makes of it, and what it complains about.
fn by_ffmpeg(playlist: &Path) -> (BTreeMap<String, i64>, String) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "v", "-show_entries", "frame=width,height", "-of", "csv=p=0"]);
    let output = ffprobe.arg(playlist).stdin(Stdio::null()).output().unwrap();
    let mut counts = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut numbers = line.split(',').take(2);
        if let (Some(width), Some(height)) = (numbers.next(), numbers.next()) {
            *counts.entry(format!("{width}x{height}")).or_default() += 1;
        }
    }
    (counts, String::from_utf8(output.stderr).unwrap())
}

/// The same by GStreamer, without a screen.
fn by_gstreamer(playlist: &Path) -> (BTreeMap<String, i64>, String) {
    gst::init().unwrap();
    let text = format!(
        "filesrc location={} ! hlsdemux ! qtdemux name=d d.video_0 ! queue ! h264parse ! avdec_h264 output-corrupt=true ! fakesink name=seen \
         sync=false d.audio_0 ! queue ! fakesink sync=false",
        playlist.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let pad = pipeline.by_name("seen").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let counts = counts.clone();
        move |pad, _| {
            let caps = pad.current_caps().unwrap();
            let side = |name| caps.structure(0).unwrap().get::<i32>(name).unwrap();
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(format!("{}x{}", side("width"), side("height"))).or_default() += 1;
            gst::PadProbeReturn::Ok
        }
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::Warning];
    let mut said: Vec<String> = Vec::new();
    loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => break,
            Some(gst::MessageView::Warning(warning)) => said.push(format!("{}\n", warning.error())),
            Some(gst::MessageView::Error(error)) => {
                said.push(format!("{} ({:?})\n", error.error(), error.debug()));
                break;
            }
            _ => {
                said.push("it does not end\n".to_owned());
                break;
            }
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (counts, said.concat())
}

fn expected(streams: &[(&str, i64, u8)]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (size, ..) in streams {
        *counts.entry((*size).to_owned()).or_default() += SECONDS * RATE;
    }
    counts
}

#[test]
fn ffmpeg_and_gstreamer_decode_every_picture_across_takes_to_other_sizes() {
    let streams = [("640x360", 50, 0), ("1280x720", 50, 2), ("360x640", 25, 0)];
    let played = Played::of(&streams);
    assert_eq!(played.playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{}", played.playlist);
    assert_eq!(played.playlist.matches("#EXT-X-MAP").count(), 3, "{}", played.playlist);
    assert_eq!(by_ffmpeg(&played.path), (expected(&streams), String::new()), "ffmpeg, {}", played.playlist);
    assert_eq!(by_gstreamer(&played.path), (expected(&streams), String::new()), "GStreamer, {}", played.playlist);
}
