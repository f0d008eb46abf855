//! Odd forms of sound streams: every one comes out as the plain form does, or is told.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::core::{
    flv::*,
    frame::{AacConfig, AvcConfig, CodecConfig, Frame},
    remark::Remark,
};

// Records made by x264 through ffmpeg, all with sets of id 0.
const LANDSCAPE: &str = "0142c01effe100196742c01eda0280bfe5c044000003000400000300c83c58ba8001000468ce0fc8";
const INTERLACED_1080: &str =
    "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800";
const HIGH_10: &str = "016e000cffe1001a676e000ca6cd941419f9f0110000030001000003000a0f14299601000668ebe3cb22c0fdfafa00";
const HIGH_422_10: &str =
    "017a000cffe1001b677a000cb6cd941419f8dc044000000300400000030283c50a658001000668ebe3cb22c0fefafa00";
const HIGH_444: &str = "01f4000cffe1001967f4000c919b282833f1b808800000030080000005078a14cb01000668ebe3c44844fff8f800";
const GREY: &str = "0164000cffe100196764000cf36505067e37016c800000030080000005078a14cb01000668ebe3cb22c0fcf8f800";
const LOSSLESS: &str = "01f4000bffe1001967f4000baeb202833f3e022000000300200000030141e2854901000568ebc06bcbfdf8f800";

/// Slices' first macroblock, type and parameter set: 0, I, 0; 0, P, 0; and 12, P, 0.
const IDR: &[u8] = &[0x65, 0b1000_1000, 0b1000_0000, 1];
const P: &[u8] = &[0x41, 0b1001_1010, 2];
const SECOND_HALF: &[u8] = &[0x41, 0b0001_1010, 0b0110_1000, 3];
const SECOND_HALF_OF_IDR: &[u8] = &[0x65, 0b0001_1010, 0b0010_0010, 4];
const DELIMITER: &[u8] = b"\x09\xf0";
const SEI: &[u8] = b"\x06\x05\x04user\x80";

const ASC: [u8; 2] = [0x11, 0x90];

fn hex(text: &str) -> Bytes {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().into()
}

fn config(record: &str) -> AvcConfig {
    AvcConfig::parse(hex(record)).unwrap()
}

/// The sets of a record, as NAL units.
fn sets(record: &str) -> Vec<Bytes> {
    let config = config(record);
    [config.sps, config.pps].concat()
}

fn joined(units: &[&[u8]], length_size: usize) -> Vec<u8> {
    let prefixed = |unit: &&[u8]| [&unit.len().to_be_bytes()[8 - length_size..], *unit].concat();
    units.iter().flat_map(prefixed).collect()
}

fn header(record: &[u8]) -> Bytes {
    [&[0x17, 0, 0, 0, 0], record].concat().into()
}

fn message(payload: &[u8]) -> Bytes {
    [&[0x17, 1, 0, 0, 0], payload].concat().into()
}

fn picture(units: &[&[u8]]) -> Bytes {
    message(&joined(units, 4))
}

/// With its sets in front.
fn with_sets(record: &str, units: &[&[u8]]) -> Bytes {
    let sets = sets(record);
    let all: Vec<&[u8]> = sets.iter().map(Bytes::as_ref).chain(units.iter().copied()).collect();
    picture(&all)
}

fn primed() -> Demuxer {
    let mut demuxer = Demuxer::new();
    assert!(demuxer.video(&header(&hex(LANDSCAPE)), 0).unwrap().is_none());
    demuxer
}

fn avc(frame: &Frame) -> &AvcConfig {
    let CodecConfig::Avc(config) = &*frame.config else { unreachable!("a picture's") };
    config
}

fn aac(frame: &Frame) -> &AacConfig {
    let CodecConfig::Aac(config) = &*frame.config else { unreachable!("sound's") };
    config
}

fn remarks(demuxer: &mut Demuxer) -> Vec<Remark> {
    std::iter::from_fn(|| demuxer.next_remark()).collect()
}

