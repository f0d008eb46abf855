//! Fragmented MP4: one initialisation, then fragments that each hold a stretch of both tracks.
//!
//! Sources: ISO/IEC 14496-12 for the boxes, 14496-14 for `mp4a` and `esds`, 14496-15 for `avc1` and `avcC`. The streamer's own records
//! (avcC, `AudioSpecificConfig`) go in as they were sent. Only what players of HLS ask for is written.
//!
//! The pictures' entry is `avc1`, though their key frames bring the same parameter sets again: Safari's players ask for `avc1` (Apple's authoring
//! rules, 1.10), every player tried takes it, and no decoder minds sets that say what it knows.

use bytes::{BufMut, Bytes, BytesMut};

use crate::core::frame::{AacConfig, AvcConfig};

/// Ticks of a second of the pictures' track.
pub(super) const VIDEO_RATE: u32 = 90_000;

/// The tracks' numbers.
const VIDEO: u32 = 1;
const AUDIO: u32 = 2;

/// `sample_flags`: depends on no other sample; or depends on others, and nothing can start here (14496-12, 8.8.3.1).
const SYNC: u32 = 0x0200_0000;
const NOT_SYNC: u32 = 0x0101_0000;

/// One picture, or one frame of sound.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// In ticks of its track.
    pub(super) duration: u32,
    /// Presentation less decoding time, in ticks of its track.
    pub(super) composition: i32,
    /// Decoding can begin here.
    pub(super) sync: bool,
    pub(super) payload: Bytes,
}

/// A stretch of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// Decoding time of the first sample in ticks of the track.
    pub(super) start: u64,
    pub(super) samples: Vec<Sample>,
}

/// `ftyp` and `moov`: what a decoder must know before the first fragment.
pub(super) fn initialisation(video: &AvcConfig, audio: Option<&AacConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(1024 + video.record.len());
    put_box(&mut out, *b"ftyp", |out| {
        out.put_slice(b"iso6");
        out.put_u32(0);
        out.put_slice(b"iso6cmfchlsf");
    });
    put_box(&mut out, *b"moov", |out| {
        put_full(out, *b"mvhd", 0, 0, |out| {
            out.put_bytes(0, 8); // creation, modification
            out.put_u32(1000);
            out.put_u32(0); // duration: told by the fragments
            out.put_u32(0x0001_0000); // rate
            out.put_u16(0x0100); // volume
            out.put_bytes(0, 10);
            put_matrix(out);
            out.put_bytes(0, 24);
            out.put_u32(u32::MAX); // next track: not said
        });
        put_video_track(out, video);
        if let Some(audio) = audio {
            put_audio_track(out, audio);
        }
        put_box(out, *b"mvex", |out| {
            put_defaults(out, VIDEO);
            if audio.is_some() {
                put_defaults(out, AUDIO);
            }
        });
    });
    out.freeze()
}

/// `moof` and `mdat`: all pictures, then all sound. A track without samples is left out.
pub(super) fn fragment(number: u32, video: &Run, audio: &Run) -> Bytes {
    let tracks = || [(VIDEO, video), (AUDIO, audio)].into_iter().filter(|(_, run)| !run.samples.is_empty());
    let size = |run: &Run| run.samples.iter().map(|sample| sample.payload.len()).sum::<usize>();
    let payload: usize = tracks().map(|(_, run)| size(run)).sum();
    let count: usize = tracks().map(|(_, run)| run.samples.len()).sum();
    let mut out = BytesMut::with_capacity(256 + 16 * count + payload);
    // Where each track's offset into the data stands, and the track's place in the data.
    let mut offsets = [(0, 0); 2];
    put_box(&mut out, *b"moof", |out| {
        put_full(out, *b"mfhd", 0, 0, |out| out.put_u32(number));
        let mut place = 0;
        for ((track, run), offset) in tracks().zip(&mut offsets) {
            put_box(out, *b"traf", |out| {
                // Offsets count from the beginning of `moof`.
                put_full(out, *b"tfhd", 0, 0x02_0000, |out| out.put_u32(track));
                put_full(out, *b"tfdt", 1, 0, |out| out.put_u64(run.start));
                // Data offset; and of each sample duration, size, flags and composition, which may be negative.
                put_full(out, *b"trun", 1, 0x0f01, |out| {
                    out.put_u32(length(run.samples.len()));
                    *offset = (out.len(), place);
                    out.put_u32(0);
                    for sample in &run.samples {
                        out.put_u32(sample.duration);
                        out.put_u32(length(sample.payload.len()));
                        out.put_u32(if sample.sync { SYNC } else { NOT_SYNC });
                        out.put_i32(sample.composition);
                    }
                });
            });
            place += size(run);
        }
    });
    let data = out.len() + 8;
    for (at, place) in offsets {
        if at > 0 {
            patch(&mut out, at, length(data + place));
        }
    }
    put_box(&mut out, *b"mdat", |out| {
        for sample in tracks().flat_map(|(_, run)| &run.samples) {
            out.put_slice(&sample.payload);
        }
    });
    out.freeze()
}

