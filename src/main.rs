//! Arguments and exit codes; the supervisor does the rest.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use motherstream::{
    config::Sources,
    doctor::{self, Grade},
    supervisor,
};

/// A box for venues: streamers take turns, the platforms see one unbroken programme.
#[derive(Parser)]
#[command(name = "motherstream", version)]
struct Arguments {
    /// The configuration file, in place of `/etc/motherstream.toml`
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the box; this is what happens without a command
    Run,
    /// Explains what is missing or wrong on this machine
    Doctor,
    /// Prints every key with its value and where it came from
    Config,
}

/// 0: clean. 1: anything but the configuration. 2: the configuration, with file, field and reason; or the arguments.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let sources = Sources::of_process(arguments.config);
    if let Some(Command::Doctor) = arguments.command {
        let findings = doctor::examine(&sources);
        for finding in &findings {
            say(&format!("{finding}\n"));
        }
        return ExitCode::from(u8::from(findings.iter().any(|finding| finding.grade == Grade::Bad)));
    }
    match (sources.load(), arguments.command) {
        (Err(error), _) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        (Ok(loaded), Some(Command::Config)) => {
            say(&loaded.to_string());
            ExitCode::SUCCESS
        }
        (Ok(loaded), _) => match supervisor::start(loaded) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// To stdout, where nobody may be left to read it.
fn say(text: &str) {
    let _written = std::io::stdout().write_all(text.as_bytes());
}
