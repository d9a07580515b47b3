//! Names of enum variants as serde writes them. The enums of the platform's values have no other spelling.

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value};

/// The variant with a serialized name, for example `OptOut`.
#[must_use]
pub fn parse_variant<T: DeserializeOwned>(name: &str) -> Option<T> {
    let name: value::StrDeserializer<'_, value::Error> = name.into_deserializer();
    T::deserialize(name).ok()
}

/// The serialized name of a unit variant.
#[must_use]
pub fn variant_name<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
