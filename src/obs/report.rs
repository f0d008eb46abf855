//! How OBS does, in words, and what of it is said in the log: one line for each change.

use super::{Status, Streaming, plan::Step};

/// Says in the log what changed; `connected` unless there is no connection to say it of.
pub(super) fn log(before: &Status, status: &Status, connected: bool) {
    if connected && before.left_alone.is_some() != status.left_alone.is_some() {
        let left_alone = status.left_alone.is_some();
        tracing::info!(scene = status.scene, left_alone, "obs is left alone or follows again");
    }
    for problem in status.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        tracing::warn!(error = problem, "obs cannot be brought to the mapping");
    }
    if status.streaming == Streaming::GivenUp && before.streaming != Streaming::GivenUp {
        tracing::warn!("obs failed to stream three times, a person is needed");
    }
}

/// What cannot be done.
pub(super) fn describe(step: &Step) -> String {
    match step {
        Step::Text { input, .. } => format!("the text of \"{input}\" cannot be written"),
        Step::Visible { source, on: true, .. } => format!("\"{source}\" cannot be shown"),
        Step::Visible { source, on: false, .. } => format!("\"{source}\" cannot be hidden"),
        Step::Restart { input, .. } => format!("\"{input}\" cannot begin anew"),
        Step::Switch { scene } => format!("the scene \"{scene}\" cannot be shown"),
    }
}
