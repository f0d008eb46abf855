//! One word, one meaning: a word of the glossary that is a type's name is one type's.
//!
//! Words that many rooms would like to have are listed with the room that has each; whoever else needs one says what is meant.
//! Tests may call their own pieces as they like.

use crate::circles::{Tree, module};

/// Words that are taken, and where the type of that name is defined: in this module or below it.
const TAKEN: &[(&str, &str)] = &[
    // The crew's pages.
    ("Desk", "web/page/admin"),
    // What is measured of an input.
    ("Gauge", "media/source"),
    // The stage that brings all sound into the house format.
    ("House", "media/house"),
    // What people order of the queue.
    ("Order", "core/queue"),
    // One connection to a destination. A sign-in is a session too, of the library's type.
    ("Session", "media/egress"),
    // All of the configuration, as it is in force.
    ("Settings", "config/settings"),
    // What the venue's stage shows.
    ("Stage", "obs/stage"),
    // How soon a take must happen.
    ("Urgency", "core/queue"),
    // The queue's answer to an event.
    ("Verdict", "core/queue"),
];

/// Types that have a word which is another's, and words in the table that are nobody's.
pub(crate) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (word, home) in TAKEN {
        let (mut at_home, elsewhere): (Vec<_>, Vec<_>) =
            tree.types().filter(|(.., name)| name == word).partition(|(file, ..)| is_in(home, file));
        if at_home.is_empty() {
            faults.push(format!("{home}: no type `{word}` is defined there any more; see tests/layers/words.rs"));
        }
        let second = at_home.drain(at_home.len().min(1)..).chain(elsewhere);
        faults.extend(second.map(|(file, line, _)| format!("{file}:{line}: the word `{word}` is taken by {home}")));
    }
    faults
}

fn is_in(home: &str, file: &str) -> bool {
    let (home, place) = (module(home), module(file));
    place.starts_with(&home)
}

#[test]
fn a_second_type_of_a_taken_word_is_found_wherever_it_is_and_one_of_tests_is_not() {
    type Files<'a> = &'a [(&'a str, &'a str)];

    let homes: Vec<_> = TAKEN.iter().map(|(word, home)| (format!("{home}.rs"), format!("struct {word};"))).collect();
    let cases: &[(Files<'_>, &[&str])] = &[
        (&[], &[]),
        (
            &[("obs/link.rs", "\npub(super) struct Session<'a> {}")],
            &["obs/link.rs:2: the word `Session` is taken by media/egress"],
        ),
        (&[("obs.rs", "mod x { enum Order {} }")], &["obs.rs:1: the word `Order` is taken by core/queue"]),
        (
            &[("obs.rs", "trait House {} type Desk = u8;")],
            &[
                "obs.rs:1: the word `Desk` is taken by web/page/admin",
                "obs.rs:1: the word `House` is taken by media/house",
            ],
        ),
        // At home too, there may be one only; below its module it is at home.
        (
            &[("core/queue/orders.rs", "struct Verdict;")],
            &["core/queue/orders.rs:1: the word `Verdict` is taken by core/queue"],
        ),
        (&[("core/queue.rs", "enum Order {} enum Verdict {}"), ("core/queue/look.rs", "enum Urgency {}")], &[]),
        // A neighbour whose name begins alike is not below it.
        (
            &[("media/household.rs", "struct House;")],
            &["media/household.rs:1: the word `House` is taken by media/house"],
        ),
        (&[("obs/stage.rs", "")], &["obs/stage: no type `Stage` is defined there any more; see tests/layers/words.rs"]),
        // Fields, uses, longer names, comments and tests define nothing.
        (
            &[
                ("obs.rs", "// struct House;\nuse x::Order; struct OrderBook { order: Order } #[cfg(test)] mod tests;"),
                ("obs/tests.rs", "struct Stage;"),
                ("obs/plan.rs", "#[cfg(test)] mod tests { struct Stage; } #[cfg(test)] struct Desk;"),
            ],
            &[],
        ),
    ];
    for (changed, expected) in cases {
        let kept = homes.iter().map(|(file, text)| (file.as_str(), text.as_str()));
        // The homes in `core/queue` are one file.
        let queue = ("core/queue.rs", "enum Order {} enum Urgency {} enum Verdict {}");
        let kept = kept.filter(|(file, _)| *file != queue.0).chain([queue]);
        let kept = kept.filter(|(file, _)| changed.iter().all(|(other, _)| other != file));
        let tree = Tree::new(changed.iter().copied().chain(kept));
        assert_eq!(faults(&tree), *expected, "{changed:?}");
    }
}
