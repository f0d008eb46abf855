//! The box's own screen.

use std::{
    fs,
    process::{Child, Stdio},
};

use tempfile::NamedTempFile;

use crate::support::{boxed::TheBox, qr, seconds, wait};

/// `motherstream console`, and all that it has drawn. Ends with its owner.
struct Screen {
    child: Child,
    drawn: NamedTempFile,
}

impl Screen {
    fn of(the_box: &TheBox) -> Self {
        let drawn = NamedTempFile::new().unwrap();
        let out = drawn.reopen().unwrap();
        let child = the_box.invocation("console").stdin(Stdio::null()).stdout(out).spawn().unwrap();
        Self { child, drawn }
    }

    /// Waits until it shows something that holds `text`.
    fn wait_shows(&self, text: &str) -> String {
        wait(&format!("the screen to show {text:?}"), seconds(20), || {
            let drawn = String::from_utf8_lossy(&fs::read(self.drawn.path()).unwrap()).into_owned();
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
