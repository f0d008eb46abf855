//! The house-format stage: sound becomes 48 kHz stereo AAC-LC on one continuous clock.
