//! What goes on although a message is odd, and what ends a stream: one odd message is left out, a stream that can never work is told so.

use bytes::Bytes;

use super::{Demuxer, FlvError};
use crate::core::{
    frame::{Frame, Track},
    oddity::Oddity,
    remark::Remark,
};

/// So many messages of a track in a row without one that can be used are no accident: a second or two of pictures, one of sound.
const FRUITLESS: u32 = 50;

/// What became of one message.
#[derive(Debug)]
pub enum Sifted {
    /// A frame.
    Frame(Frame),
    /// It is none: a configuration, an end of sequence, metadata, or a picture that cannot be decoded without one that is lost.
    Nothing,
    /// It is odd and left out.
    Odd(Oddity),
}

/// A [`Demuxer`] that leaves out what is odd. A picture that is cut short costs itself, which a decoder conceals; a key frame costs what
/// follows it, up to the next one.
#[derive(Debug, Default)]
pub struct Sieve {
    demuxer: Demuxer,
    video: Course,
    audio: Course,
}

/// How one track has fared.
#[derive(Debug, Default)]
struct Course {
    /// It has had a frame.
    works: bool,
    /// What was wrong last, until a frame comes.
    trouble: Option<FlvError>,
    /// Messages since the last frame, from the first one that was wrong on.
    fruitless: u32,
    /// A key frame is lost: what follows waits for another.
    broken: bool,
}

impl Sieve {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the body of one audio or video message with the time stamp `dts_ms`.
    ///
    /// # Errors
    ///
    /// When the stream cannot work, in words for its streamer: it is in another codec, or nothing of a track could be used for a while.
    pub fn take(&mut self, track: Track, body: &Bytes, dts_ms: u32) -> Result<Sifted, FlvError> {
        let taken = match track {
            Track::Video => self.demuxer.video(body, dts_ms),
            Track::Audio => self.demuxer.audio(body, dts_ms),
        };
        let course = self.course(track);
        match taken {
            Ok(Some(frame)) => {
                (course.works, course.trouble, course.fruitless) = (true, None, 0);
                course.broken &= !frame.keyframe;
                Ok(if course.broken { Sifted::Nothing } else { Sifted::Frame(frame) })
            }
            Ok(None) => {
                if let Some(trouble) = course.trouble.take() {
                    course.note(trouble)?;
                }
                // One byte is the header of content that is not there.
                Ok(if body.len() < 2 { Sifted::Odd(Oddity::Empty) } else { Sifted::Nothing })
            }
            Err(error) => {
                let oddity = error.oddity();
                course.broken |= oddity == Oddity::CutPicture && is_key(body);
                course.note(error)?;
                Ok(Sifted::Odd(oddity))
            }
        }
    }

    /// A message that begins with `start` is lost as a whole.
    pub fn lose(&mut self, track: Track, start: &[u8]) {
        if track == Track::Video && is_key(start) {
            self.video.broken = true;
        }
    }

    /// What is to be told about the stream though it is shown, one after the other.
    pub fn next_remark(&mut self) -> Option<Remark> {
        self.demuxer.next_remark()
    }