#[test]
fn lengths_of_every_size_leave_with_four_bytes_and_so_does_the_configuration() {
    for size in 1_u8..=4 {
        let mut record = hex(LANDSCAPE).to_vec();
        record[4] = 0xfc | (size - 1);
        let mut demuxer = Demuxer::new();
        demuxer.video(&header(&record), 0).unwrap();
        let payload = joined(&[DELIMITER, IDR], usize::from(size));
        let frame = demuxer.video(&message(&payload), 0).unwrap().unwrap();
        assert_eq!(frame.payload, joined(&[DELIMITER, IDR], 4), "{size}");
        assert!(frame.keyframe);
        assert_eq!((avc(&frame).length_size, &avc(&frame).record), (4, &hex(LANDSCAPE)));
        let first = Arc::clone(&frame.config);
        demuxer.video(&header(&record), 9).unwrap();
        assert!(Arc::ptr_eq(&first, demuxer.video_config().unwrap()), "the same again is no change");
    }
}

#[test]
fn empty_units_and_zero_bytes_behind_a_picture_are_left_out() {
    let plain = joined(&[DELIMITER, IDR], 4);
    for odd in [
        joined(&[b"", DELIMITER, IDR], 4),
        joined(&[DELIMITER, b"", b"", IDR, b""], 4),
        [&plain[..], &[0]].concat(),
        [&plain[..], &[0; 3]].concat(),
        [&plain[..], &[0; 7]].concat(),
    ] {
        let frame = primed().video(&message(&odd), 0).unwrap().unwrap();
        assert_eq!(frame.payload, plain, "{odd:02x?}");
    }
    assert_eq!(primed().video(&message(&[&plain[..], &[0, 0, 9]].concat()), 0).unwrap_err(), FlvError::NalLength);
}

#[test]
fn units_glued_together_with_start_codes_are_taken_apart() {
    let glued = [SEI, &[0, 0, 0, 1], DELIMITER, &[0, 0, 1], IDR].concat();
    let frame = primed().video(&picture(&[&glued]), 0).unwrap().unwrap();
    assert_eq!(frame.payload, joined(&[SEI, DELIMITER, IDR], 4));
    assert!(frame.keyframe);
    // User data that nobody made safe is left as it is.
    let careless = [SEI, &[0, 0, 1, 0x65, 9]].concat();
    let frame = primed().video(&picture(&[&careless, P]), 0).unwrap().unwrap();
    assert_eq!((frame.payload, frame.keyframe), (joined(&[&careless, P], 4).into(), false));
}

#[test]
fn sets_that_change_in_band_are_those_of_every_later_idr() {
    let mut demuxer = primed();
    let before = demuxer.video(&picture(&[IDR]), 0).unwrap().unwrap();
    let turned = demuxer.video(&with_sets(INTERLACED_1080, &[IDR]), 40).unwrap().unwrap();
    let later = demuxer.video(&picture(&[IDR]), 80).unwrap().unwrap();
    assert_eq!((avc(&before).width, avc(&turned).width, avc(&later).width), (640, 1920, 1920));
    assert!(Arc::ptr_eq(&turned.config, &later.config));
    assert_eq!(avc(&later).record, hex(INTERLACED_1080), "written as an encoder writes it");

    let mut out = BytesMut::new();
    video_body(&later, &mut out);
    assert_eq!(out[5..], with_sets(INTERLACED_1080, &[IDR])[5..]);
}

#[test]
fn sets_between_two_key_frames_count_from_the_next_one_on() {
    let mut demuxer = primed();
    let first = demuxer.video(&picture(&[IDR]), 0).unwrap().unwrap();
    let between = demuxer.video(&with_sets(INTERLACED_1080, &[P]), 40).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first.config, &between.config));
    let intra = demuxer.video(&picture(&[&[0x41, 0b1000_1000, 0b1000_0000]]), 60).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first.config, &intra.config), "an I picture alone is no place to begin");
    assert_eq!(avc(&demuxer.video(&picture(&[IDR]), 80).unwrap().unwrap()).width, 1920);
}

#[test]
fn own_sets_of_each_picture_win_over_a_configuration_that_is_only_repeated() {
    let mut demuxer = primed();
    let first = demuxer.video(&with_sets(INTERLACED_1080, &[IDR]), 0).unwrap().unwrap();
    for round in 1..5 {
        demuxer.video(&header(&hex(LANDSCAPE)), round * 40).unwrap();
        let next = demuxer.video(&with_sets(INTERLACED_1080, &[IDR]), round * 40).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first.config, &next.config), "nothing changes downstream");
    }
    demuxer.video(&header(&hex(LANDSCAPE)), 300).unwrap();
    let back = demuxer.video(&picture(&[IDR]), 300).unwrap().unwrap();
    assert_eq!(avc(&back).width, 640, "without sets of its own it is as the configuration says");
}

