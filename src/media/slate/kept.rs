//! The encoded slate, kept from one start to the next: a start draws and encodes nothing as long as nothing has changed, which on a
//! small board is most of the time that a start takes.

use std::{fs, io, path::Path, sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    SlateError, SlateSettings, draw, drawn_still, encode, encode::SOUNDS, format::PICTURES, picture, picture_duration,
    turn,
};
use crate::{
    core::{
        frame::{AacConfig, AvcConfig, CodecConfig},
        switcher::{SlateLoop, SlatePicture},
    },
    files::{self, Readers},
};

/// Its name in the data folder.
const FILE_NAME: &str = "slate.kept";

/// Larger ones are none of ours.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What the file holds, behind a line with its SHA-256. Bytes are in base64.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// What it was made from.
    key: String,
    video: String,
    pictures: Vec<(bool, String)>,
    audio: String,
    sounds: Vec<String>,
    /// The still picture, for pages: so that looking at the slate decodes nothing.
    still: String,
}

/// The slate of these settings: the one kept in `folder` if it is of the same settings and the same program, else rendered, and kept
/// there for the next time. A file that is damaged is as good as none, and a folder that takes none is no failure.
///
/// # Errors
/// As [`render`].
pub fn kept(folder: &Path, settings: SlateSettings<'_>) -> Result<SlateLoop, SlateError> {
    let path = folder.join(FILE_NAME);
    let key = key(settings);
    if let Some((slate, _)) = key.as_ref().and_then(|key| read(&path, key)) {
        return Ok(slate);
    }
    let _turn = turn();
    let drawing = draw(settings)?;
    let slate = encode(&drawing, settings.tone)?;
    if let Some(key) = key
        && let Err(error) =
            picture::jpeg(&drawing).map_err(io::Error::other).and_then(|still| write(&path, key, &slate, &still))
    {
        tracing::debug!(%error, "the encoded slate is not kept: the next start encodes it anew");
    }
    Ok(slate)
}

/// The slate of these settings as a still picture, a JPEG of 1280 x 720 pixels: the one kept in `folder`, else drawn, which takes a fraction
/// of a second of work. Blocks while another is drawn.
///
/// # Errors
/// As [`super::render`]; of a bad file of the venue's own the built-in picture is given, as it is on the programme.
pub fn still(folder: &Path, settings: SlateSettings<'_>) -> Result<Bytes, SlateError> {
    // Whoever draws it at this moment keeps it.
    let _turn = turn();
    let kept = key(settings).and_then(|key| read(&folder.join(FILE_NAME), &key));
    kept.map_or_else(|| drawn_still(settings), |(_, still)| Ok(still))
}

/// The folder in which the tests that need any slate keep theirs: one beside the test program for all of them. Each runs in a process of
/// its own, and without optimisation drawing the slate takes longer than most of what is tested.
#[cfg(test)]
pub(crate) fn folder_of_tests() -> std::path::PathBuf {
    let folder = std::env::current_exe().expect("a test runs from a file").with_extension("slate");
    fs::create_dir_all(&folder).expect("what the compiler could write beside, a test can");
    folder
}

/// Names all that the slate is made from. None when something of it cannot be read.
fn key(settings: SlateSettings<'_>) -> Option<String> {
    // Another build may draw or encode in another way.
    let program = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let built = program.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {}\n", env!("CARGO_PKG_VERSION"), program.len(), built.as_nanos()));
    hash.update(format!("{}\n{:?} {}\n", gstreamer::version_string(), settings.venue, settings.tone));
    if let Some(file) = settings.picture {
        picture::each_piece(file, |piece| hash.update(piece)).ok()?;
    }
    Some(HEXLOWER.encode(&hash.finalize()))
}

fn read(path: &Path, key: &str) -> Option<(SlateLoop, Bytes)> {
    if fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let (digest, text) = text.split_once('\n')?;
    if digest != digest_of(text) {
        return None;
    }
    let kept: Kept = serde_json::from_str(text).ok()?;
    if kept.key != key {
        return None;
    }
    let bytes = |text: &String| BASE64.decode(text.as_bytes()).ok().map(Bytes::from);
    let pictures: Option<Vec<_>> = kept
        .pictures
        .iter()
        .map(|(keyframe, text)| Some(SlatePicture { payload: bytes(text)?, keyframe: *keyframe }))
        .collect();
    let (pictures, sounds) = (pictures?, kept.sounds.iter().map(bytes).collect::<Option<Vec<_>>>()?);
    if pictures.len() != PICTURES || sounds.len() != SOUNDS {
        return None;
    }
    let slate = SlateLoop {
        video: Arc::new(CodecConfig::Avc(AvcConfig::parse(bytes(&kept.video)?).ok()?)),
        pictures,
        picture_duration: picture_duration(),
        audio: Arc::new(CodecConfig::Aac(AacConfig::parse(bytes(&kept.audio)?).ok()?)),
        sounds,
    };
    Some((slate, bytes(&kept.still)?))
}

