//! Lenient reading of RingCentral's JSON.
//!
//! A list is split into its records, and a record into its fields, without parsing them: a scanner follows brackets and strings,
//! and nothing else. Then each field that the crate uses is read, in every spelling that is known. Fields that it does not
//! use are never parsed. So a record that cannot be read does not affect its neighbours, even if it is not valid JSON:
//! `NaN`, missing, doubled and trailing commas, unquoted names, single quotes, control characters and unknown escapes stay
//! inside the record.
//!
//! Brackets that do not match make the whole text unreadable, because they are what a truncated response looks like: a page
//! that was cut off is an error of the call, never a page with fewer records.

use std::borrow::Cow;
use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::scanner::{Quotes, Scanner, Token};
use crate::secret::Secret;
use crate::time;

/// Why a record could not be read. It contains nothing of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("not a JSON object")]
    NotAnObject,
    #[error("the field {0} cannot be read")]
    Field(&'static str),
}

/// A value that is read from JSON in any of its spellings.
pub trait Read: Sized {
    /// `None` if the JSON is none of them.
    fn read(json: &str) -> Option<Self>;
}

/// A value that is read from the fields of an object.
pub(crate) trait FromFields: Sized {
    /// [`Quotes::Unescaped`] for pages, so that an unescaped quotation mark in one record does not hide the others. A single
    /// record with one would be read wrongly.
    const QUOTES: Quotes = Quotes::Escaped;

    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError>;
}

impl<T: FromFields> Read for T {
    fn read(json: &str) -> Option<Self> {
        read_record(json).ok()
    }
}

/// An object whose fields are not parsed yet. Of fields with the same name, the last one counts.
pub(crate) struct Fields<'a> {
    json: &'a str,
    fields: HashMap<Cow<'a, str>, &'a str>,
}

impl<'a> Fields<'a> {
    fn split(json: &'a str, quotes: Quotes) -> Option<Self> {
        let mut scanner = Scanner::inside(json, '{', quotes)?;
        let mut fields = HashMap::new();
        loop {
            match scanner.next()? {
                Token::Comma => {}
                Token::Colon => return None,
                Token::End => return Some(Self { json, fields }),
                Token::Value(name) => {
                    let Token::Colon = scanner.next()? else { return None };
                    // Nothing, if another field or the end follows.
                    let value = scanner.next_value().unwrap_or_default();
                    fields.insert(field_name(name)?, value);
                }
            }
        }
    }

    /// The object as it came.
    pub fn json(&self) -> &'a str {
        self.json
    }

    /// The JSON of a field; `None` if it is absent or null.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied().filter(|json| *json != "null")
    }

    pub fn required<T: Read>(&self, name: &'static str) -> Result<T, RecordError> {
        self.optional(name)?.ok_or(RecordError::Field(name))
    }

    /// A field that can be absent, but makes the record unreadable if it is present and cannot be read.
    pub fn optional<T: Read>(&self, name: &'static str) -> Result<Option<T>, RecordError> {
        self.raw(name).map(|json| T::read(json).ok_or(RecordError::Field(name))).transpose()
    }

    /// A field without which the record can be used: `None` if it cannot be read.
    pub fn lossy<T: Read>(&self, name: &'static str) -> Option<T> {
        self.raw(name).and_then(T::read)
    }

    /// A list, each of whose elements must be readable. A single value is a list of one.
    pub fn list<T: Read>(&self, name: &'static str) -> Result<Vec<T>, RecordError> {
        let Some(json) = self.raw(name) else { return Ok(Vec::new()) };
        let elements = elements(json).ok_or(RecordError::Field(name))?;
        elements.into_iter().map(|json| T::read(json).ok_or(RecordError::Field(name))).collect()
    }

    /// A list without the elements that cannot be read.
    pub fn lossy_list<T: Read>(&self, name: &'static str) -> Vec<T> {
        self.raw(name).and_then(elements).unwrap_or_default().into_iter().filter_map(T::read).collect()
    }
}

/// The name of a field, which may lack its quotation marks.
fn field_name(token: &str) -> Option<Cow<'_, str>> {
    match token.as_bytes().first()? {
        b'"' if !token.contains('\\') => Some(Cow::Borrowed(&token[1..token.len() - 1])),
        b'"' | b'\'' => unquoted(token).map(Cow::Owned),
        b'{' | b'[' => None,
        _ => Some(Cow::Borrowed(token)),
    }
}

