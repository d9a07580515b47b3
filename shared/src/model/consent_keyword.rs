//! The words with which recipients opt out, opt in and ask for help.

use super::string_enum::string_enum;

string_enum! {
    /// What a recipient asks for with a keyword.
    pub enum KeywordIntent {
        /// No more messages.
        Stop = "stop",
        /// Messages again.
        Start = "start",
        Help = "help",
    }
}

/// Who acts on a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeywordHandler {
    /// RingCentral records the consent and answers the recipient. The gateway only mirrors it.
    RingCentral,
    /// RingCentral does nothing, so the gateway has to.
    Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyword {
    pub intent: KeywordIntent,
    pub handler: KeywordHandler,
}

/// Every keyword. RingCentral handles those of its Developer Guide ("Messaging consent management"). The FCC names REVOKE and OPT OUT
/// too (47 CFR 64.1200(a)(10)), and other providers STOPALL and OPTOUT. No source says that RingCentral answers HELP.
pub const KEYWORDS: &[(&str, KeywordIntent, KeywordHandler)] = {
    use KeywordHandler::{Gateway, RingCentral};
    use KeywordIntent::{Help, Start, Stop};
    &[
        ("STOP", Stop, RingCentral),
        ("UNSUBSCRIBE", Stop, RingCentral),
        ("QUIT", Stop, RingCentral),
        ("CANCEL", Stop, RingCentral),
        ("END", Stop, RingCentral),
        ("STOPALL", Stop, Gateway),
        ("STOP ALL", Stop, Gateway),
        ("REVOKE", Stop, Gateway),
        ("OPTOUT", Stop, Gateway),
        ("OPT OUT", Stop, Gateway),
        ("START", Start, RingCentral),
        ("SUBSCRIBE", Start, RingCentral),
        ("RESUME", Start, RingCentral),
        ("CONTINUE", Start, RingCentral),
        ("UNSTOP", Start, RingCentral),
        ("HELP", Help, Gateway),
        ("INFO", Help, Gateway),
    ]
};

impl Keyword {
    /// The keyword that the whole message is, or `None`. Case, and punctuation, white space and emoji around and between the words are
    /// ignored: `stop!`, `Opt-out.` and `STOP 🛑` are keywords, `stop by tomorrow?` is not. It is not documented that RingCentral ignores
    /// them too, so the gateway acts on such a message itself.
    pub fn of_message(text: &str) -> Option<Self> {
        let words = words(text)?;
        let (_, intent, handler) = KEYWORDS.iter().find(|(keyword, ..)| *keyword == words)?;
        let is_plain = text.trim().eq_ignore_ascii_case(&words);
        Some(Self { intent: *intent, handler: if is_plain { *handler } else { KeywordHandler::Gateway } })
    }
}

/// No keyword has more characters.
const LONGEST: usize = 16;

/// The words of a text in capital letters, separated by single spaces; `None` if they are longer than any keyword.
fn words(text: &str) -> Option<String> {
    let (mut words, mut is_after_gap) = (String::new(), false);
    for char in text.chars() {
        let char = plain(char);
        if char == '\u{20e3}' {
            // A key cap, such as 1️⃣, is a digit and this mark.
            words.pop();
        }
        // Marks that change how the character before them looks.
        if matches!(char, '\u{fe00}'..='\u{fe0f}') {
            continue;
        }
        if !char.is_alphanumeric() || is_symbol(char) {
            is_after_gap = true;
            continue;
        }
        if is_after_gap && !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
        is_after_gap = false;
        words.extend(char.to_uppercase());
        if words.len() > LONGEST {
            return None;
        }
    }
    words.truncate(words.trim_end().len());
    Some(words)
}

/// The ASCII form of a full-width character.
fn plain(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap_or(char),
        other => other,
    }
}

