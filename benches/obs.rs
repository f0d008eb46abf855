//! How soon a real OBS shows the right scene: the whole box, release build, and Debian 13's OBS 30.2 from `scripts/obs-root`. Orders and
//! OBS's events are timed by one clock, here: the time includes the order's way through the API and the event's way back. OBS shows 30
//! pictures a second and cuts; a venue whose transition is a fade sees its end later by the fade.
//!
//! `make bench`, or `cargo bench --bench obs`. Without such an OBS it says so and measures nothing.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a bench"
)]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "tests use what benches do not")]
mod support;
#[path = "../tests/obs/venue.rs"]
#[expect(dead_code, reason = "tests use what benches do not")]
mod venue;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Metronome, boxed::path_part, obs::Observer, seconds, wait};
use venue::{AIR, CHANGE, PAUSE, SOON, Venue};

/// At most so long at the median, in milliseconds.
const LIMIT: f64 = 100.0;

const ROUNDS: usize = 15;

fn main() {
    let Some(venue) = Venue::open() else {
        println!("SKIPPED, NOT MEASURED: there is no OBS; scripts/obs-root makes one");
        return;
    };
    let observer = venue.obs.observe();
    // As many pictures as a venue shows: a switch is told of with the next one.
    observer.request("SetVideoSettings", &json!({ "fpsNumerator": 30, "fpsDenominator": 1 }));
    venue.furnish();
    let _anna = venue.anna();
    venue.the_box.api.wait_on_air("Anna", SOON);
    let _bert = venue.bert();
    venue.the_box.api.wait_ready("Bert", SOON);
    observer.wait_scene(AIR, SOON);
    thread::sleep(seconds(3));

    let metronome = Metronome::start();
    let (mut handovers, mut panics, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = ["Bert", "Anna"][round % 2];
        let id = path_part(&venue.the_box.api.entry(name).unwrap()["id"]);
        let address = format!("/api/v1/queue/entries/{id}/take");
        handovers.push(timed(&observer, CHANGE, || drop(venue.the_box.api.post(&address, &json!({})))));
        venue.the_box.api.wait_on_air(name, SOON);
        observer.wait_scene(AIR, SOON);
        pause(round);
        panics.push(timed(&observer, PAUSE, || venue.slate(true)));
        pause(round);
        returns.push(timed(&observer, AIR, || venue.slate(false)));
        pause(round);
    }

    println!("\n| what | measured | at most | |\n|---|---|---|---|");
    for (what, mut times) in [
        ("from the order of a take to OBS showing the handover's scene, median", handovers),
        ("from the panic button to OBS showing the slate's scene, median", panics),
        ("from the end of the panic slate to OBS showing the scene of the air, median", returns),
    ] {
        times.sort_unstable();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let median = milliseconds(times[times.len() / 2]);
        let verdict = if median <= LIMIT { "holds" } else { "**fails**" };
        println!("| {what} | {median:.1} ms | {LIMIT} ms | {verdict} |");
        eprintln!("{what}: the longest of {} took {:.1} ms", times.len(), milliseconds(times[times.len() - 1]));
    }
    eprintln!("the machine itself woke a thread up to {:.1} ms late", metronome.worst().as_secs_f64() * 1000.0);
}

/// Not always the same place in the group of pictures and in the second.
fn pause(round: usize) {
    thread::sleep(Duration::from_millis(700 + 37 * round as u64));
}

/// From just before the order to OBS's word that the scene is shown.
fn timed(observer: &Observer, scene: &str, order: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    order();
    wait(&format!("OBS to show {scene}"), SOON, || {
        let switches = observer.events_of("CurrentProgramSceneChanged", begin);
        switches.iter().find(|event| event.data["sceneName"] == scene).map(|event| event.at - begin)
    })
}
