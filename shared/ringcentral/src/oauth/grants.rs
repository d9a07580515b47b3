//! The parameters of the grants.

use std::fmt;

use super::pkce::CodeVerifier;
use crate::secret::Secret;

/// Options of every grant (API Reference, "OAuth Token").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// Lifetime of the access token in seconds, 600 to 3,600; RingCentral clamps other values. The default is 3,600.
    pub access_token_ttl_seconds: Option<u32>,
    /// Lifetime of the refresh token in seconds. The default and (in most sources) the maximum is 604,800, seven days.
    pub refresh_token_ttl_seconds: Option<u32>,
    /// The id of the app instance, the same for all its sign-ins. RingCentral generates one by default.
    pub endpoint_id: Option<String>,
    /// App permissions separated by spaces, to request fewer than the app has.
    pub scope: Option<String>,
}

impl TokenOptions {
    /// Sets the lifetime of the access token.
    #[must_use]
    pub fn access_token_ttl(mut self, seconds: u32) -> Self {
        self.access_token_ttl_seconds = Some(seconds);
        self
    }

    /// Sets the lifetime of the refresh token.
    #[must_use]
    pub fn refresh_token_ttl(mut self, seconds: u32) -> Self {
        self.refresh_token_ttl_seconds = Some(seconds);
        self
    }

    /// Sets the id of the app instance.
    #[must_use]
    pub fn endpoint_id(mut self, id: impl Into<String>) -> Self {
        self.endpoint_id = Some(id.into());
        self
    }

    /// Requests only these app permissions.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }
}

/// An authorization code and what it is exchanged with. A code is valid for about a minute and can be used once.
#[derive(Debug, Clone)]
pub struct CodeExchange {
    pub(crate) code: Secret,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) verifier: Option<CodeVerifier>,
}

impl CodeExchange {
    /// The exchange of this code.
    #[must_use]
    pub fn new(code: impl Into<Secret>) -> Self {
        Self { code: code.into(), redirect_uri: None, verifier: None }
    }

    /// The redirect URI of the authorize request, if it was not the client's default.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// The PKCE verifier whose challenge was in the authorize request.
    #[must_use]
    pub fn verifier(mut self, verifier: CodeVerifier) -> Self {
        self.verifier = Some(verifier);
        self
    }
}

/// A user name and password.
///
/// **RingCentral has withdrawn this grant for new apps**, and rejects it for accounts with multi-factor authentication
/// (`OAU-168`). It is for existing apps; new apps use the authorization code or a JWT credential.
#[derive(Clone)]
pub struct PasswordGrant {
    pub(crate) username: String,
    pub(crate) extension: Option<String>,
    pub(crate) password: Secret,
}

impl PasswordGrant {
    /// The user name is a main or direct number in E.164 format, or an e-mail address. It may contain the extension:
    /// `+16505550100*101`.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self { username: username.into(), extension: None, password: password.into() }
    }

    /// Sends the extension number as a separate parameter. RingCentral's older form.
    #[must_use]
    pub fn extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = Some(extension.into());
        self
    }

    /// Appends the extension number to the user name: `*101`. RingCentral's newer form.
    #[must_use]
    pub fn extension_in_username(mut self, extension: &str) -> Self {
        self.username = format!("{}*{extension}", self.username);
        self
    }
}

impl fmt::Debug for PasswordGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordGrant(…)")
    }
}
