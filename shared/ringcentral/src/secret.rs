//! Text that must not be logged or serialised.

use std::fmt;

use aws_lc_rs::{constant_time, digest, rand};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret string: a token, a key, a password.
///
/// It implements `Deserialize`, but neither `Serialize` nor `Display`, and its `Debug` output hides the text. It
/// compares in constant time and is wiped from memory when dropped. [`Secret::expose`] returns the text.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Wraps a string. Copies of it elsewhere are not wiped.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// 32 random bytes from the operating system, encoded as 43 characters of base64url without padding.
    ///
    /// # Panics
    /// If the operating system returns no random bytes.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(bytes.as_mut_slice()).expect("the system's random generator works");
        Self(BASE64URL_NOPAD.encode(bytes.as_slice()))
    }

    /// The text. Do not log it and do not put it into an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 digest of the text in lower-case hexadecimal, for storage or comparison in place of the secret.
    #[must_use]
    pub fn digest(&self) -> String {
        HEXLOWER.encode(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref())
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time. Only the length can leak.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), candidate.as_bytes()).is_ok()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("CANARY");
        assert!(!format!("{secret:?} {secret:#?}").contains("CANARY"));
    }

    #[test]
    fn random_secrets_are_43_characters_and_differ() {
        let (one, two) = (Secret::random(), Secret::random());
        assert_eq!(one.expose().len(), 43);
        assert!(one != two);
    }

    #[test]
    fn the_digest_is_the_sha256_in_hexadecimal() {
        let digest = Secret::new("abc").digest();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn equality_is_that_of_the_text() {
        assert_eq!(Secret::new("a"), Secret::from("a"));
        assert!(Secret::new("a") != Secret::new("ab"));
        assert!(Secret::new("a").matches("a") && !Secret::new("a").matches("b"));
    }
}
