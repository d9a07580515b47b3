//! Phone numbers.

use std::fmt;

/// A phone number in E.164 form: `+`, then 7 to 15 digits, the first not zero. `Debug` shows only the last two digits:
/// logs must not contain phone numbers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// The regular expression of what [`E164::parse`] accepts.
    pub const PATTERN: &str = r"^\+[1-9][0-9]{6,14}$";

    /// `None` unless `text` is in E.164 form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let ok = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        ok.then(|| Self(text.to_owned()))
    }

    /// Parses a number in any of the spellings in which RingCentral and carriers write it: without `+`, with `00` or `011`,
    /// in national form, with separators. `home` is a number of the country whose national form it may have; without it,
    /// North America. `None` for short codes, alphanumeric senders and other texts.
    pub fn read(text: &str, home: Option<&Self>) -> Option<Self> {
        let text = plain_characters(text);
        let text = text.trim();
        let text = without_extension(text.strip_prefix("tel:").unwrap_or(text).trim());
        let is_separator = |char: char| char.is_whitespace() || matches!(char, '-' | '.' | '/' | '(' | ')');
        let (is_international, rest) = match text.strip_prefix('+') {
            // The trunk prefix in parentheses is not dialled from abroad: +44 (0)20 7946 0958.
            Some(rest) => (true, rest.replacen("(0)", "", 1)),
            None => (false, text.to_owned()),
        };
        let digits: String = rest.chars().filter(|char| !is_separator(*char)).collect();
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let code = home.map_or(NORTH_AMERICA, Self::country_code);
        let international = |digits: &str| Self::parse(&format!("+{digits}"));
        if is_international {
            return international(&digits);
        }
        if let Some(rest) = digits.strip_prefix("00").filter(|rest| rest.len() >= LONG_DIGITS) {
            return international(rest);
        }
        if code == NORTH_AMERICA {
            return match digits.len() {
                10 if is_north_american(&digits) => international(&format!("1{digits}")),
                11 if digits.starts_with('1') && is_north_american(&digits[1..]) => international(&digits),
                11.. if digits.starts_with("011") => international(&digits[3..]),
                11.. if !digits.starts_with(['0', '1']) => international(&digits),
                _ => None,
            };
        }
        match digits.strip_prefix('0') {
            // Italian numbers keep the zero.
            Some(_) if code == "39" => international(&format!("{code}{digits}")),
            Some(national) if digits.len() >= LONG_DIGITS => international(&format!("{code}{national}")),
            Some(_) => None,
            None if digits.starts_with(code) && digits.len() >= LONG_DIGITS => international(&digits),
            None if digits.len() > 10 => international(&digits),
            None => None,
        }
    }

    /// The country code (ITU-T E.164): one digit for North America and the former Soviet Union, otherwise two or three.
    fn country_code(&self) -> &str {
        let digits = &self.0[1..];
        let length = match digits.as_bytes() {
            [b'1' | b'7', ..] => 1,
            [b'2', b'0' | b'7', ..]
            | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
            | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
            | [b'5', b'1'..=b'8', ..]
            | [b'6', b'0'..=b'6', ..]
            | [b'8', b'1' | b'2' | b'4' | b'6', ..]
            | [b'9', b'0'..=b'5' | b'8', ..] => 2,
            _ => 3,
        };
        &digits[..length]
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{}", &self.0[self.0.len() - 2..])
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Phone keyboards and copied texts contain wide digits, typographic hyphens and invisible marks of the writing direction.
fn plain_characters(text: &str) -> String {
    let plain = |char| match char {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => None,
        '\u{ff0b}' => Some('+'),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(char) - 0xff10, 10),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => Some('-'),
        other => Some(other),
    };
    text.chars().filter_map(plain).collect()
}

