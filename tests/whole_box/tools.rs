//! The tests' own instruments, tried on sources whose answers are known.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Sound},
    assets::{Asset, run},
    flv::{self, Content},
    nginx::Nginx,
    publisher::Encoder,
    recorder::{Recorder, Session},
    rtmp::{self, PublishError, Publisher},
    seconds, wait,
};

/// An asset as if a platform had received it.
fn as_session(asset: Asset) -> Session {
    let now = Instant::now();
    let tags = flv::read(&asset.path()).unwrap();
    // Metadata, and the end of sequence that ffmpeg writes last, are not judged.
    let media = tags.into_iter().filter(|tag| flv::content(tag.kind, &tag.payload) != Content::Other);
    let records = media.map(|tag| crate::support::recorder::Record {
        arrival: now,
        kind: tag.kind,
        time: i64::from(tag.timestamp),
        content: flv::content(tag.kind, &tag.payload),
        size: tag.payload.len(),
        payload: tag.payload,
    });
    Session {
        app: String::new(),
        key: String::new(),
        began: now,
        ended: None,
        commands: Vec::new(),
        records: records.collect(),
        machine_was_late: Duration::ZERO,
    }
}

#[test]
fn an_asset_is_unbroken_and_every_picture_is_its_own() {
    for asset in [Asset::A, Asset::B] {
        let session = as_session(asset);
        let figures = analysis::figures(&session);
        analysis::assert_unbroken(&figures);
        let stretches = analysis::picture_stretches(&session, &asset.path(), 0, &[Asset::A, Asset::B]);
        assert_eq!(stretches.len(), 1, "{}", analysis::describe(&stretches));
        assert_eq!(stretches[0].owner, Owner::Source(asset));
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("asset.flv");
        session.dump(&file).unwrap();
        assert_eq!(analysis::remux_complaints(&file), "");
    }
}

#[test]
fn a_spoilt_picture_is_found() {
    let mut session = as_session(Asset::A);
    session.records.truncate(800);
    // The pictures after this one are decoded from a wrong reference until the next key frame.
    let lost =
        session.records.iter().position(|r| r.time > 5000 && matches!(r.content, Content::Picture { idr: false, .. }));
    session.records.remove(lost.unwrap());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("spoilt.flv");
    session.dump(&file).unwrap();
    let stretches = analysis::picture_stretches(&session, &file, 0, &[Asset::A]);
    assert!(stretches.iter().any(|stretch| stretch.owner == Owner::Nobody), "{}", analysis::describe(&stretches));
    assert!(analysis::figures(&session).video_step_ms > 50);
}

#[test]
fn tones_and_their_pitch_are_told_apart() {
    for (asset, rate, hz) in [(Asset::A, 48_000, 440), (Asset::B, 44_100, 880)] {
        let session = as_session(asset);
        let sound = Sound::decode(&asset.path(), rate, session.sounds().map(|record| record.time).collect());
        let tones = sound.tones(&[440.0, 880.0, 660.0]);
        assert_eq!(tones.len(), 1, "{}", analysis::describe(&tones));
        assert_eq!(tones[0].owner, Some(hz));
        let pitch = sound.pitch_hz(1000, 20_000);
        assert!((pitch - f64::from(hz)).abs() < 0.5, "{pitch}");
    }
}

#[test]
fn flashes_and_beeps_are_found_where_they_were_put() {
    for (asset, rate) in [(Asset::FlashA, 48_000), (Asset::FlashB, 44_100)] {
        let offset = analysis::source_offset(asset, rate);
        assert!(offset.abs() < 45.0, "{asset:?}: {offset}");
    }
}

