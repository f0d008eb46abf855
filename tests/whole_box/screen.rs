//! The box's own screen.

use std::{
    io::Read as _,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{boxed::TheBox, qr, seconds, wait};

/// `motherstream console`, and all that it has drawn. Ends with its owner.
struct Screen {
    child: Child,
    drawn: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    fn of(the_box: &TheBox) -> Self {
        let mut child = the_box.invocation("console").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let (mut out, kept) = (child.stdout.take().unwrap(), drawn.clone());
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut some) {
                kept.lock().unwrap().extend_from_slice(&some[..length]);
            }
        });
        Self { child, drawn }
    }

    /// Waits until it shows something that holds `text`.
    fn wait_shows(&self, text: &str) -> String {
        wait(&format!("the screen to show {text:?}"), seconds(20), || {
            let drawn = String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned();
            Some(qr::screen(&drawn).to_owned()).filter(|shown| shown.contains(text))
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_screen_shows_the_page_as_a_code_that_a_camera_reads_and_says_when_the_box_is_down() {
    let mut the_box = TheBox::builder().set("web.public_host", "192.168.1.7").set("venue.name", "Blue Room").start();
    let told = the_box.api.get("/api/v1/console");
    let screen = Screen::of(&the_box);
    let shown = screen.wait_shows("Everything works.");
    let page = told["pages"][0].as_str().unwrap();
    assert!(page.contains("192.168.1.7"), "{told}");
    assert_eq!(qr::read(&shown).as_deref(), Some(page), "{shown}");
    assert!(shown.contains("Blue Room") && shown.contains("Nobody is on air."), "{shown}");

    the_box.kill();
    let shown = screen.wait_shows("The box is not ready");
    assert_eq!(qr::read(&shown), None, "{shown}");
    the_box.boot();
    let shown = screen.wait_shows("Everything works.");
    assert_eq!(qr::read(&shown).as_deref(), Some(page), "{shown}");
}
