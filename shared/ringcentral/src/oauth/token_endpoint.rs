//! The calls of the token and revoke endpoints.

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use reqwest::header::HeaderValue;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::authorize::AuthorizeRequest;
use super::grants::{CodeExchange, PasswordGrant, TokenOptions};
use crate::client::{AppCredentials, Client};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::lenient::{self, record};
use crate::rate_limit::RateLimit;
use crate::request::{ErrorFormat, Request, Response, sensitive_header};
use crate::secret::Secret;
use crate::tokens::{AccessToken, ClientSecret, RefreshToken, TokenSet};
use crate::transport;

/// A successful response of the token endpoint.
pub(crate) struct TokenResponse {
    pub tokens: TokenSet,
    pub rate_limit: Option<RateLimit>,
}

/// A token to revoke. Revoking either token ends the whole session.
#[derive(Debug, Clone, Copy)]
pub enum RevocableToken<'a> {
    /// The access token of the session.
    Access(&'a AccessToken),
    /// The refresh token of the session. It works after the access token has expired, too.
    Refresh(&'a RefreshToken),
}

impl<'a> From<&'a AccessToken> for RevocableToken<'a> {
    fn from(token: &'a AccessToken) -> Self {
        Self::Access(token)
    }
}

impl<'a> From<&'a RefreshToken> for RevocableToken<'a> {
    fn from(token: &'a RefreshToken) -> Self {
        Self::Refresh(token)
    }
}