fn write(path: &Path, key: String, slate: &SlateLoop, still: &[u8]) -> io::Result<()> {
    let record = |config: &CodecConfig| match config {
        CodecConfig::Avc(config) => BASE64.encode(&config.record),
        CodecConfig::Aac(config) => BASE64.encode(&config.record),
    };
    let pictures = slate.pictures.iter().map(|picture| (picture.keyframe, BASE64.encode(&picture.payload)));
    let kept = Kept {
        key,
        video: record(&slate.video),
        pictures: pictures.collect(),
        audio: record(&slate.audio),
        sounds: slate.sounds.iter().map(|sound| BASE64.encode(sound)).collect(),
        still: BASE64.encode(still),
    };
    let text = serde_json::to_string(&kept)?;
    files::replace(path, format!("{}\n{text}", digest_of(&text)).as_bytes(), Readers::Everybody)
}

fn digest_of(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn settings(venue: &str) -> SlateSettings<'_> {
        SlateSettings { venue, picture: None, tone: false }
    }

    fn same(one: &SlateLoop, other: &SlateLoop) -> bool {
        let payloads = |slate: &SlateLoop| -> Vec<_> {
            slate.pictures.iter().map(|picture| (picture.keyframe, picture.payload.clone())).collect()
        };
        (&one.video, &one.audio, &one.sounds, one.picture_duration)
            == (&other.video, &other.audio, &other.sounds, other.picture_duration)
            && payloads(one) == payloads(other)
    }

    #[test]
    fn kept_slate_is_the_rendered_one_and_is_found_without_rendering() {
        let folder = tempfile::tempdir().unwrap();
        let rendered = kept(folder.path(), settings("Blue Room")).unwrap();
        let path = folder.path().join(FILE_NAME);
        let (found, picture) = read(&path, &key(settings("Blue Room")).unwrap()).unwrap();
        assert!(same(&rendered, &found));
        assert_eq!(still(folder.path(), settings("Blue Room")).unwrap(), picture);
        let nowhere = folder.path().join("no such folder");
        assert_eq!(still(&nowhere, settings("Blue Room")).unwrap(), picture, "it is the one that would be drawn");
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(same(&rendered, &kept(folder.path(), settings("Blue Room")).unwrap()));
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "it was rendered again");
    }

    #[test]
    fn other_settings_are_another_slate() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("own.png");
        image::RgbImage::from_pixel(16, 9, image::Rgb([200, 0, 0])).save(&picture).unwrap();
        let own = |name| SlateSettings { picture: Some(&picture), ..settings(name) };
        let of_red = key(own("A")).unwrap();
        let keys = [key(settings("A")), key(settings("B")), key(SlateSettings { tone: true, ..settings("A") })];
        image::RgbImage::from_pixel(16, 9, image::Rgb([0, 200, 0])).save(&picture).unwrap();
        let all: std::collections::BTreeSet<_> =
            keys.into_iter().flatten().chain([of_red, key(own("A")).unwrap()]).collect();
        assert_eq!(all.len(), 5, "{all:?}");
        fs::remove_file(&picture).unwrap();
        assert_eq!(key(own("A")), None);

        let first = kept(folder.path(), settings("A")).unwrap();
        assert!(!same(&first, &kept(folder.path(), settings("B")).unwrap()));
        assert!(same(&first, &kept(folder.path(), settings("A")).unwrap()));
    }

    #[test]
    fn damaged_file_and_a_folder_that_takes_none_are_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let rendered = kept(folder.path(), settings("A")).unwrap();
        let key = key(settings("A")).unwrap();
        let whole = fs::read(&path).unwrap();
        let half = whole.get(..whole.len() / 2).unwrap().to_vec();
        let mut flipped = whole.clone();
        *flipped.get_mut(whole.len() / 2).unwrap() ^= 1;
        let text =
            serde_json::json!({ "key": key, "video": "", "pictures": [], "audio": "", "sounds": [] }).to_string();
        let empty = format!("{}\n{text}", digest_of(&text)).into_bytes();
        for bad in [Vec::new(), b"\n".to_vec(), half, flipped, vec![0xff; 4096], empty] {
            fs::write(&path, &bad).unwrap();
            assert!(read(&path, &key).is_none());
        }
        assert!(same(&rendered, &kept(folder.path(), settings("A")).unwrap()));
        assert_eq!(fs::read(&path).unwrap(), whole, "it was not kept again");
        let nowhere = folder.path().join("no such folder");
        assert!(same(&rendered, &kept(&nowhere, settings("A")).unwrap()));
    }
}