fn put_video_track(out: &mut BytesMut, config: &AvcConfig) {
    let pixels = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
    let (width, height) = (pixels(config.width), pixels(config.height));
    let header = |out: &mut BytesMut| put_full(out, *b"vmhd", 0, 1, |out| out.put_bytes(0, 8));
    put_track(out, VIDEO, VIDEO_RATE, *b"vide", (width, height), header, |out| {
        put_box(out, *b"avc1", |out| {
            out.put_bytes(0, 6);
            out.put_u16(1); // data reference
            out.put_bytes(0, 16);
            out.put_u16(width);
            out.put_u16(height);
            out.put_u32(0x0048_0000); // 72 dots per inch
            out.put_u32(0x0048_0000);
            out.put_u32(0);
            out.put_u16(1); // pictures in a sample
            out.put_bytes(0, 32); // name of the encoder
            out.put_u16(24); // depth
            out.put_i16(-1);
            put_box(out, *b"avcC", |out| out.put_slice(&config.record));
        });
    });
}

fn put_audio_track(out: &mut BytesMut, config: &AacConfig) {
    let header = |out: &mut BytesMut| put_full(out, *b"smhd", 0, 0, |out| out.put_bytes(0, 4));
    put_track(out, AUDIO, config.sample_rate, *b"soun", (0, 0), header, |out| {
        put_box(out, *b"mp4a", |out| {
            out.put_bytes(0, 6);
            out.put_u16(1); // data reference
            out.put_bytes(0, 8);
            out.put_u16(u16::from(config.channels));
            out.put_u16(16); // bits of a sample
            out.put_bytes(0, 4);
            // 16.16; a rate that does not fit is told by the record alone.
            out.put_u16(u16::try_from(config.sample_rate).unwrap_or(0));
            out.put_u16(0);
            put_full(out, *b"esds", 0, 0, |out| {
                put_descriptor(out, 3, |out| {
                    out.put_u16(0);
                    out.put_u8(0);
                    put_descriptor(out, 4, |out| {
                        out.put_u8(0x40); // MPEG-4 audio
                        out.put_u8(0x15); // an audio stream
                        out.put_bytes(0, 11); // buffer and rates: not said
                        put_descriptor(out, 5, |out| out.put_slice(&config.record));
                    });
                    put_descriptor(out, 6, |out| out.put_u8(2)); // as MP4 has it
                });
            });
        });
    });
}

