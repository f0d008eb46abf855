//! The client of SRS's HTTP API. Bounded in time and size; survives fields it does not know.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client as HttpClient, Method, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

/// One call, connecting included. SRS answers on loopback within a few milliseconds; one elsewhere within a round trip.
const CALL_LIMIT: Duration = Duration::from_millis(1500);

/// Entries asked for at once. SRS gives 10 when it is not asked; an entry has about 500 bytes.
const PAGE: usize = 100;

/// Pages of one list, at most: ten times the publishers that can be configured.
const MAX_PAGES: usize = 100;

/// Bytes of one answer, at most. A page has about 50,000.
const MAX_ANSWER: usize = 1024 * 1024;

/// SRS's code for a client it does not have (any more).
const CLIENT_NOT_FOUND: i64 = 2049;

/// One SRS. Cheap to clone. Its `Debug` shows neither name nor password.
#[derive(Clone)]
pub(crate) struct Api {
    http: HttpClient,
    base: Url,
    login: Option<Arc<Login>>,
}

struct Login {
    name: String,
    password: SecretString,
}

/// Which run of which SRS answered: `service` changes with every start of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) service: String,
    pub(crate) pid: u32,
}

/// Of `GET /api/v1/summaries` and `/versions`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) identity: Identity,
    pub(crate) version: String,
    /// Its command line and folder, for recognising it.
    pub(crate) argv: String,
    pub(crate) cwd: String,
}

/// A list, and who gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List<T> {
    pub(crate) identity: Identity,
    pub(crate) entries: Vec<T>,
}

/// Of `GET /api/v1/streams/`. Its name is a stream key, so its `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) app: String,
    pub(crate) recv_bytes: u64,
    pub(crate) kbps: Kbps,
    pub(crate) publish: Publishing,
    pub(crate) video: Option<Video>,
    pub(crate) audio: Option<Audio>,
}

/// A stream's bitrate, averaged by SRS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Kbps {
    /// Kilobits received per second, over the last 30 s; 0 before they are over.
    pub(crate) recv_30s: f64,
}

/// Who publishes a stream.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Publishing {
    pub(crate) active: bool,
    /// The publisher's client id; of the last one when it is not active.
    pub(crate) cid: Option<String>,
}

/// A stream's pictures.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Video {
    pub(crate) codec: String,
    pub(crate) profile: String,
    pub(crate) level: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// A stream's sound.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Audio {
    pub(crate) codec: String,
    pub(crate) sample_rate: u32,
    pub(crate) channel: u32,
    pub(crate) profile: String,
}

/// Of `GET /api/v1/clients/`: a publisher, or a player. Its name is a stream key, so its `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) name: String,
    /// For example `fmle-publish`, `srt-publish`, `rtc-publish`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) publish: bool,
    pub(crate) ip: String,
    #[serde(rename = "tcUrl")]
    pub(crate) tc_url: String,
    pub(crate) recv_bytes: u64,
    /// Seconds since it came.
    pub(crate) alive: f64,
}

/// What an SRS was built with, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) srt: bool,
    /// WebRTC, and what makes an ordinary stream of it.
    pub(crate) rtc: bool,
}

/// Why an answer is of no use.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// Nobody answers, or not in time.
    #[error("SRS's API does not answer: {0}")]
    Unreachable(String),
    /// What answers is not SRS.
    #[error("what answers is not SRS's API: {0}")]
    Foreign(String),
    /// SRS said no: its code.
    #[error("SRS refused with code {0}")]
    Refused(i64),
}

/// What all answers share.
#[derive(Deserialize)]
struct Envelope<T> {
    code: i64,
    #[serde(default)]
    server: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    pid: Pid,
    #[serde(flatten)]
    content: Option<T>,
}

