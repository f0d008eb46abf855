//! Presets: the platforms that the box knows, and what it knows of each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A platform whose address the box knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Twitch, the nearest ingest by its own choice (help.twitch.tv, "Twitch ingest endpoints").
    Twitch,
    /// `YouTube` Live, encrypted (support.google.com/youtube, "Encrypt your live stream with RTMPS").
    YouTube,
    /// Kick, whose ingest is Amazon IVS (help.kick.com, "How to stream on Kick").
    Kick,
    /// Facebook Live, which takes RTMPS only (facebook.com/business/help, "Stream with an encoder").
    Facebook,
}

impl Platform {
    /// All of them, in the order in which a page offers them.
    pub const ALL: [Self; 4] = [Self::Twitch, Self::YouTube, Self::Kick, Self::Facebook];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twitch => "Twitch",
            Self::YouTube => "YouTube",
            Self::Kick => "Kick",
            Self::Facebook => "Facebook",
        }
    }

    /// Its name for programs.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Twitch => "twitch",
            Self::YouTube => "youtube",
            Self::Kick => "kick",
            Self::Facebook => "facebook",
        }
    }

    /// Where it shows the stream key, for whoever adds it as a destination.
    pub const fn key_help(self) -> &'static str {
        match self {
            Self::Twitch => {
                "In the Creator Dashboard (dashboard.twitch.tv) under Settings, Stream: \"Primary stream key\". It begins with live_."
            }
            Self::YouTube => {
                "In YouTube Studio (studio.youtube.com) under Create, Go live, Stream: \"Stream key\". Live streaming has to be \
                 enabled a day before the first stream."
            }
            Self::Kick => {
                "In the Creator Dashboard (kick.com/dashboard) under Settings, Stream URL & Key. If the address there differs from \
                 this one, take that one. The key begins with sk_."
            }
            Self::Facebook => {
                "In Live Producer (facebook.com/live/producer) under Streaming software: \"Stream key\". Choose a persistent key, \
                 or it is good for one stream only. It begins with FB-."
            }
        }
    }

    /// Its ingest's address, without the key. Kick gives each channel an address of its own on its page; this one serves all.
    pub const fn url(self) -> &'static str {
        match self {
            Self::Twitch => "rtmp://live.twitch.tv/app",
            Self::YouTube => "rtmps://a.rtmps.youtube.com/live2",
            Self::Kick => "rtmps://fa723fc1b171.global-contribute.live-video.net/app",
            Self::Facebook => "rtmps://live-api-s.facebook.com:443/rtmp",
        }
    }

    /// The platform a host belongs to.
    pub fn of_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        if within("twitch.tv") {
            Some(Self::Twitch)
        } else if within("youtube.com") {
            Some(Self::YouTube)
        } else if within("live-video.net") || within("kick.com") {
            Some(Self::Kick)
        } else if within("facebook.com") {
            Some(Self::Facebook)
        } else {
            None
        }
    }
}
