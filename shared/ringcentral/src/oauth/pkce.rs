//! PKCE: the code verifier and its challenge.

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The PKCE code verifier of one sign-in (RFC 7636). Create it before the authorize URL, keep it for the exchange of the
/// code, and use it for one sign-in only.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeVerifier(Secret);

impl CodeVerifier {
    /// A new verifier with 256 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    /// A verifier from another source: 43 to 128 letters, digits, `-`, `.`, `_` or `~`.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if it has another form.
    pub fn new(text: impl Into<Secret>) -> Result<Self> {
        let secret = text.into();
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let text = secret.expose();
        if (43..=128).contains(&text.len()) && text.bytes().all(unreserved) {
            Ok(Self(secret))
        } else {
            Err(Error::refused("authorize", "a PKCE verifier has 43 to 128 unreserved characters"))
        }
    }

    /// The S256 challenge for the authorize URL.
    #[must_use]
    pub fn challenge(&self) -> String {
        BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, self.0.expose().as_bytes()).as_ref())
    }

    /// The verifier as a secret, to store it until the code arrives.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_matches_the_example_of_rfc_7636() {
        let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").expect("well formed");
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_is_validated_and_its_debug_output_hides_it() {
        assert!(CodeVerifier::new("short").is_err());
        assert!(CodeVerifier::new("a".repeat(129)).is_err());
        assert!(CodeVerifier::new(format!("{} ", "a".repeat(43))).is_err());
        assert!(CodeVerifier::new(CodeVerifier::random().secret().clone()).is_ok());
        let verifier = CodeVerifier::new("CANARY".repeat(10)).expect("well formed");
        assert!(!format!("{verifier:?}").contains("CANARY"));
    }
}
