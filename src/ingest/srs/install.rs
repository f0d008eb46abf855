//! Which SRS is installed, and whether it can be used.

use std::path::PathBuf;

use crate::config::SrsConfig;

/// An SRS that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The program.
    pub program: PathBuf,
    /// Its version, for example `7.0.18`.
    pub version: String,
}

/// Looks for the program and the configuration file, and asks its version. Blocks for a fraction of a second.
///
/// # Errors
/// What is missing, too old or refused, and what to do, in words for an admin.
pub fn find(config: &SrsConfig) -> Result<Installed, String> {
    Err(format!("{} is not looked for yet", config.binary.display()))
}
