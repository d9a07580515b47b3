//! A client of the gateway's API, for the calls that `cargo local` makes as an operator or a tenant.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// Long, because `cargo lambda watch` may compile a function at its first request.
const TIMEOUT: Duration = Duration::from_secs(600);

pub struct ApiClient {
    http: reqwest::Client,
    base_url: String,
    key: String,
}

impl ApiClient {
    pub fn new(base_url: &str, key: Option<&str>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let key = key.context("the stack has no key for this call")?.to_owned();
        Ok(Self { http, base_url: base_url.to_owned(), key })
    }

    /// Returns the JSON body, or null if the body is empty. A status other than 2xx is an error that quotes the body.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await?;
        if !status.is_success() {
            bail!("{path} returned {status}: {}", body.chars().take(300).collect::<String>());
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).with_context(|| format!("{path} did not return JSON"))
    }
}

impl ApiClient {
    /// Polls a path until the response is as expected, for at most 30 seconds.
    pub async fn poll(&self, path: &str, is_expected: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        // Half of the requests per minute that a key may make.
        for _ in 0..25 {
            last = self.call(Method::GET, path, None).await?;
            if is_expected(&last) {
                return Ok(last);
            }
            tokio::time::sleep(Duration::from_millis(1_200)).await;
        }
        bail!("{path} still returns {last}")
    }
}

/// A string field of a response.
pub fn text(response: &Value, key: &str) -> Result<String> {
    response[key].as_str().map(str::to_owned).with_context(|| format!("the response has no {key}"))
}
