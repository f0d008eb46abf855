//! Circles: files that need each other to be understood.
//!
//! A file needs another when it names something that is defined there, in code that is no test's. The rule:
//!
//! - A path leads to the file where its item is defined: the deepest module of the path, or, where that module only imports
//!   or re-exports the item, wherever that import leads.
//! - A module alone (`use super::wire;`, `mod wire;`) is only a way; what is named through it counts. `use path::*` counts
//!   as a use of that module's file.
//! - A re-export (`pub use child::Item;`) needs nothing, unless the file uses the item itself.
//! - A child that names an item of its parent, whose parent names an item of the child, is a circle like any other. Only
//!   one type's `impl` may be spread over children that name it: a method that is called names no file.
//! - Tests look at everything: what stands behind `#[cfg(test)]`, files included, needs nobody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
};

use crate::source::{Kind, Name, Source, absolute, read};

/// Imports that lead to one another, at most. Rust itself would refuse a longer chain that ends nowhere.
const CHAIN: usize = 16;

/// All files, and what each says.
pub(crate) struct Tree {
    files: BTreeMap<String, Source>,
    /// The file of every module, inline ones too.
    homes: HashMap<Vec<String>, String>,
    /// What an imported word stands for, by the module that imports it: the path as written. A type and a function may
    /// share a word, hence several.
    imports: HashMap<(Vec<String>, String), Vec<Vec<String>>>,
    /// Modules that stand behind `#[cfg(test)]`.
    tests: BTreeSet<Vec<String>>,
}

/// That one file names an item of another.
pub(crate) struct Need {
    pub(crate) from: String,
    pub(crate) line: usize,
    pub(crate) to: String,
    pub(crate) item: String,
    pub(crate) test: bool,
}

/// The place of a file's module from the crate's root. `main` is a crate of its own, and nobody's.
pub(crate) fn module(file: &str) -> Vec<String> {
    file.trim_end_matches(".rs").split('/').filter(|part| *part != "lib").map(ToOwned::to_owned).collect()
}

impl Tree {
    pub(crate) fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tree =
            Self { files: BTreeMap::new(), homes: HashMap::new(), imports: HashMap::new(), tests: BTreeSet::new() };
        for (file, text) in sources {
            let place = module(file);
            let source = read(text, &place);
            for name in &source.names {
                if let Kind::Import { word, .. } = &name.kind {
                    let key = (name.scope.clone(), word.clone());
                    tree.imports.entry(key).or_default().push(name.path.clone());
                }
            }
            for module in &source.modules {
                if module.inline {
                    tree.homes.insert(module.path.clone(), file.to_owned());
                }
                if module.test {
                    tree.tests.insert(module.path.clone());
                }
            }
            tree.homes.insert(place, file.to_owned());
            tree.files.insert(file.to_owned(), source);
        }
        tree
    }

    /// The files, but for those of tests.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(|file| !self.is_test(file))
    }

    /// Every type that is defined in code which is no test's: its file, line and name.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        let files = self.files.iter().filter(|(file, _)| !self.is_test(file));
        files.flat_map(|(file, source)| source.types.iter().map(|(line, name)| (file.as_str(), *line, name.as_str())))
    }

    fn is_test(&self, file: &str) -> bool {
        let place = module(file);
        (1..=place.len()).any(|end| self.tests.contains(&place[..end]))
    }

    /// Every need of one file by another, in the order of the files and their lines; those of tests too.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for (file, source) in &self.files {
            let in_tests = self.is_test(file);
            for name in &source.names {
                let Some(line) = used(source, name) else { continue };
                for to in self.targets(name) {
                    if to != *file {
                        let item = name.path.last().cloned().unwrap_or_default();
                        needs.push(Need { from: file.clone(), line, to, item, test: in_tests || name.test });
                    }
                }
            }
        }
        needs
    }

    /// The files that define what a name stands for: two, if a type and a function share it.
    fn targets(&self, name: &Name) -> BTreeSet<String> {
        let mut targets = BTreeSet::new();
        for path in self.rooted(&name.path, &name.scope, CHAIN) {
            if matches!(name.kind, Kind::Glob)
                && let Some(home) = self.homes.get(&path)
            {
                targets.insert(home.clone());
            } else {
                self.define(&path, CHAIN, &mut targets);
            }
        }
        targets
    }

    /// A path from the crate's root on; none if it leads out of the crate.
    fn rooted(&self, path: &[String], scope: &[String], chain: usize) -> Vec<Vec<String>> {
        if let Some(path) = absolute(path, scope) {
            return vec![path];
        }
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let child = [scope, std::slice::from_ref(first)].concat();
        if self.homes.contains_key(&child) {
            return vec![[scope, path].concat()];
        }
        self.imported(scope, first, chain).into_iter().map(|path| [path.as_slice(), rest].concat()).collect()
    }

    /// What a word that `scope` imports stands for, from the crate's root on.
    fn imported(&self, scope: &[String], word: &str, chain: usize) -> Vec<Vec<String>> {
        let Some(chain) = chain.checked_sub(1) else { return Vec::new() };
        let imports = self.imports.get(&(scope.to_vec(), word.to_owned()));
        imports.into_iter().flatten().flat_map(|path| self.rooted(path, scope, chain)).collect()
    }

    /// Adds the files that define the item at `path`. A module is no item.
    fn define(&self, path: &[String], chain: usize, found: &mut BTreeSet<String>) {
        let Some(chain) = chain.checked_sub(1) else { return };
        let deepest = (0..=path.len()).rev().find(|&end| self.homes.contains_key(&path[..end]));
        let Some(deepest) = deepest else { return };
        let is_module = deepest == path.len();
        // A module and a function may share a name.
        let end = if is_module { deepest.saturating_sub(1) } else { deepest };
        let Some((word, rest)) = path[end..].split_first() else { return };
        if !is_module && !self.imports.contains_key(&(path[..end].to_vec(), word.clone())) {
            found.extend(self.homes.get(&path[..end]).cloned());
        }
        for target in self.imported(&path[..end], word, chain) {
            let target = [target.as_slice(), rest].concat();
            if target != path {
                self.define(&target, chain, found);
            }
        }
    }
}

