//! The words of a message, so that rules can look for phrases in it.

/// A message in lower case, word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// Takes a message apart. A word keeps the points, hyphens, colons and underscores within it, as models' names have them.
    pub fn of(message: &str) -> Self {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
        let words = message.split(|c: char| !is_part(c)).map(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.to_lowercase()
        });
        Self(words.filter(|word| !word.is_empty()).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The words, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.0.iter().map(String::as_str)
    }

    /// The word at a place.
    pub fn get(&self, at: usize) -> Option<&str> {
        self.0.get(at).map(String::as_str)
    }

    /// Where one of the phrases stands first.
    pub fn first(&self, phrases: &[&str]) -> Option<usize> {
        phrases.iter().filter_map(|phrase| self.find(phrase)).min()
    }

    /// Whether one of the phrases stands anywhere.
    pub fn have_any(&self, phrases: &[&str]) -> bool {
        self.first(phrases).is_some()
    }

    /// How many of the phrases stand anywhere.
    pub fn count(&self, phrases: &[&str]) -> usize {
        phrases.iter().filter(|phrase| self.find(phrase).is_some()).count()
    }

    fn find(&self, phrase: &str) -> Option<usize> {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        let fits = |window: &[String]| window.iter().zip(&wanted).all(|(word, wanted)| matches(word, wanted));
        self.0.windows(wanted.len()).position(fits)
    }
}

/// Whether a word is the one that is wanted, or begins like it where that ends in `*`.
fn matches(word: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(beginning) => word.starts_with(beginning),
        None => word == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_between_signs() {
        let words = Words::of("Is gpt-5.5 (or `claude_x`) cheaper? Yes.");
        let expected = ["is", "gpt-5.5", "or", "claude_x", "cheaper", "yes"];
        assert_eq!(words.iter().collect::<Vec<_>>(), expected);
        assert_eq!(Words::of(" ... - ").len(), 0);
    }

    #[test]
    fn phrases_are_found_as_whole_words_in_their_order() {
        let words = Words::of("We should cut costs, and optimise the rate limits.");
        for (phrase, at) in [
            ("cut", Some(2)),
            ("cost", None),
            ("cost*", Some(3)),
            ("optimi*", Some(5)),
            ("rate limit*", Some(7)),
            ("limits rate", None),
            ("the rate limits and more", None),
        ] {
            assert_eq!(words.first(&[phrase]), at, "{phrase}");
        }
        assert_eq!(words.first(&["optimi*", "cut"]), Some(2));
        assert_eq!(words.count(&["cut", "cost*", "save"]), 2);
    }
}
