//! Deserialisers for fields whose form varies between RingCentral's responses.

use serde::{Deserialize, Deserializer, de};

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

/// An integer, as a number or as a string of digits.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(number) => Ok(number),
        NumberOrText::Text(text) => text.trim().parse().map_err(|_| de::Error::custom("not an integer")),
    }
}

/// An integer that can be absent or null.
pub(crate) fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Wrapped(#[serde(deserialize_with = "integer")] i64);
    Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
}

/// A string that can be a number, absent or null.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<NumberOrText>::deserialize(deserializer)?.map(|value| match value {
        NumberOrText::Number(number) => number.to_string(),
        NumberOrText::Text(text) => text,
    }))
}

/// A value that can be null, which is read as the default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fields {
        #[serde(default, deserialize_with = "optional_integer")]
        number: Option<i64>,
        #[serde(default, deserialize_with = "optional_text")]
        text: Option<String>,
        #[serde(default, deserialize_with = "or_default")]
        list: Vec<u8>,
    }

    #[test]
    fn numbers_and_strings_are_read() {
        let read = |json| serde_json::from_str::<Fields>(json).expect("read");
        assert_eq!(read(r#"{"number":3599,"text":"1210"}"#).number, Some(3599));
        assert_eq!(read(r#"{"number":"3599"}"#).number, Some(3599));
        assert_eq!(read(r#"{"text":1210}"#).text.as_deref(), Some("1210"));
        let none = read(r#"{"number":null,"text":null}"#);
        assert!(read(r#"{"list":null}"#).list.is_empty() && read(r#"{"list":[1]}"#).list.len() == 1);
        assert!(none.number.is_none() && none.text.is_none());
        assert!(read("{}").text.is_none());
        assert!(serde_json::from_str::<Fields>(r#"{"number":"soon"}"#).is_err());
    }
}