/// The line in which a file uses a name: where it stands, or, for a re-export, where the file's own code has its word.
fn used(source: &Source, name: &Name) -> Option<usize> {
    match &name.kind {
        Kind::Import { word, public: true } => {
            source.words.iter().find(|(_, used)| used == word).map(|(line, _)| *line)
        }
        _ => Some(name.line),
    }
}

/// What is said of every circle: its files, who names what of whom, and in which lines.
pub(crate) fn circles(needs: &[Need]) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for need in needs.iter().filter(|need| !need.test) {
        next.entry(&need.from).or_default().insert(&need.to);
    }
    let reach: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reach(&next, file))).collect();
    let mut told = BTreeSet::new();
    let mut reports = Vec::new();
    for (file, reached) in &reach {
        if !reached.contains(file) || told.contains(file) {
            continue;
        }
        let members: BTreeSet<&str> =
            reached.iter().copied().filter(|other| reach.get(other).is_some_and(|back| back.contains(file))).collect();
        told.extend(members.iter().copied());
        let mut lines: BTreeMap<(&str, &str), Vec<(&str, usize)>> = BTreeMap::new();
        for need in needs.iter().filter(|need| !need.test) {
            if members.contains(need.from.as_str()) && members.contains(need.to.as_str()) {
                // Each item once, where it is named first.
                let all = lines.entry((&need.from, &need.to)).or_default();
                if all.iter().all(|(item, _)| *item != need.item) {
                    all.push((&need.item, need.line));
                }
            }
        }
        let mut report = format!("a circle of {} files:", members.len());
        for ((from, to), named) in lines {
            let named: Vec<String> = named.iter().map(|(item, line)| format!("{item} in {line}")).collect();
            write!(report, "\n    {from} names of {to}: {}", named.join(", ")).unwrap();
        }
        reports.push(report);
    }
    reports
}

/// All files that `from` comes to: itself only by a circle.
fn reach<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(next.get(file).into_iter().flatten().copied());
        }
    }
    reached
}