/// The elements of a list; a value that is not a list is the only element. `None` if the list has no end.
pub(crate) fn elements(json: &str) -> Option<Vec<&str>> {
    if !json.trim_start().starts_with('[') {
        return Some(vec![json]);
    }
    split_list(json, Quotes::Escaped).or_else(|| split_list(json, Quotes::Unescaped))
}

fn split_list(json: &str, quotes: Quotes) -> Option<Vec<&str>> {
    let mut scanner = Scanner::inside(json, '[', quotes)?;
    let mut elements = Vec::new();
    loop {
        match scanner.next()? {
            Token::Comma | Token::Colon => {}
            Token::Value(element) => elements.push(element),
            Token::End => return Some(elements),
        }
    }
}

/// Reads a record.
pub(crate) fn read_record<T: FromFields>(json: &str) -> Result<T, RecordError> {
    let fields = Fields::split(json, Quotes::Escaped).or_else(|| match T::QUOTES {
        Quotes::Escaped => None,
        Quotes::Unescaped => Fields::split(json, Quotes::Unescaped),
    });
    T::from_fields(&fields.ok_or(RecordError::NotAnObject)?)
}

/// Reads a body as a record.
pub(crate) fn read_body<T: FromFields>(body: &[u8]) -> Result<T, RecordError> {
    let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
    read_record(without_mark(&text))
}

/// The text without a byte order mark.
pub(crate) fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// The id of a record, as it is written, even if the record cannot be read otherwise.
pub(crate) fn record_id(json: &str) -> Option<String> {
    let fields = Fields::split(json, Quotes::Escaped).or_else(|| Fields::split(json, Quotes::Unescaped))?;
    let id = String::read(fields.raw("id")?)?;
    let id = id.trim();
    (1..=MAX_ID_BYTES).contains(&id.len()).then(|| id.to_owned())
}

/// No id of RingCentral is longer.
const MAX_ID_BYTES: usize = 128;

/// Declares how a type is read from the fields of an object, and implements `Deserialize` with it. A field is `required`,
/// `optional` (an unreadable value makes the record unreadable), `lossy` (an unreadable value is omitted), a `flag` (false if
/// it is absent or unreadable), a `list` or a `lossy_list`. `json` is the object as it came.
macro_rules! record {
    ($name:ident { $($field:ident: $how:ident $json:literal,)+ }) => {
        impl $crate::lenient::FromFields for $name {
            fn from_fields(
                fields: &$crate::lenient::Fields<'_>,
            ) -> std::result::Result<Self, $crate::lenient::RecordError> {
                Ok(Self { $($field: $crate::lenient::record!(@$how fields $json),)+ })
            }
        }

        $crate::lenient::deserialize_record!($name);
    };
    (@required $fields:ident $json:literal) => { $fields.required($json)? };
    (@optional $fields:ident $json:literal) => { $fields.optional($json)? };
    (@lossy $fields:ident $json:literal) => { $fields.lossy($json) };
    (@flag $fields:ident $json:literal) => { $fields.lossy($json).unwrap_or(false) };
    (@list $fields:ident $json:literal) => { $fields.list($json)? };
    (@lossy_list $fields:ident $json:literal) => { $fields.lossy_list($json) };
    (@json $fields:ident $json:literal) => { $fields.json().into() };
}

