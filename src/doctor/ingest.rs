//! Which ingest would run and why, and whether it can.

use std::path::Path;

use secrecy::ExposeSecret;
use url::{Host, Url};

use super::{
    finding::{Finding, bad, good, note},
    port::port,
};
use crate::{
    config::{Config, IngestConfig, IngestKind},
    ingest::{
        self,
        srs::{
            api::Api,
            check,
            install::{self, Held, ports},
        },
    },
};

/// The ingest that would run. `running` says that a box runs on this store.
pub(super) fn examine(config: &Config, running: bool) -> Vec<Finding> {
    let wanted = &config.ingest;
    let choice = ingest::choose(wanted);
    if !choice.srs {
        let what = format!("ingest: embedded (RTMP alone), because {}", choice.because);
        let chosen = match wanted.kind {
            IngestKind::Auto => note(what, "SRT and WebRTC come with the SRS media server, 6.0 or newer: docs/srs.md"),
            _ => good(what),
        };
        return vec![chosen, port("ingest.rtmp_listen", wanted.rtmp_listen, running)];
    }
    let mut findings = vec![good(format!("ingest: SRS, because {}", choice.because))];
    if wanted.srs.api_url.is_some() {
        findings.push(elsewhere(wanted));
        findings.extend(callers(wanted));
    } else {
        let folder = config.data_dir.join("srs");
        findings.extend(installed(wanted, &folder));
        findings.extend(ports::all(wanted).iter().map(|port| held(port, &folder)));
    }
    findings.push(port("ingest.srs.hooks_listen", wanted.srs.hooks_listen, running));
    findings
}

/// Program, version and configuration.
fn installed(config: &IngestConfig, folder: &Path) -> Vec<Finding> {
    let found = match install::find(&config.srs) {
        Ok(found) => found,
        Err(reason) => {
            let (what, advice) = reason.split_once("; ").unwrap_or((&reason, "see docs/srs.md"));
            return vec![bad(format!("SRS: {what}"), advice)];
        }
    };
    let file = found.config.display();
    let checked = match check(&found, config, folder) {
        Ok(()) => good(format!("SRS accepts its configuration {file}")),
        Err(reason) => bad(
            format!("SRS refuses its configuration {file}: {reason}"),
            "take the srs.conf that came with this program, or correct the line that SRS names (ingest.srs.config)",
        ),
    };
    vec![good(format!("SRS {} ({})", found.version, found.program.display())), checked]
}

/// A port that SRS needs.
fn held(port: &ports::Port, folder: &Path) -> Finding {
    let what = format!("{} {}", port.key, port.address);
    let number = port.address.port();
    match port.held(folder) {
        Held::Free => good(format!("{what} is free")),
        Held::Own(pid) => good(format!("{what} is in use by the box's own SRS (process {pid})")),
        Held::Foreign(Some(who)) => {
            bad(format!("{what} is in use by {who}"), format!("stop it, or set {} to another port", port.key))
        }
        Held::Foreign(None) => bad(
            format!("{what} is in use by another program"),
            format!("`ss -lntup sport = :{number}` says by which; stop it, or set {} to another port", port.key),
        ),
        Held::Refused(error) => {
            bad(format!("{what} cannot be listened on: {error}"), format!("set {} to another address", port.key))
        }
    }
}

/// An SRS that the box does not run: whether it answers, and which it is.
fn elsewhere(config: &IngestConfig) -> Finding {
    let Some(url) = &config.srs.api_url else { return good("no SRS elsewhere") };
    let summary = Api::new(url.expose_secret()).and_then(|api| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(api.summary()).map_err(|error| error.to_string())
    });
    let advice = "start it, or correct ingest.srs.api_url; its http_api has to take calls from this machine";
    match summary {
        Ok(summary) if install::usable(&summary.version) => {
            good(format!("the SRS of ingest.srs.api_url answers; it is {}", summary.version))
        }
        Ok(summary) => bad(install::too_old(&summary.version), "upgrade it"),
        Err(reason) => bad(format!("the SRS of ingest.srs.api_url: {reason}"), advice),
    }
}

/// Whether its hooks can reach us. What it calls is not told by its API.
fn callers(config: &IngestConfig) -> Vec<Finding> {
    let srs = &config.srs;
    let listen = srs.hooks_listen;
    let told = note(
        "SRS does not tell whom it asks before it lets somebody publish",
        format!(
            "its srs.conf needs http_hooks with on_publish and on_unpublish {}http://{}/hooks/ and ingest.srs.hooks_secret",
            if listen.ip().is_unspecified() { "to this machine, " } else { "" },
            listen
        ),
    );
    let host =
        srs.api_url.as_ref().and_then(|url| Url::parse(url.expose_secret()).ok()?.host().map(|host| host.to_owned()));
    let address = match host {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    let stranger =
        address.filter(|address: &std::net::IpAddr| !address.is_loopback() && !srs.hooks_allow.contains(address));
    let refused = stranger.map(|address| {
        note(
            format!("hooks from {address}, where the API is, would be refused"),
            format!("if the SRS there calls the hooks itself, add \"{address}\" to ingest.srs.hooks_allow"),
        )
    });
    std::iter::once(told).chain(refused).collect()
}
