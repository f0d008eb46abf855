//! The description of the API: what the code says of itself, and who may call what.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder, SecurityRequirement,
        path::{Operation, Parameter, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::problem::Problem;

/// The kind of every error's answer.
const PROBLEM: &str = "application/problem+json";

/// What it begins with.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Motherstream")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Streamers take turns, the platforms see one unbroken programme. Errors are application/problem+json (RFC 9457).",
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// Says by what a caller of `operation` shows who it is; by nothing if anyone may call.
pub(crate) fn guard(operation: &mut Operation, schemes: &[&str]) {
    if !schemes.is_empty() {
        let ways = schemes.iter().map(|scheme| SecurityRequirement::new(*scheme, Vec::<String>::new()));
        operation.security = Some(ways.collect());
    }
}

/// The refusals that an operation has for its form alone: whoever calls, and whatever it carries. What else it may refuse, it says
/// itself. (A failure of the box, 500, is nobody's contract.)
fn refusals(operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut refusals = vec![
        ("401", "Nobody is signed in, or the token is wrong"),
        ("403", "Not for this caller, not from another site's page, not before the box has an owner"),
        ("421", "The request is for another host"),
        ("429", "Too many wrong tokens or tries from this address"),
        ("503", "The box cannot do it now; try again in a moment"),
    ];
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let in_path =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Path);
    if parameters.iter().any(in_path) {
        refusals.push(("404", "There is no such thing"));
    }
    if !parameters.is_empty() || operation.request_body.is_some() {
        refusals.push(("400", "The request cannot be understood"));
    }
    if operation.request_body.is_some() {
        refusals.push(("408", "The body did not arrive in time"));
        refusals.push(("413", "The body is too large"));
        refusals.push(("415", "The body is of another kind"));
        refusals.push(("422", "A value does not fit"));
    }
    refusals
}

/// Adds what holds for every call: errors are problems; and how a caller shows who it is.
pub(crate) fn finish(mut description: OpenApi) -> OpenApi {
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    for operation in operations(&mut description) {
        for (status, meaning) in refusals(operation) {
            let refusal = || ResponseBuilder::new().description(meaning).build().into();
            operation.responses.responses.entry(status.to_owned()).or_insert_with(refusal);
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with(['4', '5'])
                && response.content.is_empty()
            {
                response.content.insert(PROBLEM.to_owned(), RefOr::T(problem()));
            }
        }
    }
    let components = description.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`admin.token`; for health and metrics `web.metrics_token` or the machine's key too"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("a streamer's stream key")).build();
    components.add_security_scheme("stream_key", SecurityScheme::Http(key));
    let cookie = ApiKeyValue::with_description(
        "motherstream",
        "set by `POST /api/v1/session`; on HTTPS it is called `__Host-motherstream`",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    description
}

fn operations(description: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    description.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten()
    })
}
