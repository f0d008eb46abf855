//! What is told about a stream that is shown all the same.

/// Something about a stream that its streamer, or whoever puts it on air, should know. It is no reason to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remark {
    /// More than 8 bits a sample.
    BitDepth,
    /// Colour at another resolution than a quarter of the picture's: 4:2:2, 4:4:4, or none at all.
    Chroma,
    /// A profile of H.264 beyond High, though the samples are as everywhere: lossless, for example.
    Profile,
    /// Pictures come without the parameter sets that a decoder needs.
    NoPictureConfiguration,
    /// Sound comes without its `AudioSpecificConfig`.
    NoSoundConfiguration,
    /// A second track of pictures, which is left out.
    SecondPicture,
    /// A second track of sound, which is left out.
    SecondSound,
}

impl Remark {
    /// Every remark, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::NoPictureConfiguration,
        Self::NoSoundConfiguration,
        Self::BitDepth,
        Self::Chroma,
        Self::Profile,
        Self::SecondPicture,
        Self::SecondSound,
    ];

    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BitDepth => "bit_depth",
            Self::Chroma => "chroma",
            Self::Profile => "profile",
            Self::NoPictureConfiguration => "no_picture_configuration",
            Self::NoSoundConfiguration => "no_sound_configuration",
            Self::SecondPicture => "second_picture",
            Self::SecondSound => "second_sound",
        }
    }

    /// In a few words, for those who run the night.
    pub const fn short(self) -> &'static str {
        match self {
            Self::BitDepth => "10-bit picture: platforms refuse it",
            Self::Chroma => "4:2:2 or 4:4:4 picture: platforms refuse it",
            Self::Profile => "H.264 beyond High: platforms refuse it",
            Self::NoPictureConfiguration => "Picture cannot be decoded",
            Self::NoSoundConfiguration => "Sound cannot be decoded",
            Self::SecondPicture => "Second picture left out",
            Self::SecondSound => "Second sound left out",
        }
    }

    /// What it is and what to do, for the streamer.
    pub const fn words(self) -> &'static str {
        match self {
            Self::BitDepth => {
                "Your picture has more than 8 bits a colour (High 10), which platforms refuse. In OBS choose the color format NV12 under \
                 Settings, Advanced, and the profile high under Settings, Output; elsewhere the pixel format yuv420p."
            }
            Self::Chroma => {
                "Your picture's colours are not 4:2:0 (High 4:2:2 or 4:4:4), which platforms refuse. In OBS choose the color format NV12 \
                 under Settings, Advanced, and the profile high under Settings, Output; elsewhere the pixel format yuv420p."
            }
            Self::Profile => {
                "Your picture is in an H.264 profile that platforms refuse (lossless, for example). In OBS choose the profile high and \
                 the rate control CBR under Settings, Output."
            }
            Self::NoPictureConfiguration => {
                "Your pictures come without what a decoder must know of them (SPS and PPS), and cannot be shown. Start the stream \
                 anew; if that does not help, choose another video encoder."
            }
            Self::NoSoundConfiguration => {
                "Your sound comes without what a decoder must know of it, and cannot be heard. Choose AAC as the audio encoder (in \
                 OBS: FFmpeg AAC), and start the stream anew."
            }
            Self::SecondPicture => {
                "Your encoder sends more than one video track. The first one is shown, the others are left out: switch them off to save \
                 your line."
            }
            Self::SecondSound => {
                "Your encoder sends more than one audio track. The first one is heard, the others are left out: mix what is to be heard \
                 into the first."
            }
        }
    }

    /// Whether platforms are known to refuse such a stream, or to show nothing of it: to be told before it is put on air.
    pub const fn is_refused_by_platforms(self) -> bool {
        matches!(self, Self::BitDepth | Self::Chroma | Self::Profile)
    }
}

/// A set of remarks, small enough for an atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks(u32);

impl Remarks {
    /// The set that `bits` stands for; see [`Self::bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// One bit for each remark in it.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Adds `remark`. True when it was not in it.
    pub const fn add(&mut self, remark: Remark) -> bool {
        let before = self.0;
        self.0 |= 1 << remark as u32;
        self.0 != before
    }

    /// Takes `remark` out.
    pub const fn remove(&mut self, remark: Remark) {
        self.0 &= !(1 << remark as u32);
    }

    /// All that is in either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `remark` is in it.
    pub const fn has(self, remark: Remark) -> bool {
        self.0 & (1 << remark as u32) != 0
    }

    /// All in it, the most urgent first.
    pub fn iter(self) -> impl Iterator<Item = Remark> {
        Remark::ALL.into_iter().filter(move |remark| self.has(*remark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_holds_what_was_added_and_tells_it_in_order_of_urgency() {
        let mut set = Remarks::default();
        assert!(set.add(Remark::SecondSound) && set.add(Remark::Chroma) && !set.add(Remark::Chroma));
        assert_eq!(Remarks::from_bits(set.bits()).iter().collect::<Vec<_>>(), [Remark::Chroma, Remark::SecondSound]);
        set.remove(Remark::Chroma);
        assert!(!set.has(Remark::Chroma) && set.has(Remark::SecondSound));
        assert!(Remark::ALL.into_iter().all(|remark| Remarks::default().add(remark)), "each has a bit");
    }
}
