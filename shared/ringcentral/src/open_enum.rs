//! Enums that keep unknown values. RingCentral can add values at any time, and a message with a new status must stay
//! readable.

/// Declares an enum of string values, with a variant `Other` that keeps any other value. Values are read in any case, and without
/// the white space around them; a variant can have further spellings (`Sms = "SMS" | "MMS"`).
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal $(| $other:literal)*,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* #[doc = concat!("`", $text, "`")] $variant,)+
            /// A value that this version of the crate does not know.
            Other(String),
        }

        impl $name {
            /// The value in requests and responses.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(value) => value,
                }
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                let word = value.trim();
                $(if [$text $(, $other)*].iter().any(|known| word.eq_ignore_ascii_case(known)) {
                    return Self::$variant;
                })+
                Self::Other(value.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let value = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from(value.as_ref()))
            }
        }

        impl $crate::lenient::Read for $name {
            fn read(json: &str) -> Option<Self> {
                <String as $crate::lenient::Read>::read(json).map(|value| Self::from(value.as_str()))
            }
        }
    };
}

pub(crate) use open_enum;

#[cfg(test)]
mod tests {
    open_enum!(
        /// A test enum.
        Light {
            Red = "Red",
            Green = "go" | "start" | "",
        }
    );

    #[test]
    fn known_values_are_variants_and_unknown_values_are_kept() {
        let read = |json: &str| serde_json::from_str::<Light>(json).expect("any value is read");
        assert_eq!(read("\"go\""), Light::Green);
        assert_eq!(read("\"Purple\""), Light::Other("Purple".to_owned()));
        let lenient = <Light as crate::lenient::Read>::read;
        for green in ["\"GO\"", "\" go \"", "\"Start\"", "\"\"", "\" \""] {
            assert_eq!(lenient(green), Some(Light::Green), "{green}");
            assert_eq!(read(green), Light::Green, "{green}");
        }
        assert_eq!((lenient("[]"), lenient("\"Gone\"")), (None, Some(Light::Other("Gone".to_owned()))));
        for light in [Light::Red, Light::Green, Light::Other("Purple".to_owned())] {
            let json = serde_json::to_string(&light).expect("written");
            assert_eq!(read(&json), light);
        }
    }
}
