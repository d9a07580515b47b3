//! JSON bodies of requests. The error for an unknown field or a wrong type has its JSON path; the error for a body that is not JSON
//! says what to send.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use lambda_http::Request;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{CONTENT_TYPE, suggestion};
use crate::error::{Error, Result};

/// The request's JSON body. Unknown fields and wrong types are rejected with their JSON path.
pub fn json<T: DeserializeOwned>(request: &Request) -> Result<T> {
    parse(request)
}

/// The request's JSON body, or the default if there is none.
pub fn optional_json<T: DeserializeOwned + Default>(request: &Request) -> Result<T> {
    let body: &[u8] = request.body().as_ref();
    if body.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { parse(request) }
}

/// For a request without fields: checks that the body is absent or an empty object.
pub fn no_fields(request: &Request) -> Result<()> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    optional_json(request).map(|Nothing {}| ())
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T> {
    let not_json = |text: &str| Error::InvalidBody {
        text: if is_form(request) { NOT_A_FORM } else { text }.to_owned(),
        field: None,
    };
    let body = utf8(request.body().as_ref()).map_err(not_json)?;
    let mut json = serde_json::Deserializer::from_str(body);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let cause = error.inner();
        if cause.is_syntax() || cause.is_eof() {
            not_json(&invalid_json(body, cause))
        } else {
            shape_error(&error)
        }
    })?;
    json.end().map_err(|_| not_json("The body must be one JSON object"))?;
    Ok(value)
}

/// Serde's message for a syntax error names the position, and contains nothing of the body.
fn invalid_json(body: &str, cause: &serde_json::Error) -> String {
    let is_object = body.trim_start().starts_with('{');
    if is_object {
        format!("The body is not valid JSON: {cause}")
    } else {
        "The body must be a JSON object".to_owned()
    }
}

const NOT_A_FORM: &str =
    "The body must be a JSON object; send JSON with `Content-Type: application/json` instead of a form";

fn is_form(request: &Request) -> bool {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(media.as_str(), "application/x-www-form-urlencoded" | "multipart/form-data")
}

/// The body as text, or the reason that it is not UTF-8.
fn utf8(body: &[u8]) -> Result<&str, &'static str> {
    let wide = "The body must be UTF-8 JSON, but it is UTF-16 or UTF-32";
    match body {
        [0xef, 0xbb, 0xbf, ..] => Err("The body must be UTF-8 JSON without a byte order mark"),
        // JSON begins with an ASCII character, so one of its first bytes is zero in these encodings.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => Err(wide),
        _ => std::str::from_utf8(body)
            .map_err(|_| "The body must be UTF-8 JSON, but it has another encoding, such as Latin-1"),
    }
}

/// A JSON object. Serde alone would also accept a list of the fields' values in order.
#[derive(Debug, Default)]
pub struct Object<T>(pub T);

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

fn shape_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = Some(error.path().to_string()).filter(|path| path != ".");
    let message = error.inner().to_string();
    let quoted = |before: &str| message.strip_prefix(before)?.split('`').next().map(str::to_owned);
    if let Some(field) = quoted("unknown field `") {
        // "…, expected one of `to`, `from`": every second part between backticks is a name.
        let known: Vec<&str> =
            message.rsplit_once(", expected ").map_or("", |(_, names)| names).split('`').collect();
        let known: Vec<&str> = known.into_iter().skip(1).step_by(2).collect();
        let path = path.filter(|path| path.ends_with(&field)).unwrap_or_else(|| field.clone());
        let similar = suggestion::closest(&field, &known);
        let similar = similar.map(|name| format!("{}{name}", path.strip_suffix(&field).unwrap_or_default()));
        return Error::UnknownField { field: path, similar };
    }
    if let Some(field) = quoted("duplicate field `") {
        return Error::InvalidBody { text: format!("{field} is given twice"), field: Some(field) };
    }
    // Serde's message may contain the value, but only before the last "expected"; only the rest is returned.
    let expected = message.rsplit_once(", expected ").and_then(|(_, rest)| rest.split(" at line").next());
    let expected = expected.map(|expected| match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a sequence" => "a list in square brackets, even if it has one element",
        "a map" => "a JSON object",
        other => other,
    });
    let text = match (&path, expected) {
        (Some(path), Some(expected)) => format!("{path} must be {expected}"),
        (Some(path), None) => format!("{path} is not valid"),
        (None, _) => "The body must be a JSON object".to_owned(),
    };
    Error::InvalidBody { text, field: path }
}

