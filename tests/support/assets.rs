//! Pre-encoded sources: made once per target folder by ffmpeg, then only copied.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A source with pictures and a sound of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asset {
    /// 640x360 at 30 a second, no B-frames, a key frame every 2 s; 440 Hz in 48 kHz stereo. 90 s.
    A,
    /// 1280x720 at 25 a second, B-frames; 880 Hz in 44.1 kHz mono. 90 s.
    B,
    /// 854x480 at 30 a second; 660 Hz in 48 kHz stereo. 60 s.
    C,
    /// A white flash and a 1 kHz beep begin together every second; 640x360 at 30, 48 kHz stereo. 75 s.
    FlashA,
    /// The same as 1280x720 at 25 with B-frames and 44.1 kHz mono.
    FlashB,
    /// A key frame every 8 s. 60 s.
    LongGop,
    /// Intra refresh: an IDR at the very beginning and never again. 30 s.
    IntraRefresh,
    /// 1 Mbit/s. 60 s.
    OneMbit,
    /// 6 Mbit/s, 1280x720 at 30. 32 s.
    SixMbit,
    /// A clock: the number of the picture as twelve bars, white for one, the lowest bit at the left; 320x180 at 30, a key frame every 4 s. 40 s.
    Clock,
    /// Red all over; 320x180 at 30, 48 kHz stereo. 60 s.
    Red,
    /// Blue all over; the same.
    Blue,
    /// For a machine that is slow: 320x180 at 10; a flash and a 1 kHz beep begin together every second, over a quiet tone of 400 Hz in
    /// 48 kHz stereo. 75 s.
    SlowA,
    /// The same with B-frames, over 800 Hz in 44.1 kHz mono.
    SlowB,
}

/// Bars of [`Asset::Clock`].
pub(crate) const CLOCK_BITS: u32 = 12;

/// Changes when a recipe does.
const VERSION: &str = "assets-3";

impl Asset {
    /// The frequency of its tone.
    pub(crate) fn tone_hz(self) -> f64 {
        match self {
            Self::B => 880.0,
            Self::C => 660.0,
            Self::FlashA | Self::FlashB => 1000.0,
            Self::SlowA => 400.0,
            Self::SlowB => 800.0,
            _ => 440.0,
        }
    }

    /// The FLV file.
    pub(crate) fn path(self) -> PathBuf {
        cached(&format!("{self:?}.flv"), |path| self.encode(path))
    }

