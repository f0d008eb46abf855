//! The pull against a real SRS: `MOTHERSTREAM_TEST_SRS` names its program.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::sleep;

use super::{House, steps, until};
use crate::core::frame::Track;

/// SRS with one publisher: 25 pictures a second, a key frame every second.
struct Srs {
    children: Vec<Child>,
    _folder: TempDir,
    http: u16,
    rtmp: u16,
}

impl Srs {
    /// None, loudly, where there is no SRS.
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("MOTHERSTREAM_TEST_SRS") else {
            eprintln!("\n*** SKIPPED: MOTHERSTREAM_TEST_SRS names no SRS, so nothing was pulled from a real one ***\n");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, rtmp] = ports.map(|port| port.local_addr().unwrap().port());
        // What the box's own file says of a play, on other ports.
        let config = format!(
            "listen 127.0.0.1:{rtmp}; daemon off; pid ./srs.pid; srs_log_tank console; srs_log_level error;
             srs_log_level_v2 error; max_connections 100;
             http_server {{ enabled on; listen 127.0.0.1:{http}; }}
             vhost __defaultVhost__ {{
                 tcp_nodelay on; min_latency on;
                 play {{ mw_latency 20; mw_msgs 0; gop_cache on; time_jitter off; queue_length 10; }}
                 publish {{ mr off; }}
                 http_remux {{ enabled on; mount [vhost]/[app]/[stream].flv; }}
             }}"
        );
        fs::write(folder.path().join("srs.conf"), config).unwrap();
        let mut srs = Command::new(program);
        srs.args(["-c", "srs.conf"]).current_dir(folder.path());
        let mut this = Self { children: vec![quietly(&mut srs)], _folder: folder, http, rtmp };
        until("SRS", || std::net::TcpStream::connect(("127.0.0.1", rtmp)).is_ok()).await;
        this.publish();
        Some(this)
    }

    fn publish(&mut self) {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg
            .args("-nostdin -v error -re -f lavfi -i testsrc2=s=320x180:r=25 -re -f lavfi -i sine=r=48000".split(' '));
        ffmpeg.args("-c:v libx264 -preset ultrafast -g 25 -bf 0 -c:a aac -f flv".split(' ')).arg(self.url());
        self.children.push(quietly(&mut ffmpeg));
    }

    fn unpublish(&mut self) {
        end(self.children.pop().unwrap());
    }

    fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live/key", self.rtmp)
    }

    fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}/live/key.flv", self.http)
    }
}

fn quietly(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Srs {
    fn drop(&mut self) {
        self.children.drain(..).for_each(end);
    }
}

/// Ready, then cued; then the frames of some seconds. Gives how long the first key frame took after the cue.
async fn pulls(house: &mut House, url: &str) -> Duration {
    let (_input, gauge) = house.announce("a", url);
    until("ready", || gauge.is_ready()).await;
    sleep(Duration::from_millis(700)).await;
    let cued = house.clock.now();
    gauge.set_fed(true);
    let first = loop {
        let (frame, arrival) = house.frame().await;
        if frame.track == Track::Video {
            assert!(frame.keyframe);
            break arrival;
        }
    };
    let frames = house.frames(Duration::from_secs(3)).await;
    let pictures = steps(&frames, Track::Video);
    assert!(pictures.iter().all(|step| (39..=41).contains(step)), "{pictures:?}");
    assert!(steps(&frames, Track::Audio).iter().all(|step| (20..=23).contains(step)));
    let jitter = gauge.jitter.load(std::sync::atomic::Ordering::Relaxed);
    assert!(jitter < 60_000, "{jitter} us");
    first.since(cued)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_srs_is_pulled_by_http_and_the_first_keyframe_comes_at_once() {
    let Some(srs) = Srs::start().await else { return };
    let mut house = House::new();
    let took = pulls(&mut house, &srs.http_url()).await;
    eprintln!("by HTTP-FLV the first key frame came {took:?} after the cue");
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_srs_is_pulled_by_rtmp() {
    let Some(srs) = Srs::start().await else { return };
    let mut house = House::new();
    let took = pulls(&mut house, &srs.url()).await;
    eprintln!("by RTMP the first key frame came {took:?} after the cue");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn name_that_nobody_publishes_yet_is_pulled_once_somebody_does() {
    let Some(mut srs) = Srs::start().await else { return };
    srs.unpublish();
    sleep(Duration::from_millis(500)).await;
    let house = House::new();
    let (_input, gauge) = house.announce("a", &srs.http_url());
    sleep(Duration::from_millis(300)).await;
    assert!(!gauge.is_ready());
    let began = Instant::now();
    srs.publish();
    until("ready", || gauge.is_ready()).await;
    eprintln!("ready {:?} after the encoder was started", began.elapsed());
}