/// Implements `Deserialize`, for the formats of `serde_json`, by [`FromFields`].
macro_rules! deserialize_record {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                let json = <Box<serde_json::value::RawValue>>::deserialize(deserializer)?;
                $crate::lenient::read_record(json.get()).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use {deserialize_record, record};

impl Read for String {
    /// A string, or a number as it is written.
    fn read(json: &str) -> Option<Self> {
        let is_of_number =
            |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        match json.as_bytes().first()? {
            b'"' | b'\'' => unquoted(json),
            b'-' | b'0'..=b'9' if json.bytes().all(is_of_number) => Some(json.to_owned()),
            _ => None,
        }
    }
}

/// The content of a string, in double or single quotes.
fn unquoted(json: &str) -> Option<String> {
    let Some(content) = json.strip_prefix('\'') else {
        return serde_json::from_str(json).or_else(|_| serde_json::from_str(&repaired(json))).ok();
    };
    let content = content.strip_suffix('\'')?.replace("\\'", "'");
    let mut double = String::with_capacity(content.len() + 2);
    double.push('"');
    let mut is_escaped = false;
    for char in content.chars() {
        if char == '"' && !is_escaped {
            double.push('\\');
        }
        is_escaped = char == '\\' && !is_escaped;
        double.push(char);
    }
    double.push('"');
    serde_json::from_str(&repaired(&double)).ok()
}

impl Read for Secret {
    fn read(json: &str) -> Option<Self> {
        String::read(json).map(Self::from)
    }
}

impl Read for bool {
    fn read(json: &str) -> Option<Self> {
        let word = if json.starts_with(['"', '\'']) { String::read(json)? } else { json.to_owned() };
        match word.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" => Some(true),
            "false" | "0" | "no" | "n" | "off" => Some(false),
            "" => (!json.is_empty()).then_some(false),
            _ => None,
        }
    }
}

impl Read for i64 {
    /// An integer, as a number or as a string; also with a zero fraction or an exponent.
    fn read(json: &str) -> Option<Self> {
        let digits = String::read(json)?;
        let digits = digits.trim();
        digits.parse().ok().or_else(|| whole(digits.parse().ok()?))
    }
}

/// The integer that a floating-point number represents exactly.
#[expect(clippy::cast_possible_truncation, reason = "within 2^53 it is exact")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

macro_rules! unsigned {
    ($($type:ty),+) => {$(
        impl Read for $type {
            fn read(json: &str) -> Option<Self> {
                i64::read(json)?.try_into().ok()
            }
        }
    )+};
}
unsigned!(u16, u32, u64);

impl Read for jiff::Timestamp {
    fn read(json: &str) -> Option<Self> {
        time::parse(&String::read(json)?)
    }
}

