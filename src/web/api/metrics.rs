//! What the box measures, in Prometheus's text format, read from the same snapshots as the pages.

use std::sync::atomic::AtomicU64;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    control::figures::resident_bytes,
    core::destination::DestinationState,
    web::{
        app::App,
        http::problem::{Kind, Problem},
    },
};

type Labels = Vec<(&'static str, String)>;

type Number = Gauge<f64, AtomicU64>;

/// The answer to a scrape.
///
/// # Errors
///
/// 500 when the text cannot be written.
pub(crate) fn answer(app: &App) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &registry(app))
        .map_err(|_| Problem::new(Kind::Internal, "the measurements could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Made afresh for each scrape: what is gone is then gone from the text too.
fn registry(app: &App) -> Registry {
    let mut registry = Registry::with_prefix("motherstream");
    let (media, queue) = (app.control.media_status(), app.control.snapshot());

    let program = &media.program;
    counter(&mut registry, "program_frames", "Frames that left the programme", program.frames);
    counter(&mut registry, "program_takes", "Takes", program.takes);
    counter(
        &mut registry,
        "program_starvations",
        "Times the slate stepped in for a starving input",
        program.starvations,
    );
    let latest = program.latest_tick_ms as f64 / 1000.0;
    number(&mut registry, "program_latest_tick_seconds", "By how much the latest tick of the pacing was late", latest);
    number(&mut registry, "show", "Whether a show is on", f64::from(program.show));

    number(&mut registry, "queue_waiting", "Entries that wait", queue.queue.waiting.len() as f64);
    number(&mut registry, "queue_on_air", "Whether an entry is on air", f64::from(queue.queue.on_air.is_some()));
    number(&mut registry, "inputs", "Open connections of streamers", media.inputs.len() as f64);
    let lost = media.inputs.values().map(|input| input.lost_frames).sum();
    number(&mut registry, "input_lost_frames", "Frames of the open connections that found no room", whole(lost));

    let storing = app.control.storing();
    number(&mut registry, "storing", "Whether the disk takes what is written", f64::from(storing.works));
    number(&mut registry, "stored", "Whether everything that was ordered is on the disk", f64::from(storing.stored));

    ingest(&mut registry, app);
    destinations(&mut registry, app);
    process(&mut registry, app);
    app.http.register(&mut registry);
    registry
}

fn ingest(registry: &mut Registry, app: &App) {
    let status = app.control.ingest_states().borrow().status.clone();
    let up = Family::<Labels, Number>::default();
    up.get_or_create(&vec![("kind", status.kind.to_owned())]).set(f64::from(status.running));
    registry.register("ingest_up", "Whether the ingest takes encoders", up);
    counter(registry, "ingest_restarts", "Times the media server was started again", status.restarts);
}

fn destinations(registry: &mut Registry, app: &App) {
    let bytes = Family::<Labels, Counter>::default();
    let reconnects = Family::<Labels, Counter>::default();
    let dropped = Family::<Labels, Counter>::default();
    let state = Family::<Labels, Number>::default();
    for destination in app.control.destinations() {
        let labels = vec![("destination", destination.name)];
        bytes.get_or_create(&labels).inc_by(destination.status.bytes);
        reconnects.get_or_create(&labels).inc_by(destination.status.reconnects);
        dropped.get_or_create(&labels).inc_by(destination.status.dropped_frames);
        let labels = [labels, vec![("state", state_name(&destination.status.state).to_owned())]].concat();
        state.get_or_create(&labels).set(1.0);
    }
    registry.register("destination_bytes", "Bytes sent to a destination", bytes);
    registry.register("destination_reconnects", "Sessions with a destination after the first", reconnects);
    registry.register("destination_dropped_frames", "Frames a destination did not take in time", dropped);
    registry.register("destination_state", "What a destination does", state);
}

const fn state_name(state: &DestinationState) -> &'static str {
    match state {
        DestinationState::Disabled => "disabled",
        DestinationState::WaitingForShow => "waiting_for_show",
        DestinationState::WaitingForClock => "waiting_for_clock",
        DestinationState::Connecting => "connecting",
        DestinationState::Live => "live",
        DestinationState::BackingOff { .. } => "backing_off",
        DestinationState::Refused { .. } => "refused",
    }
}

fn process(registry: &mut Registry, app: &App) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Counter::<f64, AtomicU64>::default();
    seconds.inc_by(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    registry.register("process_cpu_seconds", "Processor time used", seconds);
    let resident = resident_bytes().unwrap_or_default();
    number(registry, "process_resident_memory_bytes", "Memory in use", whole(resident));
    let uptime = app.control.now().since_start().as_secs_f64();
    number(registry, "process_uptime_seconds", "Time since the process started", uptime);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn number(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Number::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn whole(value: u64) -> f64 {
    value as f64
}
