//! Enums that keep what they do not know: RingCentral adds values at any time, and a message with a new
//! status must not become unreadable.

/// Declares an enum of words with a last variant `Other` for any other word, kept as it came.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* #[doc = concat!("`", $text, "`")] $variant,)+
            /// A word that this version does not know, as it came.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
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
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from(word.as_ref()))
            }
        }
    };
}

pub(crate) use open_enum;

#[cfg(test)]
mod tests {
    open_enum!(
        /// For the test.
        Light {
            Red = "Red",
            Green = "go",
        }
    );

    #[test]
    fn known_words_are_variants_and_unknown_words_are_kept() {
        let read = |json: &str| serde_json::from_str::<Light>(json).expect("any word is read");
        assert_eq!(read("\"go\""), Light::Green);
        assert_eq!(read("\"Purple\""), Light::Other("Purple".to_owned()));
        for light in [Light::Red, Light::Green, Light::Other("Purple".to_owned())] {
            let json = serde_json::to_string(&light).expect("written");
            assert_eq!(read(&json), light);
        }
    }
}