#[test]
fn the_recorder_takes_what_ffmpeg_and_gstreamer_publish() {
    let recorder = Recorder::start();
    let encoder = Encoder::publish(&Asset::B.path(), &format!("{}/one", recorder.url()));
    wait("frames from ffmpeg", seconds(10), || recorder.look(|s| s.first()?.records.get(300).map(|_| ())));
    drop(encoder);
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("source.flv");
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(Asset::A.path())
        .args(["-t", "4", "-c", "copy"])
        .arg(&source));
    let mut launch = Command::new("gst-launch-1.0");
    launch.args(["-q", "filesrc", &format!("location={}", source.display()), "!", "flvdemux", "name=d"]);
    launch.args(["flvmux", "name=m", "streamable=true", "!", "rtmp2sink", &format!("location={}/two", recorder.url())]);
    launch.args(["d.video", "!", "queue", "!", "m.video", "d.audio", "!", "queue", "!", "m.audio"]);
    run(&mut launch);
    let sessions = recorder.sessions();
    assert_eq!(sessions.iter().map(|session| session.key.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let sent = flv::read(&source).unwrap();
    for (session, faithful) in sessions.iter().zip([true, false]) {
        let figures = analysis::figures(session);
        assert!(figures.faults.is_empty(), "{figures:#?}");
        assert!(figures.video_step_ms <= 50 && figures.audio_step_ms <= 50, "{figures:#?}");
        let times: Vec<_> = session.pictures().map(|record| record.time).collect();
        let expected =
            sent.iter().filter(|tag| matches!(flv::content(tag.kind, &tag.payload), Content::Picture { .. }));
        if !faithful {
            assert_eq!(times, expected.map(|tag| i64::from(tag.timestamp)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_recorder_refuses_freezes_dies_and_comes_back() {
    let mut recorder = Recorder::start();
    let address = recorder.url().trim_start_matches("rtmp://").trim_end_matches("/app").parse().unwrap();
    recorder.refuse(true);
    let refusal = Publisher::publish(address, "app", "key").err().unwrap();
    assert!(
        matches!(&refusal, PublishError::Refused { code, .. } if code == "NetStream.Publish.BadName"),
        "{refusal:?}"
    );
    recorder.refuse(false);
    let mut publisher = Publisher::publish(address, "app", "key").unwrap();
    publisher.send(rtmp::VIDEO, 0, &[0x17, 0, 0, 0, 0]).unwrap();
    wait("the message", seconds(2), || recorder.look(|s| s[0].records.first().map(|_| ())));
    recorder.freeze(true);
    thread::sleep(Duration::from_millis(50));
    publisher.send(rtmp::VIDEO, 5, &[0x17, 2, 0, 0, 0]).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(recorder.only_session().records.len(), 1);
    recorder.freeze(false);
    wait("the second message", seconds(2), || recorder.look(|s| s[0].records.get(1).map(|_| ())));
    recorder.die();
    assert!(publisher.closed_within(seconds(2)));
    assert!(Publisher::publish(address, "app", "key").is_err());
    recorder.come_back();
    Publisher::publish(address, "app", "key").unwrap();
    assert_eq!((recorder.session_count(), recorder.attempts()), (2, 3));
}

#[test]
fn extended_time_stamps_in_chunks_of_every_type_are_read_as_sent() {
    let message = |timestamp| rtmp::Message { kind: rtmp::VIDEO, stream: 1, timestamp, payload: vec![7; 300] };
    let mut out = Vec::new();
    let mut writer = rtmp::ChunkWriter::new();
    let sent = [message(0), message(0xff_fffe), message(0xff_ffff), message(u32::MAX)];
    for message in &sent {
        writer.write(6, message, &mut out);
    }
    writer.set_size(60_000, &mut out);
    writer.write(6, &sent[3], &mut out);
    let mut reader = rtmp::ChunkReader::new();
    let mut read = Vec::new();
    for byte in out {
        reader.feed(&[byte]);
        read.extend(reader.next());
    }
    assert_eq!(read[..4], sent);
    assert_eq!(read[5], sent[3]);
    let mut unwrap = rtmp::Unwrap::default();
    assert_eq!(
        [u32::MAX - 1, 3, 2].map(|timestamp| unwrap.next(timestamp)),
        [0xffff_fffe, 0x1_0000_0003, 0x1_0000_0002]
    );
}

#[test]
fn nginx_records_what_is_published() {
    let nginx = Nginx::start();
    let encoder = Encoder::publish(&Asset::A.path(), &format!("{}/key", nginx.url()));
    wait("a recording", seconds(10), || {
        let recordings = nginx.recordings();
        recordings.iter().find(|path| path.metadata().unwrap().len() > 200_000).map(|_| ())
    });
    drop(encoder);
    assert_eq!(nginx.recordings().len(), 1);
}
