//! The plug is pulled in mid show, and put in again; and starts that something is in the way of.

use std::{fs, path::PathBuf, process::Stdio, thread, time::Duration};

use serde_json::json;

use crate::support::{
    boxed::{Api, TheBox},
    recorder::Recorder,
    rtmp::Publisher,
    seconds, wait,
};

/// A box whose show is on with Ada waiting to come back, and the file that says what its machine's clocks say.
struct Evening {
    the_box: TheBox,
    api: Api,
    platform: Recorder,
    clock: PathBuf,
    key: String,
}

impl Evening {
    fn begin() -> Self {
        let clock = std::env::temp_dir().join(format!(
            "motherstream-clock-{}-{:?}",
            std::process::id(),
            thread::current().id()
        ));
        fs::write(&clock, "one known 0").unwrap();
        let platform = Recorder::start();
        let the_box = TheBox::builder()
            .set("queue.restart_grace_seconds", 5)
            // Ada sends no picture, and has to be there still when it is judged, 20 s after the start.
            .set("queue.stall_limit_seconds", 25)
            .environment("MOTHERSTREAM_TEST_CLOCK", clock.display())
            .destination("recorder", &platform.url())
            .start();
        let api = the_box.api.clone();
        let key = api.register("Ada").key;
        let publisher = Publisher::publish(the_box.rtmp, "live", &key).unwrap();
        wait("a place", seconds(10), || api.entry("Ada"));
        drop(publisher);
        api.show(true);
        wait("the show at the platform", seconds(15), || platform.first_picture(0));
        Self { the_box, api, platform, clock, key }
    }

    /// The plug is pulled; when it is put in again another start of the machine says so much more.
    fn goes_dark(&mut self, clocks: &str) {
        self.the_box.kill();
        fs::write(&self.clock, clocks).unwrap();
        self.the_box.boot();
        self.the_box.wait_ready();
    }

    fn sends_again(&self) {
        wait("the show at the platform again", seconds(15), || self.platform.first_picture(1));
        assert_eq!(self.api.get("/api/v1/show"), json!({ "on": true }));
    }

    /// Nothing arrives, and why is said.
    fn has_ended(&self, why: &str) {
        let told = wait("that the show has ended", seconds(30), || {
            let show = self.api.get("/api/v1/show");
            show["past"].as_str().filter(|past| past.contains("ended")).map(ToOwned::to_owned)
        });
        assert!(told.contains(why), "{told}");
        thread::sleep(seconds(2));
        assert_eq!(self.platform.session_count(), 1, "something was sent");
        assert_eq!(self.api.get("/api/v1/show")["on"], false);
        let audit = self.api.get("/api/v1/audit");
        assert!(audit.to_string().contains(why), "{audit}");
        assert!(self.the_box.log().contains(why));
    }
}

impl Drop for Evening {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.clock);
    }
}

#[test]
fn after_fourteen_minutes_of_darkness_the_show_goes_on() {
    let mut evening = Evening::begin();
    evening.goes_dark("two known 840");
    evening.sends_again();
}

#[test]
fn after_sixteen_minutes_of_darkness_nothing_is_sent_and_the_page_says_why() {
    let mut evening = Evening::begin();
    evening.goes_dark("two known 970");
    evening.has_ended("the box was dark for 16 min");
    // It stays so, and the next start says no more of it.
    evening.the_box.kill();
    evening.the_box.boot();
    evening.the_box.wait_ready();
    assert_eq!(evening.api.get("/api/v1/show"), json!({ "on": false }));
}

#[test]
fn without_the_time_nothing_is_sent_until_a_streamer_is_back() {
    let mut evening = Evening::begin();
    evening.goes_dark("two unknown 30");
    let _publisher = Publisher::publish(evening.the_box.rtmp, "live", &evening.key).unwrap();
    thread::sleep(seconds(10));
    assert_eq!(evening.platform.session_count(), 1, "nothing is sent while the time may become known");
    assert_eq!(evening.api.get("/api/v1/show")["on"], false);
    wait("the show at the platform again", seconds(30), || evening.platform.first_picture(1));
}

#[test]
fn without_the_time_and_without_anybody_the_show_has_ended() {
    let mut evening = Evening::begin();
    evening.goes_dark("two unknown 30");
    evening.has_ended("does not know for how long it was dark");
}

/// Whoever starts it may have closed standard output, or sent it where nothing can be written, or where nobody reads.
#[test]
fn standard_output_that_cannot_be_written_is_no_reason_not_to_start() {
    let mut the_box = TheBox::builder().start();
    the_box.kill();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    // A pipe that is full already, and one that nobody reads any more.
    let (reader, writer) = std::io::pipe().unwrap();
    let filled = writer.try_clone().unwrap();
    rustix::io::ioctl_fionbio(&filled, true).unwrap();
    while rustix::io::write(&filled, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filled, false).unwrap();
    let (_, broken) = std::io::pipe().unwrap();
    let outputs: [(&str, Stdio, Stdio); 3] = [
        ("a full disk", full().into(), full().into()),
        ("a full pipe", writer.try_clone().unwrap().into(), writer.into()),
        ("a broken pipe", broken.try_clone().unwrap().into(), broken.into()),
    ];
    for (what, out, err) in outputs {
        let mut child = the_box.invocation("run").stdout(out).stderr(err).spawn().unwrap();
        let up = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(100));
            the_box.api.try_call(&reqwest::Method::GET, "/api/v1/queue", None).is_ok_and(|(status, _)| status == 200)
        });
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(up && ended.is_none(), "{what}: {ended:?}");
    }
    drop(reader);
}

/// A card that dies, or a hand.
#[test]
fn damaged_settings_never_keep_the_slate_off_the_air() {
    let platform = Recorder::start();
    let mut the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let api = the_box.api.clone();
    let path = the_box.data().join("settings.toml");
    let damages: [(&str, &dyn Fn()); 3] = [
        ("settings.toml", &|| fs::write(&path, b"[queue]\nturn_seconds = 1234\nrejoin_seconds = \"\xff").unwrap()),
        ("queue.rejoin_seconds", &|| {
            fs::write(&path, "[queue]\nturn_seconds = 1234\nrejoin_seconds = \"long\"").unwrap();
        }),
        ("settings.toml", &|| {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }),
    ];
    for (round, (named, damage)) in damages.iter().enumerate() {
        the_box.kill();
        damage();
        let (_, told) = the_box.command("doctor");
        assert!(told.contains("a setting of the page is left out") && told.contains(named), "{told}");
        the_box.boot();
        the_box.wait_ready();
        assert_eq!(api.get("/api/v1/turn")["seconds"], if round < 2 { 1234 } else { 3600 });
        api.show(true);
        wait("the slate at the platform", seconds(20), || platform.first_picture(round));
        api.show(false);
        assert!(the_box.log().contains("a setting of the page is ignored"));
    }
    let folder_is_kept = the_box.data().join("settings.toml.damaged");
    assert!(!folder_is_kept.exists(), "nothing was written yet");
    api.call(&reqwest::Method::PATCH, "/api/v1/settings", Some(&json!({ "queue.turn_seconds": 900 })));
    assert!(folder_is_kept.is_dir() && path.is_file());
}
