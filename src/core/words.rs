//! Words for people.

/// What went wrong, as a sentence: with a capital letter and an end. A remark in brackets behind an end needs none.
pub fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let ends = |words: &str| words.ends_with(['.', '!', '?']);
    let remark = words.ends_with(')') && words.rsplit_once(" (").is_some_and(|(before, _)| ends(before));
    let end = if ends(words) || remark { "" } else { "." };
    first.chain(letters).collect::<String>() + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_sentence_once() {
        for (words, told) in [
            ("no such account", "No such account."),
            ("wait a little!", "Wait a little!"),
            ("Ist da wer?", "Ist da wer?"),
            ("öffne die Tür", "Öffne die Tür."),
            ("A sentence.", "A sentence."),
            ("is it on? (refused)", "Is it on? (refused)"),
            ("it is not there (refused)", "It is not there (refused)."),
            ("", "."),
        ] {
            assert_eq!(sentence(words), told);
            assert_eq!(sentence(told), told);
        }
    }
}
