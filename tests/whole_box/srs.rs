//! The box with a real SRS at its front door: what dies, what outlives whom, and what comes by other ways than RTMP.

use std::{
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Stretch},
    assets::Asset,
    boxed::{Diary, Streamer, TheBox, Through, path_part},
    publisher::{Encoder, Returning},
    real_srs,
    recorder::{Recorder, Session},
    rtmp::Publisher,
    seconds, wait,
};

/// Whose pictures a session shows, long enough to be seen.
fn shown(session: &Session, slate_until_ms: i64, assets: &[Asset]) -> (Vec<Owner>, Vec<Stretch<Owner>>) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    assert_eq!(analysis::remux_complaints(&file), "");
    let all = analysis::picture_stretches(session, &file, slate_until_ms, assets);
    let mut owners: Vec<_> = all.iter().filter(|stretch| stretch.length_ms() > 1000).map(|s| s.owner).collect();
    owners.dedup();
    (owners, all)
}

/// A platform, and a box that sends to it with a real SRS in front; none where there is no SRS.
fn at_srs() -> Option<(Recorder, TheBox)> {
    real_srs()?;
    let platform = Recorder::start();
    let the_box = TheBox::builder().through(Through::Srs).destination("recorder", &platform.url()).start();
    Some((platform, the_box))
}

/// Shows the slate long enough for its pictures to be known; until when it was shown alone.
fn learn_slate(the_box: &TheBox, platform: &Recorder) -> i64 {
    the_box.api.show(true);
    wait("the slate at the platform", seconds(5), || platform.first_picture(0));
    thread::sleep(seconds(6));
    platform.look(|sessions| sessions[0].records.last().unwrap().time)
}

