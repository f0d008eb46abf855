use std::time::Duration;

use super::{
    Hotspot, Purpose, Reason, Rule, Seen, Want,
    wifi::{DeviceReason, Failure, Security, WifiError, check_name, check_passphrase, joining_code},
};
use crate::core::moment::Moment;

const AFTER: Duration = Duration::from_mins(2);

fn at(seconds: u64) -> Moment {
    Moment::from_start(Duration::from_secs(seconds))
}

fn rule() -> Rule {
    Rule::new(Hotspot::Setup, AFTER, at(0))
}

const BARE: Seen = Seen {
    claimed: false,
    show: false,
    radio: true,
    cable: false,
    uplink: false,
    beside: true,
    portal: false,
    known: false,
    joining: false,
    failed: false,
    flag: false,
    guests: false,
};
const OWNED: Seen = Seen { claimed: true, known: true, ..BARE };
/// A box whose one radio is the venue's Wi-Fi's.
const ON_WIFI: Seen = Seen { uplink: true, beside: false, ..OWNED };

/// Looks each second from `from` until before `to`; what the last one wanted.
fn looks(rule: &mut Rule, from: u64, to: u64, seen: &Seen) -> Want {
    (from..to).map(|second| rule.look(at(second), seen)).last().unwrap_or(Want::Down)
}

#[test]
fn box_without_owner_and_cable_raises_it_after_20_s() {
    let mut rule = rule();
    assert_eq!(looks(&mut rule, 0, 20, &BARE), Want::Down);
    assert_eq!(rule.look(at(20), &BARE), Want::Up(Purpose::Setup, Reason::Unclaimed));
}

#[test]
fn cable_that_is_plugged_in_leads_to_the_page_without_it() {
    let mut rule = rule();
    let cabled = Seen { cable: true, ..BARE };
    assert_eq!(looks(&mut rule, 0, 100, &cabled), Want::Down);
    // A cable that leads to no address is no way in either.
    assert_eq!(rule.look(at(120), &cabled), Want::Up(Purpose::Setup, Reason::NoNetwork));
    let served = Seen { uplink: true, ..cabled };
    assert_eq!(rule.look(at(121), &served), Want::Down);
}

#[test]
fn cable_wins_and_whoever_is_on_it_stays() {
    let mut rule = rule();
    let busy = Seen { guests: true, ..BARE };
    assert!(looks(&mut rule, 0, 30, &busy).is_up());
    let cabled = Seen { cable: true, uplink: true, ..busy };
    assert_eq!(rule.look(at(30), &cabled), Want::Up(Purpose::Setup, Reason::Guests));
    assert_eq!(rule.look(at(31), &Seen { guests: false, ..cabled }), Want::Down);
}

#[test]
fn known_network_that_is_gone_raises_it_after_the_set_time_and_is_looked_for() {
    let mut rule = rule();
    assert_eq!(looks(&mut rule, 0, 10, &ON_WIFI), Want::Down);
    let lost = Seen { uplink: false, beside: true, ..OWNED };
    assert_eq!(looks(&mut rule, 10, 130, &lost), Want::Down);
    assert_eq!(rule.look(at(130), &lost), Want::Up(Purpose::Setup, Reason::NoNetwork));
    // Nobody is on it: it is lowered for a while, again and again.
    assert!(looks(&mut rule, 131, 310, &lost).is_up());
    assert_eq!(rule.look(at(310), &lost), Want::Look);
    assert_eq!(looks(&mut rule, 311, 350, &lost), Want::Look);
    assert!(rule.look(at(350), &lost).is_up());
    assert!(looks(&mut rule, 351, 530, &lost).is_up());
    assert_eq!(rule.look(at(530), &lost), Want::Look);
    assert_eq!(rule.look(at(540), &ON_WIFI), Want::Down);
    // A phone in the middle of a step is not sent away for that.
    assert_eq!(looks(&mut rule, 541, 661, &lost), Want::Down);
    let busy = Seen { guests: true, ..lost };
    assert!((662..2000).all(|second| rule.look(at(second), &busy).is_up()));
}

#[test]
fn join_that_failed_brings_it_back_at_once() {
    let mut rule = rule();
    assert!(looks(&mut rule, 0, 25, &BARE).is_up());
    let joining = Seen { joining: true, beside: false, guests: true, ..BARE };
    assert_eq!(rule.look(at(25), &joining), Want::Down);
    let failed = Seen { failed: true, claimed: true, ..BARE };
    assert_eq!(rule.look(at(40), &failed), Want::Up(Purpose::Setup, Reason::JoinFailed));
    // Where the box knew another one, it is given the time to be back there.
    let mut rule = self::rule();
    assert_eq!(rule.look(at(1), &ON_WIFI), Want::Down);
    let back = Seen { failed: true, uplink: false, beside: true, ..ON_WIFI };
    assert_eq!(looks(&mut rule, 2, 22, &back), Want::Down);
    assert_eq!(rule.look(at(22), &back), Want::Up(Purpose::Setup, Reason::JoinFailed));
}

