//! The venue's OBS, where one is set: whether it answers, and what is in the way if not.

use std::time::Duration;

use super::finding::{Finding, good, note};
use crate::{
    config::ObsConfig,
    obs::{Obs, Target, Trouble},
};

/// How long OBS is waited for: a doctor who says nothing is none.
const LIMIT: Duration = Duration::from_secs(6);

/// Asks it, on a runtime of its own: the doctor has none.
pub(super) fn examine(config: &ObsConfig) -> Option<Finding> {
    let host = config.host.clone()?;
    let what = format!("OBS at {host}:{}", config.port);
    let target = Target { host, port: config.port, password: config.password.clone() };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(note(format!("{what} was not asked: {error}"), "try again")),
    };
    let found = runtime
        .block_on(async { tokio::time::timeout(LIMIT, Obs::try_out(&target)).await.unwrap_or(Err(Trouble::Frozen)) });
    // A lookup of a name may hang in a thread of its own.
    runtime.shutdown_background();
    Some(told(&what, found))
}

/// The box does its work without OBS, so nothing of this is a failure of the box.
fn told(what: &str, found: Result<String, Trouble>) -> Finding {
    match found {
        Ok(version) => good(format!("{what} answers: OBS {version}")),
        Err(trouble) => note(format!("{what} is not connected"), trouble.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::TcpListener;

    use super::*;
    use crate::{config::Sources, doctor::Grade};

    fn config(host: Option<&str>, port: u16) -> ObsConfig {
        let folder = tempfile::TempDir::new().unwrap();
        let sources = Sources { file: None, fallback: folder.path().join("none.toml"), environment: Vec::new() };
        ObsConfig { host: host.map(str::to_owned), port, ..sources.load().unwrap().config.obs }
    }

    #[test]
    fn box_without_an_obs_is_not_asked_about_one() {
        assert_eq!(examine(&config(None, 4455)), None);
    }

    #[test]
    fn obs_that_is_not_there_is_a_note_with_what_to_look_at() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let found = examine(&config(Some("127.0.0.1"), port)).unwrap();
        assert_eq!(found.grade, Grade::Note);
        assert_eq!(found.what, format!("OBS at 127.0.0.1:{port} is not connected"));
        assert!(found.advice.unwrap().contains("WebSocket Server Settings"));
    }

    #[test]
    fn trouble_is_told_in_its_own_words_and_a_version_is_good() {
        assert_eq!(told("OBS", Ok("30.2.3".to_owned())).grade, Grade::Good);
        let wrong = told("OBS", Err(Trouble::WrongPassword));
        assert_eq!(wrong.advice.unwrap(), Trouble::WrongPassword.to_string());
    }
}