/// A string with what some senders write into JSON strings, made valid: halves of surrogate pairs (an emoji that was cut)
/// become U+FFFD, control characters are escaped, and unknown escapes lose their backslash.
fn repaired(json: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(json.len());
    let (mut rest, mut in_string) = (json, false);
    while let Some(char) = rest.chars().next() {
        let length = match char {
            '"' => {
                in_string = !in_string;
                out.push(char);
                1
            }
            '\\' if in_string => repair_escape(rest, &mut out),
            control if in_string && u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
                1
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    if out == json { Cow::Borrowed(json) } else { Cow::Owned(out) }
}

/// Appends the escape at the start of `rest`, and returns its length.
fn repair_escape(rest: &str, out: &mut String) -> usize {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    match rest.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            out.push_str(&rest[..2]);
            2
        }
        Some(b'u') => match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                out.push_str(&rest[..12]);
                12
            }
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                6
            }
            (Some(_), _) => {
                out.push_str(&rest[..6]);
                6
            }
            (None, _) => 1,
        },
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_strings_and_flags_are_read_in_each_spelling() {
        for (json, expected) in [
            ("3599", Some(3599)),
            ("\"3599\"", Some(3599)),
            ("\" 3599 \"", Some(3599)),
            ("3599.0", Some(3599)),
            ("3.599e3", Some(3599)),
            ("\"soon\"", None),
            ("1.5", None),
            ("true", None),
            ("[1]", None),
            ("1e999", None),
        ] {
            assert_eq!(i64::read(json), expected, "{json}");
        }
        assert_eq!(String::read("1210").as_deref(), Some("1210"));
        assert_eq!(String::read("{}"), None);
        for json in ["true", "\"true\"", "\"True\"", "1", "\"1\"", "\"yes\""] {
            assert_eq!(bool::read(json), Some(true), "{json}");
        }
        for json in ["false", "\"FALSE\"", "0", "\"0\"", "\"\""] {
            assert_eq!(bool::read(json), Some(false), "{json}");
        }
        for json in ["{}", "", "NaN", "maybe"] {
            assert_eq!(bool::read(json), None, "{json}");
        }
        for json in ["NaN", "-Infinity", "Infinity", "undefined", "0x1F", "12abc", "", "1_000"] {
            assert_eq!((i64::read(json), String::read(json)), (None, None), "{json}");
        }
        for (json, text) in [
            (r"'it\'s'", "it's"),
            (r#"'say "hi"'"#, r#"say "hi""#),
            (r#"'a \"b\" \\'"#, r#"a "b" \"#),
            ("''", ""),
            ("'\t'", "\t"),
        ] {
            assert_eq!(String::read(json).as_deref(), Some(text), "{json}");
        }
    }

    #[test]
    fn invalid_strings_are_repaired() {
        for (json, expected) in [
            (r#""cut \ud83d""#, "cut \u{fffd}"),
            (r#""\ude00 cut""#, "\u{fffd} cut"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            ("\"two\nlines\"", "two\nlines"),
            (r#""it\'s""#, "it's"),
            (r#""a \\ud83d""#, "a \\ud83d"),
            (r#""a\u12""#, "au12"),
        ] {
            assert_eq!(String::read(json).as_deref(), Some(expected), "{json}");
        }
    }

    struct Sample {
        id: i64,
        name: Option<String>,
        tags: Vec<String>,
    }
    record!(Sample { id: required "id", name: lossy "name", tags: list "tags", });

    #[test]
    fn a_field_that_is_not_used_is_not_parsed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for odd in ["1e999", r#""\ud800""#, "NaN", "", "tru", "[,,]", "{a:'b',}", "/**/", &deep] {
            let json = format!(r#"{{"id":"7","unused":{odd},"name":{{}},"tags":"one","tags":"two"}}"#);
            let sample: Sample = read_record(&json).expect("read");
            assert_eq!((sample.id, sample.name, sample.tags), (7, None, vec!["two".to_owned()]));
        }
        for odd in
            ["[]", "", "{", "}", "{}x", r#"{"id":1"#, r#"{"id":1}}"#, r#"{"id":1]"#, r#"{"id":"1}"#, "{:}"]
        {
            assert_eq!(read_record::<Sample>(odd).err(), Some(RecordError::NotAnObject), "{odd}");
        }
        for odd in [
            r#"{"id":1,,"tags":["one"],}"#,
            r#"{,"id":1 "tags":["one"]}"#,
            r#"{id:1,'tags':'one'}"#,
            r#"{"i\u0064":1,"tags":["one",,],"name":}"#,
            "{\"id\":1,\"tags\":[\"one\"]}\n\t ",
        ] {
            let sample: Sample = read_record(odd).expect(odd);
            assert_eq!((sample.id, sample.tags), (1, vec!["one".to_owned()]), "{odd}");
        }
        // Text behind a value may be a field that lost its name.
        for odd in [
            r#"{"id":1 2}"#,
            r#"{"id":1,"name":"say "hi" now"}"#,
            r#"{"id"}"#,
            r#"{"id"::1}"#,
            r#"{[1]:1}"#,
            r#"{"id":1 /* ? */}"#,
        ] {
            assert_eq!(read_record::<Sample>(odd).err(), Some(RecordError::NotAnObject), "{odd}");
        }
        assert_eq!(read_record::<Sample>(r#"{"id":1,"tags":[{}]}"#).err(), Some(RecordError::Field("tags")));
        assert_eq!(
            read_body::<Sample>(b"\xef\xbb\xbf{\"id\":1,\"name\":\"a\xffb\nc\"}").map(|s| s.id),
            Ok(1)
        );
    }

    proptest! {
        #[test]
        fn valid_json_is_not_changed_by_a_repair(text in "\\PC{0,40}") {
            let json = serde_json::to_string(&[&text]).expect("written");
            prop_assert_eq!(repaired(&json), json.as_str());
        }

        #[test]
        fn no_text_causes_a_panic(text in "[\\\\u0-9a-fdD\"{}:,\n é]{0,40}") {
            let _ = repaired(&text);
            let _ = read_record::<Sample>(&text);
            let _ = String::read(&text);
            let _ = elements(&text);
            let _ = record_id(&text);
        }
    }

    #[test]
    fn the_id_of_a_record_is_found_in_each_spelling() {
        for (json, id) in [
            (r#"{"id":17,"x":NaN}"#, Some("17")),
            (r#"{"id":" 8b0c-3a52 "}"#, Some("8b0c-3a52")),
            (r#"{"id":"7","subject":"a 5" screen"}"#, Some("7")),
            (r#"{"id":{}}"#, None),
            (r#"{"id":""}"#, None),
            ("[]", None),
        ] {
            assert_eq!(record_id(json).as_deref(), id, "{json}");
        }
    }
}
