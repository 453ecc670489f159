//! The nearest known keyword to a misspelt one.

/// The candidate that `word` was probably meant to be: at most a third of its letters wrong.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let far = word.len().div_ceil(3).min(3);
    candidates
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: one letter more, less, other, or two neighbours exchanged.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    // Three rows of the usual table: exchanging neighbours looks two rows back.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 4] = ["Address", "Port", "Priority", "End"];

    #[test]
    fn near_words_are_found_in_any_case() {
        for (word, meant) in
            [("adress", "Address"), ("Prot", "Port"), ("PRIORITYY", "Priority"), ("Edn", "End")]
        {
            assert_eq!(nearest(word, WORDS.into_iter()), Some(meant), "{word}");
        }
    }

    #[test]
    fn far_words_are_not() {
        for word in ["Frobnicate", "x", "Addition"] {
            assert_eq!(nearest(word, WORDS.into_iter()), None, "{word}");
        }
    }
}