/// `trak`: `handler` is its kind, `media_header` and `entry` what differs by kind.
fn put_track(
    out: &mut BytesMut,
    track: u32,
    rate: u32,
    handler: [u8; 4],
    (width, height): (u16, u16),
    media_header: impl FnOnce(&mut BytesMut),
    entry: impl FnOnce(&mut BytesMut),
) {
    put_box(out, *b"trak", |out| {
        // Enabled, in the movie.
        put_full(out, *b"tkhd", 0, 3, |out| {
            out.put_bytes(0, 8);
            out.put_u32(track);
            out.put_bytes(0, 16);
            out.put_u16(0); // layer
            out.put_u16(0); // alternate group
            out.put_u16(if track == AUDIO { 0x0100 } else { 0 }); // volume
            out.put_u16(0);
            put_matrix(out);
            out.put_u32(u32::from(width) << 16);
            out.put_u32(u32::from(height) << 16);
        });
        put_box(out, *b"mdia", |out| {
            put_full(out, *b"mdhd", 0, 0, |out| {
                out.put_bytes(0, 8);
                out.put_u32(rate);
                out.put_u32(0);
                out.put_u16(0x55c4); // language: undetermined
                out.put_u16(0);
            });
            put_full(out, *b"hdlr", 0, 0, |out| {
                out.put_u32(0);
                out.put_slice(&handler);
                out.put_bytes(0, 13); // reserved, and an empty name
            });
            put_box(out, *b"minf", |out| {
                media_header(out);
                put_box(out, *b"dinf", |out| {
                    put_full(out, *b"dref", 0, 0, |out| {
                        out.put_u32(1);
                        put_full(out, *b"url ", 0, 1, |_| {}); // in this file
                    });
                });
                put_box(out, *b"stbl", |out| {
                    put_full(out, *b"stsd", 0, 0, |out| {
                        out.put_u32(1);
                        entry(out);
                    });
                    // All samples are in fragments.
                    put_full(out, *b"stts", 0, 0, |out| out.put_u32(0));
                    put_full(out, *b"stsc", 0, 0, |out| out.put_u32(0));
                    put_full(out, *b"stsz", 0, 0, |out| out.put_u64(0));
                    put_full(out, *b"stco", 0, 0, |out| out.put_u32(0));
                });
            });
        });
    });
}

/// `trex`: fragments say everything themselves.
fn put_defaults(out: &mut BytesMut, track: u32) {
    put_full(out, *b"trex", 0, 0, |out| {
        out.put_u32(track);
        out.put_u32(1);
        out.put_bytes(0, 12);
    });
}

/// No rotation, no scaling.
fn put_matrix(out: &mut BytesMut) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        out.put_u32(value);
    }
}

fn put_full(out: &mut BytesMut, kind: [u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut BytesMut)) {
    put_box(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        body(out);
    });
}

fn put_box(out: &mut BytesMut, kind: [u8; 4], body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(&kind);
    body(out);
    let size = length(out.len() - start);
    patch(out, start, size);
}

/// A descriptor of 14496-1, 8.3.3: its size in seven bits a byte.
fn put_descriptor(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    let mut content = BytesMut::new();
    body(&mut content);
    let [a, b, c, d] = [21, 14, 7, 0].map(|shift| u8::try_from(content.len() >> shift & 0x7f).unwrap_or_default());
    out.put_u8(tag);
    out.put_slice(&[a | 0x80, b | 0x80, c | 0x80, d]);
    out.put_slice(&content);
}

