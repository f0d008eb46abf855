//! Every route the router has, and every role.

use std::{fmt::Write as _, net::Ipv4Addr, sync::atomic::AtomicU32};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
    response::Response,
};
use tower::ServiceExt;

use super::*;
use crate::{
    control::journal::{By, Caller, Noted},
    web::http::{
        guard::enforce,
        rights::{Face, Judged, Right, Stated, Table},
        sessions,
    },
};

/// Who there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Streamer,
    Operator,
    Admin,
    Token,
    WrongToken,
    /// A program on this machine, with its key.
    Machine,
    /// Whoever holds `web.metrics_token`.
    Monitor,
    /// Somebody whose account was disabled while the session lasted.
    Disabled,
}

const METRICS_TOKEN: &str = "a-token-for-prometheus";

const EVERYBODY: [Who; 9] = [
    Who::Nobody,
    Who::Streamer,
    Who::Operator,
    Who::Admin,
    Who::Token,
    Who::WrongToken,
    Who::Machine,
    Who::Monitor,
    Who::Disabled,
];

/// Who may call what: the rights in other words than the guard's.
fn may(who: Who, right: Right) -> bool {
    let open_to: &[Who] = match right {
        Right::Stranger | Right::Anyone | Right::Ticket | Right::Encoder => &EVERYBODY,
        Right::SignedIn => &[Who::Streamer, Who::Operator, Who::Admin],
        Right::Operator => &[Who::Operator, Who::Admin, Who::Token],
        Right::Admin => &[Who::Admin, Who::Token],
        Right::Machine => &[Who::Admin, Who::Token, Who::Machine],
        Right::Health => &[Who::Admin, Who::Token, Who::Machine, Who::Monitor],
        Right::Token => &[Who::Token],
    };
    open_to.contains(&who)
}

fn table() -> Table {
    // The description is added by the router itself.
    routes().file(Right::Anyone, "/api/v1/openapi.json", async || "").finish().2
}

/// A router without sockets, called from any address.
struct Desk {
    state: Parts,
    app: Arc<App>,
    router: Router,
}

impl Desk {
    async fn open(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let settings = [settings, &[("WEB__METRICS_TOKEN", METRICS_TOKEN)]].concat();
        let state = a_box(folder, &settings, None).await.state;
        let (app, router) = whole(state.clone());
        Self { state, app, router }
    }

    /// A cookie of an account with this role, made afresh if the call before deleted it.
    async fn session(&self, who: Who) -> String {
        let name = format!("{who:?}");
        let accounts = &self.state.accounts;
        let account = if let Some(account) = accounts.list().into_iter().find(|account| account.name == name) {
            account
        } else {
            let registration = crate::accounts::Registration {
                name,
                password: PASSWORD.into(),
                email: None,
                timezone: None,
                invitation: None,
            };
            accounts.create(registration).await.unwrap().0
        };
        let role = match who {
            Who::Operator => Role::Operator,
            Who::Admin => Role::Admin,
            _ => Role::Streamer,
        };
        let edit = Edit { role: Some(role), enabled: Some(who != Who::Disabled), ..Edit::default() };
        accounts.edit(account.id, edit).await.unwrap();
        let store = Arc::new(sessions::Cookies::new(self.app.control.sessions()));
        let session = tower_sessions::Session::new(None, store, None);
        sessions::sign_in(&session, &By::new(Caller::Anonymous, None, Noted::default()), account.id).await.unwrap();
        session.save().await.unwrap();
        format!("motherstream={}", session.id().unwrap())
    }

