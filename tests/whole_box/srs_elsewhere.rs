//! An SRS that the box does not run: a simulated one, a real one, and an edge before an origin. The real ones have the very
//! configuration that `docs/srs.md` tells people to write.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner},
    assets::Asset,
    boxed::{Diary, SrsPorts, TheBox},
    publisher::{Encoder, Returning},
    real_srs,
    recorder::Recorder,
    rtmp::Publisher,
    seconds,
    simulated_srs::SimulatedSrs,
    srs::OwnSrs,
    wait,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "the-origins-own-password";

/// The `number`th block of SRS's configuration in the documentation.
fn documented(number: usize) -> String {
    let text = include_str!("../../docs/srs.md");
    text.split("```nginx\n").nth(number).unwrap().split("```").next().unwrap().to_owned()
}

/// The documented configuration of an origin, or of the only one, at these addresses.
fn origin(ports: &SrsPorts) -> String {
    documented(1)
        .replace("10.0.0.5:1985", &ports.api.to_string())
        .replace("10.0.0.5:8080", &ports.http.to_string())
        .replace("10.0.0.2:8085", &ports.hooks.to_string())
        .replace("allow play 10.0.0.2", "allow play 127.0.0.1")
        .replace("PASSWORD", PASSWORD)
        .replace("SECRET", SECRET)
}

/// A box that uses it, sending to `platform`.
fn box_with(ports: &SrsPorts, rtmp: SocketAddr, platform: &Recorder) -> TheBox {
    TheBox::builder()
        .set("ingest.kind", "auto")
        .set("ingest.srs.api_url", format!("http://box:{PASSWORD}@{}", ports.api))
        .set("ingest.srs.http_url", format!("http://{}", ports.http))
        .set("ingest.srs.rtmp_url", format!("rtmp://{rtmp}/live"))
        .set("ingest.srs.hooks_listen", ports.hooks)
        .set("ingest.srs.hooks_allow", "[\"127.0.0.1\"]")
        .set("ingest.srs.hooks_secret", SECRET)
        .destination("recorder", &platform.url())
        .start()
}

fn wait_running(the_box: &TheBox) {
    wait("the box to find SRS", seconds(10), || {
        (the_box.api.get("/api/v1/status")["ingest"]["running"] == true).then_some(())
    });
}

/// Whose pictures were shown for longer than a second, the slate left out.
fn owners(platform: &Recorder, assets: &[Asset]) -> Vec<Owner> {
    let session = platform.only_session();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    assert_eq!(analysis::remux_complaints(&file), "");
    let stretches = analysis::picture_stretches(&session, &file, 0, assets);
    eprintln!("{}", analysis::describe(&stretches));
    let long = stretches.iter().filter(|stretch| stretch.length_ms() > 1000);
    let mut owners: Vec<_> = long.map(|stretch| stretch.owner).filter(|owner| *owner != Owner::Nobody).collect();
    owners.dedup();
    owners
}

/// The whole way, hooks, API and HTTP-FLV included, where no SRS is installed.
#[test]
fn streamers_of_a_simulated_srs_take_their_turns() {
    let platform = Recorder::start();
    let ports = SrsPorts::free();
    let sim = SimulatedSrs::start(&format!("http://{}/hooks/{SECRET}", ports.hooks));
    sim.media(Asset::A.path());
    let mut the_box = TheBox::builder()
        .set("ingest.kind", "srs")
        .set("ingest.srs.api_url", sim.url())
        .set("ingest.srs.http_url", sim.url())
        .set("ingest.srs.rtmp_url", "rtmp://127.0.0.1:1935/live")
        .set("ingest.srs.hooks_listen", ports.hooks)
        .set("ingest.srs.hooks_secret", SECRET)
        .destination("recorder", &platform.url())
        .start();
    let api = the_box.api.clone();
    let _diary = Diary::keep(&the_box);
    wait_running(&the_box);
    let [a, b] = ["Anna", "Bert"].map(|name| api.register(name));
    let anna = sim.publish("live", &a.key).unwrap();
    api.wait_on_air("Anna", seconds(10));
    let bert = sim.publish("live", &b.key).unwrap();
    api.wait_ready("Bert", seconds(15));
    assert!(sim.publish("live", "nobody-has-this-key").is_err());
    thread::sleep(seconds(2));
    api.skip();
    api.wait_on_air("Bert", seconds(8));
    wait("Anna to be disconnected", seconds(5), || (!anna.is_connected()).then_some(()));
    thread::sleep(seconds(2));
    let again = sim.publish("live", &b.key).unwrap();
    assert!(!bert.is_connected(), "a takeover");
    thread::sleep(seconds(3));
    assert_eq!(api.on_air().as_deref(), Some("Bert"));
    let figures = analysis::figures(&platform.only_session());
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);

    // The box is killed; nobody reconnects, and the turn goes on.
    the_box.kill();
    the_box.boot();
    the_box.wait_ready();
    api.wait_on_air("Bert", seconds(10));
    assert!(again.is_connected());
    assert_eq!(sim.live(), [again.id().to_owned()]);
}

