//! What may be brought to the token endpoint, and how long the tokens shall live.

use std::fmt;

use crate::secret::Secret;

use super::CodeVerifier;

/// Options of every grant (API Reference, "OAuth Token").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// Life of the access token, 600 to 3,600 seconds; RingCentral clamps other values. Default 3,600.
    pub access_token_ttl_seconds: Option<u32>,
    /// Life of the refresh token; default and (in most sources) maximum 604,800 seconds, seven days.
    pub refresh_token_ttl_seconds: Option<u32>,
    /// The instance of the app, kept over sign-ins; RingCentral makes one up otherwise.
    pub endpoint_id: Option<String>,
    /// App permissions separated by spaces, to ask for fewer than the app has.
    pub scope: Option<String>,
}

impl TokenOptions {
    /// Sets the life of the access token.
    #[must_use]
    pub fn access_token_ttl(mut self, seconds: u32) -> Self {
        self.access_token_ttl_seconds = Some(seconds);
        self
    }

    /// Sets the life of the refresh token.
    #[must_use]
    pub fn refresh_token_ttl(mut self, seconds: u32) -> Self {
        self.refresh_token_ttl_seconds = Some(seconds);
        self
    }

    /// Names the instance of the app.
    #[must_use]
    pub fn endpoint_id(mut self, id: impl Into<String>) -> Self {
        self.endpoint_id = Some(id.into());
        self
    }

    /// Asks for these permissions only.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }
}

/// The code that came back from the login page. It lives about a minute and serves once.
#[derive(Debug, Clone)]
pub struct CodeExchange {
    pub(crate) code: Secret,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) verifier: Option<CodeVerifier>,
}

impl CodeExchange {
    /// The code of the redirect.
    #[must_use]
    pub fn new(code: impl Into<Secret>) -> Self {
        Self { code: code.into(), redirect_uri: None, verifier: None }
    }

    /// The redirect URI of the authorize step, if it was not the client's default.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// The verifier whose challenge went into the authorize URL.
    #[must_use]
    pub fn verifier(mut self, verifier: CodeVerifier) -> Self {
        self.verifier = Some(verifier);
        self
    }
}

/// User name and password.
///
/// **RingCentral has withdrawn this grant for new apps** and refuses it for accounts with multi-factor
/// authentication (`OAU-168`). It is here for old apps; use the code grant or a JWT credential.
#[derive(Clone)]
pub struct PasswordGrant {
    pub(crate) username: String,
    pub(crate) extension: Option<String>,
    pub(crate) password: Secret,
}

impl PasswordGrant {
    /// The main or direct number in E.164 form, or an e-mail address, and the password. An extension may be
    /// part of the number: `+16505550100*101`.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self { username: username.into(), extension: None, password: password.into() }
    }

    /// The extension number as a field of its own, the older form.
    #[must_use]
    pub fn extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = Some(extension.into());
        self
    }

    /// The extension number as part of the user name (`*101`), the newer form.
    #[must_use]
    pub fn starred_extension(mut self, extension: &str) -> Self {
        self.username = format!("{}*{extension}", self.username);
        self
    }
}

impl fmt::Debug for PasswordGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordGrant(…)")
    }
}