    /// One call with things that are not there: it goes as far as it is allowed to.
    async fn call(&self, method: &Method, path: &str, stated: Stated, who: Who, peer: Ipv4Addr) -> Response {
        let path: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "999999" } else { part }).collect();
        let mut request = Request::builder().method(method).uri(path.join("/")).header("host", "localhost");
        request = match who {
            Who::Nobody => request,
            Who::Token => request.header("authorization", format!("Bearer {TOKEN}")),
            Who::WrongToken => request.header("authorization", "Bearer wrong"),
            Who::Machine => request.header("authorization", format!("Bearer {}", self.state.machine.expose())),
            Who::Monitor => request.header("authorization", format!("Bearer {METRICS_TOKEN}")),
            who => request.header("cookie", self.session(who).await),
        };
        let (kind, body) = match stated.face {
            Face::Api => ("application/json", "{}"),
            Face::Page => ("application/x-www-form-urlencoded", ""),
        };
        let mut request = request.header("content-type", kind).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 5000))));
        self.router.clone().oneshot(request).await.unwrap()
    }
}

/// Each call from an address of its own, so that no limit is met.
fn somewhere() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Ipv4Addr::from(0xc612_0000 + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn passed(response: &Response) -> bool {
    response.extensions().get::<Judged>().expect("every answer of a route says so").passed
}

#[tokio::test]
async fn every_route_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let folder = folder();
    let desk = Desk::open(folder.path(), &[]).await;
    desk.session(Who::Admin).await;
    let mut count = 0;
    for (method, path, stated) in table().all() {
        for who in EVERYBODY {
            let answer = desk.call(method, path, stated, who, somewhere()).await;
            let (status, told) = (answer.status(), format!("{method} {path} by {who:?}: {}", answer.status()));
            assert_eq!(passed(&answer), may(who, stated.right), "{told}");
            count += 1;
            if passed(&answer) {
                assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{told}");
                continue;
            }
            match (who, stated.face) {
                (Who::Nobody | Who::Disabled | Who::WrongToken, Face::Page) => {
                    assert_eq!(status, StatusCode::SEE_OTHER, "{told}");
                    assert!(answer.headers()["location"].to_str().unwrap().starts_with("/login"), "{told}");
                }
                (Who::Nobody | Who::Disabled | Who::WrongToken, _) => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{told}");
                }
                _ => assert_eq!(status, StatusCode::FORBIDDEN, "{told}"),
            }
        }
    }
    assert!(count > 300, "{count}");
}

#[tokio::test]
async fn box_without_an_owner_answers_nothing_but_what_claims_it() {
    let folder = folder();
    let desk = Desk::open(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    for (method, path, stated) in table().all() {
        for (peer, who) in
            [(somewhere(), Who::Nobody), (Ipv4Addr::LOCALHOST, Who::Nobody), (Ipv4Addr::LOCALHOST, Who::Machine)]
        {
            let answer = desk.call(method, path, stated, who, peer).await;
            let told = format!("{method} {path} by {who:?} from {peer}: {}", answer.status());
            let of_the_machine = matches!(stated.right, Right::Machine | Right::Health);
            let open = stated.right == Right::Stranger || (of_the_machine && who == Who::Machine);
            assert_eq!(passed(&answer), open, "{told}");
            if of_the_machine || open {
                continue;
            }
            match stated.face {
                Face::Page => assert_eq!(answer.headers()["location"], "/setup", "{told}"),
                Face::Api => {
                    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{told}");
                    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["type"], "urn:motherstream:not-claimed", "{told}");
                    assert!(body["detail"].as_str().unwrap().contains("/setup"), "{told}");
                }
            }
        }
    }
    // What is nowhere leads there too, for a person.
    let site = Site::start(tempfile::tempdir().unwrap().path(), &[("ADMIN__TOKEN", "")]).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let nowhere = client.get(format!("http://{}/nowhere", site.address)).send().await.unwrap();
    assert_eq!((nowhere.status().as_u16(), &nowhere.headers()["location"]), (303, &"/setup".parse().unwrap()));
    site.get("/api/v1/nowhere", &As::Nobody).await.is(403);
    site.end().await;
}