#[cfg(test)]
mod tests {
    use lambda_http::Body;

    use super::*;
    use crate::http::{HeaderValue, catalogue};

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its type matters here")]
        name: Option<String>,
        limits: Option<Object<Inner>>,
        #[expect(dead_code, reason = "only its type matters here")]
        allowed_ips: Option<Vec<String>>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        #[serde(default, deserialize_with = "crate::model::whole_number::optional")]
        requests_per_minute: Option<u32>,
    }

    fn told(body: &str) -> (String, Option<String>) {
        let request = Request::new(Body::from(body));
        let error = json::<Outer>(&request).unwrap_err();
        let told = catalogue::entry(&error);
        (format!("{}: {}", told.code, told.text), told.field)
    }

    #[test]
    fn wrong_bodies_are_told_with_their_json_path() {
        assert_eq!(told(r#"{"plan":"x"}"#), ("unknown_field: Unknown field".into(), Some("plan".into())));
        assert_eq!(
            told(r#"{"limits":{"requestsPerHour":1}}"#),
            ("unknown_field: Unknown field".into(), Some("limits.requestsPerHour".into()))
        );
        assert_eq!(
            told(r#"{"name":5}"#),
            ("invalid_body: name must be a string".into(), Some("name".into()))
        );
        assert_eq!(
            told(r#"{"limits":{"requestsPerMinute":"many"}}"#),
            (
                "invalid_body: limits.requestsPerMinute must be a whole number, not negative".into(),
                Some("limits.requestsPerMinute".into())
            )
        );
        assert_eq!(
            told(r#"{"limits":[5]}"#),
            ("invalid_body: limits must be a JSON object".into(), Some("limits".into()))
        );
        assert_eq!(
            told(r#"{"allowedIps":"192.0.2.0/24"}"#),
            (
                "invalid_body: allowedIps must be a list in square brackets, even if it has one element"
                    .into(),
                Some("allowedIps".into())
            )
        );
        assert_eq!(
            told(r#"{"allowedIps":[1]}"#),
            ("invalid_body: allowedIps[0] must be a string".into(), Some("allowedIps[0]".into()))
        );
        assert_eq!(
            told(r#"{"name":"a","name":"b"}"#),
            ("invalid_body: name is given twice".into(), Some("name".into()))
        );
        for broken in ["", "{", "[]", "[\"x\",null]", "[]x", "null", "nonsense", "\u{7f}"] {
            assert_eq!(told(broken).1, None, "{broken}");
        }
    }

    #[test]
    fn a_whole_number_is_read_in_each_of_its_json_forms() {
        for (json, number) in
            [("60", Some(60)), ("60.0", Some(60)), ("6e1", Some(60)), ("0.0", Some(0)), ("null", None)]
        {
            let request = Request::new(Body::from(format!(r#"{{"limits":{{"requestsPerMinute":{json}}}}}"#)));
            let limits = super::json::<Outer>(&request).unwrap().limits.unwrap();
            assert_eq!(limits.0.requests_per_minute, number, "{json}");
        }
        for json in
            ["60.5", "-1", "-1.0", "1e300", "18446744073709551616", "4294967296", "\"60\"", "true", "[1]"]
        {
            let field = told(&format!(r#"{{"limits":{{"requestsPerMinute":{json}}}}}"#)).1;
            assert_eq!(field.as_deref(), Some("limits.requestsPerMinute"), "{json}");
        }
    }

    #[test]
    fn a_similar_name_of_a_field_is_suggested() {
        for (body, text, field) in [
            (r#"{"Name":"x"}"#, "Unknown field; did you mean `name`?", "Name"),
            (r#"{"naem":"x"}"#, "Unknown field; did you mean `name`?", "naem"),
            (
                r#"{"limits":{"requests_per_minute":1}}"#,
                "Unknown field; did you mean `limits.requestsPerMinute`?",
                "limits.requests_per_minute",
            ),
            (r#"{"entirely different":1}"#, "Unknown field", "entirely different"),
            (r#"{"a`b`, expected `EVIL":1}"#, "Unknown field", "a"),
        ] {
            let (told, at) = told(body);
            assert_eq!((told, at.as_deref()), (format!("unknown_field: {text}"), Some(field)), "{body}");
        }
    }

    /// PowerShell/PowerShell#7618.
    #[test]
    fn a_body_in_another_encoding_is_rejected() {
        let told = |body: Vec<u8>, media: &str| {
            let mut request = Request::new(Body::Binary(body));
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
            catalogue::entry(&json::<Outer>(&request).unwrap_err()).text
        };
        let wide =
            |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let json = "application/json; charset=utf-8";
        for (body, part) in [
            (b"{\"name\":\"Zo\xeb\"}".to_vec(), "must be UTF-8 JSON, but it has another encoding"),
            (wide("\u{feff}{\"name\":\"x\"}", u16::to_le_bytes), "UTF-16"),
            (wide("\u{feff}{\"name\":\"x\"}", u16::to_be_bytes), "UTF-16"),
            (wide("{\"name\":\"x\"}", u16::to_le_bytes), "UTF-16"),
            (wide("{\"name\":\"x\"}", u16::to_be_bytes), "UTF-16"),
            ("\u{feff}{\"name\":\"x\"}".into(), "without a byte order mark"),
            (b"name=x".to_vec(), "must be a JSON object"),
        ] {
            let text = told(body, json);
            assert!(text.contains(part), "{text}");
        }
        for form in ["application/x-www-form-urlencoded", "Multipart/Form-Data; boundary=x"] {
            assert_eq!(told(b"name=x".to_vec(), form), NOT_A_FORM);
            assert_eq!(told(b"name=\xeb".to_vec(), form), NOT_A_FORM);
        }
        // curl names a form unless it has another header.
        let mut request = Request::new(Body::from(r#"{"name":"x"}"#));
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        super::json::<Outer>(&request).unwrap();
    }

    #[test]
    fn what_is_wrong_with_invalid_json_is_said_with_its_position() {
        for (body, reason) in [
            (r#"{"name":"cut \ud83d"}"#, "hex escape"),
            (r#"{"name":"\ude00 cut"}"#, "surrogate"),
            (r#"{"name":"\ud83d\ud83d"}"#, "surrogate"),
            (r#"{"name":"it\'s"}"#, "invalid escape"),
            (r#"{"name":"\u12"}"#, "invalid escape"),
            ("{\"name\":\"two\nlines\"}", "control character"),
            (r#"{"name":NaN}"#, "expected value"),
            (r#"{"name":"a",}"#, "trailing comma"),
            (r#"{'name':"a"}"#, "key must be a string"),
            (r#"{"name":"secret"#, "EOF while parsing a string"),
        ] {
            let (text, field) = told(body);
            assert!(text.starts_with("invalid_body: The body is not valid JSON: "), "{body}: {text}");
            assert!(text.contains(reason) && text.contains(" at line "), "{body}: {text}");
            assert!(field.is_none() && !text.contains("secret"), "{body}: {text}");
        }
        assert_eq!(told("[1,]").0, "invalid_body: The body must be a JSON object");
    }

    #[test]
    fn a_value_is_never_repeated_in_an_error() {
        assert!(!told(r#"{"name":4155550100}"#).0.contains("4155550100"));
        assert!(!told(r#"{"limits":{"requestsPerMinute":"x, expected EVIL"}}"#).0.contains("EVIL"));
    }
}
