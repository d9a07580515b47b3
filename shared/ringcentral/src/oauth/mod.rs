//! Signing in and staying signed in: the authorize URL, the grants, refresh and revoke.
//!
//! These are single calls without memory. [`Session`](super::Session) builds on them and refreshes by itself.
//! The token endpoint allows few calls (five a minute, counted per user or even per app: Developer Guide,
//! "Rate limits"), so none of them repeats itself.
//!
//! # Authorization code with PKCE
//!
//! For apps with many users. The verifier and the state belong to one browser; keep them in its cookie.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::{AuthorizeRequest, CodeVerifier, TokenOptions, read_redirect};
//! use ringbridge_ringcentral::{AppCredentials, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, seed) = (stage.simulator.url(), &stage.seed);
//! # let (client_id, client_secret) = (seed.client_id.as_str(), seed.client_secret.as_str());
//! // `server` is Server::PRODUCTION, or Server::SEGREGATED for AT&T and Verizon.
//! let client = Client::builder(server, AppCredentials::confidential(client_id, client_secret))
//!     .redirect_uri("https://my.app.example/callback")
//!     .build()?;
//!
//! let (state, verifier) = ("unguessable", CodeVerifier::random());
//! let request = AuthorizeRequest::new(state).challenge(verifier.challenge()).brand_id("1210");
//! let login_page = client.authorize_url(&request);
//! # let came_back_to = stage.browser(&login_page).await;
//! // Send the browser there. It comes back to the redirect URI:
//! let exchange = read_redirect(&came_back_to, state)?.verifier(verifier);
//! let tokens = client.exchange_code(&exchange, &TokenOptions::default()).await?;
//! println!("signed in: {:?}", client.api(&tokens.access_token).extension().await?.name);
//! # Ok(())
//! # }
//! ```
//!
//! # The same in an app without a secret
//!
//! A browser, mobile or desktop app is registered as public, has no secret, and must use PKCE. It never sends
//! an `Authorization: Basic` header.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::{AuthorizeRequest, CodeVerifier, TokenOptions, read_redirect};
//! use ringbridge_ringcentral::{AppCredentials, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, client_id) = (stage.simulator.url(), stage.seed.public_client_id.as_str());
//! let client = Client::builder(server, AppCredentials::public(client_id)).build()?;
//!
//! let (state, verifier) = ("unguessable", CodeVerifier::random());
//! let request = AuthorizeRequest::new(state)
//!     .redirect_uri("https://my.app.example/callback")
//!     .challenge(verifier.challenge());
//! let login_page = client.authorize_url(&request);
//! # let came_back_to = stage.browser(&login_page).await;
//! let exchange = read_redirect(&came_back_to, state)?
//!     .redirect_uri("https://my.app.example/callback")
//!     .verifier(verifier);
//! let tokens = client.exchange_code(&exchange, &TokenOptions::default()).await?;
//! # assert!(client.api(&tokens.access_token).extension().await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # JWT credential
//!
//! For one's own account, without a browser. The user makes the credential in the Developer Console.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::secret::Secret;
//! use ringbridge_ringcentral::oauth::TokenOptions;
//! use ringbridge_ringcentral::{AppCredentials, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, seed) = (stage.simulator.url(), &stage.seed);
//! # let (client_id, client_secret) = (seed.client_id.as_str(), seed.client_secret.as_str());
//! # let jwt = Secret::new(seed.users[0].jwt.as_str());
//! let client = Client::builder(server, AppCredentials::confidential(client_id, client_secret)).build()?;
//! let options = TokenOptions::default().access_token_ttl(1800).endpoint_id("worker-1");
//! let tokens = client.sign_in_with_jwt(&jwt, &options).await?;
//! # assert!(client.api(&tokens.access_token).extension().await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Password
//!
//! **RingCentral has withdrawn this grant for new apps.** Old ones may still use it for accounts without
//! multi-factor authentication.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::{PasswordGrant, TokenOptions};
//! use ringbridge_ringcentral::{AppCredentials, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, seed) = (stage.simulator.url(), &stage.seed);
//! # let (client_id, client_secret) = (seed.client_id.as_str(), seed.client_secret.as_str());
//! # let (number, password) = (seed.users[0].username.as_str(), seed.users[0].password.as_str());
//! let client = Client::builder(server, AppCredentials::confidential(client_id, client_secret)).build()?;
//! // The main number and an extension, or `number*101` in one: `.starred_extension("101")`.
//! let grant = PasswordGrant::new(number, password).extension("101");
//! let tokens = client.sign_in_with_password(&grant, &TokenOptions::default()).await?;
//! # assert!(client.api(&tokens.access_token).extension().await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Refresh and revoke
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! # use ringbridge_ringcentral::{AppCredentials, Client};
//! use ringbridge_ringcentral::oauth::TokenOptions;
//! use ringbridge_ringcentral::{Error, TokenSet};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, seed) = (stage.simulator.url(), &stage.seed);
//! # let app = AppCredentials::confidential(seed.client_id.as_str(), seed.client_secret.as_str());
//! # let client = Client::builder(server, app).build()?;
//! # let jwt = seed.users[0].jwt.as_str().into();
//! # let tokens = client.sign_in_with_jwt(&jwt, &TokenOptions::default()).await?;
//! async fn refreshed(client: &Client, tokens: &TokenSet) -> Result<TokenSet, Error> {
//!     let refresh_token = tokens.refresh_token.as_ref().expect("the app issues refresh tokens");
//!     let answer = client.refresh(refresh_token, &TokenOptions::default()).await;
//!     // After a lost answer: again, with the same refresh token. `Session` does all this by itself.
//!     let answer = match answer {
//!         Err(error) if error.is_ambiguous() => {
//!             client.refresh(refresh_token, &TokenOptions::default()).await
//!         }
//!         answer => answer,
//!     };
//!     Ok(answer?.succeeding(tokens))
//! }
//! let next = refreshed(&client, &tokens).await?;
//! // Store `next` before its first use.
//! client.revoke(&next.access_token).await?;
//! # Ok(())
//! # }
//! ```

