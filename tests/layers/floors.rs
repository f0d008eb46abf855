//! Rooms inside the large modules, and who may look into which.

use crate::circles::{Need, Tree, module};

/// The floors of a module, lowest first. A room, which is a file with the folder of its name, names rooms of lower floors
/// alone. `""` is the module's own file; where it is left out, only the rule against circles holds for it.
const FLOORS: &[(&str, &[&[&str]])] = &[
    // What is said of media; the pieces that are given frames one by one; what keeps, shows or sends them; what paces them.
    (
        "media",
        &[
            &["chain", "status", "tag"],
            &["egress", "house", "listeners", "pictures"],
            &["hls", "slate", "source"],
            &["program"],
            &["monitor"],
            &[""],
        ],
    ),
    // The handle, which is the module's own file, serves both ingests and knows SRS's WHIP.
    ("ingest", &[&["events", "state"], &["embedded", "srs"]]),
    ("ingest/embedded", &[&["chunk", "dialect", "naming", "registry"], &["dialogue"], &["connection"], &[""]]),
    (
        "ingest/srs",
        &[
            &["api", "install", "secret"],
            &["figures", "server"],
            &["doors", "publishers"],
            &["dispatcher"],
            &["hooks", "whip"],
            &[""],
        ],
    ),
    // The kit of HTTP with the state that all requests share; the two faces, of which neither knows the other.
    ("web", &[&["app", "http"], &["api", "page"], &[""]]),
];

/// Whether `from` may name `to`, rooms of `house`.
fn allowed(house: &str, from: &str, to: &str) -> bool {
    // The shared state holds pieces of the kit, and the kit is given the state.
    if house == "web" && matches!((from, to), ("app", "http") | ("http", "app")) {
        return true;
    }
    match (floor(house, from), floor(house, to)) {
        (Some(from), Some(to)) => to < from,
        // Told of the room itself, or free.
        _ => true,
    }
}

fn floor(house: &str, room: &str) -> Option<usize> {
    let (_, floors) = FLOORS.iter().find(|(name, _)| *name == house)?;
    floors.iter().position(|floor| floor.contains(&room))
}

/// The room of `house` in which a file stands: `""` for the house's own file; none for a file elsewhere.
fn room(house: &str, file: &str) -> Option<String> {
    let place = module(file);
    let inside = place.join("/");
    let rest = inside.strip_prefix(house)?;
    if rest.is_empty() {
        return Some(String::new());
    }
    rest.strip_prefix('/')?.split('/').next().map(ToOwned::to_owned)
}

/// What is wrong with the rooms: one that the table does not know, and names that lead up or to a neighbour.
pub(crate) fn faults(tree: &Tree, needs: &[Need]) -> Vec<String> {
    let mut faults = Vec::new();
    for (house, _) in FLOORS {
        for file in tree.files() {
            if let Some(room) = room(house, file)
                && !room.is_empty()
                && floor(house, &room).is_none()
            {
                faults
                    .push(format!("{file}: `{room}` stands on no floor of {house}; add it to tests/layers/floors.rs"));
            }
        }
        for need in needs.iter().filter(|need| !need.test) {
            let (Some(from), Some(to)) = (room(house, &need.from), room(house, &need.to)) else { continue };
            if from != to && !allowed(house, &from, &to) {
                let to = if to.is_empty() { format!("{house}.rs") } else { to };
                let Need { from: file, line, item, .. } = need;
                faults.push(format!("{file}:{line}: `{from}` must not name `{item}` of `{to}` in {house}"));
            }
        }
    }
    faults
}

#[test]
fn a_room_that_looks_up_or_aside_is_found_and_one_that_looks_down_is_not() {
    type Files<'a> = &'a [(&'a str, &'a str)];

    let program = ("media/program.rs", "pub struct Program; use super::{house::House, status::Event};");
    let house = ("media/house.rs", "mod line; pub struct House; use self::line::Line; use super::chain::Chain;");
    let line = ("media/house/line.rs", "pub struct Line;");
    let chain = ("media/chain.rs", "pub struct Chain; #[cfg(test)] mod tests { use crate::media::House; }");
    let status = ("media/status.rs", "pub struct Event;");
    let media = (
        "media.rs",
        "mod house; mod program; pub use self::house::House; pub struct Media; struct P(program::Program);",
    );
    let web = [
        ("web.rs", "mod api; mod app; mod http; mod page; use api::Api; use page::Page; use app::App;"),
        ("web/app.rs", "pub struct App(super::http::kit::Kit);"),
        ("web/http.rs", "pub mod kit;"),
        ("web/http/kit.rs", "pub struct Kit; fn f(_: &super::super::app::App) {}"),
        ("web/api.rs", "pub mod queue; pub struct Api;"),
        ("web/api/queue.rs", "pub struct Queue; use crate::web::{app::App, http::kit::Kit};"),
        ("web/page.rs", "pub struct Page; use super::{app::App, http::kit::Kit};"),
    ];
    let sound = [program, house, line, chain, status, media];
    let cases: &[(Files<'_>, &[&str])] = &[
        (&sound, &[]),
        (&web, &[]),
        (
            &[("media/house/line.rs", "use crate::media::program::Program;")],
            &["media/house/line.rs:1: `house` must not name `Program` of `program` in media"],
        ),
        // Wherever it is imported by.
        (
            &[("media/tag.rs", "use super::House;")],
            &["media/tag.rs:1: `tag` must not name `House` of `house` in media"],
        ),
        (
            &[("media/status.rs", "pub struct Event(super::chain::Chain);")],
            &["media/status.rs:1: `status` must not name `Chain` of `chain` in media"],
        ),
        (
            &[("media/source.rs", "\nuse super::Media;")],
            &["media/source.rs:2: `source` must not name `Media` of `media.rs` in media"],
        ),
        (
            &[("media/cellar.rs", "")],
            &["media/cellar.rs: `cellar` stands on no floor of media; add it to tests/layers/floors.rs"],
        ),
        (&[("media.rs", "#[cfg(test)] mod tests;"), ("media/tests.rs", "use super::program::Program;")], &[]),
        (
            &[
                ("ingest/srs.rs", "use super::{embedded::Rtmp, Ingest};"),
                ("ingest.rs", "pub struct Ingest;"),
                ("ingest/embedded.rs", "pub struct Rtmp;"),
            ],
            &["ingest/srs.rs:1: `srs` must not name `Rtmp` of `embedded` in ingest"],
        ),
        (
            &[("web/page.rs", "use super::api::queue::Queue;"), web[4], web[5]],
            &["web/page.rs:1: `page` must not name `Queue` of `api` in web"],
        ),
        (
            &[("web/api/queue.rs", "use crate::web::page;\n fn f() { page::show() }"), web[4], web[6]],
            &["web/api/queue.rs:2: `api` must not name `show` of `page` in web"],
        ),
        (
            &[("web/http/kit.rs", "use crate::web::page::Page;"), web[6]],
            &["web/http/kit.rs:1: `http` must not name `Page` of `page` in web"],
        ),
    ];
    for (changed, expected) in cases {
        let kept = sound.iter().chain(&web).filter(|(file, _)| changed.iter().all(|(other, _)| other != file));
        let tree = Tree::new(changed.iter().chain(kept).copied());
        assert_eq!(faults(&tree, &tree.needs()), *expected, "{changed:?}");
    }
}
