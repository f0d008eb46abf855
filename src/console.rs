//! `motherstream console`: the status page of the box's own screen, without sign-in. Asks the running box over loopback, with the machine's
//! key, and draws the answer in place, for ever.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use qrcode::{Color, EcLevel, QrCode};
use sysinfo::System;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use url::Url;

use crate::{config::Config, control::machine_key::MachineKey, core::network::wifi::joining_code, web::ConsoleView};

/// How often it is drawn anew.
const EVERY: Duration = Duration::from_secs(2);
/// How often it is drawn although nothing has changed: a line of the kernel's may stand in it.
const ANEW: Duration = Duration::from_secs(30);
/// How long the box may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long each of two codes stands, where one joins the box's own Wi-Fi and the other opens the page.
const CODE_TIME: Duration = Duration::from_secs(8);
/// The screen: what every console has, less the line below which it scrolls.
const WIDTH: usize = 80;
const HEIGHT: usize = 24;

/// Draws until nobody can read it any more.
///
/// # Errors
/// When nothing can be written, or this machine gives no thread.
pub fn run(config: &Config) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = loopback(config.web.listen);
    let key = MachineKey::place(&config.data_dir);
    let own_name = System::host_name().unwrap_or_else(|_| "motherstream".to_owned());
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(io::Error::other)?;
    runtime.block_on(async {
        let (mut shown, mut since) = (String::new(), Instant::now());
        let began = Instant::now();
        loop {
            let turn = began.elapsed().as_secs() / CODE_TIME.as_secs();
            let page = match look(&client, address, &key).await {
                Ok(view) => draw(&view, &own_name, turn.is_multiple_of(2)),
                Err(reason) => draw_down(&reason),
            };
            if page != shown || since.elapsed() >= ANEW {
                since = Instant::now();
                let mut out = io::stdout().lock();
                // From the top left; what was there below goes.
                write!(out, "\x1b[H\x1b[2J\x1b[3J{page}")?;
                out.flush()?;
                shown = page;
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// Where a listener is reached from this machine.
fn loopback(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

async fn look(client: &reqwest::Client, address: SocketAddr, key: &Path) -> Result<ConsoleView, String> {
    // Anew each time: the box makes another one at each start.
    let key = MachineKey::read(key).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it does not run, or is still starting".to_owned(),
        _ => format!("its key at {} cannot be read: {error}", key.display()),
    })?;
    let url = format!("http://{address}/api/v1/console");
    let answer = client.get(url).bearer_auth(key.expose()).send().await.map_err(|error| {
        if error.is_connect() {
            "it does not run, or is still starting".to_owned()
        } else {
            "it does not answer".to_owned()
        }
    })?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    answer.json().await.map_err(|_| "another program answers in its place".to_owned())
}

/// The page of a box that answers, and is called `own_name`. `first`: the first of two codes, where there are two.
fn draw(view: &ConsoleView, own_name: &str, first: bool) -> String {
    let mut text = Vec::new();
    text.push(visible(&view.venue));
    text.push(String::new());
    // While the box makes the Wi-Fi itself that is the way in, if it has no other.
    let own = view.wifi.as_ref();
    let on_own = own.filter(|wifi| view.pages.iter().all(|page| *page == wifi.page));
    let page = on_own.map(|wifi| &wifi.page).or(view.pages.first());
    let joins =
        on_own.filter(|wifi| first && !wifi.joined).map(|wifi| joining_code(&wifi.name, wifi.password.as_deref()));
    if let Some(wifi) = own {
        let with = wifi.password.as_ref().map(|password| format!(", password {}", visible(password)));
        let with = with.unwrap_or_default();
        if on_own.is_some() {
            text.push(format!("1. Join this Wi-Fi: {}{with}", visible(&wifi.name)));
            text.push(format!("2. A page opens by itself; if not, open {}", visible(&wifi.page)));
            text.push(String::new());
        } else {
            text.push(format!("Own Wi-Fi: {}{with}", visible(&wifi.name)));
        }
    }
    match page {
        Some(_) if on_own.is_some() => {}
        Some(page) => {
            let port = Url::parse(page).ok().and_then(|page| page.port()).map(|port| format!(":{port}"));
            text.push("Open this page, on a phone or computer in the same network:".to_owned());
            text.extend(view.pages.iter().take(3).map(|page| format!("  {page}")));
            text.push(format!(
                "  http://{}.local{}/  (where the network allows it)",
                visible(own_name),
                port.unwrap_or_default()
            ));
        }
        None => text.push("No network yet: plug a cable in at both ends, or wait for the box's own Wi-Fi.".to_owned()),
    }
    if let Some(code) = &view.setup_code {
        text.push(String::new());
        text.push(format!("Setup code: {}", visible(code)));
        text.push("It makes you the owner of this box, once.".to_owned());
    }
    text.push(String::new());
    text.push(match (&view.on_air, view.forced_slate) {
        (_, true) => "The slate is shown: somebody pressed the panic button.".to_owned(),
        (Some(name), false) => format!("On air: {}", visible(name)),
        (None, false) => "Nobody is on air.".to_owned(),
    });
    let show = if view.show { "The show is on" } else { "No show" };
    text.push(format!("{show}. {} waiting. {} destinations.", view.waiting, view.destinations));
    if view.ready {
        text.push("Everything works.".to_owned());
    }
    text.extend(view.troubles.iter().map(|trouble| format!("! {}", visible(trouble))));
    text.push(format!("Motherstream {}", visible(&view.version)));
    beside(&joins.as_deref().or(page.map(String::as_str)).map(code).unwrap_or_default(), &text)
}

/// The page of a box that does not answer.
fn draw_down(reason: &str) -> String {
    let text = [
        "Motherstream".to_owned(),
        String::new(),
        format!("The box is not ready: {reason}."),
        "It is started again by itself. If this stays for more than two minutes:".to_owned(),
        "unplug it, wait ten seconds, and plug it in again.".to_owned(),
    ];
    beside(&[], &text)
}

/// Text without anything that would move the cursor.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A QR code in half blocks, two rows of modules to a line: dark on light needs no colours of the screen, since the light ones are drawn.
/// Empty when the text is too long.
fn code(text: &str) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else { return Vec::new() };
    let side = code.width();
    let margin = 2;
    let light = |column: usize, row: usize| {
        let inside = |at: usize| at.checked_sub(margin).filter(|at| *at < side);
        match (inside(column), inside(row)) {
            (Some(x), Some(y)) => code[(x, y)] == Color::Light,
            _ => true,
        }
    };
    let whole = side + 2 * margin;
    (0..whole.div_ceil(2))
        .map(|line| {
            (0..whole)
                .map(|column| match (light(column, 2 * line), light(column, 2 * line + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                })
                .collect()
        })
        .collect()
}

/// The code on the left, the text on the right, or below where it is too wide.
fn beside(code: &[String], text: &[String]) -> String {
    let left = code.first().map_or(0, |line| line.chars().count());
    let room = WIDTH.saturating_sub(left + 3);
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text {
        lines.extend(wrapped(paragraph, if left == 0 { WIDTH } else { room }));
    }
    let mut page = String::new();
    for row in 0..code.len().max(lines.len()).min(HEIGHT) {
        let blank = " ".repeat(left);
        let drawn = code.get(row).unwrap_or(&blank);
        let said = lines.get(row).map(String::as_str).unwrap_or_default();
        let gap = if left == 0 { "" } else { "   " };
        let _written = writeln!(page, "{}\r", format!("{drawn}{gap}{said}").trim_end());
    }
    page
}

/// Lines of at most `width` columns, broken at spaces where there are any, and in a word that is longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    const INDENT: &str = "  ";
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_inclusive(' ') {
        let needed = word.trim_end().width();
        if line.width() + needed > width && INDENT.len() + needed <= width {
            lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
        }
        for letter in word.chars() {
            // A space at the end of a line takes no room.
            if letter != ' ' && line.width() + letter.width().unwrap_or_default() > width {
                lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::web::ConsoleWifi;

    fn view() -> ConsoleView {
        ConsoleView {
            venue: "Blue Room".to_owned(),
            pages: vec!["http://192.168.1.7/".to_owned()],
            setup_code: Some("abcd2345".to_owned()),
            ready: true,
            on_air: Some("Ada\x1b[2J".to_owned()),
            waiting: 2,
            ..ConsoleView::default()
        }
    }

    #[test]
    fn screen_of_eighty_by_twenty_five_holds_it_all() {
        let page = draw(&view(), "stage2", true);
        let lines: Vec<_> = page.split("\r\n").collect();
        assert!(lines.len() <= 25, "{page}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{page}");
        for what in [
            "Blue Room",
            "http://192.168.1.7/",
            "http://stage2.local/",
            "Setup code: abcd2345",
            "On air: Ada",
            "2 waiting",
            "Everything works",
        ] {
            assert!(page.contains(what), "{what}: {page}");
        }
        assert!(!page.contains('\x1b'), "a name moves the cursor: {page:?}");
        assert!(page.contains('█') && page.contains('▀'));
    }

    #[test]
    fn the_name_has_the_port_of_the_page() {
        let page = draw(&ConsoleView { pages: vec!["http://192.168.1.7:8080/".to_owned()], ..view() }, "stage2", true);
        assert!(page.contains("http://stage2.local:8080/"), "{page}");
    }

    #[test]
    fn long_addresses_and_wide_names_leave_the_code_in_one_piece() {
        let pages = ["http://[2001:db8:85a3:1234:8a2e:370:7334:abcd]/", "http://192.168.178.123/"].map(str::to_owned);
        let names = "初音".repeat(20);
        let view =
            ConsoleView { venue: "Blue".repeat(16), pages: pages.to_vec(), on_air: Some(names.clone()), ..view() };
        let page = draw(&view, &"stage".repeat(12), true);
        assert!(page.lines().all(|line| line.trim_end().width() <= WIDTH), "{page}");
        assert!(page.lines().count() <= HEIGHT, "{page}");
        let said: String = page.chars().filter(|c| !"█▀▄ \r\n".contains(*c)).collect();
        assert!(said.contains(&pages[0]) && said.contains(&names), "{page}");
    }

    #[test]
    fn box_without_an_answer_or_a_network_says_what_to_do() {
        assert!(draw_down("it does not run").contains("plug it in again"));
        let alone = draw(&ConsoleView { pages: Vec::new(), setup_code: None, ..view() }, "stage2", true);
        assert!(alone.contains("cable") && !alone.contains("Setup code"), "{alone}");
    }

    #[test]
    fn own_wifi_is_joined_by_a_first_code_and_its_page_opened_by_a_second() {
        let wifi = ConsoleWifi {
            name: "Motherstream-0A1B".to_owned(),
            page: "http://4.3.2.1/".to_owned(),
            ..ConsoleWifi::default()
        };
        let alone = ConsoleView { wifi: Some(wifi.clone()), pages: vec!["http://4.3.2.1/".to_owned()], ..view() };
        let (first, second) = (draw(&alone, "stage2", true), draw(&alone, "stage2", false));
        for page in [&first, &second] {
            assert!(page.contains("Motherstream-0A1B") && page.contains("http://4.3.2.1/"), "{page}");
            assert!(page.contains("abcd2345") && page.lines().count() <= HEIGHT, "{page}");
            assert!(page.lines().all(|line| line.trim_end().width() <= WIDTH), "{page}");
        }
        let drawn = |text: &str| code(text)[3].clone();
        assert!(first.contains(&drawn("WIFI:T:nopass;S:Motherstream-0A1B;;")), "{first}");
        assert!(second.contains(&drawn("http://4.3.2.1/")), "{second}");
        // Whoever is on it needs the page alone.
        let on = ConsoleView { wifi: Some(ConsoleWifi { joined: true, ..wifi.clone() }), ..alone.clone() };
        assert!(draw(&on, "stage2", true).contains(&drawn("http://4.3.2.1/")));
        // A box that is in the venue's network too is found there, and says the name and the password of its own.
        let password = Some("let me in".to_owned());
        let both = ["http://192.168.1.7/", "http://4.3.2.1/"].map(str::to_owned).to_vec();
        let both = ConsoleView { wifi: Some(ConsoleWifi { password, ..wifi }), pages: both, ..view() };
        let page = draw(&both, "stage2", true);
        assert!(page.contains(&drawn("http://192.168.1.7/")), "{page}");
        assert!(page.contains("Own Wi-Fi: Motherstream-0A1B"), "{page}");
        assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains("password let me in"), "{page}");
        assert!(page.lines().count() <= HEIGHT, "{page}");
    }

    #[test]
    fn what_is_wrong_is_told_whole_and_the_page_never_scrolls() {
        let trouble =
            "the data partition is damaged: everything is kept in memory only, and forgotten at the next start.";
        let page =
            draw(&ConsoleView { troubles: vec![trouble.to_owned()], pages: Vec::new(), ..view() }, "stage2", true);
        assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(trouble), "{page}");
        let endless = draw(&ConsoleView { troubles: vec![trouble.repeat(99)], ..view() }, "stage2", true);
        assert_eq!(endless.matches('\n').count(), HEIGHT, "{endless}");
    }

    #[test]
    fn every_module_of_the_code_is_drawn() {
        let text = "http://192.168.1.7/";
        let drawn = code(text);
        let side = QrCode::with_error_correction_level(text, EcLevel::L).unwrap().width();
        assert_eq!(drawn.len(), (side + 4).div_ceil(2));
        assert!(drawn.iter().all(|line| line.chars().count() == side + 4));
        // The finder at the top left: its dark edge, and the light ring within it.
        assert!(drawn[1].starts_with("██ ▄▄▄▄▄ █"), "{}", drawn[1]);
    }
}