#[test]
fn an_srs_elsewhere_is_used_as_documented_and_may_go_and_come_back() {
    if real_srs().is_none() {
        return;
    }
    let platform = Recorder::start();
    let (ports, rtmp) = (SrsPorts::free(), OwnSrs::address());
    let mut srs = OwnSrs::start(rtmp, &origin(&ports));
    let the_box = box_with(&ports, rtmp, &platform);
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    wait_running(&the_box);
    let status = api.get("/api/v1/status");
    assert_eq!(status["ingest"]["kind"], "srs elsewhere", "{status}");
    let [a, b] = ["Anna", "Bert"].map(|name| api.register(name));
    let _anna = Returning::publish(&Asset::A.path(), &srs.publish_url(&a.key), Duration::from_millis(500));
    api.wait_on_air("Anna", seconds(10));
    let bert = Encoder::publish(&Asset::B.path(), &srs.publish_url(&b.key));
    api.wait_ready("Bert", seconds(10));
    assert!(Publisher::publish(rtmp, "live", "nobody-has-this-key").is_err());
    api.skip();
    api.wait_on_air("Bert", seconds(8));
    thread::sleep(seconds(3));
    api.wait_ready("Anna", seconds(10));

    srs.kill();
    bert.wait_end(seconds(5));
    thread::sleep(seconds(6));
    let status = api.get("/api/v1/status");
    assert_eq!(status["ingest"]["running"], false, "{status}");
    assert!(!status.to_string().contains(PASSWORD), "a password in the status: {status}");
    let begin = Instant::now();
    srs.run();
    api.wait_on_air("Anna", seconds(20));
    eprintln!("Anna was on air {:?} after SRS was back", begin.elapsed());
    thread::sleep(seconds(4));
    let [a, b] = [Owner::Source(Asset::A), Owner::Source(Asset::B)];
    assert_eq!(owners(&platform, &[Asset::A, Asset::B]), [a, b, a]);
    assert!(!the_box.log().contains(PASSWORD), "a password in the log");
}

/// The encoders publish to an edge, which asks nobody; the origin, to which it passes them on, asks the box.
#[test]
fn encoders_at_an_edge_take_their_turns_from_the_origin() {
    if real_srs().is_none() {
        return;
    }
    let platform = Recorder::start();
    let (ports, at_origin, at_edge) = (SrsPorts::free(), OwnSrs::address(), OwnSrs::address());
    let center = OwnSrs::start(at_origin, &origin(&ports));
    let edge = OwnSrs::start(at_edge, &documented(2).replace("10.0.0.5:1935", &at_origin.to_string()));
    let the_box = box_with(&ports, at_edge, &platform);
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    wait_running(&the_box);
    let [a, b, c] = ["Anna", "Bert", "Cleo"].map(|name| api.register(name));
    let anna = Encoder::publish(&Asset::A.path(), &edge.publish_url(&a.key));
    api.wait_on_air("Anna", seconds(10));
    let bert = Encoder::publish(&Asset::B.path(), &edge.publish_url(&b.key));
    api.wait_ready("Bert", seconds(10));
    let _cleo = Encoder::publish(&Asset::C.path(), &center.publish_url(&c.key));
    api.wait_ready("Cleo", seconds(10));
    let stranger = Encoder::publish(&Asset::C.path(), &edge.publish_url("nobody-has-this-key"));
    stranger.wait_end(seconds(5));
    thread::sleep(seconds(2));
    api.skip();
    api.wait_on_air("Bert", seconds(8));
    // Told to the origin, done by the edge.
    anna.wait_end(seconds(5));
    thread::sleep(seconds(4));
    // Comes back at the origin while the edge still has the old one: a takeover.
    let again = Encoder::publish(&Asset::A.path(), &center.publish_url(&b.key));
    bert.wait_end(seconds(5));
    thread::sleep(seconds(4));
    assert_eq!(api.on_air().as_deref(), Some("Bert"));
    again.kill();
    api.wait_on_air("Cleo", seconds(8));
    thread::sleep(seconds(4));
    let [a, b, c] = [Owner::Source(Asset::A), Owner::Source(Asset::B), Owner::Source(Asset::C)];
    assert_eq!(owners(&platform, &[Asset::A, Asset::B, Asset::C]), [a, b, a, c]);
}
