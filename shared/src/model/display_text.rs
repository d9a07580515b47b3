//! Text that people read in order to decide something: names, roles and labels. Each of its characters can be seen.

/// Trims white space around a text. `None` if what is left is empty, is longer than `max` characters, or contains a character
/// that can't be seen or that reorders the text.
pub fn display_text(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    let characters: Vec<char> = text.chars().collect();
    let is_visible = |at: usize| {
        let (before, after) = (at.checked_sub(1).map(|at| characters[at]), characters.get(at + 1).copied());
        is_allowed(characters[at], before, after)
    };
    let ok = (1..=max).contains(&characters.len()) && (0..characters.len()).all(is_visible);
    ok.then(|| text.to_owned())
}

/// Joiners, variation selectors and tags have no width, and are part of words and of emoji: they are allowed after a character
/// that they can belong to.
fn is_allowed(character: char, before: Option<char>, after: Option<char>) -> bool {
    let belongs_to = |before: char| !before.is_whitespace() && !is_invisible(before);
    match character {
        ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER => {
            let joins_next = after.is_some_and(belongs_to);
            let is_joined = |before: char| {
                (joins_next && (belongs_to(before) || before == EMOJI_STYLE)) || is_virama(before)
            };
            before.is_some_and(is_joined)
        }
        // Of Mongolian letters, of emoji, and of ideographs.
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            before.is_some_and(belongs_to)
        }
        // The flags of regions: a black flag, and letters as tags.
        '\u{e0020}'..='\u{e007f}' => {
            before.is_some_and(|before| matches!(before, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}'))
        }
        other => !is_invisible(other),
    }
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// The variation selector that makes an emoji of a symbol.
const EMOJI_STYLE: char = '\u{fe0f}';

/// The sign of Indic scripts that removes a vowel. In older spellings, a joiner may follow it at the end of a word.
fn is_virama(character: char) -> bool {
    matches!(
        character,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d4d}'
            | '\u{dca}'
    )
}

/// True for control characters, characters without width or ink (Unicode's `Default_Ignorable_Code_Point`, line separators, and
/// blanks that are not white space), characters that reorder the text around them, and noncharacters.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        )
        || matches!(character, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}')
        || matches!(character, '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{fdd0}'..='\u{fdef}')
        || matches!(character, '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(character, '\u{e0000}'..='\u{e0fff}')
        || u32::from(character) & 0xfffe == 0xfffe
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
        ];
        for blank in alone {
            let repeated = format!("{blank}{blank}");
            assert_eq!(name(&blank.to_string()), None, "{blank:?}");
            assert_eq!(name(&repeated), None, "{blank:?}");
            assert_eq!(name(&format!("a {blank}")), None, "{blank:?} after a space");
            assert_eq!(name(&format!("{blank}a")), None, "{blank:?} first");
        }
        for bad in [
            "a\u{202e}b",
            "a\u{2067}b",
            "a\u{200b}b",
            "a\u{3164}b",
            "a\u{2800}b",
            "a\u{200d}",
            "a\u{200d}\u{200d}b",
        ] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_name_has_ink(text in "\\PC{0,20}|[\u{200b}-\u{200f}\u{2060}-\u{2064}\u{3164}\u{2800} a]{0,6}") {
            if let Some(name) = name(&text) {
                prop_assert!(name.chars().any(|c| !c.is_whitespace() && !is_invisible(c)));
                prop_assert_eq!(display_text(&name, 100), Some(name.clone()));
            }
        }
    }
}