#[test]
fn the_same_sets_in_band_are_no_change() {
    let mut demuxer = primed();
    let first = demuxer.video(&picture(&[IDR]), 0).unwrap().unwrap();
    let again = demuxer.video(&with_sets(LANDSCAPE, &[IDR]), 40).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first.config, &again.config));
}

#[test]
fn configuration_that_comes_only_in_band_is_made_of_the_sets() {
    let without_sets = [1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0];
    for record in [None, Some(&without_sets[..])] {
        let mut demuxer = Demuxer::new();
        if let Some(record) = record {
            demuxer.video(&header(record), 0).unwrap();
        }
        assert!(demuxer.video(&picture(&[P]), 0).unwrap().is_none(), "nothing is known yet");
        let frame = demuxer.video(&with_sets(LANDSCAPE, &[IDR]), 40).unwrap().unwrap();
        assert!(frame.keyframe);
        assert_eq!(avc(&frame).record, hex(LANDSCAPE));
        assert!(demuxer.video(&picture(&[P]), 80).unwrap().is_some());
    }
}

#[test]
fn pictures_without_any_configuration_are_told_and_no_longer_when_one_comes() {
    let mut demuxer = Demuxer::new();
    for n in 0..100 {
        assert!(demuxer.video(&picture(&[IDR]), n * 40).unwrap().is_none());
        assert!(demuxer.audio(&Bytes::from_static(b"\xaf\x01sound"), n * 23).unwrap().is_none());
    }
    assert!(demuxer.audio(&Bytes::from_static(b"\xaf\x01sound"), 3000).unwrap().is_none());
    assert_eq!(remarks(&mut demuxer), [Remark::NoPictureConfiguration, Remark::NoSoundConfiguration]);
    assert_eq!(demuxer.next_remark(), None, "told once");
}

#[test]
fn what_comes_in_messages_of_its_own_belongs_to_the_picture_of_the_same_instant() {
    let [sps, pps] = <[Bytes; 2]>::try_from(sets(INTERLACED_1080)).unwrap();
    let mut demuxer = primed();
    for ahead in [DELIMITER, SEI, &sps, &pps] {
        assert!(demuxer.video(&picture(&[ahead]), 40).unwrap().is_none(), "no picture");
    }
    let frame = demuxer.video(&picture(&[IDR]), 40).unwrap().unwrap();
    assert_eq!(frame.payload, joined(&[DELIMITER, SEI, &sps, &pps, IDR], 4));
    assert_eq!(avc(&frame).width, 1920);
    assert!(demuxer.video(&picture(&[SEI]), 80).unwrap().is_none());
    let other = demuxer.video(&picture(&[P]), 120).unwrap().unwrap();
    assert_eq!(other.payload, joined(&[P], 4), "what was ahead of another instant is not its");
    assert!(demuxer.video(&picture(&[b"\x0b"]), 120).unwrap().is_none(), "an end of stream");
}

#[test]
fn recovery_point_in_a_message_of_its_own_makes_its_picture_an_entry() {
    let mut demuxer = primed();
    assert!(demuxer.video(&picture(&[&[6, 6, 1, 0xc4, 0x80]]), 0).unwrap().is_none());
    assert!(demuxer.video(&picture(&[&[0x41, 0b1000_1000, 0b1000_0000]]), 0).unwrap().unwrap().keyframe);
}

