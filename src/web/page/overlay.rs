//! Overlays for OBS browser sources: the queue, the timer, who is on air. Transparent, without controls, without sign-in, and they
//! find the box again by themselves, also after hours.
//!
//! They are themed by the query of their address. Every parameter has a small grammar of its own; what does not follow it is as if
//! it were not there, and what does is written anew from its parsed value into a stylesheet of its own (`/overlay.css`), so that
//! nothing of a query reaches CSS or HTML as it was sent. `docs/overlays.md` lists them.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    assets,
    layout::{FRAMED, POLICY, Page},
    live::Rendered,
    words::Clock,
};
use crate::{
    core::moment::Moment,
    director::{EntryView, Snapshot},
    web::{
        app::App,
        http::{
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Anyone, "/queue-list", queue_list)
        .page(Right::Anyone, "/timer-page", timer_page)
        .page(Right::Anyone, "/now-page", now_page)
        .file(Right::Anyone, "/overlay.css", stylesheet)
}

/// The parameters as they came; nonsense is none.
type Asked = Result<Query<HashMap<String, String>>, QueryRejection>;

/// How an overlay looks: the parsed parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    /// The size of its text in CSS pixels.
    size: u16,
    colour: Option<Colour>,
    accent: Option<Colour>,
    /// What lies behind the text; nothing by default.
    back: Option<Colour>,
    /// What surrounds letters.
    edge: Edge,
    across: Across,
    down: Down,
    weight: u16,
    /// How many of the queue are shown.
    count: u16,
    /// A typeface of the machine that OBS runs on.
    font: Option<String>,
    capitals: bool,
    /// Headings and labels.
    labels: bool,
    /// The first of the queue that waits, on `/now-page`.
    next: bool,
}

/// What keeps letters legible on any picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Outline,
    Shadow,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Across {
    Left,
    Center,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Top,
    Middle,
    Bottom,
}

/// A colour: red, green, blue, opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colour([u8; 4]);

impl Colour {
    /// `fff`, `ff8800` or `ff880080`, with or without `#`.
    fn parse(text: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> = text
            .trim_start_matches('#')
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        match *digits?.as_slice() {
            [r, g, b] => Some(Self([r * 17, g * 17, b * 17, 255])),
            [r, g, b, a] => Some(Self([r * 17, g * 17, b * 17, a * 17])),
            [r, rr, g, gg, b, bb] => Some(Self([r * 16 + rr, g * 16 + gg, b * 16 + bb, 255])),
            [r, rr, g, gg, b, bb, a, aa] => Some(Self([r * 16 + rr, g * 16 + gg, b * 16 + bb, a * 16 + aa])),
            _ => None,
        }
    }

    fn hex(self) -> String {
        let Self([r, g, b, a]) = self;
        format!("#{r:02x}{g:02x}{b:02x}{a:02x}")
    }
}

impl Default for Look {
    fn default() -> Self {
        Self {
            size: 36,
            colour: None,
            accent: None,
            back: None,
            edge: Edge::Outline,
            across: Across::Left,
            down: Down::Top,
            weight: 600,
            count: 5,
            font: None,
            capitals: false,
            labels: true,
            next: true,
        }
    }
}

impl Look {
    fn of(asked: &HashMap<String, String>) -> Self {
        let default = Self::default();
        let get = |names: &[&str]| names.iter().find_map(|name| asked.get(*name)).map(|value| value.trim());
        let number = |names: &[&str], least: u16, most: u16, otherwise: u16| {
            let value = get(names).and_then(|value| value.trim_end_matches("px").parse::<u16>().ok());
            value.filter(|value| (least..=most).contains(value)).unwrap_or(otherwise)
        };
        let switch = |names: &[&str], otherwise: bool| match get(names) {
            Some("1" | "on" | "yes" | "true") => true,
            Some("0" | "off" | "no" | "false" | "none") => false,
            _ => otherwise,
        };
        Self {
            size: number(&["size"], 8, 400, default.size),
            colour: get(&["colour", "color"]).and_then(Colour::parse),
            accent: get(&["accent"]).and_then(Colour::parse),
            back: get(&["back", "background"]).and_then(Colour::parse),
            edge: match get(&["edge"]) {
                Some("shadow") => Edge::Shadow,
                Some("none" | "off") => Edge::None,
                _ => Edge::Outline,
            },
            across: match get(&["align"]) {
                Some("center" | "centre") => Across::Center,
                Some("right") => Across::Right,
                _ => Across::Left,
            },
            down: match get(&["valign"]) {
                Some("middle" | "center" | "centre") => Down::Middle,
                Some("bottom") => Down::Bottom,
                _ => Down::Top,
            },
            weight: number(&["weight"], 100, 900, default.weight),
            count: number(&["count"], 1, 50, default.count),
            font: get(&["font"]).filter(|font| is_font(font)).map(str::to_owned),
            capitals: switch(&["capitals", "caps"], default.capitals),
            labels: switch(&["labels", "label"], default.labels),
            next: switch(&["next"], default.next),
        }
    }

