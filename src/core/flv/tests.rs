#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::core::{
    amf::{Reader, Value},
    frame::{AacConfig, AvcConfig, CodecConfig, Frame, MediaTime, Track},
};

mod forms;

// Records made by x264 through ffmpeg.
const P360: &str = "0142c01effe100196742c01eda0280bfe5c044000003000400000300c83c58ba8001000468ce0fc8";
const INTERLACED_1080: &str =
    "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800";
const SCALING_422: &str =
    "017a001effe1001b677a001eb6cd940d83de6f011000000300100000030320f162d96001000768ebe3cb3002c0fefafa00";
const FULL_CHROMA: &str =
    "01f4000dffe1001b67f4000d919b282a33c7c5e022000003000200000300641e28532c01000668ebe3c44844fff8f800";

fn hex(text: &str) -> Bytes {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().into()
}

fn avc() -> AvcConfig {
    AvcConfig::parse(hex(P360)).unwrap()
}

fn body(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

/// A demuxer that has seen both configurations.
fn primed() -> Demuxer {
    let mut demuxer = Demuxer::new();
    assert!(demuxer.video(&video_header(&avc()), 0).unwrap().is_none());
    let aac = AacConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
    assert!(demuxer.audio(&audio_header(&aac), 0).unwrap().is_none());
    demuxer
}

fn picture(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&u32::try_from(nal.len()).unwrap().to_be_bytes(), *nal].concat()).collect()
}

#[test]
fn picture_sizes_come_from_the_sps_with_cropping() {
    for (record, width, height, profile, level) in [
        (P360, 640, 360, 66, 30),
        (INTERLACED_1080, 1920, 1080, 100, 40),
        (SCALING_422, 854, 480, 122, 30),
        (FULL_CHROMA, 322, 182, 244, 13),
    ] {
        let config = AvcConfig::parse(hex(record)).unwrap();
        assert_eq!((config.width, config.height, config.profile, config.level), (width, height, profile, level));
        assert_eq!((config.sps.len(), config.pps.len(), config.length_size), (1, 1, 4));
        assert_eq!(config.record, hex(record));
    }
}

#[test]
fn unusable_video_configurations_are_told() {
    let record = hex(P360);
    for cut in 0..record.len() {
        assert!(AvcConfig::parse(record.slice(..cut)).is_err(), "cut at {cut}");
    }
    let changed = |at: usize, to: u8| {
        let mut bytes = record.to_vec();
        bytes[at] = to;
        AvcConfig::parse(bytes.into())
    };
    assert_eq!(changed(0, 0), Err(AvcError::Version(0)));
    assert_eq!(changed(8, 0x68), Err(AvcError::NoParameterSets));
}

#[test]
fn audio_configurations_tell_rate_and_channels_of_the_core_stream() {
    for (record, rate, channels, samples) in [
        (&[0x11, 0x90][..], 48_000, 2, 1024),
        (&[0x12, 0x08], 44_100, 1, 1024),
        (&[0x11, 0x94], 48_000, 2, 960),
        // HE-AAC: SBR signalled first, 24 kHz core, 48 kHz with it.
        (&[0x2b, 0x11, 0x88, 0x00], 24_000, 2, 1024),
        // HE-AAC v2: PS signalled first, mono core.
        (&[0xeb, 0x09, 0x88, 0x00], 24_000, 1, 1024),
        // LC with backward-compatible SBR behind it.
        (&[0x13, 0x10, 0x56, 0xe5, 0x98], 24_000, 2, 1024),
        // An explicit rate: 5 bits type 2, 4 bits 15, 24 bits 48000, 4 bits layout 2, 3 bits 0.
        (&[0x17, 0x80, 0x5d, 0xc0, 0x10], 48_000, 2, 1024),
        (&[0x11, 0xb8], 48_000, 8, 1024),
    ] {
        let config = AacConfig::parse(Bytes::copy_from_slice(record)).unwrap();
        assert_eq!(
            (config.sample_rate, config.channels, config.frame_samples),
            (rate, channels, samples),
            "{record:02x?}"
        );
    }
}

