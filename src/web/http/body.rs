//! What requests carry: JSON bodies, path and query parameters, each refused with a problem that names what does not fit.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The largest body of a request, in bytes.
pub(crate) const LARGEST_BODY: usize = 64 * 1024;

/// How long a body may take to arrive: less than the whole answer may, so that a slow client is told that it was slow.
const BODY_TIME: Duration = Duration::from_secs(8);

/// A parameter of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters behind the question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct UrlQuery<T>(pub(crate) T);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is(request.headers(), JSON) {
            return Err(Problem::new(Kind::NotJson, "send the body with Content-Type: application/json"));
        }
        parse(&read(request, state).await?).map(Self)
    }
}

/// A JSON body that may be left out; the default then.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is(request.headers(), JSON);
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(Problem::new(Kind::NotJson, "send the body with Content-Type: application/json"));
        }
        parse(&body).map(Self)
    }
}

/// An SDP body, as it was sent.
pub(crate) struct Sdp(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Sdp {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is(request.headers(), SDP) {
            return Err(Problem::new(Kind::NotSdp, "send the offer with Content-Type: application/sdp"));
        }
        read(request, state).await.map(Self)
    }
}

const JSON: &str = "application/json";

/// RFC 8866, section 8.1.
pub(crate) const SDP: &str = "application/sdp";

/// Whether the body is of this kind, whatever its parameters.
fn is(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(wanted)
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME, Bytes::from_request(request, state)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(Kind::BodyTooLarge, "a body may be 64 KiB at most"))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "the body did not arrive whole")),
        Err(_) => Err(Problem::new(Kind::BodyTooSlow, "the body took more than 8 s to arrive")),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if !error.is_data() {
            return Problem::new(Kind::BadRequest, format!("the body is not JSON: {error}"));
        }
        // The text may quote what was sent, which may be a password: only its beginning, the kind of mistake, is repeated.
        let text = error.to_string();
        let field = blamed(&text).map_or_else(|| path.clone(), str::to_owned);
        let reason = match text.split_once(" `") {
            Some(("missing field", _)) => "is missing",
            Some(("unknown field", _)) => "is not a field of this call",
            _ => "has the wrong type or value",
        };
        Problem::invalid(
            field.clone(),
            if field == "." { "the body has the wrong type".to_owned() } else { format!("{field} {reason}") },
        )
    })?;
    json.end().map_err(|error| Problem::new(Kind::BadRequest, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// The field that serde's text names between backticks. A missing or unknown field has no path of its own, so its name is
/// found nowhere else.
fn blamed(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("unknown field `"))?;
    rest.split('`').next()
}

/// An answer as JSON.
pub(crate) fn json<T: serde::Serialize>(status: StatusCode, value: T) -> axum::response::Response {
    (status, axum::Json(value)).into_response()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::response::IntoResponse;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Example {
        name: String,
        size: Option<u32>,
    }

    fn refusal(body: &str) -> (StatusCode, String) {
        let problem = parse::<Example>(body.as_bytes()).unwrap_err();
        let text = serde_json::to_string(&problem).unwrap();
        (problem.into_response().status(), text)
    }

    #[test]
    fn missing_unknown_and_mistyped_fields_are_named() {
        for (body, field) in [
            (r#"{"size": 1}"#, "name"),
            (r#"{"name": "a", "colour": 1}"#, "colour"),
            (r#"{"name": 7}"#, "name"),
            (r#"{"name": "a", "size": "big"}"#, "size"),
        ] {
            let (status, text) = refusal(body);
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
            assert!(text.contains(&format!(r#""field":"{field}""#)), "{text}");
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let (_, text) = refusal(r#"{"name": 123456789}"#);
        assert!(!text.contains("123456789"), "{text}");
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in ["", "{", "name=a", r#"{"name": "a"} more"#] {
            assert_eq!(refusal(body).0, StatusCode::BAD_REQUEST, "{body}");
        }
    }

    fn sent(kind: Option<&str>, body: axum::body::Body) -> Request {
        let mut request = axum::http::Request::builder().method("POST");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        request.body(body).unwrap()
    }

    async fn status_of(request: Request) -> StatusCode {
        match Body::<Example>::from_request(request, &()).await {
            Ok(_) => StatusCode::OK,
            Err(problem) => problem.into_response().status(),
        }
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        for (kind, status) in [
            (Some("application/json"), StatusCode::OK),
            (Some("Application/JSON; charset=utf-8"), StatusCode::OK),
            (Some("text/plain"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (Some("application/x-www-form-urlencoded"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (None, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            assert_eq!(status_of(sent(kind, r#"{"name": "a"}"#.into())).await, status, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_does_not_arrive_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = sent(Some("application/json"), axum::body::Body::from_stream(never));
        assert_eq!(status_of(request).await, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn body_that_may_be_left_out_may_be_empty() {
        #[derive(Default, Deserialize)]
        struct Maybe {
            on: Option<bool>,
        }
        let empty = OptionalBody::<Maybe>::from_request(sent(None, axum::body::Body::empty()), &()).await;
        assert!(empty.is_ok_and(|OptionalBody(body)| body.on.is_none()));
        let request = sent(Some("application/json"), r#"{"on": true}"#.into());
        let given = OptionalBody::<Maybe>::from_request(request, &()).await;
        assert!(given.is_ok_and(|OptionalBody(body)| body.on == Some(true)));
        let request = sent(None, r#"{"on": true}"#.into());
        assert!(OptionalBody::<Maybe>::from_request(request, &()).await.is_err());
    }
}
