//! The way to the login page: the authorize URL and PKCE.

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use url::Url;

use super::CodeExchange;
use crate::answer;
use crate::error::{Error, Result};
use crate::open_enum::open_enum;
use crate::secret::Secret;

/// The PKCE code verifier of one sign-in (RFC 7636): made before the authorize URL, kept by whoever will
/// exchange the code, and never shared between sign-ins.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeVerifier(Secret);

impl CodeVerifier {
    /// A new verifier with 256 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    /// A verifier that was made or derived elsewhere: 43 to 128 letters, digits, `-`, `.`, `_` or `~`.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused) if it is not of that form.
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

    /// The S256 challenge that goes into the authorize URL.
    #[must_use]
    pub fn challenge(&self) -> String {
        BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, self.0.expose().as_bytes()).as_ref())
    }

    /// The verifier as secret, to keep it until the code comes back.
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

open_enum!(
    /// How the login page is shown.
    Display {
        /// A full page, the default.
        Page = "page",
        /// A popup window.
        Popup = "popup",
        /// A touch device.
        Touch = "touch",
        /// A feature phone.
        Mobile = "mobile",
    }
);

open_enum!(
    /// What the user is asked. Several may be given; `None` stands alone.
    Prompt {
        /// The login form.
        Login = "login",
        /// Single sign-on.
        Sso = "sso",
        /// The consent form.
        Consent = "consent",
        /// No page at all: fails unless the user is signed in.
        None = "none",
    }
);

/// The parameters of an authorize URL (API Reference, "OAuth Authorize").
///
/// `state` binds the answer to the browser that asked: make it unguessable and check it on the way back.
#[derive(Debug, Clone, Default)]
pub struct AuthorizeRequest {
    pub(crate) state: Option<String>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) optional: Vec<(&'static str, String)>,
}

impl AuthorizeRequest {
    /// A request with a `state`, which RingCentral hands back as it is.
    #[must_use]
    pub fn new(state: impl Into<String>) -> Self {
        Self { state: Some(state.into()), ..Self::default() }
    }

    /// Comes back to this address instead of the client's default. It must equal a registered one,
    /// character for character.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// PKCE: the S256 challenge of the verifier that will come with the code.
    #[must_use]
    pub fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// How the page is shown.
    #[must_use]
    pub fn display(self, display: &Display) -> Self {
        self.with("display", display.as_str())
    }

    /// What the user is asked; RingCentral's default is `login sso`.
    #[must_use]
    pub fn prompt(self, prompts: &[Prompt]) -> Self {
        let words: Vec<&str> = prompts.iter().map(Prompt::as_str).collect();
        self.with("prompt", words.join(" "))
    }

    /// Whose brand the page carries, such as `1210` for RingCentral US; else that of the app's profile.
    #[must_use]
    pub fn brand_id(self, brand_id: impl Into<String>) -> Self {
        self.with("brand_id", brand_id)
    }

    /// The page's languages in order of preference, RFC 5646 tags separated by spaces.
    #[must_use]
    pub fn ui_locales(self, locales: impl Into<String>) -> Self {
        self.with("ui_locales", locales)
    }

    /// Who is probably signing in: fills the form in.
    #[must_use]
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.with("login_hint", hint)
    }

    /// OpenID Connect: comes back inside the id token.
    #[must_use]
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        self.with("nonce", nonce)
    }

    /// App permissions separated by spaces. RingCentral's sources disagree whether it is honoured; the app's
    /// configured permissions apply in any case.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.with("scope", scope)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.optional.retain(|(known, _)| *known != name);
        self.optional.push((name, value.into()));
        self
    }
}

/// Reads the address that the browser came back to, and checks that it answers the request with this
/// `state`. What comes out is ready to be exchanged; give it the verifier, and the redirect URI if it was not
/// the client's default.
///
/// # Errors
/// [`Kind::Refused`](crate::Kind::Refused) if the state is another one (nothing may be changed
/// then: it is not this browser's answer) or there is no code; [`Kind::Grant`](crate::Kind::Grant)
/// if the user refused, and the other words of RingCentral in [`Error::oauth_error`].
pub fn read_redirect(url: &Url, state: &str) -> Result<CodeExchange> {
    let operation = "read_redirect";
    let value = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    if !value("state").is_some_and(|answered| Secret::new(answered).matches(state)) {
        return Err(Error::refused(operation, "the state is not that of this sign-in"));
    }
    if let Some(word) = value("error") {
        return Err(answer::refused_redirect(operation, &word));
    }
    let code = value("code").ok_or_else(|| Error::refused(operation, "there is no code"))?;
    Ok(CodeExchange::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grant, Kind};

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").expect("well formed");
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_is_checked_and_does_not_print() {
        assert!(CodeVerifier::new("short").is_err());
        assert!(CodeVerifier::new("a".repeat(129)).is_err());
        assert!(CodeVerifier::new(format!("{} ", "a".repeat(43))).is_err());
        assert!(CodeVerifier::new(CodeVerifier::random().secret().clone()).is_ok());
        let verifier = CodeVerifier::new("CANARY".repeat(10)).expect("well formed");
        assert!(!format!("{verifier:?}").contains("CANARY"));
    }

    #[test]
    fn only_the_answer_to_this_sign_in_is_taken() {
        let read = |query: &str| {
            let url = Url::parse(&format!("https://my.app.example/callback?{query}")).expect("a URL");
            read_redirect(&url, "s&1")
        };
        assert!(read("code=c&state=s%261").is_ok());
        for strange in ["code=c&state=s2", "code=c", "code=c&state=", "", "code=&state=s%261"] {
            assert_eq!(read(strange).expect_err("refused").kind(), Kind::Refused, "{strange}");
        }
        let refused = read("error=access_denied&state=s%261").expect_err("refused");
        assert_eq!(
            (refused.kind(), refused.oauth_error()),
            (Kind::Grant(Grant::Denied), Some("access_denied"))
        );
        let ours = read("error=invalid_client&state=s%261").expect_err("refused");
        assert_eq!(ours.kind(), Kind::OurConfiguration);
        let foreign = read("error=access_denied&state=other").expect_err("refused");
        assert_eq!(foreign.oauth_error(), None);
    }
}
