//! The CPU of a pull from SRS against `ffmpeg -c copy` that does the same in the same minute: HTTP-FLV from SRS, to nowhere.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Table, streamer_on_air,
    support::{assets::Asset, boxed::TheBox, free_port, real_srs, recorder::Recorder, seconds, srs, wait},
};

/// Ends SRS, which outlives its box.
struct EndOfSrs(SocketAddr);

impl Drop for EndOfSrs {
    fn drop(&mut self) {
        srs::end(self.0);
    }
}

struct Ffmpeg(Child);

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time of a process's threads by their names. The scheduler's own count, in nanoseconds: a pull takes less than the hundredths of a
/// second that `/proc/PID/stat` counts in.
fn threads(pid: u32) -> BTreeMap<String, Duration> {
    let mut times: BTreeMap<String, Duration> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat").split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        *times.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(nanos);
    }
    times
}

fn whole(times: &BTreeMap<String, Duration>) -> f64 {
    times.values().sum::<Duration>().as_secs_f64()
}

/// See the module.
pub(crate) fn pull(table: &mut Table, length: Duration) {
    let Some(program) = real_srs() else {
        eprintln!("*** NOT MEASURED: the CPU of a pull, for want of an SRS ***");
        return;
    };
    let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
    // SRS takes these on all addresses.
    let anywhere = || SocketAddr::from(([0, 0, 0, 0], free_port()));
    let (api, http) = (address(), address());
    let recorder = Recorder::start();
    recorder.keep_no_payload();
    let _end = EndOfSrs(api);
    let the_box = TheBox::builder()
        .set("ingest.kind", "srs")
        .set("ingest.srs.binary", program.display())
        .set("ingest.srs.config", concat!(env!("CARGO_MANIFEST_DIR"), "/srs.conf"))
        .set("ingest.srs.api_listen", api)
        .set("ingest.srs.http_listen", http)
        .set("ingest.srs.hooks_listen", address())
        .set("ingest.srs.srt_listen", anywhere())
        .set("ingest.srs.rtc_listen", anywhere())
        .destination("platform", &recorder.url())
        .start();
    wait("SRS", seconds(20), || srs::pid(api));
    let recorders = [recorder];
    let (streamer, _encoder) = streamer_on_air(&the_box, &recorders, "Anna", Asset::SixMbit);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i", &format!("http://{http}/live/{}.flv", streamer.key)]);
    command.args(["-c", "copy", "-f", "null", "-"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ffmpeg = Ffmpeg(quiet.spawn().unwrap());
    thread::sleep(seconds(5));
    let look = || (threads(the_box.pid()), threads(ffmpeg.0.id()), threads(srs::pid(api).unwrap()));
    let before = look();
    thread::sleep(length);
    let after = look();
    let used = |before: &BTreeMap<String, Duration>, after: &BTreeMap<String, Duration>| {
        let passed = |(name, time): (&String, &Duration)| {
            let earlier = before.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(earlier))
        };
        after.iter().map(passed).collect::<BTreeMap<_, _>>()
    };
    let own = used(&before.0, &after.0);
    for (name, time) in &own {
        eprintln!("  {:.3} s in thread {name}", time.as_secs_f64());
    }
    let pulled: Duration = own.iter().filter(|(name, _)| name.starts_with("pull")).map(|(_, time)| *time).sum();
    let (pulled, peer) = (pulled.as_secs_f64(), whole(&used(&before.1, &after.1)));
    assert!(pulled > 0.0, "the box pulls in a thread that is named so");
    let remark = format!(
        " ({pulled:.2} s against {peer:.2} s in {:.0} s; the whole box {:.2} s, SRS {:.2} s for two pulls)",
        length.as_secs_f64(),
        whole(&own),
        whole(&used(&before.2, &after.2)),
    );
    table.at_most("CPU of a pull from SRS, against ffmpeg's", pulled / peer, 1.2, "times", &remark);
}