#[test]
fn unusable_audio_configurations_are_told() {
    let parse = |record: &'static [u8]| AacConfig::parse(Bytes::from_static(record));
    assert_eq!(parse(&[]), Err(AacError::Truncated));
    assert_eq!(parse(&[0x11]), Err(AacError::Truncated));
    // Type 39 is AAC-ELD.
    assert_eq!(parse(&[0xf8, 0xe6, 0x20, 0x00]), Err(AacError::ObjectType(39)));
    assert_eq!(parse(&[0x16, 0x90]), Err(AacError::SampleRate));
    assert_eq!(parse(&[0x11, 0xc8]), Err(AacError::Channels));
    assert_eq!(parse(&[0x17, 0x80, 0x00, 0x00, 0x10]), Err(AacError::SampleRate));
}

#[test]
fn frames_are_slices_of_their_message_with_both_time_stamps() {
    let mut demuxer = primed();
    let payload = picture(&[b"\x09\xf0", b"\x65idr"]);
    let message = body(&[&[0x17, 1, 0, 0, 40], &payload]);
    let frame = demuxer.video(&message, u32::MAX).unwrap().unwrap();
    assert_eq!((frame.track, frame.keyframe), (Track::Video, true));
    assert_eq!(frame.dts, MediaTime::from_millis(0xffff_ffff));
    assert_eq!(frame.pts - frame.dts, MediaTime::from_millis(40));
    assert_eq!(frame.payload.as_ptr(), message[5..].as_ptr(), "nothing was copied");

    let early = demuxer.video(&body(&[&[0x27, 1, 0xff, 0xff, 0xec], &picture(&[b"\x41p"])]), 100).unwrap().unwrap();
    assert_eq!((early.pts, early.keyframe), (MediaTime::from_millis(80), false));

    let sound = demuxer.audio(&Bytes::from_static(&[0xaf, 1, 0x21, 0x10]), 7).unwrap().unwrap();
    assert_eq!((sound.pts, sound.keyframe), (MediaTime::from_millis(7), true));
    assert_eq!(sound.payload.as_ref(), [0x21, 0x10]);
}

/// The start of a slice: its first macroblock is 0 (`1`), its type 7 (I, `0001000`) or 5 (P, `00110`), its parameter set 0 (`1`).
const I_SLICE: &[u8] = &[0x41, 0b1000_1000, 0b1000_0000];
const P_SLICE: &[u8] = &[0x41, 0b1001_1010, 0];

#[test]
fn an_idr_is_a_keyframe_and_what_flv_says_of_a_picture_is_not_believed() {
    let mut demuxer = primed();
    let other = body(&[&[0x17, 1, 0, 0, 0], &picture(&[b"\x06sei", P_SLICE])]);
    assert!(!demuxer.video(&other, 0).unwrap().unwrap().keyframe);
    let idr = body(&[&[0x27, 1, 0, 0, 0], &picture(&[b"\x06sei", b"\x65idr"])]);
    assert!(demuxer.video(&idr, 40).unwrap().unwrap().keyframe);
}

#[test]
fn i_picture_of_an_open_gop_is_a_keyframe_when_all_is_right_from_it_on() {
    // A message of 300 bytes of user data, one of caption data with a 0 0 3 in it, then a recovery point: `recovery_frame_cnt` 0 is a 1.
    let user = [&[5, 0xff, 45][..], &[7; 300]].concat();
    let caption: &[u8] = &[4, 4, 0, 0, 3, 1, 9];
    let sei = |parts: &[&[u8]]| [&[0x06][..], &parts.concat(), &[0x80]].concat();
    let (at_once, later): (&[u8], &[u8]) = (&[6, 1, 0xc4], &[6, 1, 0x44]);
    for (units, keyframe, what) in [
        (vec![sei(&[at_once]), I_SLICE.to_vec()], true, "alone"),
        (
            vec![b"\x09\xf0".to_vec(), sei(&[&user, caption, at_once]), I_SLICE.to_vec(), I_SLICE.to_vec()],
            true,
            "the last of three",
        ),
        (vec![sei(&[&user]), sei(&[at_once]), I_SLICE.to_vec()], true, "in the second unit"),
        (vec![sei(&[later]), I_SLICE.to_vec()], false, "right one picture later only"),
        (vec![sei(&[at_once]), I_SLICE.to_vec(), P_SLICE.to_vec()], false, "a slice refers to others"),
        (vec![sei(&[at_once]), P_SLICE.to_vec()], false, "intra refresh"),
        (vec![sei(&[&user]), I_SLICE.to_vec()], false, "no recovery point"),
        (vec![sei(&[&user, &[6, 200]]), I_SLICE.to_vec()], false, "cut off"),
        (vec![I_SLICE.to_vec()], false, "nothing said"),
    ] {
        let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
        let message = body(&[&[0x17, 1, 0, 0, 0], &picture(&units)]);
        assert_eq!(primed().video(&message, 0).unwrap().unwrap().keyframe, keyframe, "{what}");
    }
}