fn kill_process(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

/// The picture of `asset` arrived at the platform at or after `since`, in whatever session.
fn picture_of(platform: &Recorder, asset: &[Vec<u8>], since: Instant) -> Option<Instant> {
    platform.look(|sessions| {
        let records = sessions.iter().flat_map(Session::pictures);
        let own =
            records.filter(|record| record.arrival >= since && asset.iter().any(|key| ends_with(&record.payload, key)));
        own.map(|record| record.arrival).min()
    })
}

/// A picture leaves with its parameter sets put before it.
fn ends_with(payload: &[u8], slice: &[u8]) -> bool {
    payload.ends_with(slice)
}

/// The tails of an asset's key frames.
fn key_frames(asset: Asset) -> Vec<Vec<u8>> {
    let tags = crate::support::flv::read(&asset.path()).unwrap();
    let is_idr = |payload: &[u8]| {
        matches!(
            crate::support::flv::content(crate::support::rtmp::VIDEO, payload),
            crate::support::flv::Content::Picture { idr: true, .. }
        )
    };
    let keys = tags.into_iter().filter(|tag| tag.kind == crate::support::rtmp::VIDEO && is_idr(&tag.payload));
    keys.map(|tag| tag.payload[tag.payload.len().saturating_sub(400)..].to_vec()).collect()
}

fn names(queue: &Value) -> Vec<String> {
    let waiting = queue["waiting"].as_array().unwrap().iter();
    let all = std::iter::once(&queue["on_air"]["entry"]).chain(waiting);
    all.filter_map(|entry| entry["name"].as_str()).map(ToOwned::to_owned).collect()
}

#[test]
fn the_death_of_srs_in_mid_turn_is_bridged_by_the_slate() {
    let Some((platform, the_box)) = at_srs() else { return };
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    let slate_until_ms = learn_slate(&the_box, &platform);
    let streamers = [("Anna", Asset::A), ("Bert", Asset::B)].map(|(name, asset)| (api.register(name), asset));
    let _encoders = streamers.each_ref().map(|(streamer, asset)| {
        let url = the_box.publish_url(&streamer.key);
        let encoder = Returning::publish(&asset.path(), &url, Duration::from_millis(500));
        wait("an entry in the queue", seconds(10), || api.entry(&streamer.name));
        encoder
    });
    api.wait_on_air("Anna", seconds(10));
    api.wait_ready("Bert", seconds(10));
    thread::sleep(seconds(4));

    let old = the_box.srs_pid().unwrap();
    let begin = Instant::now();
    kill_process(old);
    wait("another SRS", seconds(15), || the_box.srs_pid().filter(|pid| *pid != old));
    let back = begin.elapsed();
    wait("both encoders at it", seconds(15), || (the_box.srs_publishers().len() == 2).then_some(()));
    let status = api.get("/api/v1/status");
    wait("somebody on air again", seconds(15), || api.on_air());
    let on_air = begin.elapsed();
    thread::sleep(seconds(8));
    eprintln!("SRS was back after {back:?}, somebody was on air after {on_air:?}; status then: {}", status["ingest"]);
    assert_eq!(names(&api.queue()).len(), 2, "nobody lost their place: {}", api.queue());
    assert_eq!(status["ingest"]["restarts"], 1, "{status}");

    let session = platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    let (_, all) = shown(&session, slate_until_ms, &[Asset::A, Asset::B]);
    let told = analysis::describe(&all);
    let [slate, a, b] = [Owner::Slate, Owner::Source(Asset::A), Owner::Source(Asset::B)];
    // How long the slate is seen depends on how soon the encoders are back.
    let mut owners: Vec<_> = all.iter().map(|stretch| stretch.owner).collect();
    owners.dedup();
    assert_eq!(owners[..3], [slate, a, slate], "\n{told}");
    assert!(owners[3..].iter().all(|owner| [slate, a, b].contains(owner)), "\n{told}");
    assert!(owners[3..].iter().any(|owner| *owner != slate), "\n{told}");
}

#[test]
fn the_death_of_the_supervisor_reconnects_no_encoder_and_is_over_in_three_seconds() {
    if real_srs().is_none() {
        return;
    }
    let platform = Recorder::start();
    let mut the_box = TheBox::builder()
        .through(Through::Srs)
        .set("queue.turn_seconds", 600)
        .destination("recorder", &platform.url())
        .start();
    let api = the_box.api.clone();
    let streamers = [("Anna", Asset::A), ("Bert", Asset::B), ("Cleo", Asset::C)];
    let mut encoders = streamers.map(|(name, asset)| {
        let streamer = api.register(name);
        let encoder = Encoder::publish(&asset.path(), &the_box.publish_url(&streamer.key));
        // On a busy machine whoever comes to rest first is on air first.
        wait("somebody on air", seconds(10), || api.on_air());
        wait("an entry in the queue", seconds(10), || api.entry(name));
        encoder
    });
    api.wait_on_air("Anna", seconds(10));
    api.wait_ready("Bert", seconds(10));
    api.wait_ready("Cleo", seconds(10));
    thread::sleep(seconds(3));
    let mut slowest = (Duration::ZERO, Duration::ZERO);
    for round in 1..=5 {
        let pictures = key_frames(Asset::A);
        let (srs, publishers) = (the_box.srs_pid().unwrap(), the_box.srs_publishers());
        assert_eq!(publishers.len(), 3, "{publishers:?}");
        let (before, looked) = (api.queue(), Instant::now());
        let sessions = platform.session_count();
        the_box.kill();
        the_box.boot();
        let booted = the_box.started;
        the_box.wait_ready();
        let programme = wait("the programme", seconds(9), || platform.first_picture(sessions)) - booted;
        let own = wait("Anna's picture", seconds(12), || picture_of(&platform, &pictures, booted)) - booted;
        slowest = (slowest.0.max(programme), slowest.1.max(own));
        eprintln!("round {round}: the programme was back after {programme:?}, Anna's own picture after {own:?}");
        // Three times the promised 3 s, as for all times here; of the promise itself `make bench` tells.
        assert!(programme < seconds(9), "round {round}: {programme:?}");

        assert_eq!(the_box.srs_pid(), Some(srs), "SRS outlives the supervisor");
        assert_eq!(the_box.srs_publishers(), publishers, "and no encoder has reconnected");
        assert!(encoders.iter_mut().all(|encoder| !encoder.has_ended()));
        api.wait_on_air("Anna", seconds(5));
        let after = api.queue();
        assert_eq!(names(&after), names(&before), "round {round}");
        assert_eq!(after["on_air"]["id"], before["on_air"]["id"], "the same turn");
        let elapsed = |queue: &Value| queue["on_air"]["elapsed_seconds"].as_f64().unwrap();
        let (was, is) = (elapsed(&before), elapsed(&after));
        let most = was + looked.elapsed().as_secs_f64() + 1.0;
        assert!(was - 5.0 <= is && is <= most, "round {round}: {was} s on air became {is} s");
        let status = api.get("/api/v1/status");
        assert_eq!(status["ingest"]["adopted"], true, "{status}");
        wait("the others to be ready", seconds(10), || (api.ready().len() == 2).then_some(()));
        thread::sleep(seconds(2));
    }
    eprintln!("the slowest: programme {:?}, own picture {:?}", slowest.0, slowest.1);
    // And everything still works: the next one is taken, the one before is disconnected.
    api.skip();
    api.wait_on_air("Bert", seconds(8));
    let [anna, ..] = encoders;
    anna.wait_end(seconds(5));
    for session in platform.sessions() {
        let figures = analysis::figures(&session);
        assert!(figures.faults.is_empty(), "{figures:#?}");
    }
    let status = the_box.stop();
    assert!(status.success(), "{status}");
    assert_eq!(the_box.srs_pid(), None, "a clean stop ends SRS too");
}

/// Passes bytes on in both directions until it is told to be silent; then it neither passes nor closes anything.
struct Wire {
    address: std::net::SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    fn to(target: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, cut) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let silent = cut.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let Ok(far) = TcpStream::connect(target) else { continue };
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    let silent = silent.clone();
                    thread::spawn(move || pass(&mut from, &mut to, &silent));
                }
            }
        });
        Self { address, cut }
    }

    /// The cable is pulled.
    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, silent: &AtomicBool) {
    use std::io::{Read, Write};
    let mut buffer = [0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while silent.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    if !silent.load(Ordering::Relaxed) {
        let _ = to.shutdown(std::net::Shutdown::Both);
    }
}

/// With one key, first over a cable that is pulled, then frozen, each time with another encoder that comes for it.
#[test]
fn an_encoder_that_is_cut_off_in_silence_comes_back_by_takeover() {
    let Some((platform, the_box)) = at_srs() else { return };
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    let slate_until_ms = learn_slate(&the_box, &platform);
    let streamer = api.register("Anna");
    let wire = Wire::to(the_box.rtmp);
    let first = Encoder::publish(&Asset::A.path(), &format!("rtmp://{}/live/{}", wire.address, streamer.key));
    api.wait_on_air("Anna", seconds(10));
    thread::sleep(seconds(4));
    let turn = api.queue()["on_air"]["id"].clone();
    let old = the_box.srs_publishers();

    wire.cut();
    thread::sleep(seconds(4));
    assert_eq!(the_box.srs_publishers(), old, "SRS has not noticed yet, which is what this is about");
    let mut second = Encoder::publish(&Asset::B.path(), &the_box.publish_url(&streamer.key));
    let begin = Instant::now();
    wait("the takeover", seconds(5), || {
        let now = the_box.srs_publishers();
        (now.len() == 1 && now != old).then_some(())
    });
    eprintln!("the takeover took {:?}", begin.elapsed());
    thread::sleep(seconds(5));
    assert!(!second.has_ended(), "it was called busy");
    assert_eq!(api.on_air().as_deref(), Some("Anna"));
    assert_eq!(api.queue()["on_air"]["id"], turn, "the same turn");

    // A minute must pass, or the old one be silent, before the same is granted again; this one is frozen.
    let old = the_box.srs_publishers();
    second.signal(Signal::SIGSTOP);
    thread::sleep(seconds(6));
    let mut third = Encoder::publish(&Asset::C.path(), &the_box.publish_url(&streamer.key));
    wait("the second takeover", seconds(8), || {
        let now = the_box.srs_publishers();
        (now.len() == 1 && now != old).then_some(())
    });
    thread::sleep(seconds(5));
    assert!(!third.has_ended(), "it was called busy");
    assert_eq!(api.queue()["on_air"]["id"], turn, "the same turn");
    drop((first, second));

    let session = platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    let (owners, all) = shown(&session, slate_until_ms, &[Asset::A, Asset::B, Asset::C]);
    let [slate, a, b, c] = [Owner::Slate, Owner::Source(Asset::A), Owner::Source(Asset::B), Owner::Source(Asset::C)];
    assert_eq!(owners, [slate, a, slate, b, slate, c], "\n{}", analysis::describe(&all));
}

#[test]
fn an_srt_encoder_takes_its_turn_between_two_of_rtmp() {
    let Some((platform, the_box)) = at_srs() else { return };
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    let slate_until_ms = learn_slate(&the_box, &platform);
    let [a, s, c] = ["Anna", "Sam", "Cleo"].map(|name| api.register(name));
    let first = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&a.key));
    api.wait_on_air("Anna", seconds(10));
    let second = Encoder::publish_srt(&Asset::B.path(), the_box.srs.unwrap().srt, &s.key);
    api.wait_ready("Sam", seconds(10));
    let third = Encoder::publish(&Asset::C.path(), &the_box.publish_url(&c.key));
    api.wait_ready("Cleo", seconds(10));
    thread::sleep(seconds(3));
    api.skip();
    api.wait_on_air("Sam", seconds(8));
    first.wait_end(seconds(5));
    thread::sleep(seconds(6));
    api.skip();
    api.wait_on_air("Cleo", seconds(8));
    second.wait_end(seconds(8));
    thread::sleep(seconds(5));
    drop(third);

    let session = platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    let (owners, all) = shown(&session, slate_until_ms, &[Asset::A, Asset::B, Asset::C]);
    let [slate, a, b, c] = [Owner::Slate, Owner::Source(Asset::A), Owner::Source(Asset::B), Owner::Source(Asset::C)];
    let told = analysis::describe(&all);
    assert_eq!(owners.into_iter().filter(|owner| *owner != slate).collect::<Vec<_>>(), [a, b, c], "\n{told}");
    // From one to the next without the slate, but for what bridges a cut.
    let from = all.iter().position(|stretch| stretch.owner == a).unwrap();
    let bridges = all[from..].iter().filter(|stretch| stretch.owner == slate && stretch.length_ms() > 2500);
    assert_eq!(bridges.count(), 0, "\n{told}");
    assert!(all.iter().all(|stretch| stretch.owner != Owner::Nobody), "\n{told}");
}

