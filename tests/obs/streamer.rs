//! OBS as a streamer: the profile that the page offers, put where OBS's import puts it.

use std::{fs, io::Cursor, process::Command};

use serde_json::json;
use tempfile::TempDir;
use zip::ZipArchive;

use crate::support::{boxed::TheBox, obs::RealObs, recorder::Recorder, seconds, wait};

/// The pictures, 1280 x 720 by x264, are made on the machine that runs the tests; a canvas of 1920 x 1080 without a graphics card.
#[test]
fn downloaded_profile_publishes_to_the_box_and_goes_on_air() {
    let Some(mut obs) = RealObs::start() else { return };
    let platform = Recorder::start();
    let the_box = TheBox::builder().set("venue.name", "The Harbour").destination("recorder", &platform.url()).start();
    the_box.api.register("Anna");
    let cookie = the_box.api.sign_in("Anna");

    // Anna's OBS has a scene of hers: green all over.
    let observer = obs.observe();
    let green = json!({
        "sceneName": "Scene", "inputName": "Meadow", "inputKind": "color_source_v3",
        "inputSettings": { "color": 0xff00_ff00_u32, "width": 1920, "height": 1080 },
    });
    observer.request("CreateInput", &green);
    obs.quit();

    let profile = the_box.api.bytes_with_cookie("/me/obs-profile.zip", &cookie);
    let profiles = obs.settings().join("basic/profiles");
    ZipArchive::new(Cursor::new(profile)).unwrap().extract(&profiles).unwrap();
    assert!(
        profiles.join("The-Harbour/basic.ini").is_file(),
        "{:?}",
        fs::read_dir(&profiles).unwrap().collect::<Vec<_>>()
    );
    obs.options(&["--profile", "The-Harbour", "--startstreaming"]);
    obs.run();

    the_box.api.wait_on_air("Anna", seconds(20));
    let input = wait("the interval of key frames", seconds(10), || {
        let status = the_box.api.get("/api/v1/status");
        let inputs = status["inputs"].as_array().cloned().unwrap_or_default();
        inputs.into_iter().find(|input| input["keyframe_interval_seconds"].is_number())
    });
    assert_eq!((&input["width"], &input["height"]), (&json!(1280), &json!(720)), "{input}");
    let interval = input["keyframe_interval_seconds"].as_f64().unwrap();
    assert!((interval - 2.0).abs() < 0.1, "{input}");
    assert!(input["audio_codec"].as_str().unwrap().contains("48000 Hz stereo"), "{input}");

    // At the platform it is her picture.
    let folder = TempDir::new().unwrap();
    let recording = folder.path().join("platform.flv");
    wait("the programme at the platform", seconds(10), || platform.first_picture(0));
    wait("green at the platform", seconds(20), || {
        platform.look(|sessions| sessions.first()?.dump(&recording).ok())?;
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i"]).arg(&recording);
        command.args(["-vf", "scale=1:1:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]);
        // Its last picture may be cut in two.
        let colours = command.output().unwrap().stdout;
        let &[red, green, blue] = colours.rchunks_exact(3).next()? else { return None };
        (green > 150 && red < 100 && blue < 100).then_some(())
    });
}