#[test]
fn streamers_network_stays_the_same_under_them_and_in_a_show() {
    let mut rule = Rule::new(Hotspot::Always, AFTER, at(0));
    let known = Seen { claimed: true, known: true, ..BARE };
    // The known Wi-Fi comes first, for as long as it may take.
    assert_eq!(looks(&mut rule, 0, 120, &known), Want::Down);
    assert_eq!(rule.look(at(120), &known), Want::Up(Purpose::Guests, Reason::Always));
    let show = Seen { show: true, guests: true, ..known };
    assert!((121..2000).all(|second| rule.look(at(second), &show) == Want::Up(Purpose::Guests, Reason::Always)));
    // With no encoder on it, the platforms' network is looked for also in a show: without that it would never be found again.
    let alone = Seen { guests: false, ..show };
    assert!((2000..2400).any(|second| rule.look(at(second), &alone) == Want::Look));
    let mut rule = Rule::new(Hotspot::Always, AFTER, at(0));
    looks(&mut rule, 0, 121, &known);
    let portal = Seen { uplink: true, portal: true, ..show };
    assert_eq!(rule.look(at(2000), &portal), Want::Up(Purpose::Guests, Reason::Always));
    // Whoever claims the box on it goes on there.
    let mut rule = Rule::new(Hotspot::Always, AFTER, at(0));
    let phone = Seen { guests: true, ..BARE };
    assert!(looks(&mut rule, 0, 30, &phone).is_up());
    let claimed = Seen { claimed: true, ..phone };
    assert_eq!(rule.look(at(30), &claimed), Want::Up(Purpose::Setup, Reason::Always));
    assert_eq!(rule.look(at(31), &Seen { guests: false, ..claimed }), Want::Up(Purpose::Guests, Reason::Always));
}

#[test]
fn it_is_never_raised_over_a_network_that_carries_a_show() {
    let mut rule = rule();
    let show = Seen { show: true, ..ON_WIFI };
    rule.ask(true, at(5));
    assert_eq!(looks(&mut rule, 5, 200, &show), Want::Down);
    assert_eq!(looks(&mut rule, 200, 210, &ON_WIFI), Want::Down, "a wish that a show refused comes true after it");
    // Asked for without one, it takes the radio.
    rule.ask(true, at(210));
    assert_eq!(rule.look(at(211), &ON_WIFI), Want::Up(Purpose::Setup, Reason::Asked));
}

#[test]
fn person_is_taken_at_their_word() {
    let mut rule = rule();
    let cabled = Seen { claimed: true, cable: true, uplink: true, ..BARE };
    assert_eq!(rule.look(at(1), &cabled), Want::Down);
    rule.ask(true, at(2));
    assert_eq!(rule.look(at(2), &cabled), Want::Up(Purpose::Setup, Reason::Asked));
    // Nobody came.
    assert_eq!(looks(&mut rule, 3, 903, &cabled), Want::Down);
    let mut rule = self::rule();
    assert!(looks(&mut rule, 0, 25, &BARE).is_up());
    rule.ask(false, at(25));
    assert_eq!(looks(&mut rule, 25, 44, &BARE), Want::Down);
    assert!(rule.look(at(45), &BARE).is_up());
}

#[test]
fn venues_own_page_is_led_to_where_the_radio_can_be_both() {
    let mut rule = rule();
    let portal = Seen { portal: true, ..ON_WIFI };
    assert_eq!(rule.look(at(1), &portal), Want::Down);
    let both = Seen { beside: true, ..portal };
    assert_eq!(rule.look(at(2), &both), Want::Up(Purpose::Portal, Reason::Portal));
    let through = Seen { portal: false, ..both };
    assert_eq!(rule.look(at(3), &Seen { guests: true, ..through }), Want::Up(Purpose::Setup, Reason::Guests));
    assert_eq!(rule.look(at(4), &through), Want::Down);
}

#[test]
fn streamers_network_is_up_all_the_time_and_sets_up_before() {
    let mut rule = Rule::new(Hotspot::Always, AFTER, at(0));
    assert_eq!(looks(&mut rule, 0, 21, &BARE), Want::Up(Purpose::Setup, Reason::Unclaimed));
    let claimed = Seen { claimed: true, ..BARE };
    assert_eq!(rule.look(at(21), &claimed), Want::Up(Purpose::Guests, Reason::Always));
    assert_eq!(
        rule.look(at(22), &Seen { show: true, uplink: true, ..claimed }),
        Want::Up(Purpose::Guests, Reason::Always)
    );
    assert_eq!(rule.look(at(23), &Seen { beside: false, uplink: true, ..claimed }), Want::Down);
}

