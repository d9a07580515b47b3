//! OAuth: the authorize URL, the grants, refresh and revocation.
//!
//! These are single, stateless calls. [`Session`](crate::Session) builds on them and refreshes automatically. The token
//! endpoint allows few calls (five a minute, counted per user or even per app: Developer Guide, "Rate limits"), so none
//! of them is retried.
//!
//! # Authorization code with PKCE
//!
//! For apps with many users. The verifier and the state belong to one browser: keep them in its session.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::{AuthorizeRequest, CodeVerifier, TokenOptions, parse_redirect};
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
//! # let redirect = stage.sign_in(&login_page).await;
//! // Send the browser to the login page. It is redirected to the redirect URI:
//! let exchange = parse_redirect(&redirect, state)?.verifier(verifier);
//! let tokens = client.exchange_code(&exchange, &TokenOptions::default()).await?;
//! println!("signed in: {:?}", client.api(&tokens.access_token).extension().await?.name);
//! # Ok(())
//! # }
//! ```
//!
//! # Authorization code in an app without a client secret
//!
//! A browser, mobile or desktop app is registered as public and has no secret, so it must use PKCE. The client sends no
//! `Authorization: Basic` header for it.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::{AuthorizeRequest, CodeVerifier, TokenOptions, parse_redirect};
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
//! # let redirect = stage.sign_in(&login_page).await;
//! let exchange = parse_redirect(&redirect, state)?
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
//! For your own account, without a browser. Create the credential in the Developer Console.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::oauth::TokenOptions;
//! use ringbridge_ringcentral::secret::Secret;
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
//! **RingCentral has withdrawn this grant for new apps.** Existing apps can use it for accounts without multi-factor
//! authentication.
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
//! // The main number and an extension, or both in one: `+16505550100*101`.
//! let grant = PasswordGrant::new(number, password).extension("101");
//! let tokens = client.sign_in_with_password(&grant, &TokenOptions::default()).await?;
//! # assert!(client.api(&tokens.access_token).extension().await.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Refresh and revocation
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
//! async fn refresh(client: &Client, tokens: &TokenSet) -> Result<TokenSet, Error> {
//!     let refresh_token = tokens.refresh_token.as_ref().expect("the app issues refresh tokens");
//!     let next = match client.refresh(refresh_token, &TokenOptions::default()).await {
//!         // The response was lost: repeat the call with the same refresh token. `Session` does all this automatically.
//!         Err(error) if error.is_ambiguous() => {
//!             client.refresh(refresh_token, &TokenOptions::default()).await?
//!         }
//!         result => result?,
//!     };
//!     Ok(next.inherit_from(tokens))
//! }
//! let next = refresh(&client, &tokens).await?;
//! // Store `next` before its first use.
//! client.revoke(&next.access_token).await?;
//! # Ok(())
//! # }
//! ```

mod authorize;
mod grants;
mod pkce;
mod token_endpoint;

pub use self::authorize::{AuthorizeRequest, Display, Prompt, parse_redirect};
pub use self::grants::{CodeExchange, PasswordGrant, TokenOptions};
pub use self::pkce::CodeVerifier;
pub use self::token_endpoint::RevocableToken;
pub(crate) use self::token_endpoint::{TokenResponse, read_tokens};