#[test]
fn odd_message_does_not_end_a_stream_and_a_codec_does() {
    for odd in [
        FlvError::Truncated { field: "a header" },
        FlvError::NalLength,
        FlvError::Avc(AvcError::Truncated),
        FlvError::Aac(AacError::Truncated),
        FlvError::Aac(AacError::ObjectType(0)),
    ] {
        assert!(!odd.ends_the_stream(), "{odd}");
    }
    for hopeless in [
        FlvError::VideoCodec("HEVC".into()),
        FlvError::AudioCodec("Opus".into()),
        FlvError::Aac(AacError::ObjectType(39)),
    ] {
        assert!(hopeless.ends_the_stream(), "{hopeless}");
    }
}

#[test]
fn what_is_no_picture_is_dropped() {
    let mut demuxer = primed();
    for message in [
        &[][..],
        &[0x17, 2, 0, 0, 0],
        &[0x17, 1, 0, 0, 0],
        &[0x17, 0, 0, 0, 0],
        &[0x57, 0],
        // Enhanced: end of sequence, HDR metadata, a multitrack message of no tracks, and one of another track.
        b"\x92avc1",
        b"\x94avc1metadata",
        b"\x96\x11avc1",
        b"\x96\x01avc1\x01\0\0\0",
    ] {
        assert!(demuxer.video(&Bytes::copy_from_slice(message), 0).unwrap().is_none(), "{message:02x?}");
    }
    for message in [&[][..], &[0xaf], &[0xaf, 1], &[0xaf, 0], b"\x92mp4a"] {
        assert!(demuxer.audio(&Bytes::copy_from_slice(message), 0).unwrap().is_none(), "{message:02x?}");
    }
    let early = body(&[&[0x17, 1, 0, 0, 0], &picture(&[b"\x65idr"])]);
    assert!(Demuxer::new().video(&early, 0).unwrap().is_none(), "a picture before its configuration");
}

#[test]
fn enhanced_rtmp_gives_the_same_frames() {
    let mut demuxer = Demuxer::new();
    let record = hex(P360);
    let payload = picture(&[b"\x65idr"]);
    assert!(demuxer.video(&body(&[b"\x90avc1", &record]), 0).unwrap().is_none());
    let coded = demuxer.video(&body(&[b"\x91avc1", &[0, 0, 40], &payload]), 0).unwrap().unwrap();
    assert_eq!((coded.pts, coded.keyframe), (MediaTime::from_millis(40), true));
    let plain = demuxer.video(&body(&[b"\xa3avc1", &payload]), 33).unwrap().unwrap();
    assert_eq!((plain.pts, plain.payload.as_ref()), (MediaTime::from_millis(33), &payload[..]));
    // A nanosecond offset of three bytes in a ModEx in front.
    let exact = demuxer.video(&body(&[&[0x97, 2, 0, 0, 9, 3], b"avc1", &payload]), 67).unwrap().unwrap();
    assert_eq!(exact.payload.as_ref(), &payload[..]);
    let first_track = demuxer.video(&body(&[b"\x96\x03avc1\0", &payload]), 100).unwrap().unwrap();
    assert_eq!(first_track.payload.as_ref(), &payload[..]);

    assert!(demuxer.audio(&Bytes::from_static(b"\x90mp4a\x11\x90"), 0).unwrap().is_none());
    let sound = demuxer.audio(&Bytes::from_static(b"\x91mp4aaac"), 0).unwrap().unwrap();
    assert_eq!(sound.payload.as_ref(), b"aac");
}