/// SRS 5 and later write it as a text.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Pid {
    Number(u32),
    Text(String),
    #[default]
    None,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct SummaryData {
    #[serde(rename = "self")]
    process: SummaryProcess,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct SummaryProcess {
    version: String,
    argv: String,
    cwd: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct FeaturesData {
    options2: String,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Clients {
    clients: Vec<Client>,
}

#[derive(Deserialize)]
struct Nothing {}

impl<T> Envelope<T> {
    fn identity(&self) -> Identity {
        let pid = match &self.pid {
            Pid::Number(pid) => *pid,
            Pid::Text(pid) => pid.parse().unwrap_or(0),
            Pid::None => 0,
        };
        Identity { server: self.server.clone(), service: self.service.clone(), pid }
    }
}

impl Api {
    /// The API at `base`, for example `http://127.0.0.1:1985`, with a name and a password if need be.
    ///
    /// # Errors
    /// When `base` is no address that can be used, in words for an admin.
    pub(crate) fn new(base: &str) -> Result<Self, String> {
        // What is wrong is said without the address: it may hold a password.
        let mut base: Url = base.parse().map_err(|error| format!("it is no address: {error}"))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err("write it as http://HOST:PORT".to_owned());
        }
        let login = (!base.username().is_empty()).then(|| {
            let plain = |text: &str| percent_decoded(text);
            let password = base.password().map(plain).unwrap_or_default();
            Arc::new(Login { name: plain(base.username()), password: password.into() })
        });
        if base.set_username("").is_err() || base.set_password(None).is_err() {
            return Err("write it as http://HOST:PORT".to_owned());
        }
        base.set_query(None);
        base.set_fragment(None);
        let http = HttpClient::builder()
            .timeout(CALL_LIMIT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        Ok(Self { http, base, login })
    }

    /// Who it is and which version.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn summary(&self) -> Result<Summary, ApiError> {
        let answer: Envelope<Data<SummaryData>> = self.call(Method::GET, "api/v1/summaries", None).await?;
        let identity = answer.identity();
        let process = content(answer.content)?.data.process;
        Ok(Summary { identity, version: process.version, argv: process.argv, cwd: process.cwd })
    }

    /// Every stream that somebody publishes or plays.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn streams(&self) -> Result<List<Stream>, ApiError> {
        self.list("api/v1/streams/", |page: Streams| page.streams).await
    }

    /// Everybody who publishes or plays.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn clients(&self) -> Result<List<Client>, ApiError> {
        self.list("api/v1/clients/", |page: Clients| page.clients).await
    }

    /// Whether it has the client `id`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn has_client(&self, id: &str) -> Result<bool, ApiError> {
        match self.of_client(Method::GET, id).await {
            Ok(()) => Ok(true),
            Err(ApiError::Refused(CLIENT_NOT_FOUND)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What it was built with.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn features(&self) -> Result<Features, ApiError> {
        let answer: Envelope<Data<FeaturesData>> = self.call(Method::GET, "api/v1/features", None).await?;
        let built = content(answer.content)?.data.options2;
        // What is not said is there: the official builds have everything.
        let on = |option: &str| !built.split_whitespace().any(|word| word.strip_prefix(option) == Some("=off"));
        Ok(Features { srt: on("--srt"), rtc: on("--rtc") && on("--ffmpeg-fit") })
    }

    /// Closes the client `id`, which takes a moment after the answer. One that is gone already is no error.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn disconnect(&self, id: &str) -> Result<(), ApiError> {
        match self.of_client(Method::DELETE, id).await {
            Err(ApiError::Refused(CLIENT_NOT_FOUND)) => Ok(()),
            answer => answer,
        }
    }

    async fn of_client(&self, method: Method, id: &str) -> Result<(), ApiError> {
        // An id came from SRS, or from whoever knows the hooks' secret: it is a word, and nothing that leads elsewhere.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(ApiError::Refused(CLIENT_NOT_FOUND));
        }
        let _: Envelope<Nothing> = self.call(method, &format!("api/v1/clients/{id}"), None).await?;
        Ok(())
    }

    async fn list<P: DeserializeOwned, T>(
        &self,
        path: &str,
        entries: impl Fn(P) -> Vec<T>,
    ) -> Result<List<T>, ApiError> {
        let mut all: Option<List<T>> = None;
        for page in 0..MAX_PAGES {
            let answer: Envelope<P> = self.call(Method::GET, path, Some(page * PAGE)).await?;
            let identity = answer.identity();
            let found = entries(content(answer.content)?);
            let is_last = found.len() < PAGE;
            let list = all.get_or_insert_with(|| List { identity: identity.clone(), entries: Vec::new() });
            if list.identity != identity {
                return Err(ApiError::Unreachable("it was started anew between two pages".to_owned()));
            }
            list.entries.extend(found);
            if is_last {
                break;
            }
        }
        all.ok_or_else(|| ApiError::Foreign("it has no list".to_owned()))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        start: Option<usize>,
    ) -> Result<Envelope<T>, ApiError> {
        let mut url = self.base.join(path).map_err(|error| ApiError::Unreachable(error.to_string()))?;
        if let Some(start) = start {
            url.set_query(Some(&format!("start={start}&count={PAGE}")));
        }
        let mut request = self.http.request(method, url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.name, Some(login.password.expose_secret()));
        }
        let unreachable = |error: reqwest::Error| ApiError::Unreachable(cause(&error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let Some(mut body) = bounded(response, MAX_ANSWER).await.map_err(unreachable)? else {
            return Err(ApiError::Foreign("its answer does not end".to_owned()));
        };
        if status == StatusCode::UNAUTHORIZED {
            return Err(ApiError::Foreign("it wants another name and password".to_owned()));
        }
        // SRS writes what an encoder called its stream as it came: bytes that no JSON may hold would hide everybody else.
        for byte in &mut body {
            if *byte < b' ' {
                *byte = b' ';
            }
        }
        // SRS says most errors with a code in an answer of any status.
        match serde_json::from_str::<Envelope<T>>(&String::from_utf8_lossy(&body)) {
            Ok(answer) if answer.code == 0 => Ok(answer),
            Ok(answer) => Err(ApiError::Refused(answer.code)),
            Err(_) => Err(ApiError::Foreign(format!("status {status} without SRS's JSON"))),
        }
    }
}

/// The body of a response; none when it has more than `most` bytes.
pub(super) async fn bounded(mut response: reqwest::Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

fn content<T>(content: Option<T>) -> Result<T, ApiError> {
    content.ok_or_else(|| ApiError::Foreign("its answer lacks what was asked for".to_owned()))
}

/// What went wrong in the network's words, without the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing within {CALL_LIMIT:?}");
    }
    let mut source = std::error::Error::source(error);
    let mut text = None;
    while let Some(cause) = source {
        text = Some(cause.to_string());
        source = cause.source();
    }
    text.unwrap_or_else(|| "the connection failed".to_owned())
}

fn percent_decoded(text: &str) -> String {
    // As in a query: the one decoder at hand, and a plus sign is kept as one.
    let query = format!("={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("app", &self.app).field("publish", &self.publish).finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
