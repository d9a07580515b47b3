//! API calls in the name of one user.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::client::Client;
use crate::error::{Error, Kind, Result};
use crate::id::Id;
use crate::keeper::Keeper;
use crate::limiter::Limiter;
use crate::tokens::AccessToken;
use crate::transport::{self, Answer, Dialect, Exchange};

/// API calls in the name of one user: with one access token ([`Client::api`]), or with those of a
/// [`Session`](super::Session).
///
/// Its methods are declared beside what they speak of: identity, numbers, SMS, messages, subscriptions,
/// consents. Each has the client's time limit for a whole call. With one access token, none repeats itself.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    authority: Authority,
    limiter: Option<Limiter>,
    extension: Option<Id>,
}

/// Where the access tokens come from.
#[derive(Debug, Clone)]
pub(crate) enum Authority {
    /// One token, of the user that the limiter knows by this name.
    Token(AccessToken, Arc<str>),
    /// A session that renews them.
    Session(Arc<Keeper>),
}

/// The throttling group of a call, as published; answers tell the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    Light,
    Medium,
    Heavy,
    Auth,
}

/// A call, before it has a token.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub operation: &'static str,
    pub group: Group,
    pub method: Method,
    pub url: Url,
    pub body: Option<(String, Bytes)>,
    pub accept: &'static str,
    pub max_answer_bytes: Option<usize>,
}

impl Client {
    /// API calls with this access token, without limiter or renewal.
    #[must_use]
    pub fn api(&self, token: &AccessToken) -> Api {
        Api::new(self.clone(), Authority::Token(token.clone(), Arc::from("")), None)
    }
}

impl Api {
    pub(crate) fn new(client: Client, authority: Authority, limiter: Option<Limiter>) -> Self {
        Self { client, authority, limiter, extension: None }
    }

    /// The same for another extension of the account, where the user is an administrator. SMS cannot be sent
    /// for others in any case (`MSG-304`).
    #[must_use]
    pub fn of_extension(&self, id: Id) -> Self {
        Self { extension: Some(id), ..self.clone() }
    }

    /// The same with another limit for a whole call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { client: self.client.with_timeout(timeout), ..self.clone() }
    }

    /// The same with calls that wait before rate limits. RingCentral counts for each user, so `user` names
    /// whose token this is, such as the extension's id; a session knows by itself.
    #[must_use]
    pub fn with_limiter(&self, limiter: &Limiter, user: &str) -> Self {
        let authority = match &self.authority {
            Authority::Token(token, _) => Authority::Token(token.clone(), Arc::from(user)),
            session @ Authority::Session(_) => session.clone(),
        };
        Self { authority, limiter: Some(limiter.clone()), ..self.clone() }
    }

    /// The same without a limiter: calls are made at once, whatever the limit.
    #[must_use]
    pub fn without_limiter(&self) -> Self {
        Self { limiter: None, ..self.clone() }
    }

    /// The client that makes the calls.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn get(&self, operation: &'static str, group: Group, path: &str) -> Call {
        self.call(operation, group, Method::GET, path)
    }

    pub(crate) fn call(&self, operation: &'static str, group: Group, method: Method, path: &str) -> Call {
        Call {
            operation,
            group,
            method,
            url: self.client.server().at(path),
            body: None,
            accept: "application/json",
            max_answer_bytes: None,
        }
    }

    /// A path below the user's extension.
    pub(crate) fn extension_path(&self, below: &str) -> String {
        match self.extension {
            Some(id) => format!("/restapi/v1.0/account/~/extension/{id}{below}"),
            None => format!("/restapi/v1.0/account/~/extension/~{below}"),
        }
    }

    /// Makes the call and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        self.send(call).await?.json()
    }

    /// Makes the call.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer> {
        self.send_with_secrets(call, &[]).await
    }

    /// Makes a call whose body holds secrets, which no error may repeat.
    pub(crate) async fn send_with_secrets(&self, call: Call, secrets: &[&str]) -> Result<Answer> {
        let keeper = match &self.authority {
            Authority::Token(token, user) => return self.once(&call, token, user, secrets).await,
            Authority::Session(keeper) => keeper,
        };
        let unmade = |cause| Error::before(call.operation, cause);
        let tokens = keeper.tokens().await.map_err(unmade)?;
        let user = keeper.user(&tokens);
        let refused = match self.once(&call, &tokens.access_token, &user, secrets).await {
            Err(error) if error.kind() == Kind::AccessToken => error,
            result => return result,
        };
        match keeper.after_401(&tokens).await.map_err(unmade)? {
            Some(other) => self.once(&call, &other.access_token, &user, secrets).await,
            None => Err(refused),
        }
    }

    async fn once(
        &self,
        call: &Call,
        token: &AccessToken,
        user: &Arc<str>,
        secrets: &[&str],
    ) -> Result<Answer> {
        let mut exchange = call.exchange(token)?;
        exchange.secrets.extend(secrets);
        if let Some(limiter) = &self.limiter {
            limiter.admit(user, call.group, call.operation).await?;
        }
        let result = transport::send(self.client.http(), &exchange, self.client.timeout()).await;
        if let Some(limiter) = &self.limiter {
            let told = match &result {
                Ok(answer) => answer.rate_limit.as_ref(),
                Err(error) => error.rate_limit(),
            };
            limiter.learn(user, call.group, call.operation, told, &result);
        }
        result
    }
}

impl Call {
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub fn body<T: Serialize>(mut self, body: &T) -> Result<Self> {
        let json = serde_json::to_vec(body)
            .map_err(|_| Error::refused(self.operation, "the request cannot be written as JSON"))?;
        self.body = Some(("application/json".to_owned(), json.into()));
        Ok(self)
    }

    fn exchange<'a>(&self, token: &'a AccessToken) -> Result<Exchange<'a>> {
        let mut exchange = Exchange::new(self.operation, Dialect::Api, self.method.clone(), self.url.clone())
            .bearer(token.expose())?;
        exchange.body.clone_from(&self.body);
        exchange.accept = self.accept;
        if let Some(bytes) = self.max_answer_bytes {
            exchange.max_answer_bytes = bytes;
        }
        Ok(exchange)
    }
}
