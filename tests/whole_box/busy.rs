//! A machine that others keep busy, and people who look at much at once.

use std::{fs, io::Cursor, thread, time::Duration};

use crate::support::{
    boxed::{TOKEN, TheBox, process_kilobytes},
    load::under_load,
    recorder::Recorder,
    seconds, wait,
};

/// The longest pause in what arrives at a platform that is promised, whatever else the machine does. Half of it was measured.
const HOLE: Duration = Duration::from_millis(150);

/// Names and niceness of a process's threads.
fn threads(pid: u32) -> Vec<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let look = |folder: std::path::PathBuf| {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let name = stat[stat.find('(')? + 1..stat.rfind(')')?].to_owned();
        let niceness = stat[stat.rfind(')')? + 2..].split_whitespace().nth(16)?.parse().ok()?;
        Some((name, niceness))
    };
    tasks.filter_map(|task| look(task.ok()?.path())).collect()
}

/// Whether whoever runs the tests may let threads go first.
fn may_go_first() -> bool {
    motherstream::precedence::may_go_first().is_ok()
}

#[test]
fn programme_goes_before_pages_and_what_takes_long_goes_behind() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("platform", &platform.url()).start();
    the_box.api.show(true);
    wait("the programme at the platform", seconds(10), || platform.first_picture(0));
    // Something for a blocking thread.
    the_box.api.get("/api/v1/log");
    let own = threads(std::process::id()).iter().map(|(_, niceness)| *niceness).min().unwrap();
    let threads = threads(the_box.pid());
    let of = |name: &str| -> Vec<i32> {
        threads.iter().filter(|(other, _)| other.starts_with(name)).map(|(_, niceness)| *niceness).collect()
    };
    let first = if may_go_first() { own.min(-10) } else { own };
    assert_eq!(of("program"), [first], "what paces the programme: {threads:?}");
    // The source's thread and the sink's own, as GStreamer names them.
    let sending = threads.iter().filter(|(name, _)| name.starts_with("appsrc") || name.starts_with("task"));
    let sending: Vec<_> = sending.collect();
    assert!(sending.len() >= 2, "what sends to the platform has threads of its own: {threads:?}");
    assert!(sending.iter().all(|(_, niceness)| *niceness == first), "what sends to the platform: {threads:?}");
    assert_eq!(of("tokio"), [own, own], "what serves: {threads:?}");
    let behind = of("blocking");
    assert!(!behind.is_empty() && behind.iter().all(|niceness| *niceness == own + 5), "{threads:?}");
    assert_eq!(of("thumbnails"), [(own + 15).min(19)], "{threads:?}");
    let said = the_box.log().contains("may not put the programme before other programs");
    assert_eq!(said, !may_go_first(), "the log says so where the account may not");
    let (_, examined) = the_box.command("doctor");
    assert_eq!(examined.contains("goes before other programs"), may_go_first(), "{examined}");
}

#[test]
fn programme_has_no_hole_while_eight_other_programs_are_busy() {
    let (_the_box, figures) = under_load(8, seconds(20));
    eprintln!("{figures:#?}");
    assert!(figures.faults.is_empty(), "{figures:#?}");
    if may_go_first() {
        // Only by how late the machine woke whoever goes before everybody; a busy machine is what this is about.
        assert!(figures.arrival_gap < HOLE + figures.machine_was_late, "{figures:#?}");
    }
}

/// A photograph's worth of pixels, its left half red and its right half blue, in a file of some hundred kilobytes.
fn photograph() -> Vec<u8> {
    let (width, height) = (6000, 4000);
    let colour = |x, _| if x < width / 2 { image::Rgb([200, 30, 30]) } else { image::Rgb([30, 30, 200]) };
    let mut file = Cursor::new(Vec::new());
    image::RgbImage::from_fn(width, height, colour).write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
    file.into_inner()
}

/// Uploads a slate.
fn upload(address: &str, picture: Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = reqwest::Client::new().put(address).bearer_auth(TOKEN).timeout(seconds(60)).body(picture);
    let answer = runtime.block_on(async { request.send().await.unwrap() });
    assert_eq!(answer.status(), 200);
}

/// Looks at the slate so often at once, and gives a picture that came.
fn look(address: &str, times: usize) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let looks = (0..times).map(|_| {
            let request = client.get(address).bearer_auth(TOKEN).timeout(seconds(60));
            tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap()
            })
        });
        let mut last = None;
        for look in looks.collect::<Vec<_>>() {
            let picture = look.await.unwrap();
            assert!(last.as_ref().is_none_or(|last| *last == picture), "everybody sees the same");
            last = Some(picture);
        }
        last.unwrap().to_vec()
    })
}

#[test]
fn hundred_people_look_at_a_slate_of_24_megapixels_and_it_costs_no_memory() {
    let photograph = photograph();
    // As a file of the configuration, and as an upload.
    for uploaded in [false, true] {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("slate.jpg");
        let mut builder = TheBox::builder();
        if !uploaded {
            fs::write(&file, &photograph).unwrap();
            builder = builder.set("program.slate", file.display());
        }
        let the_box = builder.start();
        if uploaded {
            upload(&the_box.api.url("/api/v1/slate"), photograph.clone());
            thread::sleep(seconds(5));
        }
        let memory = |field: &str| process_kilobytes(the_box.pid(), field) / 1024;
        // From here on the most that it had counts anew.
        fs::write(format!("/proc/{}/clear_refs", the_box.pid()), "5").unwrap();
        thread::sleep(Duration::from_millis(200));
        let before = memory("VmRSS:");
        let picture = look(&the_box.api.url("/api/v1/slate"), 100);
        let most = memory("VmHWM:");
        eprintln!("uploaded {uploaded}: {before} MB before, {most} MB at most");
        assert!(most <= before + 60, "{before} MB before, {most} MB at most");
        let picture = image::load_from_memory(&picture).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (1280, 720));
        let [left, right, edge] = [(400, 360), (900, 360), (40, 360)].map(|(x, y)| picture.get_pixel(x, y).0);
        assert!(left[0] > 150 && left[2] < 80 && right[2] > 150 && right[0] < 80, "{left:?} {right:?}");
        assert!(edge.iter().all(|&level| level < 30), "3:2 stands in the middle of 16:9, on black: {edge:?}");
    }
}