    /// `framemd5` of every picture.
    pub(crate) fn picture_sums(self) -> Vec<String> {
        let source = self.path();
        let sums = cached(&format!("{self:?}.sums"), |path| {
            fs::write(path, super::analysis::picture_sums(&source).join("\n")).unwrap();
        });
        fs::read_to_string(sums).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    fn encode(self, path: &Path) {
        let tone = |seconds: u32, rate: u32| format!("sine=f={}:r={rate}:d={seconds}", self.tone_hz());
        let test = |kind: &str, size: &str, rate: u32, seconds: u32| format!("{kind}=s={size}:r={rate}:d={seconds}");
        let flash = |size: &str, rate: u32, colour: &str| {
            // Pictures must differ from each other, so a test picture lies under the flash.
            let picture = test("testsrc2", size, rate, 75);
            format!("{picture},eq=brightness=-0.3,drawbox=color={colour}:t=fill:enable='lt(mod(t,1),0.1)'")
        };
        let beep = |rate: u32| format!("aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s={rate}:d=75");
        let beep_over_tone = |rate: u32| {
            let tone = format!("0.06*sin(2*PI*{}*t)", self.tone_hz());
            format!("aevalsrc='{tone}+0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s={rate}:d=75")
        };
        let (video, audio, channels, options): (String, String, &str, &[&str]) = match self {
            Self::A => {
                (test("testsrc2", "640x360", 30, 90), tone(90, 48_000), "2", &["-bf", "0", "-g", "60", "-b:v", "800k"])
            }
            Self::B => (
                test("testsrc2", "1280x720", 25, 90),
                tone(90, 44_100),
                "1",
                &["-bf", "2", "-g", "50", "-b:v", "1500k"],
            ),
            Self::C => {
                (test("testsrc", "854x480", 30, 60), tone(60, 48_000), "2", &["-bf", "2", "-g", "60", "-b:v", "800k"])
            }
            Self::FlashA => {
                (flash("640x360", 30, "white"), beep(48_000), "2", &["-bf", "0", "-g", "30", "-b:v", "800k"])
            }
            Self::FlashB => {
                (flash("1280x720", 25, "white"), beep(44_100), "1", &["-bf", "2", "-g", "25", "-b:v", "1500k"])
            }
            Self::LongGop => {
                (test("testsrc2", "640x360", 30, 60), tone(60, 48_000), "2", &["-bf", "0", "-g", "240", "-b:v", "800k"])
            }
            Self::IntraRefresh => {
                let refresh = &["-bf", "0", "-b:v", "800k", "-x264-params", "intra-refresh=1:keyint=60"];
                (test("testsrc2", "640x360", 30, 30), tone(30, 48_000), "2", refresh)
            }
            Self::OneMbit => {
                let rate = &["-bf", "0", "-g", "60", "-b:v", "900k", "-minrate", "900k", "-x264-params", "nal-hrd=cbr"];
                (test("testsrc2", "640x360", 30, 60), tone(60, 48_000), "2", rate)
            }
            Self::Clock => {
                let bar = |bit: u32| {
                    let (left, value) = (bit * 24, 1 << bit);
                    format!(",drawbox=x={left}:w=24:color=white:t=fill:enable='mod(floor(n/{value}),2)'")
                };
                let bars: String = (0..CLOCK_BITS).map(bar).collect();
                (
                    format!("color=c=black:s=320x180:r=30:d=40{bars}"),
                    tone(40, 48_000),
                    "2",
                    &["-bf", "0", "-g", "120", "-b:v", "300k"],
                )
            }
            Self::Red | Self::Blue => {
                let colour = format!("color=c={self:?}:s=320x180:r=30:d=60");
                (colour, tone(60, 48_000), "2", &["-bf", "0", "-g", "30", "-b:v", "100k"])
            }
            Self::SlowA => {
                (flash("320x180", 10, "white"), beep_over_tone(48_000), "2", &["-bf", "0", "-g", "20", "-b:v", "200k"])
            }
            Self::SlowB => {
                // Not the other's white: of one size, the two flashes would be one picture.
                (
                    flash("320x180", 10, "0xeeeeee"),
                    beep_over_tone(44_100),
                    "1",
                    &["-bf", "2", "-g", "20", "-b:v", "200k"],
                )
            }
            Self::SixMbit => {
                let noise = ",noise=alls=12:allf=t";
                let rate =
                    &["-bf", "2", "-g", "60", "-b:v", "5900k", "-minrate", "5900k", "-x264-params", "nal-hrd=cbr"];
                (test("testsrc2", "1280x720", 30, 32) + noise, tone(32, 48_000), "2", rate)
            }
        };
        let rate = options[options.iter().position(|option| *option == "-b:v").unwrap() + 1];
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio]);
        command.args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-sc_threshold", "0"]);
        command.args(options).args(["-maxrate", rate, "-bufsize", rate]);
        command.args(["-c:a", "aac", "-b:a", "96k", "-ac", channels, "-f", "flv"]).arg(path);
        run(&mut command);
    }
}

/// Runs a command to its end and gives what it printed; fails with what it complained about.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {complaint}");
    output.stdout
}

/// The file `name` of the cache, made once even if several processes ask at once.
fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VERSION);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    if !path.exists() {
        let lock = File::create(folder.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        if !path.exists() {
            let unfinished = folder.join(format!("unfinished-{name}"));
            make(&unfinished);
            fs::rename(unfinished, &path).unwrap();
        }
    }
    path
}
