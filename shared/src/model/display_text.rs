//! Text that people read in order to decide something: names, roles and labels. Each of its characters can be seen.

use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, IndicSyllabicCategory,
    NoncharacterCodePoint, PrependedConcatenationMark, VariationSelector,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Trims white space and invisible characters around a text, which often come with copied text. `None` if what is left shows
/// nothing, is longer than `max` characters, or contains a character that can't be seen or that reorders the text.
pub fn display_text(text: &str, max: usize) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    let shown = trimmed(&characters);
    let is_allowed_at = |at: usize| {
        let before = at.checked_sub(1).map(|at| shown[at]);
        is_allowed(shown[at], before, shown.get(at + 1).copied())
    };
    let ok = (1..=max).contains(&shown.len())
        && shown.iter().any(|character| has_ink(*character))
        && (0..shown.len()).all(is_allowed_at);
    ok.then(|| shown.iter().collect())
}

/// The text without white space and invisible characters around it. A joiner or selector stays after the character that it
/// belongs to, and a control character stays, so that the text is rejected.
fn trimmed(text: &[char]) -> &[char] {
    let is_trimmed = |c: char| c.is_whitespace() || (is_invisible(c) && !c.is_control());
    let Some(start) = text.iter().position(|c| !is_trimmed(*c)) else { return &[] };
    let mut shown = &text[start..];
    while let [before @ .., last] = shown
        && is_trimmed(*last)
        && !is_allowed_invisible(*last, before.last().copied(), None)
    {
        shown = before;
    }
    shown
}

/// True if a character is drawn without another one: letters, numbers, punctuation and symbols, but not marks, which need a letter, and
/// not private or unassigned characters, which most fonts cannot draw.
fn has_ink(character: char) -> bool {
    let drawn = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    drawn.contains(category(character)) && !is_invisible(character)
}

fn is_allowed(character: char, before: Option<char>, after: Option<char>) -> bool {
    !is_invisible(character) || is_allowed_invisible(character, before, after)
}

