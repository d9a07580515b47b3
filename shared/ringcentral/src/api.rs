//! API calls on behalf of one user.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use url::Url;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::lenient::FromFields;
use crate::limiter::Limiter;
use crate::rate_limit::UsageGroup;
use crate::request::{ErrorFormat, Request, Response};
use crate::token_source::TokenSource;
use crate::tokens::AccessToken;
use crate::transport;

/// API calls on behalf of one user: with one access token ([`Client::api`]), or with the tokens of a
/// [`Session`](crate::Session).
///
/// The methods follow RingCentral's resources: identity, numbers, SMS, messages, subscriptions, consents. The client's
/// timeout applies to each call. With a single access token, no call is retried.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    tokens: TokenProvider,
    limiter: Option<Limiter>,
    extension: Option<Id>,
}

/// Where the access tokens come from.
#[derive(Debug, Clone)]
pub(crate) enum TokenProvider {
    /// One token, and the name that the limiter counts its user's calls under.
    Fixed(AccessToken, Arc<str>),
    /// A session that refreshes its tokens.
    Session(Arc<TokenSource>),
}

/// A call without its access token.
#[derive(Debug, Clone)]
pub(crate) struct ApiCall {
    pub operation: &'static str,
    pub group: UsageGroup,
    pub method: Method,
    pub url: Url,
    /// Content type and content.
    pub body: Option<(String, Bytes)>,
    pub accept: &'static str,
    pub max_response_bytes: Option<usize>,
    /// Requests the bytes from this position on.
    pub range_from: Option<usize>,
    /// Whether a redirect is returned as a response.
    pub returns_redirects: bool,
}

impl Client {
    /// API calls with this access token, without a limiter and without refresh.
    #[must_use]
    pub fn api(&self, token: &AccessToken) -> Api {
        Api::new(self.clone(), TokenProvider::Fixed(token.clone(), Arc::from("")), None)
    }
}

impl Api {
    pub(crate) fn new(client: Client, tokens: TokenProvider, limiter: Option<Limiter>) -> Self {
        Self { client, tokens, limiter, extension: None }
    }

    /// The same calls for another extension of the account, if the user is an administrator. Messages cannot be sent
    /// for others (`MSG-304`).
    #[must_use]
    pub fn for_extension(&self, id: Id) -> Self {
        Self { extension: Some(id), ..self.clone() }
    }

    /// The same calls with another timeout.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { client: self.client.with_timeout(timeout), ..self.clone() }
    }

    /// The same calls, delayed to stay below the rate limits. RingCentral counts per user, so `user` identifies the
    /// user of the token, for example by the extension id. A session ignores it and uses the owner of its tokens.
    #[must_use]
    pub fn with_limiter(&self, limiter: &Limiter, user: &str) -> Self {
        let tokens = match &self.tokens {
            TokenProvider::Fixed(token, _) => TokenProvider::Fixed(token.clone(), Arc::from(user)),
            session @ TokenProvider::Session(_) => session.clone(),
        };
        Self { tokens, limiter: Some(limiter.clone()), ..self.clone() }
    }

    /// The same calls without a limiter.
    #[must_use]
    pub fn without_limiter(&self) -> Self {
        Self { limiter: None, ..self.clone() }
    }

    /// The client that makes the calls.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn get(&self, operation: &'static str, group: UsageGroup, path: &str) -> ApiCall {
        self.call(operation, group, Method::GET, path)
    }

    pub(crate) fn call(
        &self,
        operation: &'static str,
        group: UsageGroup,
        method: Method,
        path: &str,
    ) -> ApiCall {
        ApiCall {
            operation,
            group,
            method,
            url: self.client.server().url(path),
            body: None,
            accept: "application/json",
            max_response_bytes: None,
            range_from: None,
            returns_redirects: false,
        }
    }

    /// A path below the user's extension.
    pub(crate) fn extension_path(&self, below: &str) -> String {
        match self.extension {
            Some(id) => format!("/restapi/v1.0/account/~/extension/{id}{below}"),
            None => format!("/restapi/v1.0/account/~/extension/~{below}"),
        }
    }

    /// Makes the call and reads the response.
    pub(crate) async fn json<T: FromFields>(&self, call: ApiCall) -> Result<T> {
        self.send(call).await?.json()
    }

    pub(crate) async fn send(&self, call: ApiCall) -> Result<Response> {
        self.send_with_secrets(call, &[]).await
    }

    /// Makes a call whose body contains secrets, which no error may contain.
    pub(crate) async fn send_with_secrets(&self, call: ApiCall, secrets: &[&str]) -> Result<Response> {
        let source = match &self.tokens {
            TokenProvider::Fixed(token, user) => return self.send_once(&call, token, user, secrets).await,
            TokenProvider::Session(source) => source,
        };
        let without_token = |cause| Error::without_token(call.operation, cause);
        let tokens = source.tokens().await.map_err(without_token)?;
        let user = source.limiter_user(&tokens);
        let rejection = match self.send_once(&call, &tokens.access_token, &user, secrets).await {
            Err(error) if error.kind() == ErrorKind::AccessToken => error,
            result => return result,
        };
        match source.replace_rejected(&tokens).await.map_err(without_token)? {
            Some(other) => self.send_once(&call, &other.access_token, &user, secrets).await,
            None => Err(rejection),
        }
    }

    async fn send_once(
        &self,
        call: &ApiCall,
        token: &AccessToken,
        user: &Arc<str>,
        secrets: &[&str],
    ) -> Result<Response> {
        let mut request = call.request(token)?;
        request.secrets.extend(secrets);
        if let Some(limiter) = &self.limiter {
            limiter.acquire(user, call.group, call.operation).await?;
        }
        let result = transport::send(self.client.http(), &request, self.client.timeout()).await;
        if let Some(limiter) = &self.limiter {
            let reported = match &result {
                Ok(response) => response.rate_limit.as_ref(),
                Err(error) => error.rate_limit(),
            };
            limiter.record_outcome(user, call.group, call.operation, reported, &result);
        }
        result
    }
}

impl ApiCall {
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub fn body<T: Serialize>(mut self, body: &T) -> Result<Self> {
        let json = serde_json::to_vec(body)
            .map_err(|_| Error::refused(self.operation, "the request cannot be serialised as JSON"))?;
        self.body = Some(("application/json".to_owned(), json.into()));
        Ok(self)
    }

    fn request<'a>(&self, token: &'a AccessToken) -> Result<Request<'a>> {
        let mut request =
            Request::new(self.operation, ErrorFormat::Api, self.method.clone(), self.url.clone())
                .bearer(token.expose())?;
        request.body.clone_from(&self.body);
        request.accept = self.accept;
        request.range_from = self.range_from;
        request.returns_redirects = self.returns_redirects;
        if let Some(bytes) = self.max_response_bytes {
            request.max_response_bytes = bytes;
        }
        Ok(request)
    }
}