    /// The same as a query: only what was understood, in one way of writing it.
    fn query(&self) -> String {
        let default = Self::default();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        };
        let differs = |value: u16, default: u16| (value != default).then(|| value.to_string());
        put("size", differs(self.size, default.size));
        put("colour", self.colour.map(Colour::hex));
        put("accent", self.accent.map(Colour::hex));
        put("back", self.back.map(Colour::hex));
        put(
            "edge",
            match self.edge {
                Edge::Outline => None,
                Edge::Shadow => Some("shadow".to_owned()),
                Edge::None => Some("none".to_owned()),
            },
        );
        put(
            "align",
            match self.across {
                Across::Left => None,
                Across::Center => Some("center".to_owned()),
                Across::Right => Some("right".to_owned()),
            },
        );
        put(
            "valign",
            match self.down {
                Down::Top => None,
                Down::Middle => Some("middle".to_owned()),
                Down::Bottom => Some("bottom".to_owned()),
            },
        );
        put("weight", differs(self.weight, default.weight));
        put("count", differs(self.count, default.count));
        put("font", self.font.clone());
        put("capitals", self.capitals.then(|| "on".to_owned()));
        put("labels", (!self.labels).then(|| "off".to_owned()));
        put("next", (!self.next).then(|| "off".to_owned()));
        query.finish()
    }

    /// The address of its stylesheet.
    fn stylesheet(&self) -> String {
        let query = self.query();
        if query.is_empty() { "/overlay.css".to_owned() } else { format!("/overlay.css?{query}") }
    }

    /// The stylesheet itself: custom properties for `web/assets/overlay.css`, and what is not to be seen.
    fn css(&self) -> String {
        let mut css = format!(":root{{--size:{}px;--weight:{};", self.size, self.weight);
        // Writing into a String does not fail.
        for (name, colour) in [("colour", self.colour), ("accent", self.accent), ("back", self.back)] {
            if let Some(colour) = colour {
                let _ = write!(css, "--{name}:{};", colour.hex());
            }
        }
        if self.back.is_some() {
            css.push_str("--room:0.5em;");
        }
        if let Some(font) = &self.font {
            // Letters, digits, spaces and hyphens only: nothing that could end the string.
            let _ = write!(css, "--face:\"{font}\",\"Geist\",sans-serif;");
        }
        css.push_str(match self.edge {
            Edge::Outline => "",
            Edge::Shadow => "--cast:0 0.06em 0.14em rgb(0 0 0/.85);",
            Edge::None => "--cast:none;",
        });
        let (text, items) = match self.across {
            Across::Left => ("left", "flex-start"),
            Across::Center => ("center", "center"),
            Across::Right => ("right", "flex-end"),
        };
        let _ = write!(css, "--text:{text};--across:{items};");
        css.push_str(match self.down {
            Down::Top => "--down:flex-start;",
            Down::Middle => "--down:center;",
            Down::Bottom => "--down:flex-end;",
        });
        if self.capitals {
            css.push_str("--case:uppercase;");
        }
        css.push_str("}\n");
        let _ = writeln!(css, ".queue>:nth-child(n+{}){{display:none}}", self.count + 1);
        if !self.labels {
            css.push_str(".label{display:none}\n");
        }
        if !self.next {
            css.push_str(".next{display:none}\n");
        }
        css
    }
}

/// A name of a typeface, and nothing that means anything in CSS.
fn is_font(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '-'))
}

#[derive(Template)]
#[template(path = "overlay.html")]
struct Overlay<'a> {
    page: &'a Page,
    /// Its part.
    name: &'static str,
    title: &'static str,
    content: String,
    stylesheet: String,
}

#[derive(Template)]
#[template(path = "parts/overlay_queue.html")]
struct QueueList<'a> {
    on_air: Option<&'a EntryView>,
    waiting: &'a [EntryView],
}

#[derive(Template)]
#[template(path = "parts/overlay_timer.html")]
struct Timer {
    clock: Option<Clock>,
}

#[derive(Template)]
#[template(path = "parts/overlay_now.html")]
struct Now<'a> {
    on_air: Option<&'a EntryView>,
    next: Option<&'a EntryView>,
}