/// Joiners, variation selectors and tags have no width, and are part of words and of emoji: they are allowed after a character
/// that they can belong to.
fn is_allowed_invisible(character: char, before: Option<char>, after: Option<char>) -> bool {
    let belongs_to = |before: char| !before.is_whitespace() && !is_invisible(before);
    match character {
        ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER => {
            let joins_next = after.is_some_and(belongs_to);
            let is_joined = |before: char| {
                (joins_next && (belongs_to(before) || before == EMOJI_STYLE)) || is_virama(before)
            };
            before.is_some_and(is_joined)
        }
        // The flags of regions: a black flag, and letters as tags.
        '\u{e0020}'..='\u{e007f}' => {
            before.is_some_and(|before| matches!(before, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}'))
        }
        // Of Mongolian letters, of emoji, and of ideographs.
        other => {
            CodePointSetData::new::<VariationSelector>().contains(other) && before.is_some_and(belongs_to)
        }
    }
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// The variation selector that makes an emoji of a symbol.
const EMOJI_STYLE: char = '\u{fe0f}';

/// The sign of Indic scripts that removes a vowel. In older spellings, a joiner may follow it at the end of a word.
fn is_virama(character: char) -> bool {
    let syllabic = CodePointMapData::<IndicSyllabicCategory>::new().get(character);
    syllabic == IndicSyllabicCategory::Virama
}

/// True for control characters, characters without width or ink, characters that reorder the text around them, line separators
/// and noncharacters.
pub fn is_invisible(character: char) -> bool {
    let is_ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(character);
    is_ignorable
        || BLANKS.contains(&character)
        || match category(character) {
            GeneralCategory::Control
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator => true,
            // Such as the Arabic number sign, which is drawn under its digits.
            GeneralCategory::Format => {
                !CodePointSetData::new::<PrependedConcatenationMark>().contains(character)
            }
            _ => false,
        }
}

/// Letters, marks and symbols without ink that Unicode does not call ignorable: the Braille pattern without dots, the blanks of
/// Egyptian hieroglyphs, the Khitan filler, the null note head, and the object replacement character.
const BLANKS: [char; 6] = ['\u{2800}', '\u{13441}', '\u{13442}', '\u{16fe4}', '\u{1d159}', '\u{fffc}'];

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Option<String> {
        display_text(text, 100)
    }

    #[test]
    fn names_in_all_scripts_and_emoji_are_accepted() {
        assert_eq!(name("  Acme Ltd. ").as_deref(), Some("Acme Ltd."));
        assert_eq!(name("\u{3000}Acme\u{a0}").as_deref(), Some("Acme"));
        for good in [
            "Zoë & 東京",
            "نمی\u{200c}خواهم",
            "می\u{200c}روم و می\u{200c}آیم",
            "ක්\u{200d}රියා",
            "अवन\u{94d}\u{200d}",
            "👩\u{200d}👩\u{200d}👧 Family",
            "❤\u{fe0f}\u{200d}🔥",
            "👩🏽\u{200d}💻",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "1\u{fe0f}\u{20e3}",
            "葛\u{e0100}",
            "שלום",
            "!",
            &"x".repeat(100),
        ] {
            assert_eq!(name(good).as_deref(), Some(good), "{good:?}");
        }
    }

    #[test]
    fn blank_and_misleading_names_are_rejected() {
        for bad in ["", "  ", "a\nb", "a\tb", "a\u{7f}b", &"x".repeat(101), "a\u{2028}b", "a\u{fffe}b"] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        let alone = [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2063}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0100}',
            '\u{13430}',
            '\u{13441}',
            '\u{13442}',
            '\u{16fe4}',
            '\u{1d159}',
            '\u{fffc}',
        ];
        for blank in alone {
            let repeated = format!("{blank}{blank}");
            assert_eq!(name(&blank.to_string()), None, "{blank:?}");
            assert_eq!(name(&repeated), None, "{blank:?}");
            assert_eq!(name(&format!("a {blank}")).as_deref(), Some("a"), "{blank:?} after a space");
            assert_eq!(name(&format!("{blank}a")).as_deref(), Some("a"), "{blank:?} first");
        }
        for bad in [
            "a\u{202e}b",
            "a\u{2067}b",
            "a\u{200b}b",
            "a\u{3164}b",
            "a\u{2800}b",
            "a\u{13441}b",
            "a\u{fff9}b",
            "a\u{200d}\u{200d}b",
            "\u{7f}a",
        ] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn invisible_characters_around_a_name_are_trimmed() {
        for (pasted, shown) in [
            ("\u{200e}Acme\u{200e}", "Acme"),
            ("\u{202a}+1 (415) 555-0100\u{202c}", "+1 (415) 555-0100"),
            ("\u{2068}Acme\u{2069}", "Acme"),
            ("\u{feff}Acme", "Acme"),
            ("Acme\u{200b}\r\n", "Acme"),
            (" \u{a0}\u{200f}שלום\u{200f} ", "שלום"),
            ("a\u{200d}", "a"),
            ("\u{fe0f}❤\u{fe0f}\u{200e}", "❤\u{fe0f}"),
            ("अवन\u{94d}\u{200d}\u{200b}", "अवन\u{94d}\u{200d}"),
        ] {
            assert_eq!(name(pasted).as_deref(), Some(shown), "{pasted:?}");
        }
        assert_eq!(name(&format!("\u{feff}{}\u{200e}", "x".repeat(100))), Some("x".repeat(100)));
    }

    #[test]
    fn what_needs_another_character_or_a_font_is_no_name_alone() {
        for alone in [
            "\u{301}",
            "\u{13440}",
            "\u{20e3}",
            "\u{94d}",
            "\u{93f}",
            "\u{e000}",
            "\u{f8ff}",
            "\u{10fffd}",
            "\u{378}",
        ] {
            assert_eq!(name(alone), None, "{alone:?}");
            assert_eq!(name(&format!("{alone} {alone}")), None, "{alone:?}");
            let with_letter = format!("a{alone}");
            assert_eq!(name(&with_letter), Some(with_letter.clone()));
        }
    }

    proptest! {
        #[test]
        fn a_text_without_ink_is_no_name(text in "[\\p{M}\\p{Z}\\p{Cc}\\p{Cf}\\p{Co}\u{3164}\u{115f}\u{2800}\u{13441}\u{13442}]{0,12}") {
            prop_assert_eq!(name(&text), None);
        }

        #[test]
        fn what_is_pasted_around_a_name_is_trimmed(
            text in "\\PC{1,20}",
            around in "[\u{200b}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2060}\u{2066}-\u{2069}\u{feff}\u{3164} \u{a0}\n]{0,6}",
        ) {
            if let Some(shown) = name(&text) {
                prop_assert_eq!(name(&format!("{around}{text}{around}")), Some(shown));
            }
        }

        #[test]
        fn an_accepted_name_has_ink(text in "\\PC{0,20}|[\u{200b}-\u{200f}\u{2060}-\u{2064}\u{3164}\u{2800} a]{0,6}") {
            if let Some(name) = name(&text) {
                prop_assert!(name.chars().any(has_ink));
                prop_assert_eq!(display_text(&name, 100), Some(name.clone()));
            }
        }
    }
}
