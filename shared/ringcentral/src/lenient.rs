//! Lenient reading of RingCentral's JSON.
//!
//! A list is split into its records, and a record into its fields, without parsing them. Then each field that the crate uses
//! is read, in every spelling that is known. Fields that it does not use are never parsed. So a record that cannot be read
//! does not affect its neighbours.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

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
pub(crate) trait Read: Sized {
    /// `None` if the JSON is none of them.
    fn read(json: &str) -> Option<Self>;
}

/// A value that is read from the fields of an object.
pub(crate) trait FromFields: Sized {
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
    fields: HashMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(json: &'a str) -> Option<Self> {
        Some(Self { json, fields: serde_json::from_str(json).ok()? })
    }

    /// The object as it came.
    pub fn json(&self) -> &'a str {
        self.json
    }

    /// The JSON of a field; `None` if it is absent or null.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).map(|value| value.get()).filter(|json| *json != "null")
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
        let read = |json| T::read(json).ok_or(RecordError::Field(name));
        self.raw(name).map_or(Ok(Vec::new()), |json| elements(json).into_iter().map(read).collect())
    }

    /// A list without the elements that cannot be read.
    pub fn lossy_list<T: Read>(&self, name: &'static str) -> Vec<T> {
        self.raw(name).map(elements).unwrap_or_default().into_iter().filter_map(T::read).collect()
    }
}

/// The elements of a list; a value that is not a list is the only element.
pub(crate) fn elements(json: &str) -> Vec<&str> {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(values) => values.into_iter().map(RawValue::get).collect(),
        Err(_) => vec![json],
    }
}

/// Reads a record.
pub(crate) fn read_record<T: FromFields>(json: &str) -> Result<T, RecordError> {
    T::from_fields(&Fields::parse(json).ok_or(RecordError::NotAnObject)?)
}

/// Reads a body as a record. If it is not valid JSON, it is repaired first.
pub(crate) fn read_body<T: FromFields>(body: &[u8]) -> Result<T, RecordError> {
    let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
    let json = text.trim_start_matches('\u{feff}');
    match read_record(json) {
        Err(RecordError::NotAnObject) => read_record(&Zeroizing::new(repaired(json).into_owned())),
        result => result,
    }
}

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
        match json.as_bytes().first()? {
            b'"' => serde_json::from_str(json).or_else(|_| serde_json::from_str(&repaired(json))).ok(),
            b'-' | b'0'..=b'9' => Some(json.to_owned()),
            _ => None,
        }
    }
}

impl Read for Secret {
    fn read(json: &str) -> Option<Self> {
        String::read(json).map(Self::from)
    }
}

impl Read for bool {
    fn read(json: &str) -> Option<Self> {
        let word = if json.starts_with('"') { String::read(json)? } else { json.to_owned() };
        match word.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" => Some(true),
            "false" | "0" | "no" | "n" | "off" | "" => Some(false),
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

impl Read for Box<RawValue> {
    fn read(json: &str) -> Option<Self> {
        RawValue::from_string(json.to_owned()).ok()
    }
}

/// The text with what some senders write into JSON strings, made valid: halves of surrogate pairs (an emoji that was cut)
/// become U+FFFD, control characters are escaped, and unknown escapes lose their backslash.
pub(crate) fn repaired(json: &str) -> Cow<'_, str> {
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
        assert_eq!(bool::read("{}"), None);
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
        for odd in ["1e999", r#""\ud800""#, &deep] {
            let json = format!(r#"{{"id":"7","unused":{odd},"name":{{}},"tags":"one","tags":"two"}}"#);
            let sample: Sample = read_record(&json).expect("read");
            assert_eq!((sample.id, sample.name, sample.tags), (7, None, vec!["two".to_owned()]));
        }
        assert_eq!(read_record::<Sample>("[]").err(), Some(RecordError::NotAnObject));
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
        }
    }
}
