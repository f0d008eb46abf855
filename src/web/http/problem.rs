//! Every error answer is a problem (RFC 9457), and every kind of problem stands in one table.

use std::{borrow::Cow, time::Duration};

use axum::{
    extract::{
        Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    accounts::AccountError,
    config::ChangeError,
    control::{denied::Denied, destinations::wanted::DestinationError},
    core::{destination::InvalidDestination, words::sentence},
    director::OrderError,
    network::NetworkError,
    obs::RequestError,
    update::UpdateError,
};

/// What went wrong, as far as a program has to tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    NotSignedIn,
    NotAllowed,
    NotClaimed,
    CrossSite,
    NotFound,
    BodyTooLarge,
    BodyTooSlow,
    NotJson,
    NotSdp,
    WrongHost,
    Invalid,
    NameTaken,
    RegistrationClosed,
    WrongCredentials,
    AccountNotEnabled,
    WrongSetupCode,
    AlreadyClaimed,
    LastAdmin,
    AlreadyOver,
    Refused,
    Locked,
    TooMany,
    TooManyAttempts,
    NotStored,
    Busy,
    NotReady,
    NoIngest,
    NoStore,
    NoObs,
    ObsRefused,
    Internal,
}

impl Kind {
    /// Status, the last part of the problem's `type`, and its title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood"),
            Self::NotSignedIn => (StatusCode::UNAUTHORIZED, "not-signed-in", "Sign in first"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not-allowed", "You may not do this"),
            Self::NotClaimed => (StatusCode::FORBIDDEN, "not-claimed", "The box has no owner yet"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross-site", "The request comes from another site"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body did not arrive in time"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body must be JSON"),
            Self::NotSdp => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-sdp", "The body must be an SDP offer"),
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "wrong-host", "This is not that host"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value does not fit"),
            Self::NameTaken => (StatusCode::CONFLICT, "name-taken", "The name is taken"),
            Self::RegistrationClosed => (StatusCode::FORBIDDEN, "registration-closed", "Registration is not open"),
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong-credentials", "Name or password is wrong"),
            Self::AccountNotEnabled => (StatusCode::FORBIDDEN, "account-not-enabled", "The account cannot sign in"),
            Self::WrongSetupCode => (StatusCode::FORBIDDEN, "wrong-setup-code", "The setup code is wrong"),
            Self::AlreadyClaimed => (StatusCode::CONFLICT, "already-claimed", "The box has been set up already"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last-admin", "The last admin has to stay"),
            Self::AlreadyOver => (StatusCode::CONFLICT, "already-over", "That turn is already over"),
            Self::Refused => (StatusCode::CONFLICT, "refused", "The rules do not allow it now"),
            Self::Locked => (StatusCode::CONFLICT, "locked", "It is set by the configuration"),
            Self::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "too-many", "There are too many already"),
            Self::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts"),
            Self::NotStored => (StatusCode::SERVICE_UNAVAILABLE, "not-stored", "It could not be stored"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy; try again in a moment"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not everything works yet"),
            Self::NoIngest => (StatusCode::SERVICE_UNAVAILABLE, "no-ingest", "Nobody can publish at the moment"),
            Self::NoStore => (StatusCode::SERVICE_UNAVAILABLE, "no-store", "The box cannot read what it remembers"),
            Self::NoObs => (StatusCode::CONFLICT, "no-obs", "OBS is not connected"),
            Self::ObsRefused => (StatusCode::CONFLICT, "obs-refused", "OBS did not do it"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here"),
        }
    }
}

/// An error answer: `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:motherstream:name-taken")]
    kind: Cow<'static, str>,
    /// The kind in words.
    #[schema(value_type = String)]
    title: Cow<'static, str>,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time and what to do.
    detail: String,
    /// The field of the request that is to blame, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The kind, for our own eyes; none where the status says it all.
    #[serde(skip)]
    told: Option<Kind>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, slug, title) = kind.parts();
        Self {
            kind: Cow::Owned(format!("urn:motherstream:{slug}")),
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            told: Some(kind),
            retry_after: None,
        }
    }

    /// A problem that its HTTP status says all about.
    fn bare(status: StatusCode) -> Self {
        Self {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status: status.as_u16(),
            detail: explain(status).to_owned(),
            field: None,
            told: None,
            retry_after: None,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What went wrong, if it is of a kind of ours.
    pub(crate) fn of_kind(&self) -> Option<Kind> {
        self.told
    }

    /// The kind in words.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// The field that is to blame, if one is.
    pub(crate) fn blamed(&self) -> &str {
        self.field.as_deref().unwrap_or_default()
    }

    /// What went wrong as a sentence for people.
    pub(crate) fn sentence(&self) -> String {
        if self.detail == NOTHING_HERE {
            return "There is no page at this address. It may be mistyped, or what was here is gone.".to_owned();
        }
        if self.detail.is_empty() { format!("{}.", self.title) } else { sentence(&self.detail) }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, reason).field(field)
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: a client that comes back exactly then must not be early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // For the page that a person gets instead.
        response.extensions_mut().insert(self);
        response
    }
}

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is said of what nobody who calls can put right.
const OURS: &str = "something went wrong here, not with the request";

