//! Partial updates, as JSON expresses them: an absent field is kept, `null` clears it.

use serde::{Deserialize, Deserializer};

/// A change of an optional value. As a field of a request it needs `#[serde(default)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Set(T),
    Clear,
}

impl<T> Patch<T> {
    pub fn new_value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Checks or converts a new value.
    pub fn try_map<U, E>(self, check: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Keep => Patch::Keep,
            Self::Set(value) => Patch::Set(check(value)?),
            Self::Clear => Patch::Clear,
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        name: Patch<String>,
    }

    #[test]
    fn an_absent_field_is_kept_and_null_clears_it() {
        let name = |json| serde_json::from_str::<Request>(json).unwrap().name;
        assert_eq!(name("{}"), Patch::Keep);
        assert_eq!(name(r#"{"name":null}"#), Patch::Clear);
        assert_eq!(name(r#"{"name":"a"}"#), Patch::Set("a".to_owned()));
        assert!(serde_json::from_str::<Request>(r#"{"name":1}"#).is_err());
    }
}
