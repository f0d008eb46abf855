//! Errors as people read them. Programs get the problem itself; a browser that asked for a page gets one; htmx gets a message.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use url::Url;

use super::{
    assets,
    flash::Flash,
    form::{self, HX_REDIRECT, HX_REQUEST},
    layout::Page,
    ui,
};
use crate::web::{app::App, http::problem::Problem};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: &'a Page,
    status: u16,
    title: &'a str,
    detail: &'a str,
    /// It was a form: the page that it stands on.
    back: Option<&'a str>,
}

/// Draws every problem that a person sees.
pub(crate) async fn for_people(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let htmx = request.headers().contains_key(HX_REQUEST);
    let path = request.uri().path().to_owned();
    if !htmx && (!wants_a_page(request.headers()) || path.starts_with("/api/")) {
        return next.run(request).await;
    }
    let (headers, method) = (request.headers().clone(), request.method().clone());
    let response = next.run(request).await;
    if htmx {
        return as_htmx_sees_it(response);
    }
    let Some(problem) = response.extensions().get::<Problem>().cloned() else {
        return response;
    };
    let page = Page::bare(&app, &headers, &path);
    let back = form_of(&headers).unwrap_or(path.clone());
    let template = ErrorPage {
        page: &page,
        status: response.status().as_u16(),
        title: problem.title(),
        detail: &problem.sentence(),
        back: (method == Method::POST).then_some(&back),
    };
    with_the_rest_of(page.show_with(response.status(), &template), &response)
}

/// The page that a form was sent from, where the browser tells: many forms are sent to an address of their own, where nothing is to be
/// seen. A page whose address is a secret keeps it back; there its form is sent to the same address.
fn form_of(headers: &HeaderMap) -> Option<String> {
    let page = Url::parse(headers.get(header::REFERER)?.to_str().ok()?).ok()?;
    let path = page.query().map_or_else(|| page.path().to_owned(), |query| format!("{}?{query}", page.path()));
    Some(form::local(&path).to_owned()).filter(|path| path != "/")
}

/// htmx follows a redirect by itself and would put the whole page it leads to into a part of this one: it is told to go there.
fn as_htmx_sees_it(mut response: Response) -> Response {
    if response.status().is_redirection()
        && let Some(to) = response.headers_mut().remove(header::LOCATION)
    {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(HX_REDIRECT, to);
        return response;
    }
    let Some(problem) = response.extensions().get::<Problem>() else {
        return response;
    };
    with_the_rest_of(form::toast(response.status(), &Flash::failed(problem.sentence())), &response)
}

/// Headers such as `Retry-After` and `Set-Cookie` stay.
fn with_the_rest_of(mut drawn: Response, response: &Response) -> Response {
    for (name, value) in response.headers() {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH | header::WWW_AUTHENTICATE)
            && !drawn.headers().contains_key(name)
        {
            drawn.headers_mut().append(name, value.clone());
        }
    }
    drawn
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .map(HeaderValue::as_bytes)
        .is_some_and(|accept| accept.windows(b"text/html".len()).any(|part| part.eq_ignore_ascii_case(b"text/html")))
}
