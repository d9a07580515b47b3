//! Whole numbers in request bodies. JSON has one type of number: `60.0` is the whole number 60, as JSON Schema says.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// The largest number up to which a double represents every whole number: 2⁵³.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Removes the default `null` from the schema of a required number: only its validation accepts `null`, to return an error of the
/// API.
pub fn without_default(schema: &mut schemars::Schema) {
    schema.remove("default");
}

/// A whole number, or `None` for `null`.
pub fn optional<'de, N: TryFrom<i64>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<N>, D::Error> {
    struct Whole<N>(PhantomData<N>);

    impl<'de, N: TryFrom<i64>> Visitor<'de> for Whole<N> {
        type Value = Option<N>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, not negative")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            N::try_from(number).map(Some).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            let signed = i64::try_from(number);
            self.visit_i64(
                signed.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &"a smaller number"))?,
            )
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            if number.fract() != 0.0 || number.abs() > MAX_EXACT_FLOAT {
                return Err(E::invalid_type(Unexpected::Float(number), &self));
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a double represents these whole numbers exactly"
            )]
            self.visit_i64(number as i64)
        }
    }

    deserializer.deserialize_any(Whole(PhantomData))
}
