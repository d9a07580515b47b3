//! Texts as networks carry them: parts of a long text, encoding, segments.

use unicode_segmentation::UnicodeSegmentation;

/// The longest text that RingCentral takes as one message, in UTF-16 code units.
pub const PART_UNITS: usize = 1_000;

/// The GSM 7-bit default alphabet: 3GPP TS 23.038, section 6.2.1.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table, each after an escape: the same, section 6.2.1.1.
const GSM_EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// How a text is written in a message of the mobile network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The GSM 7-bit alphabet: 160 characters in one segment.
    Gsm7,
    /// Two bytes for each UTF-16 code unit: 70 in one segment.
    Ucs2,
}

impl Encoding {
    /// As it is usually written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// The encoding of a text.
    pub fn of(text: &str) -> Self {
        if text.chars().all(|char| septets(char).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// What a character takes, in septets or UTF-16 code units.
    fn width(self, char: char) -> usize {
        match self {
            Self::Gsm7 => septets(char).unwrap_or(1),
            Self::Ucs2 => char.len_utf16(),
        }
    }
}

/// What a character takes in the GSM alphabet, if it is in it.
fn septets(char: char) -> Option<usize> {
    if GSM_BASIC.contains(char) { Some(1) } else { GSM_EXTENDED.contains(char).then_some(2) }
}

/// The characters of a text that the GSM alphabet lacks, each once, in order: they make the whole text UCS-2.
pub fn outside_gsm(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for char in text.chars().filter(|char| septets(*char).is_none()) {
        if !found.contains(&char) {
            found.push(char);
        }
    }
    found
}

/// How many segments a text is sent as. What takes two places is never torn between two of them.
pub fn segments(text: &str) -> u32 {
    let encoding = Encoding::of(text);
    let (alone, each) = match encoding {
        Encoding::Gsm7 => (160, 153),
        Encoding::Ucs2 => (70, 67),
    };
    if text.chars().map(|char| encoding.width(char)).sum::<usize>() <= alone {
        return 1;
    }
    let (mut segments, mut used) = (1, 0);
    for char in text.chars() {
        let width = encoding.width(char);
        if used + width > each {
            segments += 1;
            used = 0;
        }
        used += width;
    }
    segments
}

/// Where the parts of a text end, in bytes: each as long as RingCentral allows, and none ending inside what a reader
/// sees as one character. One such character that is longer than a part is torn between code points.
pub fn split(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut end, mut used) = (0, 0);
    let mut add = |piece: &str| {
        let units = piece.encode_utf16().count();
        if used + units > PART_UNITS {
            ends.push(end);
            used = 0;
        }
        used += units;
        end += piece.len();
    };
    for grapheme in text.graphemes(true) {
        if grapheme.encode_utf16().count() <= PART_UNITS {
            add(grapheme);
        } else {
            let mut bytes = [0; 4];
            grapheme.chars().for_each(|char| add(char.encode_utf8(&mut bytes)));
        }
    }
    ends.push(text.len());
    ends
}

/// The segments of all parts together.
pub fn segments_of_parts(text: &str, ends: &[usize]) -> u32 {
    parts(text, ends).map(segments).sum()
}

/// The parts of a text, by where they end.
pub fn parts<'a>(text: &'a str, ends: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(begin, end)| text.get(*begin..*end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_are_those_of_the_network() {
        for (text, encoding, count) in [
            ("hello".to_owned(), Encoding::Gsm7, 1),
            ("a".repeat(160), Encoding::Gsm7, 1),
            ("a".repeat(161), Encoding::Gsm7, 2),
            ("a".repeat(306), Encoding::Gsm7, 2),
            ("a".repeat(307), Encoding::Gsm7, 3),
            ("€".repeat(80), Encoding::Gsm7, 1),
            ("€".repeat(81), Encoding::Gsm7, 2),
            // 153 is odd: the 77th euro does not fit.
            ("€".repeat(153), Encoding::Gsm7, 3),
            ("ç".to_owned(), Encoding::Ucs2, 1),
            ("東".repeat(70), Encoding::Ucs2, 1),
            ("東".repeat(71), Encoding::Ucs2, 2),
            ("😀".repeat(35), Encoding::Ucs2, 1),
            ("😀".repeat(36), Encoding::Ucs2, 2),
        ] {
            assert_eq!((Encoding::of(&text), segments(&text)), (encoding, count), "{text}");
        }
        assert_eq!(outside_gsm("a‘b’c‘ 😀"), ['‘', '’', '😀']);
    }

    #[test]
    fn the_alphabet_has_its_128_places() {
        // One of them is the escape.
        assert_eq!(GSM_BASIC.chars().count(), 127);
    }

    #[test]
    fn a_family_is_not_torn() {
        let family = "👨‍👩‍👧‍👦";
        let text = format!("{}{family}", "a".repeat(995));
        assert_eq!(split(&text), [995, text.len()]);
        assert_eq!(split(&"a".repeat(1_000)), [1_000]);
        assert_eq!(split(&"a".repeat(1_001)), [1_000, 1_001]);
        // "é" of two code points.
        let text = format!("{}e\u{301}", "a".repeat(999));
        assert_eq!(split(&text), [999, text.len()]);
    }

    proptest! {
        #[test]
        fn parts_are_bounded_and_make_the_text(text in "(?s).{1,400}|(a|😀|e\u{301}|👨‍👩‍👧|\u{301}){1,900}") {
            let ends = split(&text);
            let all: Vec<&str> = parts(&text, &ends).collect();
            prop_assert_eq!(all.concat(), text.clone());
            let seams: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            for (part, end) in all.iter().zip(&ends) {
                prop_assert!(!part.is_empty() && part.encode_utf16().count() <= PART_UNITS);
                let is_giant = text.graphemes(true).any(|one| one.encode_utf16().count() > PART_UNITS);
                prop_assert!(is_giant || seams.contains(end));
            }
        }
    }
}
