//! "Did you mean": the known name that an unknown one is closest to.

/// The known name that differs from `word` only in case, underscores and hyphens, or else in the fewest edits, up to a quarter of
/// its letters.
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-' | ' '))
            .flat_map(char::to_lowercase)
            .take(LETTERS)
            .collect()
    };
    let word = plain(word);
    let distances = known.iter().map(|name| {
        let name = plain(name);
        (edits(&word, &name), name.len())
    });
    let close = distances.zip(known).filter(|((edits, letters), _)| *edits <= letters / 4);
    close.min_by_key(|((edits, _), _)| *edits).map(|(_, name)| *name)
}

/// Letters of a name that are compared.
const LETTERS: usize = 64;

/// The number of insertions, deletions, replacements and swaps of neighbors between two words.
fn edits(one: &[char], other: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (at, letter) in one.iter().enumerate() {
        let mut row = vec![at + 1];
        for (to, target) in other.iter().enumerate() {
            let replaced = rows[at][to] + usize::from(letter != target);
            let mut least = replaced.min(rows[at][to + 1] + 1).min(row[to] + 1);
            if at > 0 && to > 0 && one[at - 1] == *target && other[to - 1] == *letter {
                least = least.min(rows[at - 1][to - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_known_name_is_suggested() {
        let known = ["to", "from", "body", "userId", "mediaUrls", "webhookUrl", "eventTypes"];
        for (word, name) in [
            ("To", Some("to")),
            ("FROM", Some("from")),
            ("Body", Some("body")),
            ("bdoy", Some("body")),
            ("user_id", Some("userId")),
            ("MediaUrl", Some("mediaUrls")),
            ("webhook_url", Some("webhookUrl")),
            ("webhook-uri", Some("webhookUrl")),
            ("evenTypes", Some("eventTypes")),
            ("x", None),
            ("too", None),
            ("priority", None),
            ("", None),
            (&"body".repeat(1_000), None),
        ] {
            assert_eq!(closest(word, &known), name, "{word}");
        }
        assert_eq!(closest("to", &[]), None);
    }
}