/// What a program is told where no route is.
pub(crate) const NOTHING_HERE: &str = "nothing is here; the calls are listed at /api/v1/openapi.json";

/// What to say about an error that came with a status only: from the router or a layer.
fn explain(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => NOTHING_HERE,
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method; see the Allow header",
        StatusCode::PAYLOAD_TOO_LARGE => "a body may be 64 KiB at most",
        StatusCode::SERVICE_UNAVAILABLE => "the answer took too long; try again in a moment",
        status if status.is_server_error() => OURS,
        _ => "the request cannot be answered",
    }
}

/// Turns every error answer that is not a problem yet (the router's, a layer's) into one. Other headers stay.
pub(crate) async fn every_error_is_a_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    // A page that says itself what is wrong, such as a form to be filled in again, is left as it is.
    if !is_error || kind.is_some_and(|kind| kind == CONTENT_TYPE || kind.as_bytes().starts_with(b"text/html")) {
        return response;
    }
    let (parts, _) = response.into_parts();
    let mut problem = Problem::bare(status).into_response();
    problem.extensions_mut().extend(parts.extensions);
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::Account(error) => of_accounts(error, detail),
            Denied::Order(error) => of_the_queue(error, detail),
            Denied::Destination(error) => of_destinations(error, detail),
            Denied::Setting(error) => of_settings(error, detail),
            Denied::Obs(error) => of_obs(&error, detail),
            Denied::Network(error) => of_the_network(&error, detail),
            Denied::Update(error) => of_updates(&error, detail),
            Denied::NotFound(_) => Self::new(Kind::NotFound, detail),
            Denied::NotAllowed(_) => Self::new(Kind::NotAllowed, detail),
            Denied::TooMany(_) => Self::new(Kind::TooMany, detail),
            Denied::Invalid { field, reason } => Self::invalid(field, reason),
            Denied::NotNow { again, .. } => Self { retry_after: again, ..Self::new(Kind::Refused, detail) },
            Denied::Busy { again, .. } => Self::new(Kind::Busy, detail).retry_after(again),
            Denied::TooManyAttempts { wait } | Denied::TooManyChanges { wait } => {
                Self::new(Kind::TooManyAttempts, detail).retry_after(wait)
            }
            Denied::NoObs(_) => Self::new(Kind::NoObs, detail),
            Denied::Store(_) | Denied::NotStored(_) => Self::new(Kind::NotStored, detail),
            Denied::Failed(_) | Denied::BrokenOff => Self::new(Kind::Internal, detail),
        }
    }
}

fn of_accounts(error: AccountError, detail: String) -> Problem {
    match error {
        AccountError::Invalid { field, reason } => Problem::invalid(field, reason),
        AccountError::NameTaken => Problem::new(Kind::NameTaken, detail).field("name"),
        AccountError::RegistrationClosed(_) => Problem::new(Kind::RegistrationClosed, detail),
        AccountError::InvitationNeeded => Problem::new(Kind::RegistrationClosed, detail).field("invitation"),
        AccountError::WrongCredentials => Problem::new(Kind::WrongCredentials, detail),
        AccountError::NotEnabled(_) => Problem::new(Kind::AccountNotEnabled, detail),
        AccountError::WrongSetupCode => Problem::new(Kind::WrongSetupCode, detail).field("code"),
        AccountError::AlreadyClaimed => Problem::new(Kind::AlreadyClaimed, detail),
        AccountError::NotFound | AccountError::LinkOver => Problem::new(Kind::NotFound, detail),
        AccountError::LastAdmin => Problem::new(Kind::LastAdmin, detail),
        AccountError::Busy => Problem::new(Kind::Busy, detail).retry_after(Duration::from_secs(1)),
        AccountError::Store(_) => Problem::new(Kind::NotStored, detail),
    }
}

fn of_the_queue(error: OrderError, detail: String) -> Problem {
    match error {
        OrderError::NotFound(_) => Problem::new(Kind::NotFound, detail),
        OrderError::AlreadyOver => Problem::new(Kind::AlreadyOver, detail),
        OrderError::Refused(_) => Problem::new(Kind::Refused, detail),
        OrderError::Invalid { field, reason } => Problem::invalid(field, reason),
        OrderError::Store(_) => Problem::new(Kind::NotStored, detail),
        OrderError::Stopping => Problem::new(Kind::Busy, detail).retry_after(Duration::from_secs(5)),
    }
}