mod authorize;
mod grants;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

pub use self::authorize::{AuthorizeRequest, CodeVerifier, Display, Prompt, read_redirect};
pub use self::grants::{CodeExchange, PasswordGrant, TokenOptions};
use super::client::{AppCredentials, Client};
use super::error::{Error, Result};
use super::id::Id;
use super::lenient;
use super::limiter::RateLimit;
use super::tokens::{AccessToken, ClientSecret, RefreshToken, TokenSet};
use super::transport::{self, Dialect, Exchange, sensitive};
use crate::secret::Secret;

/// Tokens, and what the answer tells about the rate limit.
pub(crate) type Told = (TokenSet, Option<RateLimit>);

/// A token that can be revoked: either kind ends its whole session.
#[derive(Debug, Clone, Copy)]
pub enum Revocable<'a> {
    /// By its access token.
    Access(&'a AccessToken),
    /// By its refresh token, which works also after the access token ended.
    Refresh(&'a RefreshToken),
}

impl<'a> From<&'a AccessToken> for Revocable<'a> {
    fn from(token: &'a AccessToken) -> Self {
        Self::Access(token)
    }
}

impl<'a> From<&'a RefreshToken> for Revocable<'a> {
    fn from(token: &'a RefreshToken) -> Self {
        Self::Refresh(token)
    }
}

impl Client {
    /// The address of the login page to send a browser to. No call is made.
    #[must_use]
    pub fn authorize_url(&self, request: &AuthorizeRequest) -> Url {
        let mut url = self.server().at("/restapi/oauth/authorize");
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

    /// Exchanges the code of the redirect for tokens.
    ///
    /// A code serves once. After a lost answer ([`Error::is_ambiguous`]) a second attempt may find it used up,
    /// and the user signs in again.
    ///
    /// # Errors
    /// [`Kind::Grant`](super::Kind::Grant) for a code that is expired, used, of another app, or whose redirect
    /// URI or verifier do not fit; [`Kind::OurConfiguration`](super::Kind::OurConfiguration) for wrong client
    /// credentials.
    pub async fn exchange_code(&self, exchange: &CodeExchange, options: &TokenOptions) -> Result<TokenSet> {
        let mut form = Form::grant("authorization_code");
        form.secret("code", &exchange.code);
        if let Some(uri) = exchange.redirect_uri.as_deref().or(self.redirect_uri()) {
            form.plain("redirect_uri", uri);
        }
        if let Some(verifier) = &exchange.verifier {
            form.secret("code_verifier", verifier.secret());
        }
        self.token("exchange_code", form, options).await.map(|told| told.0)
    }

    /// Exchanges a refresh token for the next pair. The old access token dies at once.
    ///
    /// If the answer is lost ([`Error::is_ambiguous`]), repeat the call with the **same** refresh token: as long
    /// as the new access token was never used (up to an hour), RingCentral answers with the same new pair.
    /// An answer without refresh token means that the old one stays good: see [`TokenSet::succeeding`].
    ///
    /// # Errors
    /// [`Kind::Grant`](super::Kind::Grant) if the token is expired, revoked or unknown (also: replaced by another
    /// refresh more than about 10 s ago).
    pub async fn refresh(&self, token: &RefreshToken, options: &TokenOptions) -> Result<TokenSet> {
        self.refresh_told(token, options).await.map(|told| told.0)
    }

    /// The same, with what the answer tells about the rate limit.
    pub(crate) async fn refresh_told(&self, token: &RefreshToken, options: &TokenOptions) -> Result<Told> {
        let mut form = Form::grant("refresh_token");
        form.secret_text("refresh_token", token.expose());
        self.token("refresh", form, options).await
    }

    /// Signs in with a JWT credential, made by the user in the Developer Console. The assertion can be used
    /// again and again; every sign-in counts as one of the five sessions that a user may have with an app.
    ///
    /// # Errors
    /// [`Kind::Grant`](super::Kind::Grant) or [`Kind::Invalid`](super::Kind::Invalid) if the assertion is refused.
    pub async fn sign_in_with_jwt(&self, assertion: &Secret, options: &TokenOptions) -> Result<TokenSet> {
        self.jwt_told(assertion, options).await.map(|told| told.0)
    }

    /// The same, with what the answer tells about the rate limit.
    pub(crate) async fn jwt_told(&self, assertion: &Secret, options: &TokenOptions) -> Result<Told> {
        let mut form = Form::grant("urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.secret("assertion", assertion);
        self.token("sign_in_with_jwt", form, options).await
    }

    /// Signs in with user name and password; **withdrawn by RingCentral for new apps**, see [`PasswordGrant`].
    ///
    /// # Errors
    /// [`Kind::Grant`](super::Kind::Grant) for wrong credentials; `OAU-168` where multi-factor authentication is on.
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
        self.token("sign_in_with_password", form, options).await.map(|told| told.0)
    }

    /// Ends the session of a token: all its access and refresh tokens (Developer Guide, "Access tokens").
    ///
    /// # Errors
    /// A token that is already dead may be refused; that failure can be ignored.
    pub async fn revoke<'a>(&self, token: impl Into<Revocable<'a>>) -> Result<()> {
        let mut form = Form::default();
        match token.into() {
            Revocable::Access(token) => form.secret_text("token", token.expose()),
            Revocable::Refresh(token) => form.secret_text("token", token.expose()),
        }
        self.post_form("revoke", "/restapi/oauth/revoke", form).await.map(drop)
    }

