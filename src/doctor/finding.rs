//! What was looked at, and what came out.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// The box works; something to know.
    Note,
    /// The box does not start, or does not do its work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was found, in words.
    pub what: String,
    /// What to do, if anything.
    pub advice: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.grade {
            Grade::Good => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "FAIL",
        };
        write!(f, "{mark}  {}", self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n        -> {advice}"),
            None => Ok(()),
        }
    }
}

pub(super) fn good(what: impl Into<String>) -> Finding {
    Finding { grade: Grade::Good, what: what.into(), advice: None }
}

pub(super) fn note(what: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { grade: Grade::Note, what: what.into(), advice: Some(advice.into()) }
}

pub(super) fn bad(what: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { grade: Grade::Bad, what: what.into(), advice: Some(advice.into()) }
}