#[tokio::test]
async fn route_without_a_right_is_not_served() {
    let folder = folder();
    let (app, _) = whole(a_box(folder.path(), &[], None).await.state);
    let stray = Router::new()
        .route("/stray", axum::routing::get(async || "never"))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::new(table())), enforce))
        .with_state(app);
    let answer = stray.oneshot(Request::get("/stray").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn description_has_every_call_and_says_who_may_make_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let description = site.get("/api/v1/openapi.json", &As::Nobody).await.body;
    let paths = description["paths"].as_object().unwrap();
    let table = table();
    let stated: BTreeMap<_, _> =
        table.all().map(|(method, path, stated)| ((path, method.as_str().to_lowercase()), stated.right)).collect();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let right = stated[&(path.as_str(), method.clone())];
            let open = matches!(right, Right::Stranger | Right::Anyone | Right::Ticket);
            assert_eq!(operation["security"].is_array(), !open, "{method} {path}");
            // It would promise nothing: each refusal is named.
            assert!(operation["responses"]["default"].is_null(), "{method} {path}");
            let refused = &operation["responses"]["403"]["content"]["application/problem+json"];
            assert!(refused.is_object(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    for (path, _) in stated.keys().filter(|(path, _)| path.starts_with("/api/") && *path != "/api/v1/openapi.json") {
        assert!(paths.contains_key(*path), "{path} is not described");
    }
    // Every reference leads somewhere.
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(!text.contains("password_hash"));
    site.end().await;
}

/// Set `MOTHERSTREAM_TEST_WRITE=1` to have the page's table written anew.
#[test]
fn page_about_rights_has_every_route() {
    const BEGIN: &str = "| method | path | right |\n|---|---|---|\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rights.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let mut expected = String::new();
    for (method, path, stated) in table().all() {
        writeln!(expected, "| {method} | `{path}` | {} |", stated.right.name()).unwrap();
    }
    let (before, found) = page.split_once(BEGIN).expect("the table's head");
    if found == expected {
        return;
    }
    if std::env::var_os("MOTHERSTREAM_TEST_WRITE").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{expected}")).unwrap();
    } else {
        panic!(
            "docs/rights.md lacks a route or has one too many; MOTHERSTREAM_TEST_WRITE=1 writes it. It should be\n{expected}"
        );
    }
}

#[tokio::test]
async fn operators_ban_streamers_and_nobody_above_them() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (admin, _) = site.admin("Ada").await;
    let (operator, cookie) = site.streamer("Opa").await;
    let role = json!({"role": "operator"});
    site.patch(&format!("/api/v1/accounts/{}", operator.0), &As::Token, role).await.is(200);
    let streamer = site.account("Bob").await;
    for (id, status) in [(admin, 403), (operator, 403), (streamer, 200)] {
        site.post(&format!("/api/v1/accounts/{}/ban", id.0), &cookie, json!({})).await.is(status);
    }
    assert!(!site.state.accounts.get(streamer).unwrap().enabled);
    site.post(&format!("/api/v1/accounts/{}/unban", streamer.0), &cookie, json!({})).await.is(200);
    assert!(site.state.accounts.get(streamer).unwrap().enabled);
    site.get("/api/v1/accounts", &cookie).await.is(403);
    site.end().await;
}

#[tokio::test]
async fn operators_switch_destinations_and_see_no_more_of_them() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (operator, cookie) = site.streamer("Opa").await;
    let edit = Edit { role: Some(Role::Operator), ..Edit::default() };
    site.state.accounts.edit(operator, edit).await.unwrap();
    let input = json!({"name": "Twitch", "url": "rtmp://127.0.0.1:1/live", "key": "very-secret-key"});
    let made = site.post("/api/v1/destinations", &As::Token, input).await;
    let path = format!("/api/v1/destinations/{}", made.is(201).body["id"]);
    let switched = site.put(&format!("{path}/enabled"), &cookie, json!({"on": false})).await;
    assert_eq!(switched.is(200).body["enabled"], false);
    site.patch(&path, &cookie, json!({"enabled": true})).await.is(403);
    site.end().await;
}
