//! The second step: what the venue is called, and where it is.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use jiff::tz::{self, TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::{
    countries::COUNTRIES,
    step::{COUNT, Step},
};
use crate::{
    config::Config,
    control::{journal::By, settings},
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/setup/venue";

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Admin, PAGE, show).form(Right::Admin, PAGE, save)
}

/// What the form has, and sends.
#[derive(Deserialize)]
struct Filled {
    #[serde(rename = "venue.name")]
    name: String,
    #[serde(rename = "venue.timezone")]
    zone: String,
    #[serde(rename = "network.country", default)]
    country: String,
}

impl Filled {
    fn of(config: &Config) -> Self {
        // The machine's own is the best guess, if anybody has set that.
        let machine = || TimeZone::system().iana_name().filter(|name| name.contains('/')).map(str::to_owned);
        Self {
            name: config.venue.name.clone(),
            zone: config.venue.timezone.clone().or_else(machine).unwrap_or_default(),
            country: config.network.country.clone().unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "setup/venue.html")]
struct VenuePage<'a> {
    page: &'a Page,
    step: Step,
    filled: Filled,
    zones: Vec<String>,
    wrong: Option<Wrong>,
}

/// The names of time zones that people look for.
fn zones() -> Vec<String> {
    let all = tz::db().available().map(|name| name.to_string());
    let mut zones: Vec<_> = all.filter(|name| is_a_place(name)).collect();
    zones.sort_unstable();
    zones.dedup();
    zones
}

fn is_a_place(name: &str) -> bool {
    name == "UTC"
        || ["Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/"]
            .iter()
            .any(|part| name.starts_with(part))
}

/// The time zone that somebody means who types `berlin`, or `new york`. What is none stays as it was typed, and is refused.
fn meant(typed: &str, zones: &[String]) -> String {
    let plain = |text: &str| text.trim().to_lowercase().replace(' ', "_");
    let typed_plain = plain(typed);
    let whole = zones.iter().find(|zone| plain(zone) == typed_plain);
    let place = || zones.iter().find(|zone| zone.rsplit('/').next().is_some_and(|place| plain(place) == typed_plain));
    whole.or_else(place).map_or_else(|| typed.trim().to_owned(), Clone::clone)
}

async fn show(State(app): State<Arc<App>>, mut page: Page) -> Response {
    page.bare = true;
    let filled = Filled::of(&app.control.config());
    page.show(&VenuePage { page: &page, step: Step::Venue, filled, zones: zones(), wrong: None })
}

async fn save(
    State(app): State<Arc<App>>,
    mut page: Page,
    by: By,
    sender: Sender,
    Form(mut filled): Form<Filled>,
) -> Result<Response, Problem> {
    page.bare = true;
    let zones = zones();
    filled.zone = meant(&filled.zone, &zones);
    let now = Filled::of(&app.control.config());
    let text = |text: &str| if text.trim().is_empty() { Value::Null } else { Value::from(text.trim()) };
    let unset = app.control.config().venue.timezone.is_none();
    // What stays as it is may be set where the page cannot change it.
    let edits: BTreeMap<_, _> = [
        (filled.name.trim() != now.name, "venue.name", text(&filled.name)),
        (unset || filled.zone != now.zone, "venue.timezone", text(&filled.zone)),
        (filled.country != now.country, "network.country", text(&filled.country)),
    ]
    .into_iter()
    .filter(|(changed, ..)| *changed)
    .map(|(_, key, value)| (key.to_owned(), value))
    .collect();
    let saved = async {
        if filled.zone.is_empty() {
            return Err(Problem::invalid(
                "venue.timezone",
                "write the time zone, such as Europe/Berlin: times of day are told by it",
            ));
        }
        if !edits.is_empty() {
            settings::change(&app.control, &by, edits).await?;
        }
        Ok(())
    };
    match saved.await {
        Ok(()) => Ok(sender.go(&app, Step::Venue.after(), None)),
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = VenuePage { page: &page, step: Step::Venue, filled, zones, wrong };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_found_however_it_is_typed() {
        let zones: Vec<_> = ["America/New_York", "Europe/Berlin", "UTC"].map(str::to_owned).into();
        for (typed, zone) in [
            ("Europe/Berlin", "Europe/Berlin"),
            (" berlin ", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("utc", "UTC"),
            ("Mars", "Mars"),
            ("", ""),
        ] {
            assert_eq!(meant(typed, &zones), zone, "{typed}");
        }
        assert!(!is_a_place("posix/Europe/Berlin") && !is_a_place("Etc/GMT+3") && is_a_place("Asia/Tokyo"));
    }
}
