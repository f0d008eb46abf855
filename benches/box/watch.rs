//! What it costs the box that somebody looks: a thumbnail every 2 s, and the programme as HLS. Against an ffmpeg that makes the same of
//! the same stream in the same time.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use tempfile::TempDir;

use crate::{
    Relay, Table, streamer_on_air,
    support::{
        assets::Asset,
        boxed::{TheBox, cpu_time},
        recorder::Recorder,
        seconds, wait,
    },
};

/// A page asks so often.
const PICTURE_EVERY: Duration = seconds(2);

/// A real player, which shows nothing. Ends with its owner.
struct Player(Child);

impl Player {
    fn start(the_box: &TheBox) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args([
            "-nostdin",
            "-v",
            "error",
            "-i",
            &the_box.api.url("/watch/program.m3u8"),
            "-c",
            "copy",
            "-f",
            "null",
            "-",
        ]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn picture(the_box: &TheBox) -> bool {
    the_box.api.try_call(&Method::GET, "/picture/program.jpg", None).is_ok_and(|(status, _)| status == 200)
}

/// CPU of the box, and of another process, while `during` is done again and again.
fn used(the_box: &TheBox, peer: Option<u32>, length: Duration, during: impl Fn()) -> (f64, f64) {
    let look = || (cpu_time(the_box.pid()), peer.map_or(Duration::ZERO, cpu_time));
    let before = look();
    let end = Instant::now() + length;
    while Instant::now() < end {
        during();
        thread::sleep(PICTURE_EVERY.min(end.saturating_duration_since(Instant::now())));
    }
    let after = look();
    let used = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64();
    (used(before.0, after.0), used(before.1, after.1))
}

/// See the module.
pub(crate) fn watch(table: &mut Table, length: Duration) {
    let recorder = Recorder::start();
    recorder.keep_no_payload();
    let the_box = TheBox::builder()
        .set("program.house_format", "off")
        .set("web.open_preview", true)
        .destination("platform", &recorder.url())
        .start();
    let recorders = [recorder];
    let (_streamer, _encoder) = streamer_on_air(&the_box, &recorders, "Anna", Asset::SixMbit);
    thread::sleep(seconds(3));
    let (alone, _) = used(&the_box, None, length, || ());
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut compare = |what: &str, with: f64, peer: f64| {
        let more = (with - alone).max(0.0);
        let remark =
            format!(" ({more:.2} s more than {alone:.2} s, against {peer:.2} s in {:.0} s)", length.as_secs_f64());
        table.at_most(&format!("CPU of {what}, against ffmpeg's"), more / peer, 1.0, "times", &remark);
    };

    let picture_file = file("picture.jpg");
    let relay = Relay::with(
        &["-skip_frame", "nokey"],
        &["-an", "-vf", "fps=1/2,scale=640:-2", "-f", "image2", "-update", "1", &picture_file],
    );
    wait("a picture of the box", seconds(10), || picture(&the_box).then_some(()));
    wait("a picture of ffmpeg", seconds(20), || std::fs::metadata(&picture_file).ok());
    let (with, peer) = used(&the_box, Some(relay.child.id()), length, || {
        picture(&the_box);
    });
    compare("thumbnails of the programme", with, peer);
    drop(relay);
    // What was looked at is made for a while longer.
    thread::sleep(seconds(20));

    let playlist = file("programme.m3u8");
    let hls =
        ["-c", "copy", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "2", "-hls_flags", "delete_segments"];
    let relay = Relay::with(&[], &[&hls[..], &[&playlist]].concat());
    let _player = Player::start(&the_box);
    wait("a playlist of ffmpeg", seconds(20), || std::fs::metadata(&playlist).ok());
    thread::sleep(seconds(5));
    let (with, peer) = used(&the_box, Some(relay.child.id()), length, || ());
    compare("the programme as HLS, with one player", with, peer);
}
