//! RingCentral's ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::lenient::Read;

/// The id of an account, extension, phone number, message, attachment or conversation.
///
/// RingCentral sends the same id sometimes as a number and sometimes as a string, and some ids are greater than 2^53,
/// where floating-point numbers lose digits. `Id` reads both forms exactly, and serialises as a string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl From<u64> for Id {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// The error of parsing an [`Id`]: the text contains other characters than digits, or the number exceeds 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a RingCentral id")]
pub struct ParseIdError;

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseIdError);
        }
        text.parse().map(Self).map_err(|_| ParseIdError)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Read for Id {
    fn read(json: &str) -> Option<Self> {
        let text = String::read(json)?;
        let text = text.trim();
        text.parse().ok().or_else(|| u64::read(text).filter(|_| text.contains(['.', 'e', 'E'])).map(Self))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl de::Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit id, as a number or a string")
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(id))
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Id, E> {
                u64::try_from(id).map(Id).map_err(|_| E::custom("a negative id"))
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<Id, E> {
                id.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(IdVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_64_bit_id_is_read_exactly_from_both_forms(id: u64) {
            let from_number: Id = serde_json::from_str(&id.to_string()).expect("a number is read");
            let from_text: Id = serde_json::from_str(&format!("\"{id}\"")).expect("a string is read");
            prop_assert_eq!(from_number, Id(id));
            prop_assert_eq!(from_text, Id(id));
            prop_assert_eq!(serde_json::to_string(&Id(id)).expect("written"), format!("\"{id}\""));
        }
    }

    #[test]
    fn an_id_is_read_from_a_number_with_a_zero_fraction_or_an_exponent() {
        for (json, id) in
            [("3100200300017.0", 3_100_200_300_017), ("1e3", 1_000), ("\" 17 \"", 17), ("\"17.0\"", 17)]
        {
            assert_eq!(Id::read(json), Some(Id(id)), "{json}");
        }
    }

    #[test]
    fn malformed_ids_are_rejected() {
        for wrong in
            ["-1", "1.5", "1e99", "\"\"", "\"+1\"", "\"1 2\"", "\"18446744073709551616\"", "null", "true"]
        {
            assert!(serde_json::from_str::<Id>(wrong).is_err() && Id::read(wrong).is_none(), "{wrong}");
        }
    }
}
