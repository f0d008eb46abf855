//! How OBS does, in words, and what of it is said in the log: one line for each change.

use super::{Status, Streaming, plan::Step};

/// Says in the log what changed; `connected` unless there is no connection to say it of.
pub(super) fn log(before: &Status, status: &Status, connected: bool) {
    if connected && before.left_alone.is_some() != status.left_alone.is_some() {
        let left_alone = status.left_alone.is_some();
        tracing::info!(scene = status.scene, left_alone, "obs is left alone or follows again");
    }
    for problem in status.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        tracing::warn!(error = problem, "obs can not be brought to the mapping");
    }
    if status.streaming == Streaming::GivenUp && before.streaming != Streaming::GivenUp {
        tracing::warn!("obs failed to stream three times, a person is needed");
    }
}

/// What can not be done.
pub(super) fn describe(step: &Step) -> String {
    match step {
        Step::Text { input, .. } => format!("the text of \"{input}\" can not be written"),
        Step::Visible { source, on: true, .. } => format!("\"{source}\" can not be shown"),
        Step::Visible { source, on: false, .. } => format!("\"{source}\" can not be hidden"),
        Step::Restart { input, .. } => format!("\"{input}\" can not begin anew"),
        Step::Switch { scene } => format!("the scene \"{scene}\" can not be shown"),
    }
}
