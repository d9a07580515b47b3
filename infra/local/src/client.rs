//! The API as a program of an operator or a tenant calls it, for what `cargo local` does with it by itself.

use crate::stack::StackInfo;
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// Longer than the gateway waits for a function.
const LIMIT: Duration = Duration::from_secs(35);

/// Calls the API with one key.
pub struct Client {
    http: reqwest::Client,
    gateway: String,
    key: String,
}

impl Client {
    /// Calls the gateway of a running stack.
    pub fn new(info: &StackInfo, key: Option<&str>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
        let key = key.context("the stack has no key for that")?.to_owned();
        Ok(Self { http, gateway: info.gateway().to_owned(), key })
    }

    /// The JSON that a path answers, null for an empty answer; anything but success is an error with the answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.gateway)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let answer = response.text().await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {}", answer.chars().take(300).collect::<String>());
        }
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer).with_context(|| format!("{path} did not answer JSON"))
    }
}

/// A text of an answer.
pub fn text(answer: &Value, key: &str) -> Result<String> {
    answer[key].as_str().map(str::to_owned).with_context(|| format!("the answer has no {key}"))
}
