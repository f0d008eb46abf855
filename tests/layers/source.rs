//! What one source file says: the modules it declares, and the paths it names.

/// A Rust source, read as text.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) modules: Vec<Module>,
    pub(crate) names: Vec<Name>,
    /// Words of code that is no test's and no `use`, each once: by them a file uses what it exports.
    pub(crate) words: Vec<(usize, String)>,
    /// Types that code which is no test's defines, each with its line.
    pub(crate) types: Vec<(usize, String)>,
}

/// A `mod`, with its place from the crate's root.
pub(crate) struct Module {
    pub(crate) path: Vec<String>,
    pub(crate) inline: bool,
    pub(crate) test: bool,
}

/// A path, as it is written: `super::a::B`.
pub(crate) struct Name {
    pub(crate) line: usize,
    /// The module around it: the file's own, or one inside it.
    pub(crate) scope: Vec<String>,
    pub(crate) path: Vec<String>,
    pub(crate) kind: Kind,
    /// Behind `#[cfg(test)]`.
    pub(crate) test: bool,
}

pub(crate) enum Kind {
    /// In code.
    Code,
    /// A leaf of a `use`, with the word it binds. `public`: others may name it from here.
    Import { word: String, public: bool },
    /// `use path::*`.
    Glob,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    PathSeparator,
    Mark(char),
}

impl Token {
    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

/// Words and marks of a Rust source, with their lines: comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let text: Vec<char> = source.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < text.len() {
        let here = at(index);
        match here {
            '\n' => {
                line += 1;
                index += 1;
            }
            '/' if at(index + 1) == '/' => {
                while index < text.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                while index < text.len() && !(at(index) == '*' && at(index + 1) == '/') {
                    line += usize::from(at(index) == '\n');
                    index += 1;
                }
                index += 2;
            }
            'r' if at(index + 1) == '"' || (at(index + 1) == '#' && matches!(at(index + 2), '#' | '"')) => {
                let hashes = text[index + 1..].iter().take_while(|c| **c == '#').count();
                index += 2 + hashes;
                while index < text.len() && !(at(index) == '"' && (1..=hashes).all(|n| at(index + n) == '#')) {
                    line += usize::from(at(index) == '\n');
                    index += 1;
                }
                index += 1 + hashes;
            }
            '"' => {
                index += 1;
                while index < text.len() && at(index) != '"' {
                    line += usize::from(at(index) == '\n');
                    index += if at(index) == '\\' && at(index + 1) != '\n' { 2 } else { 1 };
                }
                index += 1;
            }
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < text.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            ':' if at(index + 1) == ':' => {
                found.push((line, Token::PathSeparator));
                index += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let begin = index;
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                found.push((line, Token::Word(text[begin..index].iter().collect())));
            }
            c if c.is_whitespace() => index += 1,
            c => {
                found.push((line, Token::Mark(c)));
                index += 1;
            }
        }
    }
    found
}

/// Where the bracket that opens at `open` closes.
fn close(tokens: &[(usize, Token)], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, (_, token)) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Which tokens stand behind `#[cfg(test)]`: the item after it, to its end.
fn tests(tokens: &[(usize, Token)]) -> Vec<bool> {
    let mut marks = vec![false; tokens.len()];
    let is = |index: usize, wanted: &Token| tokens.get(index).is_some_and(|(_, token)| token == wanted);
    let word = |index: usize, wanted: &str| tokens.get(index).and_then(|(_, token)| token.word()) == Some(wanted);
    for begin in 0..tokens.len() {
        let attribute = is(begin, &Token::Mark('#')) && is(begin + 1, &Token::Mark('['));
        if !attribute || !word(begin + 2, "cfg") {
            continue;
        }
        let mut end = close(tokens, begin + 1);
        if !(begin..end).any(|index| word(index, "test")) || (begin..end).any(|index| word(index, "not")) {
            continue;
        }
        // To the `;` or the `}` that ends the item, or the comma after a field or a variant. Between `<` and `>` a comma
        // ends nothing.
        let mut angles = 0_usize;
        loop {
            end += 1;
            match tokens.get(end).map(|(_, token)| token) {
                Some(Token::Mark('{')) => {
                    end = close(tokens, end);
                    break;
                }
                Some(Token::Mark('(' | '[')) => end = close(tokens, end),
                Some(Token::Mark('<')) => angles += 1,
                Some(Token::Mark('>')) => angles = angles.saturating_sub(1),
                Some(Token::Mark(',')) if angles > 0 => {}
                Some(Token::Mark(';' | ',' | '}')) | None => break,
                Some(_) => {}
            }
        }
        for mark in marks.iter_mut().take(end + 1).skip(begin) {
            *mark = true;
        }
    }
    marks
}

/// Reads a source that stands at `module`, as seen from the crate's root.
pub(crate) fn read(source: &str, module: &[String]) -> Source {
    let tokens = tokens(source);
    let tests = tests(&tokens);
    let mut reader = Reader { tokens, tests, scope: module.to_vec(), said: Source::default() };
    reader.read();
    reader.said
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    tests: Vec<bool>,
    scope: Vec<String>,
    said: Source,
}

impl Reader {
    fn token(&self, index: usize) -> Option<&Token> {
        self.tokens.get(index).map(|(_, token)| token)
    }

    fn is(&self, index: usize, mark: char) -> bool {
        self.token(index) == Some(&Token::Mark(mark))
    }

