//! Arguments and exit codes; the supervisor does the rest.

use std::{error::Error, io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use motherstream::{
    config::Sources,
    console,
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
    /// Runs the box, also without a command; TERM and INT end it, HUP all but its SRS (for an upgrade)
    Run,
    /// Explains what is missing or wrong on this machine
    Doctor,
    /// Draws the status page of the box's own screen, for ever
    Console,
    /// Prints every key with its value and where it came from; on standard error what the page has set and cannot be
    Config,
}

/// 0: clean. 1: anything but the configuration. 2: the configuration, with file, field and reason; or the arguments.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let sources = Sources::of_process(arguments.config);
    // Nobody may be left to read what is written here: no reason to fail.
    let mut out = std::io::stdout();
    if let Some(Command::Doctor) = arguments.command {
        let findings = doctor::examine(&sources);
        for finding in &findings {
            let _written = writeln!(out, "{finding}");
        }
        return ExitCode::from(u8::from(findings.iter().any(|finding| finding.grade == Grade::Bad)));
    }
    match (sources.load(), arguments.command) {
        (Err(error), _) => failed(2, &error),
        (Ok(loaded), Some(Command::Config)) => {
            let _written = write!(out, "{loaded}");
            let mut err = std::io::stderr();
            let damage = loaded.damage().map(|problem| writeln!(err, "{problem}")).count();
            if damage == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        (Ok(loaded), Some(Command::Console)) => {
            console::run(&loaded.config).map_or_else(|error| failed(1, &error), |()| ExitCode::SUCCESS)
        }
        (Ok(loaded), _) => supervisor::start(loaded).map_or_else(|error| failed(1, &error), |()| ExitCode::SUCCESS),
    }
}

fn failed(code: u8, error: &dyn Error) -> ExitCode {
    let _written = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(code)
}
