//! The description of the API: what the code says of itself, and who may call what.

use std::sync::Arc;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder, SecurityRequirement,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{App, problem::Problem};

type Routes = OpenApiRouter<Arc<App>>;

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

/// Calls for whoever is signed in.
pub(crate) fn signed_in(routes: Routes) -> Routes {
    guarded(routes, &["session"])
}

/// Calls for admins.
pub(crate) fn admins(routes: Routes) -> Routes {
    guarded(routes, &["session", "bearer"])
}

/// Calls for the holder of `admin.token`.
pub(crate) fn token(routes: Routes) -> Routes {
    guarded(routes, &["bearer"])
}

/// Calls for encoders, by stream key.
pub(crate) fn encoders(routes: Routes) -> Routes {
    guarded(routes, &["stream_key"])
}

/// Calls from the machine itself and for admins.
pub(crate) fn local_or_admins(routes: Routes) -> Routes {
    guarded(routes, &["session", "bearer"])
}

fn guarded(mut routes: Routes, by: &[&str]) -> Routes {
    for operation in operations(routes.get_openapi_mut()) {
        let ways = by.iter().map(|scheme| SecurityRequirement::new(*scheme, Vec::<String>::new()));
        operation.security = Some(ways.collect());
    }
    routes
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
