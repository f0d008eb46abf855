//! A full house.

use std::{thread, time::Duration};

use crate::support::{
    analysis,
    assets::Asset,
    boxed::{TheBox, Through},
    publisher::Returning,
    recorder::Recorder,
    seconds, wait,
};

through_both![fifty_publishers_at_once_leave_the_programme_unbroken];

/// Fifty publishers at 1 Mbit/s in the queue at once, one of them on air.
fn fifty_publishers_at_once_leave_the_programme_unbroken(ingest: Through) {
    let platform = Recorder::start();
    let the_box = TheBox::builder().through(ingest).destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    let path = Asset::OneMbit.path();
    let names: Vec<_> = (1..=50).map(|n| format!("Streamer {n}")).collect();
    let encoders: Vec<_> = names
        .iter()
        .map(|name| {
            let streamer = api.register(name);
            // Encoders do not all start in the same instant.
            thread::sleep(Duration::from_millis(100));
            // SRS 7.0.18 loses sight of a stream whose hook is open when its clock strikes, every 3 s: at tens of milliseconds for an
            // answer one in a hundred. The box, which never sees it ready, disconnects it after 20 s, and it comes back.
            Returning::publish(&path, &the_box.publish_url(&streamer.key), seconds(1))
        })
        .collect();
    wait("everybody to be ready", seconds(60), || (api.ready().len() == 49).then_some(()));
    thread::sleep(seconds(4));
    api.skip();
    thread::sleep(seconds(4));
    api.take("Streamer 50");
    api.wait_on_air("Streamer 50", seconds(5));
    thread::sleep(seconds(4));
    wait("everybody but who is on air to be ready", seconds(20), || (api.ready().len() == 49).then_some(()));
    let figures = analysis::figures(&platform.only_session());
    drop(encoders);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
}
