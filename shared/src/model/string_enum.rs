//! The macro behind every enum whose variants are strings in the API, in table attributes or in queue payloads.

/// Declares a fieldless enum together with the strings of its variants, so that neither direction can miss one.
///
/// The enum gets `ALL` (in the order of declaration), `as_str`, `parse`, and implementations of `Serialize` and `JsonSchema`.
/// Attributes of the enum and of its variants are kept; `Debug`, `Clone`, `Copy`, `PartialEq`, `Eq` and `Hash` are derived.
///
/// ```ignore
/// string_enum! {
///     pub enum Direction {
///         Inbound = "inbound",
///         Outbound = "outbound",
///     }
/// }
/// ```
macro_rules! string_enum {
    ($(#[$meta:meta])* $visibility:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            $visibility const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            $visibility fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// `None` if no variant has this string.
            $visibility fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            // A named schema would become constants in a client's code, and two enums can have a string in common.
            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::ALL.map(Self::as_str) })
            }
        }
    };
}

pub(crate) use string_enum;

#[cfg(test)]
mod tests {
    string_enum! {
        #[derive(PartialOrd, Ord)]
        enum Size {
            Small = "small",
            Large = "large",
        }
    }

    #[test]
    fn every_variant_is_parsed_from_its_own_string() {
        assert_eq!(Size::ALL.map(Size::as_str), ["small", "large"]);
        assert_eq!(Size::ALL.map(|size| Size::parse(size.as_str())), Size::ALL.map(Some));
        assert_eq!(Size::parse("Small"), None);
        assert!(Size::Small < Size::Large);
    }
}