fn of_destinations(error: DestinationError, detail: String) -> Problem {
    match error {
        DestinationError::NotFound => Problem::new(Kind::NotFound, detail),
        DestinationError::Locked => Problem::new(Kind::Locked, detail),
        DestinationError::Loop => Problem::invalid("url", detail),
        DestinationError::Invalid(InvalidDestination { field, reason }) => Problem::invalid(field, reason),
        DestinationError::Store(_) => Problem::new(Kind::NotStored, detail),
    }
}

fn of_settings(error: ChangeError, detail: String) -> Problem {
    match error {
        ChangeError::Locked { key, .. } => Problem::new(Kind::Locked, detail).field(key),
        ChangeError::Unknown { key } | ChangeError::Invalid { key, .. } => Problem::invalid(key, detail),
        ChangeError::File { .. } => Problem::new(Kind::NotStored, detail),
    }
}

fn of_the_network(error: &NetworkError, detail: String) -> Problem {
    match error {
        NetworkError::Wifi(wrong) => Problem::invalid(wrong.field(), detail),
        NetworkError::NotFound(_) => Problem::new(Kind::NotFound, detail),
        NetworkError::Busy(_) => Problem::new(Kind::Refused, detail).retry_after(Duration::from_secs(5)),
        NetworkError::NoManager(_) | NetworkError::NotOurs | NetworkError::NoRadio | NetworkError::Refused(_) => {
            Problem::new(Kind::Refused, detail)
        }
        NetworkError::Slow => Problem::new(Kind::Busy, detail).retry_after(Duration::from_secs(5)),
    }
}

fn of_obs(error: &RequestError, detail: String) -> Problem {
    match error {
        RequestError::Away(_) => Problem::new(Kind::NoObs, detail),
        RequestError::Refused(_) => Problem::new(Kind::ObsRefused, detail),
        RequestError::Busy(_) => Problem::new(Kind::Refused, detail),
        RequestError::Stopping => Problem::new(Kind::Busy, detail).retry_after(Duration::from_secs(5)),
    }
}

fn of_updates(error: &UpdateError, detail: String) -> Problem {
    match error {
        UpdateError::NoImage(_) | UpdateError::Busy => Problem::new(Kind::Refused, detail),
        UpdateError::Damaged | UpdateError::Signature(_) | UpdateError::OtherBoard { .. } => {
            Problem::invalid("update", detail)
        }
        UpdateError::TooLarge => Problem::new(Kind::BodyTooLarge, detail),
        UpdateError::CutOff => Problem::new(Kind::BadRequest, detail),
        UpdateError::TooSlow => Problem::new(Kind::BodyTooSlow, detail),
        UpdateError::NotOffered => Problem::new(Kind::NotFound, detail),
        UpdateError::NoRoom | UpdateError::Io { .. } | UpdateError::Failed(_) | UpdateError::Rauc(_) => {
            Problem::new(Kind::NotStored, detail)
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Kind::BadRequest, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Kind::BadRequest, rejection.body_text())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;
    use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

    use super::*;

    async fn answer(request: Request) -> (StatusCode, serde_json::Value) {
        let router = Router::new()
            .route("/", get(async || "fine"))
            .route("/panic", get(async || if true { panic!("a secret") } else { "never" }))
            .route("/slow", get(async || std::future::pending::<&str>().await))
            .route("/plain", get(async || (StatusCode::CONFLICT, [("x-more", "kept")], "some text")))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(10)))
            .layer(CatchPanicLayer::new())
            .layer(from_fn(every_error_is_a_problem));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        }
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn request(method: &str, path: &str) -> Request {
        axum::http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn errors_of_the_router_and_the_layers_are_problems_too() {
        for (method, path, status) in [
            ("GET", "/nowhere", StatusCode::NOT_FOUND),
            ("POST", "/", StatusCode::METHOD_NOT_ALLOWED),
            ("GET", "/plain", StatusCode::CONFLICT),
            ("GET", "/panic", StatusCode::INTERNAL_SERVER_ERROR),
            ("GET", "/slow", StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let (answered, problem) = answer(request(method, path)).await;
            assert_eq!(answered, status, "{path}");
            assert_eq!(problem["status"], status.as_u16(), "{path}");
            assert_eq!(problem["type"], "about:blank", "{path}");
            assert!(!problem["title"].as_str().unwrap().is_empty(), "{path}");
            assert!(!problem.to_string().contains("secret"), "{path}");
        }
    }

    #[test]
    fn time_to_wait_is_rounded_up() {
        for (wait, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let problem = Problem::new(Kind::TooManyAttempts, "").retry_after(Duration::from_millis(wait));
            assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], header);
        }
    }

    #[test]
    fn field_to_blame_is_named_once() {
        let problem = Problem::from(Denied::from(AccountError::Invalid {
            field: "name",
            reason: "use at least 2 characters".into(),
        }));
        let value = serde_json::to_value(&problem).unwrap();
        assert_eq!(value["field"], "name");
        assert_eq!(value["detail"], "use at least 2 characters");
        assert_eq!(value["status"], 422);
    }
}
