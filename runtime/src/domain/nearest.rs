//! What somebody meant to write.

/// The one of `known` that `word` is most likely a slip of, if any is near.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(word, other);
    let near = known.min_by_key(|other| distance(other))?;
    // A third of a word's letters may be wrong: more, and anything is near to everything.
    (distance(near) <= (near.chars().count() / 3).max(1)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["listen", "body_max", "batch_body_max", "shutdown_timeout"];
        assert_eq!(nearest("listne", known.into_iter()), Some("listen"));
        assert_eq!(nearest("bodymax", known.into_iter()), Some("body_max"));
        assert_eq!(nearest("tls", known.into_iter()), None);
        assert_eq!(nearest("tls", std::iter::empty()), None);
    }
}
