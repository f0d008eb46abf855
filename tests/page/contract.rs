//! The API as its description says, tried with requests that are made from that description (schemathesis): as nobody, as a streamer
//! and as an admin. No failure of the box, no answer that is not described, no secret to anybody.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    boxed::{TOKEN, TheBox},
    free_port,
};

/// How many requests are tried of each call, besides those for the edges of each value.
const EXAMPLES: &str = "10";

/// How it writes bodies that it does not know.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/hooks.py");

/// Where `scripts/install test` puts it.
fn schemathesis() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty()).map_or_else(home, PathBuf::from);
    let program = cache.join("motherstream/schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is missing: run scripts/install test", program.display());
    program
}

/// A box with something in it that must not leave it, and an account that requests are made about.
struct Venue {
    the_box: TheBox,
    folder: TempDir,
    /// What no answer may hold, with what it is.
    secrets: Vec<(&'static str, String)>,
}

/// Whose password and key nobody is to see.
const BYSTANDER: &str = "Bystander";

impl Venue {
    fn open() -> Self {
        // A platform that is not there, on this machine: whatever begins a show sends nothing to anybody.
        let platform = format!("rtmp://127.0.0.1:{}/app", free_port());
        let the_box = TheBox::builder().destination("platform", &platform).start();
        let bystander = the_box.api.register(BYSTANDER);
        let viewer = the_box.api.post("/api/v1/viewers", &json!({ "label": "OBS" }));
        let viewer = viewer["token"].as_str().expect("a viewer's token is told once").to_owned();
        let secrets = vec![
            ("the token of scripts", TOKEN.to_owned()),
            ("a destination's key", "key-of-platform".to_owned()),
            ("somebody else's password", format!("{BYSTANDER}-password")),
            ("somebody else's stream key", bystander.key),
            ("a viewer's token", viewer),
            ("the hash of a password", "$argon2".to_owned()),
        ];
        Self { the_box, folder: TempDir::new().unwrap(), secrets }
    }

    /// Tries every call of the description but `left_out`, with `headers`.
    #[track_caller]
    fn try_calls(&self, who: &str, headers: &[String], left_out: &[&str], account: u64) {
        let begin = Instant::now();
        let (config, log) = (self.folder.path().join("schemathesis.toml"), self.folder.path().join("log.har"));
        // Ids that are there, so that calls get further than to say that nothing is.
        let known =
            format!("[[operations]]\ninclude-path-regex = \"/accounts/.id\"\nparameters = {{ id = {account} }}\n");
        fs::write(&config, known).unwrap();
        let mut command = Command::new(schemathesis());
        command.current_dir(self.folder.path()).env("SCHEMATHESIS_HOOKS", HOOKS);
        command.arg("--config-file").arg(&config).args(["--no-color", "run"]);
        command.arg(self.the_box.api.url("/api/v1/openapi.json"));
        command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1"]);
        command.args([
            "--continue-on-failure",
            "--no-shrink",
            "--generation-database",
            "none",
            "--request-timeout",
            "15",
        ]);
        command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
        command.args(["--checks", "response_schema_conformance,response_headers_conformance,unsupported_method"]);
        command.args(["--report", "har", "--report-har-path"]).arg(&log).args(["--output-sanitize", "false"]);
        // Who calls is what is tried here, so it is always the same one.
        command.args(["--generation-with-security-parameters", "false"]);
        // It has no end.
        command.args(["--exclude-path", "/api/v1/events"]);
        for call in left_out {
            command.args(["--exclude-name", call]);
        }
        for header in headers {
            command.args(["--header", header]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let tried = self.look_for_secrets(&log);
        eprintln!("as {who}: {tried} requests in {:?}", begin.elapsed());
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "as {who}:\n{said}\n{complaint}");
        assert!(tried > 200, "as {who} only {tried} requests were made:\n{said}");
    }

    /// Fails if an answer holds what it must not, and gives how many there were.
    #[track_caller]
    fn look_for_secrets(&self, log: &Path) -> usize {
        let log: Value = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
        let entries = log["log"]["entries"].as_array().unwrap();
        for entry in entries {
            let answer = entry["response"]["content"]["text"].as_str().unwrap_or_default();
            let call = format!("{} {}", entry["request"]["method"], entry["request"]["url"]);
            for (what, secret) in &self.secrets {
                assert!(!answer.contains(secret), "{call} tells {what}: {answer}");
            }
            // What was sent as a secret is not repeated, not even in a refusal.
            let sent = entry["request"]["postData"]["text"].as_str().unwrap_or_default();
            let sent: Value = serde_json::from_str(sent).unwrap_or_default();
            for field in ["password", "key", "code", "token", "new_password", "current_password"] {
                let Some(sent) = sent[field].as_str().filter(|sent| sent.chars().count() >= 8) else { continue };
                assert!(!answer.contains(sent), "{call} repeats {field}: {answer}");
            }
        }
        entries.len()
    }
}

#[test]
fn api_is_as_described_to_nobody() {
    let venue = Venue::open();
    venue.try_calls("nobody", &[], &[], 1);
}

#[test]
fn api_is_as_described_to_a_streamer() {
    let venue = Venue::open();
    let streamer = venue.the_box.api.register("Ada");
    let cookie = venue.the_box.api.sign_in("Ada");
    let left_out = ["DELETE /api/v1/me", "DELETE /api/v1/session", "DELETE /api/v1/sessions"];
    venue.try_calls("a streamer", &[format!("Cookie: {cookie}")], &left_out, streamer.id.as_u64().unwrap());
    // Nothing that was tried has cost her the account or the session, or most of it would have been tried as nobody.
    let log = fs::read(venue.folder.path().join("log.har")).unwrap();
    let log: Value = serde_json::from_slice(&log).unwrap();
    let own = |entry: &&Value| {
        let request = &entry["request"];
        request["method"] == "GET" && request["url"].as_str().unwrap().ends_with("/api/v1/me")
    };
    let answers: Vec<_> = log["log"]["entries"].as_array().unwrap().iter().filter(own).collect();
    assert!(answers.iter().any(|entry| entry["response"]["status"] == 200), "she was not signed in");
    let last = venue.the_box.api.status_with_cookie("/api/v1/me", &cookie);
    assert_eq!(last, 200, "she is not signed in any more");
}

#[test]
fn api_is_as_described_to_an_admin() {
    let venue = Venue::open();
    let streamer = venue.the_box.api.register("Ada");
    // The programme has no end. And nothing is to be sent to anybody: what is tried may name a platform that there is.
    let left_out = ["GET /program.flv", "PUT /api/v1/show", "POST /api/v1/destinations/{id}/test"];
    venue.try_calls("an admin", &[format!("Authorization: Bearer {TOKEN}")], &left_out, streamer.id.as_u64().unwrap());
    assert_eq!(venue.the_box.api.get("/api/v1/show")["on"], false, "something was sent");
}
