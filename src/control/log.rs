//! The latest of what the box logged. Secrets are redacted by their types when something is logged; what went in as plain text
//! nevertheless (a line of another program, a platform's answer) is gone through here once more.

use std::collections::HashSet;

use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tracing::Level;

use super::{denied::Denied, room::Control};
use crate::{core::account::KEY_SYMBOLS, telemetry::RecentEvent};

/// Events of one answer at most.
pub(crate) const MOST: usize = 1000;

/// The longest text that is looked for.
const LONGEST_SEARCH: usize = 100;

/// Shorter secrets would take ordinary words with them.
const SHORTEST: usize = 6;

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";

/// The events that somebody asks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LogQuery {
    /// At least so severe: `error`, `warn`, `info`, `debug` or `trace`; everything that was kept without it.
    pub(crate) level: Option<String>,
    /// Only events whose text holds this, in whatever case.
    pub(crate) search: Option<String>,
    /// Only events before the one with this number.
    pub(crate) before: Option<u64>,
    /// How many at most.
    pub(crate) limit: Option<usize>,
}

struct Wanted {
    level: Level,
    search: String,
    before: Option<u64>,
    limit: usize,
}

impl LogQuery {
    fn wanted(self, usual: usize) -> Result<Wanted, Denied> {
        let level = match self.level.unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "trace" => Level::TRACE,
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" => Level::WARN,
            "error" => Level::ERROR,
            _ => return Err(Denied::invalid("level", "use error, warn, info, debug or trace")),
        };
        let search = self.search.unwrap_or_default().trim().to_lowercase();
        if search.len() > LONGEST_SEARCH {
            return Err(Denied::invalid("search", format!("use at most {LONGEST_SEARCH} characters")));
        }
        let limit = self.limit.unwrap_or(usual).clamp(1, MOST);
        Ok(Wanted { level, search, before: self.before, limit })
    }
}

/// The latest events that are asked for, the latest first, without secrets; `usual` at most unless the query says how many.
///
/// # Errors
/// The part of the query that does not fit.
pub(crate) async fn latest(control: &Control, query: LogQuery, usual: usize) -> Result<Vec<RecentEvent>, Denied> {
    let Wanted { level, search, before, limit } = query.wanted(usual)?;
    let control = control.clone();
    let turn = control.room().heavy.clone().lock_owned().await;
    // Going through a thousand lines for a few hundred keys is too long for the threads that serve.
    let found = spawn_blocking(move || {
        let _turn = turn;
        let secrets = Secrets::of(&control);
        let mut events = control.parts().recent.latest(level, before);
        for event in &mut events {
            event.text = secrets.hide(&event.text);
        }
        // Afterwards: what is hidden cannot be felt for either.
        let holds = |text: &str| text.to_lowercase().contains(&search);
        events.retain(|event| holds(&event.text) || holds(&event.target));
        events.truncate(limit);
        events
    });
    found.await.map_err(|_| Denied::BrokenOff)
}

/// Everything that the box knows to be a secret.
struct Secrets {
    stream_keys: HashSet<String>,
    others: Vec<String>,
}

impl Secrets {
    fn of(control: &Control) -> Self {
        let accounts = control.parts().accounts.list();
        let keys = accounts.iter().filter_map(|account| control.parts().accounts.stream_key(account.id));
        let config = control.config();
        let srs = &config.ingest.srs;
        let configured = [&config.admin.token, &config.web.metrics_token, &srs.hooks_secret, &srs.api_url]
            .into_iter()
            .flatten()
            .cloned();
        let destinations = control.parts().destinations.all().into_iter().map(|destination| destination.key);
        let mut others: Vec<String> = configured
            .chain(destinations)
            .map(|secret| secret.expose_secret().to_owned())
            .chain([control.parts().machine.expose().to_owned()])
            .filter(|secret| secret.len() >= SHORTEST)
            .collect();
        // Longer ones first: one may be a part of another.
        others.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { stream_keys: keys.map(|key| key.expose().to_ascii_lowercase()).collect(), others }
    }

    fn hide(&self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if bare.len() == KEY_SYMBOLS && self.stream_keys.contains(&bare.to_ascii_lowercase()) {
                hidden.push_str(REDACTED);
                hidden.push_str(word.get(bare.len()..).unwrap_or_default());
            } else {
                hidden.push_str(word);
            }
        }
        self.others
            .iter()
            .fold(hidden, |text, secret| if text.contains(secret) { text.replace(secret, REDACTED) } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let key = "0123456789abcdefghjkmnpqrs";
        let secrets = Secrets {
            stream_keys: HashSet::from([key.to_owned()]),
            others: vec!["live_1_abcdef".to_owned(), "a-long-token".to_owned()],
        };
        let text = format!("publish rtmp://box/live/{key}?x=1 key={key}, Bearer a-long-token, to app/live_1_abcdef");
        assert_eq!(
            secrets.hide(&text),
            "publish rtmp://box/live/[redacted]?x=1 key=[redacted], Bearer [redacted], to app/[redacted]"
        );
        assert_eq!(secrets.hide("zoë — nothing here"), "zoë — nothing here");
    }
}