    const fn course(&mut self, track: Track) -> &mut Course {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

impl Course {
    /// Notes what was wrong. `Err` when it is what is wrong with the whole stream.
    fn note(&mut self, error: FlvError) -> Result<(), FlvError> {
        self.fruitless = self.fruitless.saturating_add(1);
        // A codec or a form does not change; a configuration that is unusable may be followed by a good one.
        let form = matches!(
            error,
            FlvError::VideoCodec(_) | FlvError::AudioCodec(_) | FlvError::AnnexB | FlvError::TransportStream
        );
        let at_once = form && !self.works;
        let in_the_end = self.fruitless >= FRUITLESS && (error.ends_the_stream() || !self.works);
        if at_once || in_the_end {
            return Err(error);
        }
        self.trouble = Some(error);
        Ok(())
    }
}

/// Whether the header of a video message, of either form, says that it is a key frame.
fn is_key(body: &[u8]) -> bool {
    body.first().is_some_and(|first| (first >> 4) & 7 == 1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record made by x264 through ffmpeg.
    const AVC: &str = "0142c01effe100196742c01eda0280bfe5c044000003000400000300c83c58ba8001000468ce0fc8";
    const KEY: &[u8] = &[0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 1, 2];
    const OTHER: &[u8] = &[0x27, 1, 0, 0, 0, 0, 0, 0, 3, 0x41, 1, 2];
    const SOUND: &[u8] = &[0xaf, 1, 1, 2, 3];

    fn configurations() -> [(Track, Vec<u8>); 2] {
        let avc = data_encoding::HEXLOWER.decode(AVC.as_bytes()).unwrap();
        [(Track::Video, [&[0x17, 0, 0, 0, 0][..], &avc].concat()), (Track::Audio, vec![0xaf, 0, 0x11, 0x90])]
    }

    fn take(sieve: &mut Sieve, track: Track, body: &[u8]) -> Result<Sifted, FlvError> {
        sieve.take(track, &Bytes::copy_from_slice(body), 0)
    }

    fn running() -> Sieve {
        let mut sieve = Sieve::new();
        for (track, body) in configurations() {
            assert!(matches!(take(&mut sieve, track, &body), Ok(Sifted::Nothing)));
        }
        for (track, body) in [(Track::Video, KEY), (Track::Audio, SOUND)] {
            assert!(matches!(take(&mut sieve, track, body), Ok(Sifted::Frame(_))));
        }
        sieve
    }

    /// What each message of a list became: a frame, nothing, or what is odd about it.
    fn became(sieve: &mut Sieve, track: Track, bodies: &[&[u8]]) -> Vec<Result<(), Option<Oddity>>> {
        let mut taken = Vec::new();
        for body in bodies {
            taken.push(match take(sieve, track, body).unwrap() {
                Sifted::Frame(_) => Ok(()),
                Sifted::Nothing => Err(None),
                Sifted::Odd(oddity) => Err(Some(oddity)),
            });
        }
        taken
    }

    #[test]
    fn one_odd_message_is_left_out_and_the_next_is_taken() {
        for (track, body, oddity) in [
            (Track::Video, &[][..], Oddity::Empty),
            (Track::Video, &[0x17], Oddity::CutHeader),
            (Track::Video, &[0x17, 2], Oddity::CutHeader),
            (Track::Video, &OTHER[..11], Oddity::CutPicture),
            (Track::Video, &[0x17, 0, 0, 0, 0, 1, 2, 3], Oddity::Configuration),
            (Track::Video, &[0x22, 0, 0, 0], Oddity::OtherCodec),
            (Track::Audio, &[], Oddity::Empty),
            (Track::Audio, &[0xaf], Oddity::Empty),
            (Track::Audio, &[0xaf, 0, 0, 0], Oddity::Configuration),
            (Track::Audio, &[0x2f, 1, 2, 3], Oddity::OtherCodec),
        ] {
            let next = if track == Track::Video { OTHER } else { SOUND };
            // However often, as long as the stream goes on.
            let mut sieve = running();
            for _ in 0..2 * FRUITLESS {
                assert_eq!(became(&mut sieve, track, &[body, next]), [Err(Some(oddity)), Ok(())], "{track:?} {body:?}");
            }
        }
        let empty_configurations = [(Track::Video, &[0x17, 0, 0, 0, 0][..]), (Track::Audio, &[0xaf, 0])];
        for (track, body) in empty_configurations {
            assert_eq!(became(&mut running(), track, &[body]), [Err(None)]);
        }
    }

    #[test]
    fn a_key_frame_that_is_cut_short_costs_what_follows_it() {
        let mut sieve = running();
        let cut = &KEY[..KEY.len() - 1];
        let expected = [Err(Some(Oddity::CutPicture)), Err(None), Err(None), Ok(()), Ok(())];
        assert_eq!(became(&mut sieve, Track::Video, &[cut, OTHER, OTHER, KEY, OTHER]), expected);
        sieve.lose(Track::Video, &[0x97]);
        assert_eq!(
            became(&mut sieve, Track::Video, &[OTHER, KEY]),
            [Err(None), Ok(())],
            "one that is too long as well"
        );
        sieve.lose(Track::Video, &[0x27]);
        sieve.lose(Track::Audio, &[0x17]);
        assert_eq!(became(&mut sieve, Track::Video, &[OTHER]), [Ok(())]);
    }

    #[test]
    fn zero_bytes_behind_a_picture_are_cut_off() {
        for padding in [1, 3, 4, 5, 100] {
            let mut sieve = running();
            let body = [OTHER, &vec![0; padding]].concat();
            let Ok(Sifted::Frame(frame)) = take(&mut sieve, Track::Video, &body) else {
                unreachable!("a picture with {padding} bytes behind it")
            };
            assert_eq!(frame.payload, OTHER[5..]);
        }
        // A NAL unit that ends in zeros of its own keeps them.
        let ends_in_zero = [&OTHER[..11], &[0]].concat();
        let Ok(Sifted::Frame(frame)) = take(&mut running(), Track::Video, &ends_in_zero) else {
            unreachable!("a picture")
        };
        assert_eq!(frame.payload, ends_in_zero[5..]);
    }

    #[test]
    fn a_stream_that_never_works_is_told_what_is_wrong() {
        assert_eq!(
            take(&mut Sieve::new(), Track::Video, b"\x90hvc1").unwrap_err(),
            FlvError::VideoCodec("HEVC".into())
        );
        let never = |track, first: &[u8], then: &[u8]| {
            let mut sieve = Sieve::new();
            let mut taken = take(&mut sieve, track, first);
            for _ in 0..FRUITLESS {
                taken = taken.and_then(|_| take(&mut sieve, track, then));
            }
            taken.unwrap_err()
        };
        assert!(matches!(never(Track::Video, &[0x17, 0, 0, 0, 0, 1, 2], OTHER), FlvError::Avc(_)));
        assert!(matches!(never(Track::Audio, &[0xaf, 0, 0, 0], SOUND), FlvError::Aac(_)));
        let [(_, avc), _] = configurations();
        assert_eq!(never(Track::Video, &avc, &OTHER[..11]), FlvError::NalLength);
    }

    #[test]
    fn a_good_configuration_behind_an_unusable_one_is_taken() {
        let mut sieve = Sieve::new();
        assert!(matches!(take(&mut sieve, Track::Audio, &[0xaf, 0, 0, 0]), Ok(Sifted::Odd(Oddity::Configuration))));
        let [_, (track, aac)] = configurations();
        assert_eq!(became(&mut sieve, track, &[&aac, SOUND]), [Err(None), Ok(())]);
    }

    #[test]
    fn a_stream_that_changes_its_codec_for_good_ends() {
        let mut sieve = running();
        let end = (0..=FRUITLESS).find_map(|_| take(&mut sieve, Track::Video, b"\x90hvc1").err());
        assert_eq!(end, Some(FlvError::VideoCodec("HEVC".into())));
        // Pictures that are all cut short leave the sound: the stream goes on, and its streamer is told.
        let mut sieve = running();
        assert!((0..10 * FRUITLESS).all(|_| take(&mut sieve, Track::Video, &OTHER[..11]).is_ok()));
    }

    proptest! {
        /// Whatever stands between healthy messages, they come out: but for what follows a key frame that is lost.
        #[test]
        fn noise_between_messages_takes_none_of_them(noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..40)) {
            let mut sieve = running();
            for body in noise {
                // A configuration is none of noise's: it may be usable.
                if body.get(1) == Some(&0) {
                    continue;
                }
                let _ = take(&mut sieve, Track::Video, &body);
                prop_assert!(matches!(take(&mut sieve, Track::Audio, SOUND), Ok(Sifted::Frame(_))));
                prop_assert!(matches!(take(&mut sieve, Track::Video, KEY), Ok(Sifted::Frame(_))));
                prop_assert!(matches!(take(&mut sieve, Track::Video, OTHER), Ok(Sifted::Frame(_))));
            }
        }
    }
}