    fn word(&self, index: usize) -> Option<&str> {
        self.token(index).and_then(Token::word)
    }

    fn before(&self, index: usize) -> Option<&Token> {
        index.checked_sub(1).and_then(|index| self.token(index))
    }

    fn read(&mut self) {
        // Where the braces of inline modules close.
        let mut closings: Vec<usize> = Vec::new();
        let mut depth = 0_usize;
        let mut index = 0;
        while let Some(token) = self.token(index).cloned() {
            match token {
                Token::Word(word) if word == "mod" && self.word(index + 1).is_some() => {
                    let name = self.word(index + 1).unwrap_or_default().to_owned();
                    let inline = self.is(index + 2, '{');
                    let path = [self.scope.as_slice(), std::slice::from_ref(&name)].concat();
                    self.said.modules.push(Module { path, inline, test: self.tests[index] });
                    if inline {
                        self.scope.push(name);
                        depth += 1;
                        closings.push(depth);
                    }
                    index += 3;
                }
                Token::Word(word) if word == "use" => {
                    let public = self.is_public(index);
                    index = self.import(index + 1, &[], public);
                }
                Token::Word(word) => {
                    if matches!(word.as_str(), "struct" | "enum" | "trait" | "type") && !self.tests[index] {
                        let name = self.word(index + 1).map(|name| (self.tokens[index].0, name.to_owned()));
                        self.said.types.extend(name);
                    }
                    index = self.path(index);
                }
                Token::Mark('{') => {
                    depth += 1;
                    index += 1;
                }
                Token::Mark('}') => {
                    if closings.last() == Some(&depth) {
                        closings.pop();
                        self.scope.pop();
                    }
                    depth = depth.saturating_sub(1);
                    index += 1;
                }
                _ => index += 1,
            }
        }
    }

    /// Whether the `use` at `index` has `pub`, `pub(crate)` or the like before it.
    fn is_public(&self, index: usize) -> bool {
        match self.before(index) {
            Some(Token::Word(word)) => word == "pub",
            Some(Token::Mark(')')) => {
                let open = (0..index).rev().find(|&at| self.is(at, '('));
                open.and_then(|open| self.before(open)).and_then(Token::word) == Some("pub")
            }
            _ => false,
        }
    }

    /// Reads one path of a `use`, or a tree of them (`a::{b, c::d}`), from `index` on; returns where it ends.
    fn import(&mut self, mut index: usize, prefix: &[String], public: bool) -> usize {
        let mut path = prefix.to_vec();
        let begin = index;
        loop {
            match self.token(index).cloned() {
                Some(Token::PathSeparator) => index += 1,
                Some(Token::Mark('{')) => {
                    let end = close(&self.tokens, index);
                    index += 1;
                    while index < end {
                        index = if self.is(index, ',') { index + 1 } else { self.import(index, &path, public) };
                    }
                    return end + 1;
                }
                Some(Token::Mark('*')) => {
                    self.name(begin, path, Kind::Glob);
                    return index + 1;
                }
                Some(Token::Word(word)) if word == "as" => {
                    let word = self.word(index + 1).unwrap_or_default().to_owned();
                    self.name(begin, path, Kind::Import { word, public });
                    return index + 2;
                }
                Some(Token::Word(word)) => {
                    // `a::{self}` is `a`.
                    if word != "self" || path.is_empty() {
                        path.push(word);
                    }
                    index += 1;
                    if !matches!(self.token(index), Some(Token::PathSeparator)) && self.word(index) != Some("as") {
                        let word = path.last().cloned().unwrap_or_default();
                        self.name(begin, path, Kind::Import { word, public });
                        return index;
                    }
                }
                _ => return index + 1,
            }
        }
    }

    /// Reads a word of code, or a path, from `index` on; returns where it ends.
    fn path(&mut self, index: usize) -> usize {
        // What comes after `>::` belongs to a type, after `.` to a value.
        let foreign = matches!(self.before(index), Some(Token::PathSeparator | Token::Mark('.')));
        let mut path = Vec::new();
        let mut end = index;
        while let Some(word) = self.word(end) {
            path.push(word.to_owned());
            end += 1;
            if self.token(end) != Some(&Token::PathSeparator) || self.word(end + 1).is_none() {
                break;
            }
            end += 1;
        }
        if foreign {
            return end;
        }
        // A word and `:` is a field's, an argument's or a variable's.
        if !self.tests[index] && !self.is(end, ':') {
            let word = path[0].clone();
            if !self.said.words.iter().any(|(_, known)| *known == word) {
                self.said.words.push((self.tokens[index].0, word));
            }
        }
        if path.len() > 1 {
            self.name(index, path, Kind::Code);
        }
        end
    }

    fn name(&mut self, index: usize, path: Vec<String>, kind: Kind) {
        let (line, test) = (self.tokens[index].0, self.tests[index]);
        self.said.names.push(Name { line, scope: self.scope.clone(), path, kind, test });
    }
}

/// Resolves `crate`, `self` and `super`, as words from the crate's root on; `None`: the path begins elsewhere.
pub(crate) fn absolute(path: &[String], scope: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" | "motherstream" => Some(rest.to_vec()),
        "self" | "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let kept = scope.len().saturating_sub(ups);
            Some([&scope[..kept], &path[ups.max(1)..]].concat())
        }
        _ => None,
    }
}
