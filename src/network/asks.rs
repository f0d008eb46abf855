//! What the program asks the machine for, because it needs root: one file in its runtime folder, read and checked by the image's own
//! `motherstream-network.service`. Each line is the whole of what is wanted.

use std::path::PathBuf;

use crate::{
    config::NetworkConfig,
    files::{self, Readers},
};

const FILE: &str = "network";
/// The file that says that the card's `wifi-setup` has done its work.
const FLAG_DONE: &str = "wifi-setup-done";

/// What is wanted beside the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The radio is two interfaces.
    pub(super) second: bool,
    /// Phones on the access point are let through to the venue's network, to sign in on its page.
    pub(super) portal: bool,
}

/// The folder, and what was asked for last.
#[derive(Debug)]
pub(super) struct Asks {
    folder: Option<PathBuf>,
    asked: Option<String>,
}

impl Asks {
    pub(super) const fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, asked: None }
    }

    /// Asks for what is wanted now, unless that was asked for already.
    pub(super) fn ask(&mut self, config: &NetworkConfig, wanted: Wanted) {
        let Some(folder) = &self.folder else { return };
        let text = text(config, wanted);
        if self.asked.as_ref() == Some(&text) {
            return;
        }
        match files::replace(&folder.join(FILE), text.as_bytes(), Readers::Owner) {
            Ok(()) => self.asked = Some(text),
            Err(error) => tracing::warn!(%error, "the machine cannot be asked for what the network needs"),
        }
    }

    /// The card's file `wifi-setup` has done its work, and is to go.
    pub(super) fn flag_is_done(&self) {
        if let Some(folder) = &self.folder
            && let Err(error) = files::replace(&folder.join(FLAG_DONE), b"", Readers::Owner)
        {
            tracing::warn!(%error, "the machine cannot be asked to remove wifi-setup");
        }
    }
}

fn text(config: &NetworkConfig, wanted: Wanted) -> String {
    let yes = |on| if on { "yes" } else { "no" };
    let mut lines = Vec::new();
    if let Some(country) = &config.country {
        lines.push(format!("country {country}"));
    }
    lines.push(format!("check {}", config.check_url.as_deref().unwrap_or("off")));
    lines.push(format!("ntp {}", config.time_servers.join(" ")).trim_end().to_owned());
    lines.push(format!("second {}", yes(wanted.second)));
    lines.push(format!("portal {}", yes(wanted.portal)));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Sources;

    #[test]
    fn wishes_are_written_whole_and_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let environment = [
            ("MOTHERSTREAM_NETWORK__COUNTRY", "DE"),
            ("MOTHERSTREAM_NETWORK__CHECK_URL", "off"),
            ("MOTHERSTREAM_NETWORK__TIME_SERVERS", "[\"one.example\", \"10.0.0.1\"]"),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let sources = Sources { file: None, fallback: folder.path().join("none.toml"), environment };
        let config = sources.load().unwrap().config.network;
        let mut asks = Asks::new(Some(folder.path().to_owned()));
        asks.ask(&config, Wanted { second: true, portal: false });
        let file = folder.path().join("network");
        let whole = "country DE\ncheck off\nntp one.example 10.0.0.1\nsecond yes\nportal no\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), whole);
        // The machine has taken it away.
        fs::remove_file(&file).unwrap();
        asks.ask(&config, Wanted { second: true, portal: false });
        assert!(!file.exists());
        asks.ask(&config, Wanted { second: true, portal: true });
        assert!(fs::read_to_string(&file).unwrap().contains("portal yes"));
        asks.flag_is_done();
        assert!(folder.path().join("wifi-setup-done").exists());
    }
}