    async fn token(
        &self,
        operation: &'static str,
        mut form: Form<'_>,
        options: &TokenOptions,
    ) -> Result<Told> {
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
        let asked_at = self.now();
        let answer = self.post_form(operation, "/restapi/oauth/token", form).await?;
        let read: TokenAnswer = answer.json()?;
        if read.access_token.is_empty() {
            return Err(answer.unreadable("the access token is empty"));
        }
        Ok((read.into_set(asked_at), answer.rate_limit))
    }

    async fn post_form(
        &self,
        operation: &'static str,
        path: &str,
        mut form: Form<'_>,
    ) -> Result<transport::Answer> {
        let mut exchange = Exchange::new(operation, Dialect::OAuth, Method::POST, self.server().at(path));
        match self.app() {
            AppCredentials::Confidential { client_id, client_secret } => {
                exchange.authorization = Some(basic(operation, client_id, client_secret)?);
                exchange.secrets.push(client_secret.expose());
            }
            // A public app has no secret; an Authorization header would make RingCentral look for one.
            AppCredentials::Public { client_id } => form.plain("client_id", client_id),
        }
        let (content, secrets) = form.finish();
        exchange.secrets.extend(secrets);
        exchange.body = Some(("application/x-www-form-urlencoded".to_owned(), content.into_bytes().into()));
        transport::send(self.http(), &exchange, self.timeout()).await
    }
}

/// `Basic` of RFC 7617. (RFC 6749 would have both parts form-encoded first; RingCentral's ids and secrets are
/// made of characters that encode to themselves, and its own SDKs do not encode.)
fn basic(operation: &'static str, id: &str, secret: &ClientSecret) -> Result<reqwest::header::HeaderValue> {
    if id.contains(':') {
        return Err(Error::refused(operation, "a client id has no colon"));
    }
    let pair = Zeroizing::new(format!("{id}:{}", secret.expose()));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    sensitive(operation, &text)
}

/// A form body that remembers which of its values are secret.
#[derive(Default)]
struct Form<'a> {
    content: String,
    secrets: Vec<&'a str>,
}

impl<'a> Form<'a> {
    fn grant(kind: &str) -> Self {
        let mut form = Self::default();
        form.plain("grant_type", kind);
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

/// The answer of the token endpoint. Only the access token and its life are always there.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    #[serde(deserialize_with = "lenient::integer")]
    expires_in: i64,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    refresh_token_expires_in: Option<i64>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    owner_id: Option<Id>,
    #[serde(default)]
    endpoint_id: Option<String>,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    id_token: Option<Secret>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    session_expires_in: Option<i64>,
    #[serde(default)]
    session_expiration_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    session_idle_timeout: Option<i64>,
}

impl TokenAnswer {
    fn into_set(self, asked_at: Timestamp) -> TokenSet {
        let after =
            |seconds: i64| asked_at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        TokenSet {
            access_token: AccessToken::from(self.access_token),
            expires_at: after(self.expires_in),
            refresh_expires_at: self.refresh_token_expires_in.map(after),
            refresh_token: self.refresh_token.filter(|token| !token.is_empty()).map(RefreshToken::from),
            scope: self
                .scope
                .map(|scope| scope.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            owner_id: self.owner_id,
            endpoint_id: filled(self.endpoint_id),
            session_id: filled(self.session_id),
            id_token: self.id_token,
            session_expires_at: self.session_expiration_time.or_else(|| self.session_expires_in.map(after)),
            session_idle_timeout_seconds: self
                .session_idle_timeout
                .and_then(|seconds| u64::try_from(seconds).ok()),
        }
    }
}