#[test]
fn circle_is_found_however_it_is_closed() {
    for (sources, expected) in [
        // Two neighbours.
        (
            vec![
                ("a.rs", "\nuse crate::b::B;\npub struct A;"),
                ("b.rs", "pub struct B; fn f() { crate::a::A::new() }"),
            ],
            "a circle of 2 files:\n    a.rs names of b.rs: B in 2\n    b.rs names of a.rs: new in 1",
        ),
        // A child that names its parent, whose parent uses the child: by `use`, by a path from here, by an alias.
        (
            vec![("a.rs", "mod b; use self::b::B; pub struct A;"), ("a/b.rs", "use super::A; pub struct B;")],
            "a circle of 2 files:\n    a.rs names of a/b.rs: B in 1\n    a/b.rs names of a.rs: A in 1",
        ),
        (
            vec![
                ("a.rs", "mod b; fn f() { b::go(LIMIT) } const LIMIT: u8 = 1;"),
                ("a/b.rs", "const L: u8 = super::LIMIT; pub fn go() {}"),
            ],
            "a circle of 2 files:\n    a.rs names of a/b.rs: go in 1\n    a/b.rs names of a.rs: LIMIT in 1",
        ),
        (
            vec![
                ("a.rs", "pub fn f() {}"),
                ("b.rs", "use crate::{a::{self as other}, c}; fn g() { c::h(other::f) } pub fn i() {}"),
                ("c.rs", "pub fn h() { crate::b::i() }"),
            ],
            "a circle of 2 files:\n    b.rs names of c.rs: h in 1\n    c.rs names of b.rs: i in 1",
        ),
        // A re-export that its own file uses.
        (
            vec![("a.rs", "mod b;\npub use b::B;\npub struct A(B);"), ("a/b.rs", "use super::A; pub struct B;")],
            "a circle of 2 files:\n    a.rs names of a/b.rs: B in 3\n    a/b.rs names of a.rs: A in 1",
        ),
        // A re-export leads to where the item is, renamed or not, once or twice, and by a private import as well.
        (
            vec![
                ("a.rs", "mod b; mod c; pub(super) use self::b::{B as Other};"),
                ("a/b.rs", "use super::c::C; pub struct B;"),
                ("a/c.rs", "use crate::d::Third; pub struct C;"),
                ("d.rs", "pub use crate::a::Other as Third;"),
            ],
            "a circle of 2 files:\n    a/b.rs names of a/c.rs: C in 1\n    a/c.rs names of a/b.rs: Third in 1",
        ),
        (
            vec![
                ("a.rs", "mod b; mod c; use c::C; struct A(C);"),
                ("a/b.rs", "use super::C; pub struct B;"),
                ("a/c.rs", "use super::b::B; pub struct C;"),
            ],
            "a circle of 2 files:\n    a/b.rs names of a/c.rs: C in 1\n    a/c.rs names of a/b.rs: B in 1",
        ),
        // A function that has its module's name.
        (
            vec![
                ("a.rs", "pub mod b; pub use b::b;"),
                ("a/b.rs", "pub fn b() { crate::c::C }"),
                ("c.rs", "use crate::a; pub struct C; fn f() { a::b() }"),
            ],
            "a circle of 2 files:\n    a/b.rs names of c.rs: C in 1\n    c.rs names of a/b.rs: b in 1",
        ),
        // An inline module belongs to its file; everything of a file by `*`.
        (
            vec![
                ("a.rs", "pub mod inner { pub struct I; pub fn f() { super::super::b::g() } }"),
                ("b.rs", "use crate::a::*; pub fn g() {}"),
            ],
            "a circle of 2 files:\n    a.rs names of b.rs: g in 1\n    b.rs names of a.rs: a in 1",
        ),
        (
            vec![
                ("a.rs", "pub mod inner { pub use crate::b::B; }"),
                ("b.rs", "use crate::c::C; pub struct B;"),
                ("c.rs", "use crate::a::inner::B; pub struct C;"),
            ],
            "a circle of 2 files:\n    b.rs names of c.rs: C in 1\n    c.rs names of b.rs: B in 1",
        ),
        // Three, and none of them twice.
        (
            vec![
                ("a.rs", "use crate::b::B; pub struct A;"),
                ("b.rs", "use crate::c::C; pub struct B;"),
                ("c.rs", "use crate::{a::A, d::D}; pub struct C;"),
                ("d.rs", "pub struct D;"),
            ],
            "a circle of 3 files:\n    a.rs names of b.rs: B in 1\n    b.rs names of c.rs: C in 1\n    c.rs names of a.rs: A in 1",
        ),
    ] {
        let tree = Tree::new(sources.iter().copied());
        assert_eq!(circles(&tree.needs()), [expected], "{sources:?}");
    }
}

