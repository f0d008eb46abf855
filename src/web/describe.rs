//! The description of the API: what the code says of itself, and who may call what.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder, SecurityRequirement,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::problem::Problem;

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

/// Adds what holds for every call: errors are problems; and how a caller shows who it is.
pub(crate) fn finish(mut description: OpenApi) -> OpenApi {
    let problem = ResponseBuilder::new()
        .description("What went wrong")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    for operation in operations(&mut description) {
        operation.responses.responses.insert("default".to_owned(), problem.clone().into());
    }
    let components = description.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`admin.token`")).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("a streamer's stream key")).build();
    components.add_security_scheme("stream_key", SecurityScheme::Http(key));
    let cookie = ApiKeyValue::with_description("motherstream", "set by `POST /api/v1/session`");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    description
}

fn operations(description: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    description.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten()
    })
}