/// The number without an extension behind it, such as ` ext. 12`, `x12`, `*12` or `;ext=12`.
fn without_extension(text: &str) -> &str {
    let Some(at) = text.find(|char: char| char.is_ascii_alphabetic() || "*#;,".contains(char)) else {
        return text;
    };
    let suffix = text[at..].to_ascii_lowercase();
    let digits = [";ext=", "extension", "ext.", "ext", "x", "*", "#", ","]
        .iter()
        .find_map(|word| suffix.strip_prefix(word))
        .map(str::trim);
    match digits {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            text[..at].trim_end()
        }
        _ => text,
    }
}

const NORTH_AMERICA: &str = "1";

/// Shorter numbers may lack their area code.
const LONG_DIGITS: usize = 9;

/// True if ten digits are a number of the North American Numbering Plan: neither area code nor exchange begins with 0 or 1.
fn is_north_american(digits: &str) -> bool {
    digits.len() == 10 && [0, 3].iter().all(|at| digits.as_bytes()[*at] >= b'2')
}

/// The party of a message as it is stored, shown and searched for: in E.164 form if it is a phone number, otherwise as it came,
/// such as a short code or an alphanumeric sender.
pub fn address(text: &str, home: Option<&E164>) -> String {
    E164::read(text, home).map_or_else(|| text.trim().to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_typographic_characters_are_read() {
        for text in [
            "+16505550111 ext. 12",
            "+1 650 555 0111 x12",
            "+16505550111*12",
            "tel:+16505550111;ext=12",
            "\u{202a}+16505550111\u{202c}",
            "+1\u{2011}650\u{2011}555\u{2011}0111",
            "\u{ff0b}\u{ff11}6505550111",
            "(650) 555-0111 ext 5",
        ] {
            assert_eq!(address(text, None), "+16505550111", "{text}");
        }
        for text in ["SUPPORT", "12345", "1-800-FLOWERS", "+16505550111 extra", "x12"] {
            assert_eq!(address(text, None), text);
        }
    }

    #[test]
    fn only_e164_is_accepted() {
        assert!(E164::parse("+14155550100").is_some());
        for bad in [
            "",
            "+",
            "14155550100",
            "+0415555010",
            "+1415555010a",
            "+1 415 555 0100",
            "+1234567890123456",
            "+123456",
        ] {
            assert!(E164::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_read_in_each_spelling() {
        let us = E164::parse("+14155550100");
        for spelling in [
            "+14155550100",
            "14155550100",
            "4155550100",
            "(415) 555-0100",
            "+1 (415) 555-0100",
            "1-415-555-0100",
            "415.555.0100",
            "0014155550100",
            "01114155550100",
            " +1\u{a0}415\u{a0}555\u{a0}0100 ",
            "tel:+14155550100",
        ] {
            for home in [None, us.as_ref()] {
                assert_eq!(E164::read(spelling, home), us, "{spelling}");
            }
        }
        let uk = E164::parse("+442079460958");
        for spelling in
            ["+44 (0)20 7946 0958", "020 7946 0958", "442079460958", "00442079460958", "+44 20 7946 0958"]
        {
            assert_eq!(E164::read(spelling, uk.as_ref()), uk, "{spelling}");
        }
        assert_eq!(E164::read("442079460958", us.as_ref()), uk);
        assert_eq!(E164::read("011442079460958", us.as_ref()), uk);
    }

    #[test]
    fn what_is_no_phone_number_stays_as_it_is() {
        for text in [
            "12345",
            "SUPPORT",
            "5550100",
            "",
            "anonymous",
            "+",
            "0155550100",
            "1155550100",
            "a@example.com",
            "٤١٥٥٥٥٠١٠٠",
        ] {
            assert_eq!(E164::read(text, None), None, "{text}");
            assert_eq!(address(&format!(" {text} "), None), text);
        }
        assert_eq!(address("(415) 555-0100", None), "+14155550100");
    }

    proptest::proptest! {
        #[test]
        fn reading_is_idempotent_and_never_panics(text in "[+0-9 ()./a-zé-]{0,24}") {
            let read = address(&text, None);
            proptest::prop_assert_eq!(address(&read, None), read);
        }
    }

    #[test]
    fn debug_output_masks_the_number() {
        assert_eq!(format!("{:?}", E164::parse("+14155550100").unwrap()), "…00");
    }
}