#[test]
fn files_that_stand_in_a_line_are_no_circle() {
    for sources in [
        // A door that only declares and re-exports.
        vec![
            ("a.rs", "mod b; mod c; pub use b::B; pub use self::c::{C, d};"),
            ("a/b.rs", "use super::{C, d}; pub struct B;"),
            ("a/c.rs", "pub struct C; pub fn d() {}"),
        ],
        // A re-export's name that is also a field, an argument, a method or somebody else's.
        vec![
            (
                "a.rs",
                "mod b; pub use b::kept; pub struct A { kept: u8 } fn f(x: X) { x.kept(); Y::kept(); Z::<u8>::kept() }",
            ),
            ("a/b.rs", "use super::A; pub fn kept() {}"),
        ],
        // A re-export within the crate alone, and one that only tests use.
        vec![
            ("a.rs", "mod b; pub(super) use b::B; pub struct A; #[cfg(test)] mod tests { use super::B; fn f() { B } }"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ],
        // One type's methods over several files.
        vec![
            ("a.rs", "mod b; pub struct A; impl A { fn f(&self) { self.g() } }"),
            ("a/b.rs", "use super::A; impl A { pub(super) fn g(&self) {} }"),
        ],
        // A way through a module that uses the one who goes it.
        vec![
            ("a.rs", "pub mod b; use crate::c::C;"),
            ("a/b.rs", "pub struct B;"),
            ("c.rs", "use crate::a::b; pub struct C(b::B);"),
        ],
        vec![
            ("a.rs", "mod b; fn f() { b::g() }"),
            ("a/b.rs", "pub(in crate::a) fn g() {} fn h() -> impl Fn() + use<'static> {}"),
        ],
        // Tests, as a module, a file, a file of such a file, an item.
        vec![
            ("a.rs", "mod b; use b::B; pub struct A; #[cfg(test)] #[expect(x, reason = \"y\")] mod tests;"),
            (
                "a/b.rs",
                "pub struct B; #[cfg(test)] mod tests { use super::super::A; } #[cfg(all(test, unix))] fn f<C, D>(a: super::A) {}",
            ),
            ("a/tests.rs", "mod more; use super::*; fn f() { b::g() }"),
            ("a/tests/more.rs", "use crate::a::{A, b::B};"),
        ],
        vec![
            ("a.rs", "use crate::b::B; pub struct A; pub struct T;"),
            ("b.rs", "pub struct B { #[cfg(test)] a: crate::a::A, #[cfg(test)] t: crate::a::T }"),
        ],
        // Names of other crates, and of no crate.
        vec![
            ("a.rs", "use serde::b; use crate::c; fn f() { b::g(c::h) }"),
            ("b.rs", "use crate::a::A; use std::a;"),
            ("c.rs", "/* crate::a::A */ pub fn h() { \"crate::a::A\" }"),
        ],
    ] {
        let tree = Tree::new(sources.iter().copied());
        assert_eq!(circles(&tree.needs()), Vec::<String>::new(), "{sources:?}");
    }
}

#[test]
fn code_that_is_compiled_without_tests_is_no_test() {
    let needs = |text| {
        Tree::new([("a.rs", "pub struct A;"), ("b.rs", text)]).needs().iter().map(|need| need.test).collect::<Vec<_>>()
    };
    assert_eq!(needs("#[cfg(not(test))] use crate::a::A;"), [false]);
    assert_eq!(needs("#[cfg(unix)] use crate::a::A;"), [false]);
    assert_eq!(needs("#[cfg(test)] use crate::a::{A}; fn f(_: crate::a::A) {}"), [true, false]);
    assert_eq!(needs("#[cfg(test)] const X: [u8; 2] = crate::a::A; use crate::a::A;"), [true, false]);
}
