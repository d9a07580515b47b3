//! The authorize URL, and the redirect that returns from it.

use url::Url;

use super::grants::CodeExchange;
use crate::error::{Error, Result};
use crate::error_response::error_from_redirect;
use crate::open_enum::open_enum;
use crate::secret::Secret;

open_enum!(
    /// How the login page is displayed.
    Display {
        /// A full page. The default.
        Page = "page",
        /// A popup window.
        Popup = "popup",
        /// A page for touch devices.
        Touch = "touch",
        /// A page for feature phones.
        Mobile = "mobile",
    }
);

open_enum!(
    /// What the login page prompts for. Several values can be combined, except `None`.
    Prompt {
        /// The login form.
        Login = "login",
        /// Single sign-on.
        Sso = "sso",
        /// The consent form.
        Consent = "consent",
        /// No page: the request fails unless the user is signed in.
        None = "none",
    }
);

/// The parameters of an authorize URL (API Reference, "OAuth Authorize").
///
/// `state` binds the redirect to the browser that started the sign-in: make it unguessable, and check it with
/// [`parse_redirect`].
#[derive(Debug, Clone, Default)]
pub struct AuthorizeRequest {
    pub(crate) state: Option<String>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) optional: Vec<(&'static str, String)>,
}

impl AuthorizeRequest {
    /// A request with a `state`, which RingCentral returns unchanged.
    #[must_use]
    pub fn new(state: impl Into<String>) -> Self {
        Self { state: Some(state.into()), ..Self::default() }
    }

    /// Overrides the client's default redirect URI. It must equal a registered one, character for character.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// The S256 challenge of the PKCE verifier that the code will be exchanged with.
    #[must_use]
    pub fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// How the login page is displayed.
    #[must_use]
    pub fn display(self, display: &Display) -> Self {
        self.with("display", display.as_str())
    }

    /// What the login page prompts for. RingCentral's default is `login sso`.
    #[must_use]
    pub fn prompt(self, prompts: &[Prompt]) -> Self {
        let words: Vec<&str> = prompts.iter().map(Prompt::as_str).collect();
        self.with("prompt", words.join(" "))
    }

    /// The brand of the login page, such as `1210` for RingCentral US. The default is the brand of the app's profile.
    #[must_use]
    pub fn brand_id(self, brand_id: impl Into<String>) -> Self {
        self.with("brand_id", brand_id)
    }

    /// The languages of the login page in order of preference, as RFC 5646 tags separated by spaces.
    #[must_use]
    pub fn ui_locales(self, locales: impl Into<String>) -> Self {
        self.with("ui_locales", locales)
    }

    /// The user name with which the login form is filled in.
    #[must_use]
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.with("login_hint", hint)
    }

    /// OpenID Connect: a value that is returned in the id token.
    #[must_use]
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        self.with("nonce", nonce)
    }

    /// App permissions separated by spaces. RingCentral's sources disagree on whether the parameter has an effect; the
    /// permissions that are configured for the app apply in any case.
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

/// Reads the code from the URL that the browser was redirected to, and checks that it belongs to the request with this
/// `state`. Add the PKCE verifier to the result, and the redirect URI if it was not the client's default.
///
/// # Errors
/// * [`ErrorKind::Refused`](crate::ErrorKind::Refused) if the state is a different one or there is no code. With a
///   different state, change nothing: the redirect does not belong to this browser's sign-in.
/// * [`ErrorKind::Grant`](crate::ErrorKind::Grant) if the user denied access.
/// * Other errors of RingCentral, with [`Error::oauth_error`].
pub fn parse_redirect(url: &Url, state: &str) -> Result<CodeExchange> {
    let operation = "parse_redirect";
    let value = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    if !value("state").is_some_and(|returned| Secret::new(returned).matches(state)) {
        return Err(Error::refused(operation, "the state is not that of this sign-in"));
    }
    if let Some(error) = value("error") {
        return Err(error_from_redirect(operation, &error));
    }
    let code = value("code").ok_or_else(|| Error::refused(operation, "there is no code"))?;
    Ok(CodeExchange::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Grant};

    #[test]
    fn only_a_redirect_with_the_state_of_the_request_is_accepted() {
        let parse = |query: &str| {
            let url = Url::parse(&format!("https://my.app.example/callback?{query}")).expect("a URL");
            parse_redirect(&url, "s&1")
        };
        assert!(parse("code=c&state=s%261").is_ok());
        for strange in ["code=c&state=s2", "code=c", "code=c&state=", "", "code=&state=s%261"] {
            assert_eq!(parse(strange).expect_err("refused").kind(), ErrorKind::Refused, "{strange}");
        }
        let denied = parse("error=access_denied&state=s%261").expect_err("denied");
        assert_eq!(
            (denied.kind(), denied.oauth_error()),
            (ErrorKind::Grant(Grant::Denied), Some("access_denied"))
        );
        let app = parse("error=invalid_client&state=s%261").expect_err("rejected");
        assert_eq!(app.kind(), ErrorKind::AppConfiguration);
        let foreign = parse("error=access_denied&state=other").expect_err("refused");
        assert_eq!(foreign.oauth_error(), None);
    }
}
