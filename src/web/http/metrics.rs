//! What the web itself counts: answers by route and status.

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

type Labels = Vec<(&'static str, String)>;

/// What the web itself counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpMetrics {
    requests: Family<Labels, Counter>,
}

impl HttpMetrics {
    /// Adds what was counted to what is scraped.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Answers by route and status", self.requests.clone());
    }
}

/// Counts each answer by route and status. Only routes of ours are names, so the number of series is bounded.
pub(crate) async fn count(State(counted): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
            request.method().as_str()
        }
        _ => "other",
    }
    .to_owned();
    let response = next.run(request).await;
    let labels = vec![("method", method), ("route", route), ("status", response.status().as_u16().to_string())];
    counted.requests.get_or_create(&labels).inc();
    response
}
