//! Enums that keep unknown values. RingCentral can add values at any time, and a message with a new status must stay
//! readable.

/// Declares an enum of string values, with a variant `Other` that keeps any other value.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
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
                match value {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
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
            /// The value in any case.
            fn read(json: &str) -> Option<Self> {
                let value = <String as $crate::lenient::Read>::read(json)?;
                $(if value.eq_ignore_ascii_case($text) {
                    return Some(Self::$variant);
                })+
                Some(Self::Other(value))
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
            Green = "go",
        }
    );

    #[test]
    fn known_values_are_variants_and_unknown_values_are_kept() {
        let read = |json: &str| serde_json::from_str::<Light>(json).expect("any value is read");
        assert_eq!(read("\"go\""), Light::Green);
        assert_eq!(read("\"Purple\""), Light::Other("Purple".to_owned()));
        let lenient = <Light as crate::lenient::Read>::read;
        assert_eq!((lenient("\"GO\""), lenient("[]")), (Some(Light::Green), None));
        for light in [Light::Red, Light::Green, Light::Other("Purple".to_owned())] {
            let json = serde_json::to_string(&light).expect("written");
            assert_eq!(read(&json), light);
        }
    }
}
