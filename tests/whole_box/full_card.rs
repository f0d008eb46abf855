//! The card is full in the middle of a show. What comes off the screens comes off all the same.

use std::{
    cell::Cell,
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    thread,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    analysis::{self, Owner},
    assets::Asset,
    boxed::{TheBox, path_part},
    publisher::Encoder,
    recorder::Recorder,
    rtmp::{PublishError, Publisher},
    seconds, wait,
};

/// A small disk in memory, as long as it is held.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where this user may not mount anything.
    fn mount() -> Option<Self> {
        let folder = tempfile::TempDir::new().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut file = File::create(self.path().join("fill")).unwrap();
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.path().join("fill")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn everything_that_makes_a_show_safe_acts_on_a_full_card() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "this test mounts a small disk and has to run as root in CI");
        eprintln!("NOT TESTED: a full card. This test mounts a small disk, which only root may do: run it as root.");
        return;
    };
    let platforms = [Recorder::start(), Recorder::start()];
    let mut the_box = TheBox::builder().set("data_dir", disk.path().join("data").display()).start();
    let api = the_box.api.clone();
    let destinations = ["One", "Two"].iter().zip(&platforms).map(|(name, platform)| {
        api.post(
            "/api/v1/destinations",
            &json!({"name": name, "url": platform.url(), "key": "secret", "enabled": true}),
        )
    });
    let destinations: Vec<Value> = destinations.collect();
    let [anna, bert, cleo, dora] = ["Anna", "Bert", "Cleo", "Dora"].map(|name| api.register(name));
    api.show(true);
    wait("the slate at both platforms", seconds(5), || {
        platforms.iter().all(|platform| platform.first_picture(0).is_some()).then_some(())
    });
    thread::sleep(seconds(6));
    let slate_until_ms = platforms[0].look(|sessions| sessions[0].records.last().unwrap().time);
    let _anna = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&anna.key));
    api.wait_on_air("Anna", seconds(10));
    let _bert = Encoder::publish(&Asset::C.path(), &the_box.publish_url(&bert.key));
    api.wait_ready("Bert", seconds(10));
    let mut others =
        [&cleo, &dora].map(|streamer| Encoder::publish(&Asset::FlashA.path(), &the_box.publish_url(&streamer.key)));
    for name in ["Cleo", "Dora"] {
        api.wait_ready(name, seconds(10));
    }
    thread::sleep(seconds(3));

    disk.fill();
    // What the file had left is used up.
    wait("a card that takes nothing", seconds(30), || {
        let label = json!({"label": "x".repeat(64)});
        let refused =
            (0..6).all(|_| api.try_call(&Method::POST, "/api/v1/invitations", Some(&label)).unwrap().0 == 503);
        refused.then_some(())
    });
    wait("the box to say so", seconds(5), || {
        let (status, ready) = api.try_call(&Method::GET, "/readyz", None).unwrap();
        (status == 503 && ready["detail"].as_str().unwrap().contains("storing")).then_some(())
    });

    let unstored = Cell::new(0);
    let done = |method: Method, path: &str, body: Value| {
        let (status, answer) = api.try_call(&method, path, Some(&body)).unwrap();
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        assert!(status != 202 || answer["stored"] == false, "{path}: {answer}");
        // A small change may find room in the file itself now and then.
        unstored.set(unstored.get() + usize::from(status == 202));
    };
    let entry = |name: &str| format!("/api/v1/queue/entries/{}", path_part(&api.entry(name).unwrap()["id"]));
    done(Method::POST, "/api/v1/queue/slate", json!({"on": true}));
    assert_eq!(api.queue()["forced_slate"], true);
    thread::sleep(seconds(5));
    done(Method::POST, "/api/v1/queue/slate", json!({"on": false}));
    thread::sleep(seconds(5));
    done(Method::POST, &format!("{}/kick", entry("Cleo")), json!({}));
    done(Method::POST, &format!("/api/v1/accounts/{}/ban", path_part(&dora.id)), json!({}));
    wait("the end of both connections", seconds(10), || others.iter_mut().all(Encoder::has_ended).then_some(()));
    for (name, key) in [("Cleo", &cleo.key), ("Dora", &dora.key)] {
        assert!(api.entry(name).is_none(), "{name} is in the queue");
        let again = Publisher::publish(the_box.rtmp, "live", key).map(|_| ());
        assert!(matches!(again, Err(PublishError::Refused { .. })), "{name}: {again:?}");
    }
    done(Method::POST, "/api/v1/queue/skip", json!({}));
    api.wait_on_air("Bert", seconds(10));
    thread::sleep(seconds(5));
    done(Method::POST, "/api/v1/queue/hold", json!({"on": true}));
    done(Method::POST, &format!("{}/kick", entry("Bert")), json!({}));
    wait("nobody on air", seconds(10), || api.on_air().is_none().then_some(()));
    thread::sleep(seconds(5));
    done(
        Method::PUT,
        &format!("/api/v1/destinations/{}/enabled", path_part(&destinations[1]["id"])),
        json!({"on": false}),
    );
    wait("the end at the second platform", seconds(10), || platforms[1].look(|all| all[0].ended.map(drop)));
    assert!(platforms[0].look(|all| all[0].ended.is_none()), "the other goes on");
    done(Method::PUT, "/api/v1/show", json!({"on": false}));
    wait("the end at the first platform", seconds(10), || platforms[0].look(|all| all[0].ended.map(drop)));

    assert!(unstored.get() > 0, "the card was never full");

    // At the platform: each order was seen.
    let session = platforms[0].only_session();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("seen.flv");
    session.dump(&file).unwrap();
    let all = analysis::picture_stretches(&session, &file, slate_until_ms, &[Asset::A, Asset::C, Asset::FlashA]);
    let long = all.iter().filter(|stretch| stretch.length_ms() > 1500).map(|stretch| stretch.owner);
    let mut seen: Vec<_> = long.collect();
    seen.dedup();
    let [slate, a, c] = [Owner::Slate, Owner::Source(Asset::A), Owner::Source(Asset::C)];
    assert_eq!(seen, [slate, a, slate, a, c, slate], "\n{}", analysis::describe(&all));
    assert!(analysis::figures(&session).faults.is_empty(), "the programme never broke");

    disk.free();
    assert_all_is_stored(&mut the_box);
}

/// There is room again, and everything that was done is stored by itself.
fn assert_all_is_stored(the_box: &mut TheBox) {
    let api = the_box.api.clone();
    wait("everything stored", seconds(15), || (api.queue()["stored"] == true).then_some(()));
    the_box.kill();
    the_box.boot();
    the_box.wait_ready();
    let queue = api.queue();
    assert_eq!((&queue["hold"], &queue["forced_slate"], &queue["show"]), (&json!(true), &json!(false), &json!(false)));
    let accounts = api.get("/api/v1/accounts");
    assert!(accounts.as_array().unwrap().iter().any(|one| one["name"] == "Dora" && one["banned"] == true));
    let destinations = api.get("/api/v1/destinations");
    for one in destinations.as_array().unwrap() {
        assert_eq!(one["enabled"] == true, one["name"] == "One", "{one}");
    }
    assert!(the_box.stop().success());
}
