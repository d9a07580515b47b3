//! How mobile networks carry a message: encoding and segments, and the parts of a long message.

use unicode_segmentation::UnicodeSegmentation;

use super::string_enum::string_enum;

/// The longest text that RingCentral accepts as one message, in UTF-16 code units.
pub const PART_UNITS: usize = 1_000;

/// The GSM 7-bit default alphabet: 3GPP TS 23.038, section 6.2.1.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table of that alphabet (section 6.2.1.1). Each of its characters takes an escape and a septet.
const GSM_EXTENDED: &str = "\u{c}^{}\\[~]|€";

string_enum! {
    /// The character encoding of an SMS.
    pub enum Encoding {
        /// The GSM 7-bit alphabet: 160 septets in one segment.
        Gsm7 = "GSM-7",
        /// UTF-16 code units of two bytes: 70 in one segment.
        Ucs2 = "UCS-2",
    }
}

impl Encoding {
    /// The encoding that a text needs.
    pub fn of(text: &str) -> Self {
        if text.chars().all(|char| septets(char).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// The width of a character, in septets or UTF-16 code units.
    fn width(self, char: char) -> usize {
        match self {
            Self::Gsm7 => septets(char).unwrap_or(1),
            Self::Ucs2 => char.len_utf16(),
        }
    }
}

/// The septets that a character takes in the GSM alphabet; `None` if it is not in it.
fn septets(char: char) -> Option<usize> {
    if GSM_BASIC.contains(char) { Some(1) } else { GSM_EXTENDED.contains(char).then_some(2) }
}

/// The characters of a text that are not in the GSM alphabet, each once, in order of appearance. A single one makes the
/// whole text UCS-2.
pub fn outside_gsm(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for char in text.chars().filter(|char| septets(*char).is_none()) {
        if !found.contains(&char) {
            found.push(char);
        }
    }
    found
}

/// The number of segments of a text. A character of width two is never split between segments.
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

/// Splits a text into parts and returns the end of each, in bytes. Each part is as long as RingCentral allows and ends at a
/// grapheme boundary. A single grapheme that is longer than a part is split between code points.
pub fn split(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut end, mut used) = (0, 0);
    let mut add = |fragment: &str| {
        let units = fragment.encode_utf16().count();
        if used + units > PART_UNITS {
            ends.push(end);
            used = 0;
        }
        used += units;
        end += fragment.len();
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

/// The total number of segments of the parts.
pub fn segments_of_parts(text: &str, ends: &[usize]) -> u32 {
    parts(text, ends).map(segments).sum()
}

/// The parts of a text, given their ends.
pub fn parts<'a>(text: &'a str, ends: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(begin, end)| text.get(*begin..*end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encoding_and_segments_follow_the_gsm_standard() {
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
    fn the_gsm_alphabet_has_128_code_points() {
        // The 128th is the escape.
        assert_eq!(GSM_BASIC.chars().count(), 127);
    }

    #[test]
    fn a_grapheme_is_not_split() {
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
        fn parts_are_bounded_and_concatenate_to_the_text(text in "(?s).{1,400}|(a|😀|e\u{301}|👨‍👩‍👧|\u{301}){1,900}") {
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