#[test]
fn slices_in_messages_of_their_own_become_one_picture() {
    let mut demuxer = primed();
    // The stream shows with its first picture that it does so: that one passes as it came.
    assert!(demuxer.video(&picture(&[IDR]), 0).unwrap().unwrap().keyframe);
    assert!(demuxer.video(&picture(&[SECOND_HALF_OF_IDR]), 0).unwrap().is_none());
    assert!(demuxer.video(&picture(&[SECOND_HALF_OF_IDR]), 0).unwrap().is_none());
    let rest = demuxer.video(&picture(&[DELIMITER]), 40).unwrap().unwrap();
    assert_eq!((rest.dts.as_millis(), rest.keyframe), (0, false), "no second place to begin");
    assert_eq!(rest.payload, joined(&[SECOND_HALF_OF_IDR, SECOND_HALF_OF_IDR], 4));
    let mut frames = Vec::new();
    for at in [40, 80, 120, 160] {
        let (first, second) = if at == 120 { (IDR, SECOND_HALF_OF_IDR) } else { (P, SECOND_HALF) };
        for unit in [DELIMITER, first, second].into_iter().skip(usize::from(at == 40)) {
            frames.extend(demuxer.video(&picture(&[unit]), at).unwrap());
        }
    }
    let whole: Vec<_> = frames.iter().map(|frame| (frame.dts.as_millis(), frame.keyframe)).collect();
    assert_eq!(whole, [(40, false), (80, false), (120, true)], "the last one waits for what follows");
    assert_eq!(frames[0].payload, joined(&[DELIMITER, P, SECOND_HALF], 4));
    assert_eq!(frames[2].payload, joined(&[DELIMITER, IDR, SECOND_HALF_OF_IDR], 4));
    let last = demuxer.video(&header(&hex(INTERLACED_1080)), 200).unwrap().unwrap();
    assert_eq!((last.dts.as_millis(), avc(&last).width), (160, 640), "a new configuration ends it");
}

fn adts(payload: &[u8], checked: bool) -> Vec<u8> {
    let size = if checked { 9 } else { 7 };
    let length = payload.len() + size;
    let [.., high, low] = length.to_be_bytes();
    // LC, 48 kHz, stereo, as ASC says.
    let header =
        [0xff, if checked { 0xf0 } else { 0xf1 }, 0x4c, 0x80 | high >> 3, high << 5 | low >> 3, low << 5 | 0x1f, 0xfc];
    [&[0xaf, 1][..], &header, &[0, 0][..size - 7], payload].concat()
}

#[test]
fn adts_headers_are_taken_off_and_stand_in_for_a_missing_configuration() {
    for checked in [false, true] {
        let mut demuxer = Demuxer::new();
        let frame = demuxer.audio(&adts(b"raw frame", checked).into(), 0).unwrap().unwrap();
        assert_eq!((frame.payload.as_ref(), &aac(&frame).record[..]), (&b"raw frame"[..], &ASC[..]));
        let mut other = adts(b"raw frame", checked);
        other[4] = 0x50;
        let slower = demuxer.audio(&other.clone().into(), 23).unwrap().unwrap();
        assert_eq!(aac(&slower).sample_rate, 44_100, "a header that changes is followed");
        demuxer.audio(&[&[0xaf, 0], &ASC[..]].concat().into(), 40).unwrap();
        let sent = demuxer.audio(&other.into(), 46).unwrap().unwrap();
        assert_eq!((sent.payload.as_ref(), aac(&sent).sample_rate), (&b"raw frame"[..], 48_000), "what was sent rules");
    }
    let mut cut = adts(b"raw frame", false);
    cut.pop();
    assert!(!Demuxer::new().audio(&cut.into(), 0).unwrap_err().ends_the_stream());
}

#[test]
fn sound_configuration_that_says_the_same_in_other_bytes_is_no_change() {
    let mut demuxer = Demuxer::new();
    let mut configure = |record: &[u8]| {
        demuxer.audio(&[&[0xaf, 0], record].concat().into(), 0).map(|_| demuxer.audio_config().cloned().unwrap())
    };
    let first = configure(&ASC).unwrap();
    for same in [&[0x11, 0x90, 0x56, 0xe5, 0x00][..], &[0x11, 0x90, 0], &[0x17, 0x80, 0x5d, 0xc0, 0x10], &ASC] {
        assert!(Arc::ptr_eq(&first, &configure(same).unwrap()), "{same:02x?}");
    }
    assert!(Arc::ptr_eq(&first, &configure(&[]).unwrap()), "an empty one");
    assert!(!configure(&[0x11]).unwrap_err().ends_the_stream(), "one that is cut off");
    assert!(!configure(&[0, 0]).unwrap_err().ends_the_stream(), "zeros");
    assert!(!Arc::ptr_eq(&first, &configure(&[0x11, 0x88]).unwrap()), "mono is another");
}

