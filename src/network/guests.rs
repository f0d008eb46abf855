//! Who is on the own access point, as far as that is a reason to leave it up.

use std::{fs, net::Ipv4Addr};

use super::{order::Touched, view::ACCESS_POINT};
use crate::core::{
    moment::Moment,
    network::{ASKED_TIME, Purpose, STEP_TIME},
};

/// What is remembered of them.
#[derive(Debug)]
pub(super) struct Guests {
    touched: Touched,
    /// An encoder was last connected.
    encoder: Option<Moment>,
    /// Since when it has been held by people alone who have not signed in.
    held: Option<Moment>,
    /// Somebody is there.
    pub(super) there: bool,
}

impl Guests {
    pub(super) const fn new(touched: Touched) -> Self {
        Self { touched, encoder: None, held: None, there: false }
    }

    /// It stands already: whoever is on it gets the time of a step.
    pub(super) fn expect(&self, now: Moment) {
        self.touched.at(now, false);
    }

    /// Judges anew. `purpose`: what the access point is for, while there is one.
    pub(super) fn look(&mut self, now: Moment, purpose: Option<Purpose>) {
        // An encoder says nothing else. On an open access point a connection that somebody left open holds nothing.
        let connected = purpose == Some(Purpose::Guests) && is_connected(ACCESS_POINT);
        self.judge(now, purpose.is_some(), connected);
    }

    fn judge(&mut self, now: Moment, is_up: bool, connected: bool) {
        if !is_up {
            (self.held, self.there) = (None, false);
            return;
        }
        if connected {
            self.encoder = Some(now);
        }
        let lately = |at: Option<Moment>| at.is_some_and(|at| now.since(at) < STEP_TIME);
        if lately(self.encoder) || lately(self.touched.by_account()) {
            (self.held, self.there) = (None, true);
            return;
        }
        self.there = lately(self.touched.by_anyone()) && now.since(*self.held.get_or_insert(now)) < ASKED_TIME;
    }
}

/// Whether somebody has a connection to one of the box's addresses: an encoder, or a page that listens.
fn is_connected(own: Ipv4Addr) -> bool {
    // As the kernel writes it: the bytes of the address in the machine's order, the state in hexadecimal.
    let own = format!("{:08X}:", u32::from_ne_bytes(own.octets()));
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let table = fs::read_to_string(table).unwrap_or_default();
        table.lines().any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let (local, state) = (columns.next(), columns.nth(1));
            local.is_some_and(|local| {
                local.rsplit_once(&own[..]).is_some_and(|(before, _)| before.is_empty() || before.len() == 24)
            }) && state == Some("01")
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn strangers_hold_it_for_a_quarter_of_an_hour_and_those_who_signed_in_for_as_long_as_they_stay() {
        let touched = Touched::default();
        let mut guests = Guests::new(Touched::clone(&touched));
        let until = |guests: &mut Guests, from: u64, to: u64, signed_in: bool| {
            (from..to)
                .filter(|second| {
                    if second % 60 == 0 {
                        touched.at(at(*second), signed_in);
                    }
                    guests.judge(at(*second), true, false);
                    guests.there
                })
                .count()
        };
        assert_eq!(until(&mut guests, 0, 2000, false), 900);
        // It was down for a look meanwhile.
        guests.judge(at(2000), false, false);
        assert!(!guests.there);
        assert_eq!(until(&mut guests, 2040, 4000, true), 1960);
        // Nobody does anything any more.
        guests.judge(at(4400), true, false);
        assert!(!guests.there);
        // An encoder that connects anew finds it.
        guests.judge(at(4401), true, true);
        guests.judge(at(4500), true, false);
        assert!(guests.there);
        guests.judge(at(4600), true, false);
        assert!(!guests.there);
    }
}