fn patch(out: &mut BytesMut, at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Fragments are bounded to a few megabytes by who cuts them.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The boxes next to each other in `bytes`, which they fill exactly.
    fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let size = word(bytes, 0) as usize;
            assert!(size >= 8 && size <= bytes.len(), "a box of {size} bytes in {}", bytes.len());
            found.push((bytes[4..8].try_into().unwrap(), &bytes[8..size]));
            bytes = &bytes[size..];
        }
        found
    }

    fn child<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> &'a [u8] {
        let Some((first, rest)) = path.split_first() else { return bytes };
        let (_, body) = boxes(bytes).into_iter().find(|(kind, _)| kind == *first).unwrap_or_else(|| panic!("{path:?}"));
        child(body, rest)
    }

    fn avc() -> AvcConfig {
        AvcConfig {
            record: Bytes::from_static(b"\x01the record"),
            length_size: 4,
            sps: Vec::new(),
            pps: Vec::new(),
            width: 1280,
            height: 720,
            profile: 100,
            level: 31,
        }
    }

    fn aac() -> AacConfig {
        AacConfig { record: Bytes::from_static(&[0x11, 0x90]), sample_rate: 48_000, channels: 2, frame_samples: 1024 }
    }

    #[test]
    fn initialisation_holds_both_records_as_they_were_sent() {
        let bytes = initialisation(&avc(), Some(&aac()));
        let traks: Vec<_> = boxes(child(&bytes, &[b"moov"])).into_iter().filter(|(kind, _)| kind == b"trak").collect();
        assert_eq!(traks.len(), 2);
        let stsd = |trak| &child(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])[8..];
        let avc1 = child(stsd(traks[0].1), &[b"avc1"]);
        assert_eq!((&avc1[24..26], &avc1[26..28]), (&1280_u16.to_be_bytes()[..], &720_u16.to_be_bytes()[..]));
        assert_eq!(child(&avc1[78..], &[b"avcC"]), avc().record);
        let mp4a = child(stsd(traks[1].1), &[b"mp4a"]);
        let esds = child(&mp4a[28..], &[b"esds"]);
        assert!(esds.windows(2).any(|bytes| bytes == aac().record));
        assert_eq!(word(child(traks[1].1, &[b"mdia", b"mdhd"]), 12), 48_000);
        assert_eq!(boxes(child(&bytes, &[b"moov", b"mvex"])).len(), 2);
        // Boxes of a fixed size (14496-12, 8.2.2, 8.3.2, 8.4.2, 8.8.3), without their heads.
        let size = |path: &[&[u8; 4]]| child(&bytes, path).len();
        assert_eq!(size(&[b"moov", b"mvhd"]), 100);
        assert_eq!(size(&[b"moov", b"trak", b"tkhd"]), 84);
        assert_eq!(size(&[b"moov", b"trak", b"mdia", b"mdhd"]), 24);
        assert_eq!(size(&[b"moov", b"mvex", b"trex"]), 24);
    }

    #[test]
    fn initialisation_without_sound_has_one_track() {
        let bytes = initialisation(&avc(), None);
        let count = |kind: &[u8; 4]| boxes(child(&bytes, &[b"moov"])).iter().filter(|(found, _)| found == kind).count();
        assert_eq!(count(b"trak"), 1);
        assert_eq!(boxes(child(&bytes, &[b"moov", b"mvex"])).len(), 1);
    }

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let sample = (any::<u32>(), any::<i32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40));
        let sample = sample.prop_map(|(duration, composition, sync, payload)| Sample {
            duration,
            composition,
            sync,
            payload: payload.into(),
        });
        prop::collection::vec(sample, 0..20)
    }

    proptest! {
        #[test]
        fn every_sample_is_found_again_where_the_fragment_says(
            number: u32, starts: (u64, u64), video in samples(), audio in samples(),
        ) {
            let video = Run { start: starts.0, samples: video };
            let audio = Run { start: starts.1, samples: audio };
            let bytes = fragment(number, &video, &audio);
            let top = boxes(&bytes);
            prop_assert_eq!(top.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [b"moof", b"mdat"]);
            prop_assert_eq!(word(child(&bytes, &[b"moof", b"mfhd"]), 4), number);
            let trafs: Vec<_> = boxes(top[0].1).into_iter().filter(|(kind, _)| kind == b"traf").collect();
            let runs: Vec<_> =
                [(VIDEO, &video), (AUDIO, &audio)].into_iter().filter(|(_, run)| !run.samples.is_empty()).collect();
            prop_assert_eq!(trafs.len(), runs.len());
            for ((_, traf), (track, run)) in trafs.into_iter().zip(runs) {
                prop_assert_eq!(word(child(traf, &[b"tfhd"]), 4), track);
                prop_assert_eq!(&child(traf, &[b"tfdt"])[4..], &run.start.to_be_bytes());
                let trun = child(traf, &[b"trun"]);
                prop_assert_eq!(word(trun, 4) as usize, run.samples.len());
                let mut at = word(trun, 8) as usize;
                for (entry, sample) in trun[12..].chunks_exact(16).zip(&run.samples) {
                    prop_assert_eq!(word(entry, 0), sample.duration);
                    prop_assert_eq!(word(entry, 8) == SYNC, sample.sync);
                    prop_assert_eq!(word(entry, 12).cast_signed(), sample.composition);
                    let size = word(entry, 4) as usize;
                    prop_assert_eq!(&bytes[at..at + size], &sample.payload);
                    at += size;
                }
            }
        }
    }
}
