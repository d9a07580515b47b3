//! API calls in the name of one user.

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::client::Client;
use super::error::{Error, Result};
use super::id::Id;
use super::tokens::AccessToken;
use super::transport::{self, Answer, Dialect, Exchange};

/// API calls in the name of one user: those of one access token.
///
/// Its methods are declared beside what they speak of: identity, numbers, SMS, messages, subscriptions,
/// consents. None repeats itself, and each has the client's time limit for a whole call.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    token: AccessToken,
    extension: Option<Id>,
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
    /// API calls with this access token.
    #[must_use]
    pub fn api(&self, token: &AccessToken) -> Api {
        Api { client: self.clone(), token: token.clone(), extension: None }
    }
}

impl Api {
    /// The same for another extension of the account, where the user is an administrator. SMS cannot be sent
    /// for others in any case (`MSG-304`).
    #[must_use]
    pub fn of_extension(&self, id: Id) -> Self {
        Self { extension: Some(id), ..self.clone() }
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

    pub(crate) fn client(&self) -> &Client {
        &self.client
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
        let mut exchange = call.exchange(&self.token)?;
        exchange.secrets.extend(secrets);
        transport::send(self.client.http(), &exchange, self.client.timeout()).await
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
