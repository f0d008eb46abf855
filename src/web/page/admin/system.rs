//! `/admin/system`: how the machine does, what runs on it, and what was logged.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;

use super::desk::Desk;
use crate::{
    control::{
        backup,
        log::{LogQuery, latest},
        machine::{self, SystemView, UpdateView},
        status::{ready_now, troubles},
    },
    core::words,
    obs::Link,
    telemetry::RecentEvent,
    update::Progress,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            layout::Page,
            ui,
            words::{bytes, zone},
        },
    },
};

/// Lines of the log on one page.
const LINES: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Operator, "/admin/system", show)
}

/// A figure with its bar.
struct GaugeCard {
    name: &'static str,
    /// Of a hundred.
    percent: u32,
    words: String,
    more: String,
}

impl GaugeCard {
    const fn is_red(&self) -> bool {
        self.percent >= 90
    }

    /// The class of its bar.
    fn tone(&self) -> &'static str {
        match self.percent {
            _ if self.is_red() => "meter-bad",
            ..75 => "meter-good",
            _ => "meter-warn",
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn percent(value: f64) -> u32 {
    value.round().clamp(0.0, 100.0) as u32
}

fn gauges(view: &SystemView) -> Vec<GaugeCard> {
    let figures = &view.figures;
    let [one, ..] = figures.load;
    let memory = figures.memory_total_bytes.saturating_sub(figures.memory_available_bytes);
    let disk = figures.disk_total_bytes.saturating_sub(figures.disk_free_bytes);
    let mut gauges = vec![
        GaugeCard {
            name: "Processor",
            percent: percent(figures.cpu_percent),
            words: format!("{:.0} %", figures.cpu_percent),
            more: format!(
                "{:.0} % of it the box's own. Load {one:.1} on {} cores.",
                figures.own_cpu_percent, figures.cpus
            ),
        },
        GaugeCard {
            name: "Memory",
            percent: percent(share(memory, figures.memory_total_bytes)),
            words: format!("{} of {}", bytes(memory), bytes(figures.memory_total_bytes)),
            more: format!("{} of it the box's own.", bytes(figures.own_memory_bytes)),
        },
        GaugeCard {
            name: "Disk",
            percent: percent(share(disk, figures.disk_total_bytes)),
            words: format!("{} free", bytes(figures.disk_free_bytes)),
            more: format!("Of {}.", bytes(figures.disk_total_bytes)),
        },
    ];
    if let Some(celsius) = figures.temperature_celsius {
        gauges.push(GaugeCard {
            name: "Temperature",
            // Boards slow down at 80 to 85 degrees.
            percent: percent(celsius / 85.0 * 100.0),
            words: format!("{celsius:.0} °C"),
            more: figures.temperature_sensor.clone().unwrap_or_default(),
        });
    }
    gauges
}

/// A length of time in days and hours.
fn long(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A line of the log.
struct Line {
    time: String,
    level: &'static str,
    /// The class of its badge.
    tone: &'static str,
    target: String,
    text: String,
}

/// The log: for admins only.
struct Log {
    lines: Vec<Line>,
    level: String,
    search: String,
    /// The same filter, for the download.
    query: String,
    older: Option<String>,
    later: bool,
}

/// The filter.
#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    level: String,
    #[serde(default)]
    search: String,
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "admin/system.html")]
struct System<'a> {
    page: &'a Page,
    desk: Desk,
    view: SystemView,
    gauges: Vec<GaugeCard>,
    /// What does not work.
    troubles: Vec<String>,
    ready: bool,
    /// A backup lies ready for the next start.
    restore_waits: bool,
    /// The box knows Wi-Fi networks, whose passwords a backup can hold.
    has_wifi: bool,
    /// Where the box is an image of its own: for admins.
    machine: Option<Machine>,
    /// A memory disk stands in for the data partition.
    memory_disk: Option<String>,
    /// Settings that this start left out.
    ignored: Vec<String>,
    log: Option<Log>,
}

/// What only the machine can do.
struct Machine {
    update: Option<UpdateView>,
    can_restart: bool,
    venue: String,
}

impl System<'_> {
    fn uptime(&self) -> String {
        long(self.view.uptime_seconds)
    }

    /// A gauge is red.
    fn is_strained(&self) -> bool {
        self.gauges.iter().any(GaugeCard::is_red)
    }

    fn machine_uptime(&self) -> String {
        long(self.view.figures.machine_uptime_seconds)
    }
}

async fn show(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    UrlQuery(filter): UrlQuery<Filter>,
) -> Result<Response, Problem> {
    let view = machine::system(&app.control).await?;
    let ready = ready_now(&app.control);
    let log = if desk.admin { Some(log(&app, filter).await?) } else { None };
    let gauges = gauges(&view);
    let obs = app.control.obs_status().link.clone();
    let obs = matches!(obs, Link::Away { .. })
        .then(|| "The venue's OBS is not connected. Everything else goes on without it.".to_owned());
    let troubles = troubles(&app.control, ready).chain(obs).collect();
    let machine = if desk.admin { about_the_machine(&app).await } else { None };
    let memory_disk = machine::memory_disk(&app.control);
    let restore_waits = backup::is_staged(&app.control);
    let network = app.control.network();
    let has_wifi = network.own && !network.known.is_empty();
    let ignored = app.control.ignored_settings();
    let ready = ready.ready;
    let template = System {
        page: &page,
        desk,
        view,
        gauges,
        troubles,
        ready,
        restore_waits,
        has_wifi,
        machine,
        memory_disk,
        ignored,
        log,
    };
    Ok(page.show(&template))
}

async fn about_the_machine(app: &Arc<App>) -> Option<Machine> {
    if !machine::can_reset(&app.control) {
        return None;
    }
    let venue = app.control.config().venue.name.clone();
    Some(Machine {
        update: machine::updates(&app.control).await.ok(),
        can_restart: machine::can_restart(&app.control),
        venue,
    })
}

async fn log(app: &Arc<App>, filter: Filter) -> Result<Log, Problem> {
    let query = LogQuery {
        level: Some(filter.level.clone()),
        search: Some(filter.search.clone()),
        before: filter.before,
        limit: None,
    };
    let events = latest(&app.control, query, LINES).await?;
    let zone = zone(app);
    let query = |before: Option<u64>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("level", &filter.level).append_pair("search", &filter.search);
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        query.finish()
    };
    let older = events.last().filter(|_| events.len() == LINES).map(|event| query(Some(event.number)));
    let line = |event: RecentEvent| Line {
        time: event.time.to_zoned(zone.clone()).strftime("%d %b %H:%M:%S").to_string(),
        level: event.level,
        tone: match event.level {
            "ERROR" => "badge-bad",
            "WARN" => "badge-warn",
            _ => "",
        },
        target: event.target.trim_start_matches("motherstream::").to_owned(),
        text: event.text,
    };
    let lines = events.into_iter().map(line).collect();
    let all = query(None);
    Ok(Log { lines, query: all, older, later: filter.before.is_some(), level: filter.level, search: filter.search })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_two_figures() {
        for (seconds, text) in [(59, "0 min"), (3700, "1 h 1 min"), (200_000, "2 d 7 h")] {
            assert_eq!(long(seconds), text);
        }
    }
}