#[test]
fn switched_off_it_comes_when_it_is_asked_for_and_by_the_file() {
    let mut rule = Rule::new(Hotspot::Off, AFTER, at(0));
    assert_eq!(looks(&mut rule, 0, 500, &Seen { failed: true, ..BARE }), Want::Down);
    assert_eq!(rule.look(at(500), &Seen { flag: true, ..ON_WIFI }), Want::Up(Purpose::Setup, Reason::Flag));
    assert_eq!(rule.look(at(500), &Seen { flag: true, show: true, ..ON_WIFI }), Want::Down);
    assert_eq!(rule.look(at(501), &BARE), Want::Down);
    rule.ask(true, at(502));
    assert!(rule.look(at(502), &BARE).is_up());
    assert_eq!(rule.look(at(503), &Seen { radio: false, ..BARE }), Want::Down);
}

#[test]
fn security_is_read_from_what_is_announced() {
    for (flags, wpa, rsn, security) in [
        (0, 0, 0, Security::Open),
        (1, 0, 0, Security::Wep),
        (1, 0, 0x188, Security::Wpa2),
        (1, 0x188, 0, Security::Wpa2),
        (1, 0, 0x588, Security::Wpa2Wpa3),
        (1, 0, 0x488, Security::Wpa3),
        (1, 0, 0x288, Security::Enterprise),
        (0, 0, 0x800, Security::Enhanced),
    ] {
        assert_eq!(Security::of(flags, wpa, rsn), security);
    }
}

#[test]
fn what_can_be_no_name_or_password_is_told() {
    assert_eq!(check_name(""), Err(WifiError::Name));
    assert_eq!(check_name("ä".repeat(17).as_str()), Err(WifiError::Name));
    assert_eq!(check_name("Café Wi-Fi"), Ok(()));
    assert_eq!(check_passphrase(""), Err(WifiError::NoPassword));
    assert_eq!(check_passphrase("1234567"), Err(WifiError::Length(7)));
    assert_eq!(check_passphrase("12345678"), Ok(()));
    assert_eq!(check_passphrase(&"a".repeat(64)), Ok(()));
    assert_eq!(check_passphrase(&"g".repeat(64)), Err(WifiError::Length(64)));
    assert_eq!(check_passphrase("pässword1"), Err(WifiError::Characters));
}

#[test]
fn failures_are_told_apart() {
    let of = |reason, seen| Failure::of(DeviceReason(reason), seen);
    assert_eq!(of(7, Some(Security::Wpa2)), Failure::Password { sure: true });
    assert_eq!(of(53, None), Failure::NotFound);
    assert_eq!(of(53, Some(Security::Wpa3)), Failure::Password { sure: false });
    assert_eq!(of(53, Some(Security::Open)), Failure::Refused);
    assert_eq!(of(5, Some(Security::Wpa2)), Failure::NoAddress);
    let words = [
        of(7, None),
        of(53, None),
        of(53, Some(Security::Wpa3)),
        of(5, None),
        of(53, Some(Security::Open)),
        Failure::TooLong,
        Failure::BrokenOff,
    ]
    .map(|failure| failure.words("Venue"));
    for (n, one) in words.iter().enumerate() {
        assert!(one.contains("Venue"), "{one}");
        assert!(!words.iter().take(n).any(|other| other == one), "{one}");
    }
}

#[test]
fn phones_camera_is_told_names_with_their_signs_escaped() {
    assert_eq!(joining_code("Motherstream-0A1B", None), "WIFI:T:nopass;S:Motherstream-0A1B;;");
    assert_eq!(joining_code("a;b", Some("p:\\,\"q")), "WIFI:T:WPA;S:a\\;b;P:p\\:\\\\\\,\\\"q;;");
}

#[test]
fn access_point_of_an_earlier_process_stays_under_whoever_is_on_it() {
    let busy = Seen { claimed: true, known: true, show: true, guests: true, ..BARE };
    let mut rule = Rule::new(Hotspot::Always, AFTER, at(0));
    rule.adopt(Purpose::Guests, at(0));
    assert!((0..300).all(|second| rule.look(at(second), &busy) == Want::Up(Purpose::Guests, Reason::Always)));
    // A phone in the middle of the set-up, too.
    let mut rule = self::rule();
    rule.adopt(Purpose::Setup, at(0));
    assert_eq!(rule.look(at(1), &Seen { guests: true, ..BARE }), Want::Up(Purpose::Setup, Reason::Guests));
}