impl Client {
    /// Returns the URL of the login page, to send a browser to. It makes no call.
    #[must_use]
    pub fn authorize_url(&self, request: &AuthorizeRequest) -> Url {
        let mut url = self.server().url("/restapi/oauth/authorize");
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code").append_pair("client_id", self.app().client_id());
            if let Some(uri) = request.redirect_uri.as_deref().or(self.redirect_uri()) {
                query.append_pair("redirect_uri", uri);
            }
            if let Some(state) = &request.state {
                query.append_pair("state", state);
            }
            if let Some(challenge) = &request.challenge {
                query.append_pair("code_challenge", challenge).append_pair("code_challenge_method", "S256");
            }
            for (name, value) in &request.optional {
                query.append_pair(name, value);
            }
        }
        url
    }

    /// Requests the login page, to check the client id and the redirect URI without a user. It follows no redirect.
    ///
    /// # Errors
    /// Any error with a status of 400 to 499, except 429, if RingCentral rejects the request: in the place of the login page it
    /// shows the reason, usually as HTML without an error code that can be read.
    pub async fn check_login_page(&self, request: &AuthorizeRequest) -> Result<()> {
        let url = self.authorize_url(request);
        let mut page = Request::new("check_login_page", ErrorFormat::OAuth, Method::GET, url);
        page.accept = "text/html";
        match transport::send(self.http(), &page, self.timeout()).await {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_some_and(|status| (300..400).contains(&status)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Exchanges an authorization code for tokens.
    ///
    /// A code can be used once. After a lost response ([`Error::is_ambiguous`]) a second attempt can fail because the
    /// code is used already; the user has to sign in again then.
    ///
    /// # Errors
    /// [`ErrorKind::Grant`](crate::ErrorKind::Grant) if the code is expired, used, or issued for another app, or if the
    /// redirect URI or verifier does not match;
    /// [`ErrorKind::AppConfiguration`](crate::ErrorKind::AppConfiguration) for wrong client credentials.
    pub async fn exchange_code(&self, exchange: &CodeExchange, options: &TokenOptions) -> Result<TokenSet> {
        let mut form = Form::grant("authorization_code");
        form.secret("code", &exchange.code);
        if let Some(uri) = exchange.redirect_uri.as_deref().or(self.redirect_uri()) {
            form.plain("redirect_uri", uri);
        }
        if let Some(verifier) = &exchange.verifier {
            form.secret("code_verifier", verifier.secret());
        }
        self.request_token("exchange_code", form, options).await.map(|response| response.tokens)
    }

    /// Exchanges a refresh token for a new pair of tokens. The old access token ends at once.
    ///
    /// If the response is lost ([`Error::is_ambiguous`]), repeat the call with the **same** refresh token: until the new
    /// access token is used for the first time, and for up to an hour, RingCentral returns the same new pair. A response
    /// without a refresh token means that the old one stays valid: see [`TokenSet::inherit_from`].
    ///
    /// # Errors
    /// [`ErrorKind::Grant`](crate::ErrorKind::Grant) if the token is expired, revoked or unknown. It becomes unknown
    /// about 10 s after it was replaced, too.
    pub async fn refresh(&self, token: &RefreshToken, options: &TokenOptions) -> Result<TokenSet> {
        self.request_refresh(token, options).await.map(|response| response.tokens)
    }

    /// As [`Client::refresh`], with the rate limit of the response.
    pub(crate) async fn request_refresh(
        &self,
        token: &RefreshToken,
        options: &TokenOptions,
    ) -> Result<TokenResponse> {
        let mut form = Form::grant("refresh_token");
        form.secret_text("refresh_token", token.expose());
        self.request_token("refresh", form, options).await
    }

    /// Signs in with a JWT credential that the user created in the Developer Console. The assertion can be used any
    /// number of times; every sign-in counts as one of the five sessions that a user may have with an app.
    ///
    /// # Errors
    /// [`ErrorKind::Grant`](crate::ErrorKind::Grant) or [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the
    /// assertion is rejected.
    pub async fn sign_in_with_jwt(&self, assertion: &Secret, options: &TokenOptions) -> Result<TokenSet> {
        self.request_jwt(assertion, options).await.map(|response| response.tokens)
    }

    /// As [`Client::sign_in_with_jwt`], with the rate limit of the response.
    pub(crate) async fn request_jwt(
        &self,
        assertion: &Secret,
        options: &TokenOptions,
    ) -> Result<TokenResponse> {
        let mut form = Form::grant("urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.secret("assertion", assertion);
        self.request_token("sign_in_with_jwt", form, options).await
    }

    /// Signs in with a user name and password. **RingCentral has withdrawn this grant for new apps**, see
    /// [`PasswordGrant`].
    ///
    /// # Errors
    /// [`ErrorKind::Grant`](crate::ErrorKind::Grant) for wrong credentials, and with `OAU-168` for accounts with
    /// multi-factor authentication.
    pub async fn sign_in_with_password(
        &self,
        grant: &PasswordGrant,
        options: &TokenOptions,
    ) -> Result<TokenSet> {
        let mut form = Form::grant("password");
        form.plain("username", &grant.username);
        if let Some(extension) = &grant.extension {
            form.plain("extension", extension);
        }
        form.secret("password", &grant.password);
        self.request_token("sign_in_with_password", form, options).await.map(|response| response.tokens)
    }

    /// Ends the session of a token with all its access and refresh tokens (Developer Guide, "Access tokens").
    ///
    /// # Errors
    /// RingCentral may reject a token that has already ended; ignore that error.
    pub async fn revoke<'a>(&self, token: impl Into<RevocableToken<'a>>) -> Result<()> {
        let mut form = Form::default();
        match token.into() {
            RevocableToken::Access(token) => form.secret_text("token", token.expose()),
            RevocableToken::Refresh(token) => form.secret_text("token", token.expose()),
        }
        self.post_form("revoke", "/restapi/oauth/revoke", form).await?.no_content()
    }

    async fn request_token(
        &self,
        operation: &'static str,
        mut form: Form<'_>,
        options: &TokenOptions,
    ) -> Result<TokenResponse> {
        let numbers = [
            ("access_token_ttl", options.access_token_ttl_seconds),
            ("refresh_token_ttl", options.refresh_token_ttl_seconds),
        ];
        for (name, seconds) in numbers {
            if let Some(seconds) = seconds {
                form.plain(name, &seconds.to_string());
            }
        }
        for (name, text) in [("endpoint_id", &options.endpoint_id), ("scope", &options.scope)] {
            if let Some(text) = text {
                form.plain(name, text);
            }
        }
        let requested_at = self.now();
        let response = self.post_form(operation, "/restapi/oauth/token", form).await?;
        let tokens = read_tokens(&response.body, requested_at)
            .filter(|tokens| !tokens.access_token.expose().is_empty())
            .ok_or_else(|| response.unreadable("there is no access token"))?;
        Ok(TokenResponse { tokens, rate_limit: response.rate_limit })
    }

    async fn post_form(&self, operation: &'static str, path: &str, mut form: Form<'_>) -> Result<Response> {
        let mut request = Request::new(operation, ErrorFormat::OAuth, Method::POST, self.server().url(path));
        match self.app() {
            AppCredentials::Confidential { client_id, client_secret } => {
                request.authorization = Some(basic_authorization(operation, client_id, client_secret)?);
                request.secrets.push(client_secret.expose());
            }
            // A public app has no secret. With an Authorization header, RingCentral would expect one.
            AppCredentials::Public { client_id } => form.plain("client_id", client_id),
        }
        let (content, secrets) = form.finish();
        request.secrets.extend(secrets);
        request.body = Some(("application/x-www-form-urlencoded".to_owned(), content.into_bytes().into()));
        transport::send(self.http(), &request, self.timeout()).await
    }
}

/// HTTP Basic (RFC 7617). RFC 6749 requires both parts to be form-encoded first, but RingCentral's SDKs do not encode
/// them, and its ids and secrets contain only characters that encode to themselves.
fn basic_authorization(operation: &'static str, id: &str, secret: &ClientSecret) -> Result<HeaderValue> {
    if id.contains(':') {
        return Err(Error::refused(operation, "a client id contains no colon"));
    }
    let pair = Zeroizing::new(format!("{id}:{}", secret.expose()));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    sensitive_header(operation, &text)
}

/// A form body that records which of its values are secret.
#[derive(Default)]
struct Form<'a> {
    content: String,
    secrets: Vec<&'a str>,
}

impl<'a> Form<'a> {
    fn grant(grant_type: &str) -> Self {
        let mut form = Self::default();
        form.plain("grant_type", grant_type);
        form
    }

    fn plain(&mut self, name: &str, value: &str) {
        let mut serializer = form_urlencoded::Serializer::new(std::mem::take(&mut self.content));
        serializer.append_pair(name, value);
        self.content = serializer.finish();
    }

    fn secret_text(&mut self, name: &str, value: &'a str) {
        self.secrets.push(value);
        self.plain(name, value);
    }

    fn secret(&mut self, name: &str, value: &'a Secret) {
        self.secret_text(name, value.expose());
    }

    fn finish(self) -> (String, Vec<&'a str>) {
        (self.content, self.secrets)
    }
}

/// The lifetime of an access token whose response does not say it. A shorter one is replaced when RingCentral rejects it.
const DEFAULT_LIFETIME_SECONDS: i64 = 3_600;

/// The response body of the token endpoint. Only the access token is required: a refresh has replaced the old tokens, so an
/// odd field must not lose the new ones.
struct TokenResponseBody {
    access_token: Secret,
    expires_in: Option<i64>,
    refresh_token: Option<Secret>,
    refresh_token_expires_in: Option<i64>,
    scope: Vec<String>,
    owner_id: Option<Id>,
    endpoint_id: Option<String>,
    session_id: Option<String>,
    id_token: Option<Secret>,
    session_expires_in: Option<i64>,
    session_expiration_time: Option<Timestamp>,
    session_idle_timeout: Option<i64>,
}

record!(TokenResponseBody {
    access_token: required "access_token",
    expires_in: lossy "expires_in",
    refresh_token: lossy "refresh_token",
    refresh_token_expires_in: lossy "refresh_token_expires_in",
    scope: lossy_list "scope",
    owner_id: lossy "owner_id",
    endpoint_id: lossy "endpoint_id",
    session_id: lossy "session_id",
    id_token: lossy "id_token",
    session_expires_in: lossy "session_expires_in",
    session_expiration_time: lossy "session_expiration_time",
    session_idle_timeout: lossy "session_idle_timeout",
});

/// The tokens in a response body of the token endpoint.
pub(crate) fn read_tokens(body: &[u8], requested_at: Timestamp) -> Option<TokenSet> {
    let body: TokenResponseBody = lenient::read_body(body).ok()?;
    Some(body.into_tokens(requested_at))
}

impl TokenResponseBody {
    fn into_tokens(self, requested_at: Timestamp) -> TokenSet {
        let after = |seconds: i64| {
            requested_at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
        };
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        TokenSet {
            access_token: AccessToken::from(self.access_token),
            expires_at: after(self.expires_in.unwrap_or(DEFAULT_LIFETIME_SECONDS)),
            refresh_expires_at: self.refresh_token_expires_in.map(after),
            refresh_token: self.refresh_token.filter(|token| !token.is_empty()).map(RefreshToken::from),
            scope: self
                .scope
                .iter()
                .flat_map(|scope| scope.split([' ', ',']))
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
            owner_id: self.owner_id,
            endpoint_id: non_empty(self.endpoint_id),
            session_id: non_empty(self.session_id),
            id_token: self.id_token,
            session_expires_at: self.session_expiration_time.or_else(|| self.session_expires_in.map(after)),
            session_idle_timeout_seconds: self
                .session_idle_timeout
                .and_then(|seconds| u64::try_from(seconds).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_field_of_a_token_response_does_not_lose_the_tokens() {
        let at = Timestamp::UNIX_EPOCH;
        let read = |body: &str| read_tokens(body.as_bytes(), at).expect("tokens");
        for (body, lifetime) in [
            (r#"{"access_token":"a","refresh_token":"r","expires_in":"3599"}"#, 3_599),
            (
                r#"{"access_token":"a","refresh_token":"r","expires_in":3599.0,"owner_id":{},"scope":7}"#,
                3_599,
            ),
            (
                r#"{"access_token":"a","refresh_token":"r","session_expiration_time":"soon","unused":1e999}"#,
                3_600,
            ),
            (
                r#"{"access_token":"a","refresh_token":"r","expires_in":"soon","refresh_token_expires_in":[]}"#,
                3_600,
            ),
        ] {
            let tokens = read(body);
            assert_eq!(tokens.refresh_token.as_ref().map(RefreshToken::expose), Some("r"), "{body}");
            assert_eq!(tokens.expires_at.as_second(), lifetime, "{body}");
        }
        for scope in [r#""SMS ReadMessages""#, r#"["SMS","ReadMessages"]"#, r#""SMS,ReadMessages""#] {
            assert_eq!(
                read(&format!(r#"{{"access_token":"a","scope":{scope}}}"#)).scope,
                ["SMS", "ReadMessages"]
            );
        }
        for body in ["", "<html>", "[]", "{}", r#"{"access_token":null}"#, r#"{"access_token":{}}"#] {
            assert!(read_tokens(body.as_bytes(), at).is_none(), "{body}");
        }
    }
}