#[test]
fn a_kick_and_every_refusal_reach_the_encoder() {
    let Some((platform, the_box)) = at_srs() else { return };
    let api = &the_box.api;
    let [a, k, d, b] = ["Anna", "Karl", "Dora", "Bert"].map(|name| api.register(name));
    let publish =
        |streamer: &Streamer, asset: Asset| Encoder::publish(&asset.path(), &the_box.publish_url(&streamer.key));
    let first = publish(&a, Asset::A);
    api.wait_on_air("Anna", seconds(10));
    let kicked = publish(&k, Asset::C);
    api.wait_ready("Karl", seconds(10));
    let kick = |name: &str| {
        let entry = path_part(&api.entry(name).unwrap()["id"]);
        api.post(&format!("/api/v1/queue/entries/{entry}/kick"), &json!({}));
    };
    kick("Karl");
    kicked.wait_end(seconds(5));
    assert!(api.entry("Karl").is_none());
    let refused = |app: &str, key: &str| Publisher::publish(the_box.rtmp, app, key).is_err();
    assert!(refused("live", &k.key), "held off");
    assert!(refused("live", "nobody-has-this-key"));
    assert!(refused("other", &b.key));
    let account = format!("/api/v1/accounts/{}", path_part(&d.id));
    api.call(&reqwest::Method::PATCH, &account, Some(&json!({ "enabled": false })));
    assert!(refused("live", &d.key), "disabled");
    // A key is no address to watch, not even for whoever has it, but for the box itself.
    let others = publish(&b, Asset::B);
    api.wait_ready("Bert", seconds(10));
    kick("Anna");
    first.wait_end(seconds(5));
    api.wait_on_air("Bert", seconds(5));
    thread::sleep(seconds(4));
    let _others = others;
    assert_eq!(the_box.srs_publishers().len(), 1);
    let log = the_box.log();
    for streamer in [&a, &k, &d, &b] {
        assert!(!log.contains(&streamer.key), "a stream key in the log");
    }
    let figures = analysis::figures(&platform.only_session());
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
}
