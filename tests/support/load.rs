//! Other programs that take all of the machine that they get, and what is left of the programme then.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    analysis::{self, Figures},
    assets::Asset,
    boxed::TheBox,
    publisher::Encoder,
    recorder::Recorder,
    seconds, wait,
};

/// Programs that count as fast as they can. They end with their owner.
pub(crate) struct Load(Vec<Child>);

impl Load {
    /// So many, at the niceness of whoever asks.
    pub(crate) fn start(programs: usize) -> Self {
        let program = || {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        Self((0..programs).map(|_| program()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A platform that is no part of what is judged: its threads go before everything, where this account may let them.
pub(crate) fn punctual_platform() -> Recorder {
    let start = || {
        let _ = rustix::process::setpriority_process(None, -15);
        Recorder::start()
    };
    thread::spawn(start).join().unwrap()
}

/// What arrives at a platform while so many other programs are busy for so long.
pub(crate) fn under_load(programs: usize, length: Duration) -> (TheBox, Figures) {
    let platform = punctual_platform();
    platform.keep_no_payload();
    let the_box = TheBox::builder().destination("platform", &platform.url()).start();
    let streamer = the_box.api.register("Anna");
    let _encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&streamer.key));
    the_box.api.wait_on_air("Anna", seconds(15));
    wait("the programme at the platform", seconds(10), || platform.first_picture(0));
    thread::sleep(seconds(3));
    let load = Load::start(programs);
    thread::sleep(length);
    drop(load);
    let figures = analysis::figures(&platform.only_session());
    (the_box, figures)
}
