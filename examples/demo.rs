//! `make demo`: a box, and three synthetic streamers who register by themselves and take turns.
//!
//! Their pictures, tones, resolutions and frame rates differ. The programme is recorded to `demo/programme.flv`. It ends by
//! itself after 90 s (`MOTHERSTREAM_DEMO_SECONDS`), or on Ctrl-C.

#![expect(clippy::indexing_slicing, reason = "a JSON value gives null for what it does not have")]

use std::{
    error::Error,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    fs::File,
    io::AsyncWriteExt as _,
    process::{Child, Command},
    task::JoinHandle,
    time::sleep,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TURN_SECONDS: u32 = 20;

/// A synthetic streamer.
struct Act {
    name: &'static str,
    about: &'static str,
    picture: &'static str,
    tone_hz: u32,
    sound_rate: u32,
}

const ACTS: [Act; 3] = [
    Act {
        name: "Ada",
        about: "640x360 at 30, a deep tone",
        picture: "testsrc2=s=640x360:r=30",
        tone_hz: 220,
        sound_rate: 48_000,
    },
    Act {
        name: "Blaise",
        about: "1280x720 at 25, a middle tone",
        picture: "smptehdbars=s=1280x720:r=25",
        tone_hz: 330,
        sound_rate: 44_100,
    },
    Act {
        name: "Grace",
        about: "854x480 at 30, a high tone",
        picture: "gradients=s=854x480:r=30:speed=0.02",
        tone_hz: 440,
        sound_rate: 48_000,
    },
];

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::var("MOTHERSTREAM_DEMO_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(90);
    let program = std::env::var_os("MOTHERSTREAM_DEMO_BOX").map_or_else(beside, PathBuf::from);
    let data = tempfile::tempdir()?;
    let mut demo = Demo::start(&program, data.path()).await?;
    let ended = tokio::select! {
        ended = demo.play(Duration::from_secs(seconds)) => ended,
        _ = tokio::signal::ctrl_c() => {
            println!("\nStopped by hand.");
            Ok(())
        }
    };
    demo.end().await?;
    ended
}

/// The program that was built with this example.
fn beside() -> PathBuf {
    let examples = std::env::current_exe().unwrap_or_default();
    examples.ancestors().nth(2).map_or_else(|| PathBuf::from("motherstream"), |folder| folder.join("motherstream"))
}

/// `wanted` if it is free, else any port.
fn port(wanted: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    Ok(listener.local_addr()?.port())
}

struct Demo {
    the_box: Child,
    client: Client,
    page: String,
    rtmp: String,
    token: String,
    recording: PathBuf,
    log: PathBuf,
    recorder: Option<JoinHandle<std::io::Result<u64>>>,
    encoders: Vec<JoinHandle<()>>,
    began: Instant,
}

impl Demo {
    /// Starts a box of its own, on the usual ports if they are free.
    async fn start(program: &Path, data: &Path) -> Result<Self> {
        let (web, rtmp) = (port(8080)?, port(1935)?);
        std::fs::create_dir_all("demo")?;
        let log = PathBuf::from("demo/box.log");
        let said = std::fs::File::create(&log)?;
        let token = format!("demo-{:032x}", rand::random::<u128>());
        let the_box = Command::new(program)
            .arg("run")
            .env("MOTHERSTREAM_DATA_DIR", data)
            .env("MOTHERSTREAM_WEB__LISTEN", format!("0.0.0.0:{web}"))
            .env("MOTHERSTREAM_INGEST__KIND", "embedded")
            .env("MOTHERSTREAM_INGEST__RTMP_LISTEN", format!("0.0.0.0:{rtmp}"))
            .env("MOTHERSTREAM_QUEUE__TURN_SECONDS", TURN_SECONDS.to_string())
            .env("MOTHERSTREAM_ADMIN__TOKEN", &token)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            // Ctrl-C is for the demo, which then stops the box.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut demo = Self {
            the_box,
            client: Client::new(),
            page: format!("http://127.0.0.1:{web}"),
            rtmp: format!("rtmp://127.0.0.1:{rtmp}/live"),
            token,
            recording: PathBuf::from("demo/programme.flv"),
            log,
            recorder: None,
            encoders: Vec::new(),
            began: Instant::now(),
        };
        demo.wait_ready().await?;
        Ok(demo)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..200 {
            if let Some(status) = self.the_box.try_wait()? {
                let said = std::fs::read_to_string(&self.log)?;
                return Err(format!("the box ended: {status}\n{said}").into());
            }
            let answer = self.client.get(format!("{}/readyz", self.page)).bearer_auth(&self.token).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err("the box is not ready after 10 s".into())
    }

    fn say(&self, what: &str) {
        println!("{:5.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.page)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let text = request.send().await?.error_for_status()?.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Everything that is to be seen.
    async fn play(&mut self, length: Duration) -> Result<()> {
        println!("A box of its own is up. Its page: {}   Encoders publish to: {}", self.page, self.rtmp);
        println!("Three streamers take turns of {TURN_SECONDS} s for {} s. Ctrl-C ends it sooner.\n", length.as_secs());
        self.record().await?;
        self.say("nobody is on air: the slate is shown, and the programme is being recorded");
        for act in &ACTS {
            self.enter(act).await?;
            sleep(Duration::from_secs(2)).await;
        }
        let mut before = Scene::default();
        while self.began.elapsed() < length {
            let now = Scene::of(&self.call(reqwest::Method::GET, "/api/v1/queue", None).await?);
            self.tell(&before, &now);
            before = now;
            sleep(Duration::from_millis(200)).await;
        }
        self.say("that was the demo");
        Ok(())
    }

    /// Records the programme as a player on the network would get it.
    async fn record(&mut self) -> Result<()> {
        let made = self.call(reqwest::Method::POST, "/api/v1/viewers", Some(json!({ "label": "demo" }))).await?;
        let token = made["token"].as_str().ok_or("no viewer token")?;
        let stream =
            self.client.get(format!("{}/program.flv?token={token}", self.page)).send().await?.error_for_status()?;
        println!("Watch it live:  ffplay -fflags nobuffer '{}/program.flv?token={token}'\n", self.page);
        self.recorder = Some(tokio::spawn(save(stream, self.recording.clone())));
        Ok(())
    }

    /// A streamer registers and begins to publish; whenever the box ends the turn, the encoder comes back, as OBS does.
    async fn enter(&mut self, act: &'static Act) -> Result<()> {
        let account = json!({ "name": act.name, "password": format!("{}-{:x}", act.name, rand::random::<u64>()) });
        let registered = self.call(reqwest::Method::POST, "/api/v1/accounts", Some(account)).await?;
        let key = registered["stream_key"].as_str().ok_or("no stream key")?.to_owned();
        self.say(&format!("{} has registered and publishes: {}", act.name, act.about));
        let url = format!("{}/{key}", self.rtmp);
        self.encoders.push(tokio::spawn(async move {
            loop {
                if let Ok(mut encoder) = encoder(act, &url) {
                    let _ = encoder.wait().await;
                }
                sleep(Duration::from_secs(2)).await;
            }
        }));
        Ok(())
    }

    /// What has changed, in plain words.
    fn tell(&self, before: &Scene, now: &Scene) {
        let queue = if now.waiting.is_empty() {
            "nobody waits".to_owned()
        } else {
            format!("waiting: {}", now.waiting.join(", "))
        };
        match (&before.on_air, &now.on_air) {
            (old, Some(new)) if old.as_ref() != Some(new) => self.say(&format!("ON AIR: {new}   ({queue})")),
            (Some(old), None) => self.say(&format!("{old} is off; the slate is shown   ({queue})")),
            _ if before.waiting != now.waiting => self.say(&format!("    {queue}")),
            _ => {}
        }
    }

    /// Stops everything, and says what there is to look at.
    async fn end(mut self) -> Result<()> {
        let status = self.call(reqwest::Method::GET, "/api/v1/status", None).await.unwrap_or_default();
        for encoder in &self.encoders {
            encoder.abort();
        }
        if let Some(pid) = self.the_box.id().and_then(|pid| i32::try_from(pid).ok()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
        }
        let stopped = tokio::time::timeout(Duration::from_secs(6), self.the_box.wait()).await;
        if stopped.is_err() {
            self.the_box.kill().await?;
        }
        if let Some(recorder) = self.recorder.take() {
            let bytes = tokio::time::timeout(Duration::from_secs(2), recorder).await;
            let megabytes = bytes.ok().and_then(std::result::Result::ok).and_then(std::result::Result::ok).unwrap_or(0)
                as f64
                / 1e6;
            let takes = status["program"]["takes"].as_u64().unwrap_or(0);
            println!("\n{takes} takes, one unbroken programme: {} ({megabytes:.1} MB)", self.recording.display());
            println!("Play it with ffplay, mpv or VLC. What the box said is in {}.", self.log.display());
        }
        Ok(())
    }
}

/// Writes an endless answer to a file until it ends.
async fn save(mut stream: Response, path: PathBuf) -> std::io::Result<u64> {
    let mut file = File::create(path).await?;
    let mut bytes = 0;
    // The box ends the stream when it stops; either way the recording is over.
    while let Ok(Some(chunk)) = stream.chunk().await {
        file.write_all(&chunk).await?;
        bytes += chunk.len() as u64;
    }
    file.flush().await?;
    Ok(bytes)
}

/// An ffmpeg that draws and plays in real time.
fn encoder(act: &Act, url: &str) -> std::io::Result<Child> {
    let sound = format!("sine=f={}:r={}", act.tone_hz, act.sound_rate);
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", act.picture, "-re", "-f", "lavfi", "-i", &sound])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "50"])
        .args([
            "-b:v", "1200k", "-maxrate", "1200k", "-bufsize", "1200k", "-c:a", "aac", "-b:a", "96k", "-f", "flv", url,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Who is where.
#[derive(Default)]
struct Scene {
    on_air: Option<String>,
    waiting: Vec<String>,
}

impl Scene {
    fn of(queue: &Value) -> Self {
        let name = |entry: &Value| entry["name"].as_str().map(ToOwned::to_owned);
        let on_air =
            Some(&queue["on_air"]).filter(|turn| turn["suspended"] == false).and_then(|turn| name(&turn["entry"]));
        Self { on_air, waiting: queue["waiting"].as_array().into_iter().flatten().filter_map(name).collect() }
    }
}