/// The longest queue that an overlay is sent.
const LONGEST: usize = 50;

fn rendered(snapshot: &Snapshot, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    let queue = &snapshot.queue;
    let on_air = queue.on_air.as_ref().map(|turn| &turn.entry);
    let list = QueueList { on_air, waiting: queue.waiting.get(..LONGEST).unwrap_or(&queue.waiting) };
    let timer = Timer { clock: queue.on_air.as_ref().map(|turn| Clock::of(turn, snapshot.taken, now)) };
    let next = queue.waiting.iter().find(|entry| Some(entry.id) == queue.next);
    let names = Now { on_air, next };
    Ok(vec![("queue", list.render()?), ("timer", timer.render()?), ("now", names.render()?)])
}

/// The overlays' parts, as everybody sees them.
pub(super) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    rendered(&app.control.snapshot(), None)
}

fn overlay(app: &App, page: &Page, asked: Asked, name: &'static str, title: &'static str) -> Result<Response, Problem> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let snapshot = app.control.snapshot();
    let parts = rendered(&snapshot, Some(app.control.now()))
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let content = parts.into_iter().find(|(part, _)| *part == name).map(|(_, html)| html).unwrap_or_default();
    let mut response = page.show(&Overlay { page, name, title, content, stylesheet: Look::of(&asked).stylesheet() });
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, FRAMED);
    Ok(response)
}

async fn queue_list(State(app): State<Arc<App>>, page: Page, asked: Asked) -> Result<Response, Problem> {
    overlay(&app, &page, asked, "queue", "The queue")
}

async fn timer_page(State(app): State<Arc<App>>, page: Page, asked: Asked) -> Result<Response, Problem> {
    overlay(&app, &page, asked, "timer", "Time left")
}

async fn now_page(State(app): State<Arc<App>>, page: Page, asked: Asked) -> Result<Response, Problem> {
    overlay(&app, &page, asked, "now", "On air")
}

/// What a query's parameters say, as a stylesheet.
async fn stylesheet(asked: Asked) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (head, Look::of(&asked).css()).into_response()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(query: &str) -> Look {
        let asked = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Look::of(&asked)
    }

    #[test]
    fn parameters_are_understood() {
        let look = look(
            "size=64&color=%23fff&accent=ff880080&align=center&valign=bottom&count=3&labels=off&font=Fira+Sans&edge=none",
        );
        assert_eq!(look.size, 64);
        assert_eq!(look.colour.unwrap().hex(), "#ffffffff");
        assert_eq!(look.accent.unwrap().hex(), "#ff880080");
        assert_eq!((look.across, look.down, look.count, look.labels), (Across::Center, Down::Bottom, 3, false));
        let css = look.css();
        for part in
            ["--size:64px", "--colour:#ffffffff", "--face:\"Fira Sans\"", ":nth-child(n+4)", ".label{display:none}"]
        {
            assert!(css.contains(part), "{part} in {css}");
        }
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        for query in [
            "size=0",
            "size=99999",
            "size=-1",
            "size=12;color:red",
            "colour=red",
            "colour=%23ggg",
            "colour=fff}body{display:none",
            "accent=url(http://evil.example/)",
            "align=justify",
            "count=0",
            "count=1e3",
            "font=x%22%7D%20body%7Bdisplay%3Anone%7D",
            "font=%3C/style%3E",
            "weight=bold",
            "labels=maybe",
            "nonsense=1",
        ] {
            assert_eq!(look(query), Look::default(), "{query}");
        }
    }

    #[test]
    fn address_of_the_stylesheet_says_what_was_understood() {
        assert_eq!(look("").stylesheet(), "/overlay.css");
        let first =
            look("size=64&colour=f80&font=Fira+Sans&capitals=1&next=off&edge=shadow&align=right&x=%3Cscript%3E");
        let (_, query) = first.stylesheet().split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(look(&query), first);
        assert!(!query.contains("script"), "{query}");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_no_rule_is_added(name in "[a-z]{3,10}", value in any::<String>()) {
            for name in [name.as_str(), "size", "colour", "accent", "back", "font", "count", "weight", "edge", "align", "labels"] {
                let asked = HashMap::from([(name.to_owned(), value.clone())]);
                let css = Look::of(&asked).css();
                // One rule for the root, one for the count, and at most one for what is not to be seen.
                prop_assert!(css.matches('{').count() <= 3, "{css}");
                prop_assert_eq!(css.matches('{').count(), css.matches('}').count());
                prop_assert!(!css.contains("url") && !css.contains('<') && !css.contains('@') && !css.contains('\\'));
                prop_assert!(Look::of(&asked).stylesheet().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