#[test]
fn what_can_not_be_carried_is_told_in_words_to_act_on() {
    let code: &[u8] = &[0, 0, 0, 1];
    let fails = |error: FlvError, words: &str| {
        assert!(error.ends_the_stream() && error.to_string().contains(words), "{error}");
    };
    let in_file_form = [code, DELIMITER, code, IDR].concat();
    fails(primed().video(&message(&in_file_form), 0).unwrap_err(), "output format to FLV");
    fails(primed().video(&message(&in_file_form[1..]), 0).unwrap_err(), "Annex B");
    fails(Demuxer::new().video(&header(&[code, &sets(LANDSCAPE)[0]].concat()), 0).unwrap_err(), "Annex B");
    let packets: Vec<u8> = (0..7_u8).flat_map(|n| [&[0x47, 0x40, n][..], &[0xff; 185]].concat()).collect();
    fails(primed().video(&packets.clone().into(), 0).unwrap_err(), "MPEG-TS");
    fails(primed().video(&message(&packets), 0).unwrap_err(), "MPEG-TS");
    fails(Demuxer::new().audio(&packets.into(), 0).unwrap_err(), "MPEG-TS");
    let opus = [&b"\xaf\0OpusHead"[..], &[1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0]].concat();
    fails(Demuxer::new().audio(&opus.into(), 0).unwrap_err(), "choose AAC");
}

#[test]
fn damaged_picture_is_not_taken_for_another_form_once_pictures_came() {
    let mut demuxer = primed();
    demuxer.video(&picture(&[IDR]), 0).unwrap().unwrap();
    // A first unit of 262 bytes, of which the end is missing.
    let cut = [&[0, 0, 1, 6][..], &[6; 100]].concat();
    assert_eq!(demuxer.video(&message(&cut), 40).unwrap_err(), FlvError::NalLength);
    assert!(demuxer.video(&picture(&[P]), 80).unwrap().is_some());
}

#[test]
fn second_track_is_left_out_and_told_whatever_its_codec() {
    let mut demuxer = primed();
    demuxer.audio(&[&[0xaf, 0], &ASC[..]].concat().into(), 0).unwrap();
    let coded = joined(&[IDR], 4);
    for other in [&b"\x96\x00hvc1\x01whatever"[..], b"\x96\x01hvc1\x01\0\0\0x", b"\x96\x01avc1\x01\0\0\0x"] {
        assert!(demuxer.video(&Bytes::copy_from_slice(other), 0).unwrap().is_none());
    }
    for other in [&b"\x95\x00ac-3\x01"[..], b"\x95\x01ac-3\x01x", b"\x95\x01mp4a\x02x"] {
        assert!(demuxer.audio(&Bytes::copy_from_slice(other), 0).unwrap().is_none());
    }
    assert_eq!(remarks(&mut demuxer), [Remark::SecondPicture, Remark::SecondSound]);
    assert!(demuxer.video(&picture(&[IDR]), 40).unwrap().is_some());
    let [.., a, b, c] = coded.len().to_be_bytes();
    // Two tracks in one message, the default one behind, of one codec and with a codec each.
    let many = [b"\x96\x13avc1\x01\0\0\x01x\0", &[a, b, c][..], &coded].concat();
    let mixed = [b"\x96\x23hvc1\x01\0\0\x01xavc1\0", &[a, b, c][..], &coded].concat();
    assert_eq!(demuxer.video(&many.into(), 80).unwrap().unwrap().payload, coded);
    assert_eq!(demuxer.video(&mixed.into(), 120).unwrap().unwrap().payload, coded);
    let cut = Bytes::from_static(b"\x96\x13avc1\x01\0\0\x09x");
    assert!(!demuxer.video(&cut, 160).unwrap_err().ends_the_stream());
    assert!(demuxer.video(&Bytes::from_static(b"\x96\x01hvc1\0x"), 160).unwrap_err().ends_the_stream(), "the default");
}

#[test]
fn stream_without_a_default_track_shows_the_first_one_that_can_be() {
    let mut demuxer = Demuxer::new();
    let coded = joined(&[IDR], 4);
    let record = hex(LANDSCAPE);
    let of = |track: u8, kind: u8, body: &[u8]| Bytes::from([b"\x96", &[kind][..], b"avc1", &[track], body].concat());
    demuxer.video(&Bytes::from_static(b"\x96\x00av01\x01x"), 0).unwrap();
    demuxer.video(&of(2, 0, &record), 0).unwrap();
    assert!(demuxer.video(&of(2, 3, &coded), 0).unwrap().is_some());
    assert!(demuxer.video(&of(3, 3, &coded), 40).unwrap().is_none());
    demuxer.video(&header(&hex(INTERLACED_1080)), 80).unwrap();
    assert_eq!(avc(&demuxer.video(&picture(&[IDR]), 80).unwrap().unwrap()).width, 1920, "the default one came");
    assert!(demuxer.video(&of(2, 3, &coded), 80).unwrap().is_none());
}