#[test]
fn other_codecs_are_refused_by_name() {
    let mut demuxer = primed();
    let mut video = |message: &'static [u8]| demuxer.video(&Bytes::from_static(message), 0).unwrap_err().to_string();
    assert_eq!(video(b"\x90hvc1"), "HEVC is not supported: choose H.264 (x264 or hardware) in Settings, Output");
    assert!(video(b"\x1c\0\0\0\0").starts_with("HEVC "));
    assert!(video(b"\x90av01").starts_with("AV1 "));
    assert!(video(b"\x90vp09").starts_with("VP9 "));
    assert!(video(b"\x12").starts_with("Sorenson H.263 "));
    assert!(video(b"\x90\"\n\xff1").starts_with(r#"codec "\"\n\xff1" "#), "what strangers send is escaped");
    let mut audio = |message: &'static [u8]| demuxer.audio(&Bytes::from_static(message), 0).unwrap_err().to_string();
    assert_eq!(audio(b"\x90Opus"), "Opus sound is not supported: choose AAC in Settings, Output");
    assert!(audio(&[0x2f]).starts_with("MP3 "));
    assert!(audio(&[0xb2]).starts_with("Speex "));
}

#[test]
fn malformed_messages_are_errors() {
    let mut demuxer = primed();
    let past_the_end = Bytes::from_static(&[0x17, 1, 0, 0, 0, 0, 0, 0, 9, 0x65]);
    assert_eq!(demuxer.video(&past_the_end, 0).unwrap_err(), FlvError::NalLength);
    let cut = Bytes::from_static(&[0x17, 1, 0]);
    assert!(matches!(demuxer.video(&cut, 0).unwrap_err(), FlvError::Truncated { .. }));
    let endless = Bytes::from_static(&[0x97, 255, 255, 255]);
    assert!(matches!(demuxer.video(&endless, 0).unwrap_err(), FlvError::Truncated { .. }));
}

#[test]
fn the_same_configuration_again_is_the_same_arc() {
    let mut demuxer = primed();
    let first = Arc::clone(demuxer.video_config().unwrap());
    demuxer.video(&video_header(&avc()), 9).unwrap();
    assert!(Arc::ptr_eq(&first, demuxer.video_config().unwrap()));
    let other = AvcConfig::parse(hex(INTERLACED_1080)).unwrap();
    demuxer.video(&video_header(&other), 10).unwrap();
    assert!(!Arc::ptr_eq(&first, demuxer.video_config().unwrap()));
}

fn idr(payload: Vec<u8>, config: AvcConfig) -> Frame {
    Frame {
        track: Track::Video,
        dts: MediaTime::from_micros(1_000_400),
        pts: MediaTime::from_micros(1_040_300),
        keyframe: true,
        payload: payload.into(),
        config: Arc::new(CodecConfig::Avc(config)),
    }
}

fn units(payload: &[u8], length_size: u8) -> Vec<Vec<u8>> {
    nal_units(payload, length_size).map(|unit| unit.unwrap().to_vec()).collect()
}

#[test]
fn an_idr_leaves_with_its_parameter_sets_in_front() {
    let (sps, pps) = (avc().sps[0].to_vec(), avc().pps[0].to_vec());
    let slice = b"\x65idr".to_vec();
    let delimiter = b"\x09\xf0".to_vec();
    let written = |payload: Vec<u8>| {
        let mut out = BytesMut::new();
        video_body(&idr(payload, avc()), &mut out);
        assert_eq!(&out[..5], [0x17, 1, 0, 0, 40]);
        units(&out[5..], 4)
    };
    assert_eq!(written(picture(&[&slice])), [sps.clone(), pps.clone(), slice.clone()]);
    assert_eq!(
        written(picture(&[&delimiter, &slice])),
        [delimiter.clone(), sps.clone(), pps.clone(), slice.clone()],
        "a delimiter stays first"
    );
    let own = [delimiter, sps, pps, slice];
    let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
    assert_eq!(written(picture(&own)), own, "its own are left as they are");
}

#[test]
fn other_pictures_leave_as_they_came() {
    let mut frame = idr(picture(&[b"\x41p"]), avc());
    frame.keyframe = false;
    frame.pts = MediaTime::from_millis(980);
    let mut out = BytesMut::new();
    video_body(&frame, &mut out);
    assert_eq!(out[..5], [0x27, 1, 0xff, 0xff, 0xec]);
    assert_eq!(out[5..], frame.payload);
}

#[test]
fn metadata_reads_back() {
    let data = MetaData {
        width: Some(1280),
        height: Some(720),
        frame_rate: Some(29.97),
        sample_rate: Some(48_000),
        stereo: Some(true),
        encoder: "Motherstream".to_owned(),
        ..MetaData::default()
    };
    let body = on_metadata(&data);
    let mut reader = Reader::new(&body);
    assert_eq!(reader.value().unwrap().as_str(), Some("onMetaData"));
    let object = reader.value().unwrap();
    assert!(reader.is_empty());
    let Value::Object(properties) = &object else { unreachable!("an ECMA array") };
    assert_eq!(u32::from_be_bytes(body[14..18].try_into().unwrap()) as usize, properties.len());
    assert_eq!(object.get("framerate").unwrap().as_number(), Some(29.97));
    assert_eq!(object.get("width").unwrap().as_number(), Some(1280.0));
    assert_eq!(object.get("videocodecid").unwrap().as_number(), Some(7.0));
    assert_eq!(object.get("stereo"), Some(&Value::Boolean(true)));
    assert_eq!(object.get("encoder").unwrap().as_str(), Some("Motherstream"));
    assert_eq!(object.get("videodatarate"), None);
}

#[test]
fn tags_carry_extended_time_and_their_size() {
    let tag = tag(9, 0x0102_0304, b"body");
    assert_eq!(tag.as_ref(), b"\x09\0\0\x04\x02\x03\x04\x01\0\0\0body\0\0\0\x0f");
    assert_eq!(file_header(true, true).as_ref(), b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_nothing_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), length_size in 0_u8..4) {
        let mut demuxer = primed();
        let mut record = hex(P360).to_vec();
        record[4] = 0xfc | length_size;
        let _ = demuxer.video(&body(&[&[0x17, 0, 0, 0, 0], &record]), 0);
        let bytes = Bytes::from(bytes);
        let _ = demuxer.video(&bytes, 0);
        let _ = demuxer.audio(&bytes, 0);
        let _ = demuxer.video(&body(&[&[0x17, 1, 0, 0, 0], &bytes]), 0);
        let _ = AvcConfig::parse(bytes.clone());
        let _ = AacConfig::parse(bytes.clone());
        let mut out = BytesMut::new();
        video_body(&idr(bytes.to_vec(), avc()), &mut out);
    }

    #[test]
    fn mutated_configurations_never_panic(at in 0_usize..48, to: u8, which in 0_usize..4) {
        let mut record = hex([P360, INTERLACED_1080, SCALING_422, FULL_CHROMA][which]).to_vec();
        let at = at % record.len();
        record[at] = to;
        let _ = AvcConfig::parse(record.into());
    }

    #[test]
    fn pictures_round_trip(
        others in proptest::collection::vec((6_u8..=31, proptest::collection::vec(1_u8.., 0..50)), 0..6),
        (kind, slice) in (prop_oneof![Just(1_u8), Just(5)], proptest::collection::vec(any::<u8>(), 1..50)),
        dts: u32,
        composition in -8_388_608_i64..8_388_607,
    ) {
        let mut nals: Vec<Vec<u8>> = others.into_iter().map(|(kind, rest)| [&[kind][..], &rest].concat()).collect();
        // Its first macroblock is 0.
        nals.push([&[kind, slice[0] | 0x80], &slice[1..]].concat());
        let nals: Vec<&[u8]> = nals.iter().map(Vec::as_slice).collect();
        let message = body(&[&[0x17, 1], &composition.to_be_bytes()[5..], &picture(&nals)]);
        let mut demuxer = primed();
        let frame = demuxer.video(&message, dts).unwrap().unwrap();
        prop_assert_eq!(frame.payload.as_ref(), picture(&nals));
        let mut out = BytesMut::new();
        video_body(&frame, &mut out);
        let again = demuxer.video(&out.freeze(), dts).unwrap().unwrap();
        prop_assert_eq!((again.dts, again.pts, again.keyframe), (frame.dts, frame.pts, frame.keyframe));
        prop_assert!(again.payload.ends_with(nals.last().unwrap()));
        if !frame.keyframe {
            prop_assert_eq!(again.payload, frame.payload);
        }
    }
}