/// Letters and digits that are drawn as symbols or emoji, such as ℹ️ and 🅾️.
fn is_symbol(char: char) -> bool {
    matches!(char, '\u{2100}'..='\u{214f}' | '\u{2460}'..='\u{24ff}' | '\u{1f100}'..='\u{1f2ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(text: &str) -> Option<KeywordIntent> {
        Keyword::of_message(text).map(|keyword| keyword.intent)
    }

    fn handler(text: &str) -> KeywordHandler {
        Keyword::of_message(text).unwrap_or_else(|| panic!("{text:?}")).handler
    }

    #[test]
    fn every_keyword_is_recognized_whatever_surrounds_it() {
        for (word, wanted, known) in KEYWORDS {
            let lower = word.to_lowercase();
            let title = format!("{}{}", &word[..1], &lower[1..]);
            for form in [
                (*word).to_owned(),
                lower.clone(),
                title,
                format!("  {lower}\r\n"),
                format!("\"{word}\"!!"),
                format!("{lower} 🛑"),
                format!("🙏🏽🙏🏽{lower}❤️"),
                format!("…{lower}."),
                format!("\u{200f}{word}\u{feff}"),
                format!("{word} ℹ️"),
                format!("{word} 🅾️ 1️⃣"),
                lower.replace(' ', "-"),
                lower.replace(' ', "  \n"),
            ] {
                assert_eq!(intent(&form), Some(*wanted), "{form:?}");
            }
            for form in [(*word).to_owned(), lower.clone(), format!(" {lower}\r\n")] {
                assert_eq!(handler(&form), *known, "{form:?}");
            }
            for form in [format!("{lower}!"), format!("{word} 🛑"), format!("\u{200b}{word}")] {
                assert_eq!(handler(&form), KeywordHandler::Gateway, "{form:?}");
            }
        }
        assert_eq!(intent("ｓｔｏｐ"), Some(KeywordIntent::Stop));
        assert_eq!(intent("opt–out"), Some(KeywordIntent::Stop));
    }

    #[test]
    fn the_table_is_the_one_of_the_documentation() {
        let listed = |wanted| -> Vec<&str> {
            KEYWORDS.iter().filter(|(_, intent, _)| *intent == wanted).map(|(word, ..)| *word).collect()
        };
        let stop = [
            "STOP",
            "UNSUBSCRIBE",
            "QUIT",
            "CANCEL",
            "END",
            "STOPALL",
            "STOP ALL",
            "REVOKE",
            "OPTOUT",
            "OPT OUT",
        ];
        assert_eq!(listed(KeywordIntent::Stop), stop);
        assert_eq!(listed(KeywordIntent::Start), ["START", "SUBSCRIBE", "RESUME", "CONTINUE", "UNSTOP"]);
        assert_eq!(listed(KeywordIntent::Help), ["HELP", "INFO"]);
        assert!(KEYWORDS.iter().all(|(word, ..)| word.len() <= LONGEST));
    }

    #[test]
    fn other_messages_are_not_keywords() {
        for text in [
            "",
            " ",
            "🛑",
            "stop by tomorrow?",
            "please stop",
            "STOP it",
            "don't stop",
            "stopped",
            "non-stop",
            "S T O P",
            "st op",
            "stop 2",
            "end of the day",
            "Stop\nSent from my phone",
            "helpful",
            "STÖP",
            "opt",
            "out opt",
            "YES",
            "1",
            "стоп",
        ] {
            assert_eq!(intent(text), None, "{text:?}");
        }
        assert_eq!(intent(&"stop ".repeat(10_000)), None);
    }

    proptest::proptest! {
        #[test]
        fn classification_ignores_case_and_surroundings(
            at in 0..KEYWORDS.len(),
            before in "[ .,!?*\"'()\n\u{200b}\u{fe0f}🛑🙏]{0,6}",
            after in "[ .,!?*\"'()\n\u{200b}\u{fe0f}🛑🙏]{0,6}",
            capitals in proptest::collection::vec(proptest::bool::ANY, LONGEST),
        ) {
            let (word, wanted, _) = KEYWORDS[at];
            let cased: String = word.chars().zip(capitals)
                .map(|(char, capital)| if capital { char } else { char.to_ascii_lowercase() }).collect();
            proptest::prop_assert_eq!(intent(&format!("{before}{cased}{after}")), Some(wanted));
        }

        #[test]
        fn a_further_word_makes_it_an_ordinary_message(at in 0..KEYWORDS.len(), word in "[a-km-z]{1,8}") {
            // "l" is missing, so that no word is "all", which makes STOP ALL.
            let text = format!("{} {word}", KEYWORDS[at].0);
            proptest::prop_assert_eq!(intent(&text), None);
        }

        #[test]
        fn any_text_is_classified(text in "\\PC*") {
            let _ = Keyword::of_message(&text);
        }
    }
}