#[test]
fn pictures_that_platforms_refuse_are_known_by_their_configuration() {
    for (record, expected) in [
        (LANDSCAPE, &[][..]),
        (INTERLACED_1080, &[]),
        (HIGH_10, &[Remark::BitDepth]),
        (HIGH_422_10, &[Remark::BitDepth, Remark::Chroma]),
        (HIGH_444, &[Remark::Chroma]),
        (GREY, &[Remark::Chroma]),
        (LOSSLESS, &[Remark::Profile]),
    ] {
        assert_eq!(config(record).remarks().iter().collect::<Vec<_>>(), expected, "{record}");
    }
}

/// What a healthy stream consists of, and ways to bend it.
fn good(which: u8) -> (bool, Bytes) {
    let records = [LANDSCAPE, INTERLACED_1080, HIGH_422_10];
    let record = records[usize::from(which) % records.len()];
    match which % 9 {
        0 => (true, header(&hex(record))),
        1 => (true, with_sets(record, &[DELIMITER, SEI, IDR])),
        2 => (true, picture(&[P, SECOND_HALF])),
        3 => (true, picture(&[SECOND_HALF])),
        4 => (true, picture(&[IDR])),
        5 => (true, [b"\x96\x13avc1\0\0\0\x0a", &joined(&[IDR, b"\x41"], 4)[..], b"\x01\0\0\0"].concat().into()),
        6 => (false, [&[0xaf, 0], &ASC[..]].concat().into()),
        7 => (false, adts(b"sound", which > 127).into()),
        _ => (false, Bytes::from_static(b"\xaf\x01\x21sound")),
    }
}

proptest! {
    #[test]
    fn bent_messages_are_whole_frames_or_nothing_or_an_error(
        messages in proptest::collection::vec((any::<u8>(), 0_u32..8, proptest::option::of((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3))), 0..60),
    ) {
        let mut demuxer = Demuxer::new();
        for (which, dts, bend) in messages {
            let (video, message) = good(which);
            let mut message = message.to_vec();
            if let Some((at, value, how)) = bend {
                let at = at.index(message.len());
                match how {
                    0 => message[at] = value,
                    1 => message.truncate(at),
                    _ => message.insert(at, value),
                }
            }
            let message = Bytes::from(message);
            let frame = if video { demuxer.video(&message, dts) } else { demuxer.audio(&message, dts) };
            while demuxer.next_remark().is_some() {}
            let Ok(Some(frame)) = frame else { continue };
            prop_assert!(!frame.payload.is_empty());
            if let CodecConfig::Avc(config) = &*frame.config {
                prop_assert_eq!(config.length_size, 4);
                for unit in nal_units(&frame.payload, 4) {
                    prop_assert!(!unit.unwrap().is_empty());
                }
                let read = AvcConfig::parse(config.record.clone()).unwrap();
                prop_assert_eq!(&read, config, "the record says what the configuration does");
                let mut out = BytesMut::new();
                video_body(&frame, &mut out);
                for unit in nal_units(&out[5..], 4) {
                    prop_assert!(!unit.unwrap().is_empty());
                }
            }
        }
    }

    #[test]
    fn configuration_made_of_sets_is_the_last_of_each_id(changes in proptest::collection::vec(0_usize..5, 1..12)) {
        let mut demuxer = Demuxer::new();
        let records = [LANDSCAPE, INTERLACED_1080, HIGH_422_10, HIGH_444, HIGH_10];
        for (n, which) in (0_u32..).zip(changes) {
            let frame = demuxer.video(&with_sets(records[which], &[IDR]), n * 40).unwrap().unwrap();
            let expected = config(records[which]);
            prop_assert_eq!((avc(&frame).width, avc(&frame).height), (expected.width, expected.height));
            prop_assert_eq!(&avc(&frame).record, &expected.record);
        }
    }
}
