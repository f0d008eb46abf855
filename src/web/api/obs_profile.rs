//! A profile for OBS with everything filled in: the folder that Profile, Import takes.
//!
//! Tried with OBS 29.0.2, in whose folder of profiles the import copies these files: it streams 1280 x 720 with 30 pictures a second, x264
//! with CBR and `keyint` 60, AAC at 48 kHz, without a question. OBS reads `basic.ini`, `service.json` and `streamEncoder.json` of a profile. Its own encoder settings are per profile, so
//! that nothing of the streamer's other profiles changes.

use std::{
    io::{self, Cursor, Write as _},
    sync::Arc,
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    control::ways::{Reached, rtmp_url},
    web::{
        app::App,
        http::{
            caller::Own,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

/// What is recommended, and what a platform takes from everybody: 720p like the slate, a bitrate that most uplinks carry.
const VIDEO_KBPS: u32 = 4500;
const AUDIO_KBPS: u32 = 160;
const KEYFRAME_SECONDS: u32 = 2;

/// The longest name of the folder, in characters.
const LONGEST: usize = 40;

pub(crate) fn routes() -> Routes {
    Routes::new().file(Right::SignedIn, "/me/obs-profile.zip", profile)
}

/// The signed-in streamer's profile. It holds the stream key.
async fn profile(State(app): State<Arc<App>>, Own(account): Own, reached: Reached) -> Result<Response, Problem> {
    let key = app.control.stream_key(account.id).ok_or_else(|| Problem::new(Kind::NotFound, "no such account"))?;
    let venue = app.control.config().venue.name.clone();
    let file = pack(&venue, &rtmp_url(&app.control, &reached), key.expose())
        .map_err(|error| Problem::new(Kind::Internal, format!("the profile could not be packed: {error}")))?;
    let head = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}-obs-profile.zip\"", folder(&venue))),
    ];
    Ok((head, file).into_response())
}

/// The venue's name as a folder on any system.
fn folder(venue: &str) -> String {
    let plain: String = venue.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
    let name: String = plain.split_whitespace().collect::<Vec<_>>().join("-").chars().take(LONGEST).collect();
    if name.is_empty() { "Motherstream".to_owned() } else { name }
}

fn pack(venue: &str, server: &str, key: &str) -> io::Result<Vec<u8>> {
    let folder = folder(venue);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let service = json!({
        "type": "rtmp_custom",
        "settings": {"server": server, "key": key, "use_auth": false, "bwtest": false},
    });
    let encoder = json!({
        "rate_control": "CBR", "bitrate": VIDEO_KBPS, "keyint_sec": KEYFRAME_SECONDS,
        "preset": "veryfast", "profile": "high", "tune": "", "bf": 2, "x264opts": "",
    });
    for (name, text) in [
        ("basic.ini", basic(&folder)),
        ("service.json", format!("{service:#}\n")),
        ("streamEncoder.json", format!("{encoder:#}\n")),
        ("README.txt", readme(venue, &folder)),
    ] {
        archive.start_file(format!("{folder}/{name}"), options)?;
        archive.write_all(text.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}

/// The profile itself. Output mode "Advanced", because only there the distance of key frames can be set.
fn basic(name: &str) -> String {
    format!(
        "[General]\nName={name}\n\n\
         [Output]\nMode=Advanced\nReconnect=true\nRetryDelay=2\nMaxRetries=25\nDelayEnable=false\n\n\
         [AdvOut]\nEncoder=obs_x264\nAudioEncoder=ffmpeg_aac\nTrackIndex=1\nTrack1Bitrate={AUDIO_KBPS}\n\
         ApplyServiceSettings=true\nRescale=false\n\n\
         [SimpleOutput]\nVBitrate={VIDEO_KBPS}\nABitrate={AUDIO_KBPS}\nStreamEncoder=x264\nUseAdvanced=true\nPreset=veryfast\n\n\
         [Video]\nBaseCX=1920\nBaseCY=1080\nOutputCX=1280\nOutputCY=720\nFPSType=0\nFPSCommon=30\nScaleType=bicubic\n\
         ColorFormat=NV12\nColorSpace=709\nColorRange=Partial\n\n\
         [Audio]\nSampleRate=48000\nChannelSetup=Stereo\n"
    )
}

fn readme(venue: &str, folder: &str) -> String {
    let venue: String = venue.chars().filter(|c| !c.is_control()).collect();
    format!(
        "An OBS profile for {venue}\r\n\r\n\
         1. Unpack this file. Keep the folder \"{folder}\".\r\n\
         2. OBS: Profile, Import, and choose the folder \"{folder}\" (not a file in it).\r\n\
         3. OBS: Profile, {folder}. Then Start Streaming.\r\n\r\n\
         It sets the server, your stream key, H.264 (x264) with {VIDEO_KBPS} kbit/s CBR and a key frame every\r\n\
         {KEYFRAME_SECONDS} s, AAC with {AUDIO_KBPS} kbit/s at 48 kHz, 1280 x 720 with 30 pictures a second. Your other\r\n\
         profiles and your scenes stay as they are. If your computer is slow, choose your graphics card's\r\n\
         encoder under Settings, Output, with the same values.\r\n\r\n\
         service.json holds your stream key: whoever has it can stream as you. Give this folder to nobody, and get\r\n\
         a new one from your page after making a fresh key.\r\n"
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use zip::ZipArchive;

    use super::*;

    fn unpacked(file: Vec<u8>, name: &str) -> String {
        let mut text = String::new();
        ZipArchive::new(Cursor::new(file)).unwrap().by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn profile_has_server_key_and_what_is_recommended() {
        let file = pack("Zum <Anker> & Co", "rtmp://192.168.1.7:1935/live", "the-key").unwrap();
        let service: serde_json::Value =
            serde_json::from_str(&unpacked(file.clone(), "Zum-Anker-Co/service.json")).unwrap();
        assert_eq!(service["type"], "rtmp_custom");
        assert_eq!(
            (&service["settings"]["server"], &service["settings"]["key"]),
            (&json!("rtmp://192.168.1.7:1935/live"), &json!("the-key"))
        );
        let encoder: serde_json::Value =
            serde_json::from_str(&unpacked(file.clone(), "Zum-Anker-Co/streamEncoder.json")).unwrap();
        assert_eq!((&encoder["rate_control"], &encoder["keyint_sec"]), (&json!("CBR"), &json!(2)));
        let basic = unpacked(file.clone(), "Zum-Anker-Co/basic.ini");
        for line in ["Name=Zum-Anker-Co", "Encoder=obs_x264", "Track1Bitrate=160", "SampleRate=48000", "Mode=Advanced"]
        {
            assert!(basic.lines().any(|found| found == line), "{line}: {basic}");
        }
        assert!(unpacked(file, "Zum-Anker-Co/README.txt").contains("Profile, Import"));
    }

    #[test]
    fn folder_has_a_name_that_every_system_takes() {
        for (venue, name) in
            [("Blue Room", "Blue-Room"), ("日本", "Motherstream"), ("../../etc", "etc"), ("A\nName=B", "A-Name-B")]
        {
            assert_eq!(folder(venue), name);
        }
        assert_eq!(folder(&"a".repeat(99)).len(), LONGEST);
    }
}
