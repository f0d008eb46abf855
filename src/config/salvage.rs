//! What can be read of the data partition's file, whatever became of it: a power cut, a dying card or a hand may have damaged it, and none of
//! that keeps the programme off the air.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use figment::{
    providers::{Format, Toml},
    value::Dict,
};

use super::Problem;

/// The largest file that is read: a hundred keys are a few kilobytes.
const LARGEST: u64 = 256 * 1024;

/// So many lines are left out at most before all of it counts as unreadable.
const MOST_LINES: usize = 100;

/// What could be read.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// TOML, or nothing. Lines that were left out are empty.
    pub(super) text: String,
    /// What was left out, and why.
    pub(super) problems: Vec<Problem>,
}

impl Salvaged {
    fn nothing(path: &Path, reason: impl Into<String>) -> Self {
        Self { text: String::new(), problems: vec![Problem::new(&path.display().to_string(), "", reason)] }
    }
}

/// Reads the file; none if there is none. Blocks for as long as the disk takes, and never on anything that is no file.
pub(super) fn read(path: &Path) -> Option<Salvaged> {
    match content(path) {
        Ok(content) => Some(salvage(path, &content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Salvaged::nothing(path, format!("cannot be read: {error}"))),
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe in its place would be waited for.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("something else stands in the place of the file"));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(content)
}

fn salvage(path: &Path, content: &[u8]) -> Salvaged {
    let name = path.display().to_string();
    let whole = String::from_utf8_lossy(content);
    let mut lines: Vec<&str> = whole.split('\n').collect();
    let mut problems = Vec::new();
    let mut leave_out = |lines: &mut [&str], at: usize, reason: &str| {
        let reason = format!("{reason}; what stood there is left out");
        problems.push(Problem::new(&name, &format!("line {}", at + 1), reason));
        let heads = lines.get(at).is_some_and(|line| line.trim_start().starts_with('['));
        // What follows the head of a section that cannot be read must not fall into the section before.
        let section = lines.iter().skip(at + 1).take_while(|line| heads && !line.trim_start().starts_with('[')).count();
        lines.iter_mut().skip(at).take(1 + section).for_each(|line| *line = "");
    };
    if matches!(whole, std::borrow::Cow::Owned(_)) {
        for at in 0..lines.len() {
            if lines.get(at).is_some_and(|line| line.contains(char::REPLACEMENT_CHARACTER)) {
                leave_out(&mut lines, at, "it is not text (UTF-8)");
            }
        }
    }
    for _ in 0..MOST_LINES {
        let text = lines.join("\n");
        let Err(error) = <Toml as Format>::from_str::<Dict>(&text) else {
            return Salvaged { text, problems };
        };
        let blamed = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count());
        let blamed = blamed.filter(|at| lines.get(*at).is_some_and(|line| !line.trim().is_empty()));
        // The end of something that was never closed.
        let last = || lines.iter().rposition(|line| !line.trim().is_empty());
        let Some(at) = blamed.or_else(last) else { break };
        // The error's own text quotes no line.
        leave_out(&mut lines, at, error.message());
    }
    Salvaged::nothing(path, "it makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salvaged(content: &[u8]) -> (String, Vec<String>) {
        let Salvaged { text, problems } = salvage(Path::new("s"), content);
        (text, problems.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn what_is_whole_is_left_as_it_is() {
        let text = "# by hand\n[queue]\nblock = true\n";
        assert_eq!(salvaged(text.as_bytes()), (text.to_owned(), Vec::new()));
        assert_eq!(salvaged(b""), (String::new(), Vec::new()));
    }

    #[test]
    fn broken_lines_are_left_out_and_named_and_the_rest_is_read() {
        let (text, lines) = salvaged(b"[queue]\nblock = tr\nturn_seconds = 77\n[venue]\nname = \"Blue\n");
        assert_eq!(
            (text.as_str(), lines),
            ("[queue]\n\nturn_seconds = 77\n[venue]\n\n", vec!["line 2".to_owned(), "line 5".to_owned()])
        );
        let (text, lines) = salvaged(b"[venue]\nname = \"Blue\xff\"\n[queue]\nturn_seconds = 77");
        assert_eq!((text.as_str(), lines), ("[venue]\n\n[queue]\nturn_seconds = 77", vec!["line 2".to_owned()]));
    }

    #[test]
    fn keys_below_a_broken_head_do_not_fall_into_the_section_before() {
        let (text, lines) =
            salvaged(b"[queue]\nblock = true\n[accounts\nregistration = \"open\"\n\n[venue]\nname = \"Blue\"");
        assert!(text.contains("block") && text.contains("name") && !text.contains("registration"), "{text}");
        assert_eq!(lines, ["line 3"]);
    }

    #[test]
    fn nothing_is_read_of_what_makes_no_sense_at_all() {
        for content in [vec![0; 4096], b"=\n".repeat(1000), vec![0xff; 100]] {
            let (text, lines) = salvaged(&content);
            assert_eq!(text.trim(), "");
            assert!(!lines.is_empty());
        }
    }
}
