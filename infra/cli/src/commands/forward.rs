//! Sends events to a program on this machine, as the gateway sends them to webhook URLs.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use standardwebhooks::Webhook;
use url::Url;

use crate::client;
use crate::error::{CliError, CliResult, Exit};
use crate::output::{Color, Output};
use crate::signature;
use crate::target::{self, Target};

/// How much of a response is shown.
const SHOWN: usize = 200;

pub struct Forwarder {
    http: reqwest::Client,
    url: Url,
    webhook: Webhook,
}

/// An event, with its JSON as it came: the signature is over these bytes.
#[derive(Debug, Clone)]
pub struct EventToForward {
    pub id: String,
    pub kind: String,
    pub body: String,
}

impl EventToForward {
    pub fn of(raw: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            id: String,
            #[serde(rename = "type")]
            kind: String,
        }
        let head: Head = serde_json::from_str(raw.get()).ok()?;
        Some(Self { id: head.id, kind: head.kind, body: raw.get().to_owned() })
    }
}

/// The events of a response to `GET /v1/events`.
pub fn events_of(text: &str) -> Vec<EventToForward> {
    #[derive(Deserialize)]
    struct Page {
        events: Vec<Box<RawValue>>,
    }
    let page = serde_json::from_str::<Page>(text).map(|page| page.events).unwrap_or_default();
    page.iter().filter_map(|raw| EventToForward::of(raw)).collect()
}

/// What the receiver responded.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub took: Duration,
    pub body: String,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Forwarder {
    pub fn new(url: &str, secret: &str, timeout: Duration) -> CliResult<Self> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let url = Url::parse(&with_scheme)
            .map_err(|error| CliError::usage(format!("{url} is not a URL: {error}")))?;
        let builder = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("Ringbridge/", env!("CARGO_PKG_VERSION")));
        let builder = if target::is_loopback(&url) { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
        Ok(Self { http, url, webhook: signature::webhook(secret)? })
    }

    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends an event once.
    ///
    /// # Errors
    /// The reason if there was no response.
    pub async fn send(&self, event: &EventToForward) -> CliResult<Result<Response, String>> {
        let began = Instant::now();
        let mut request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        for (name, value) in signature::headers(&self.webhook, &event.id, &event.body)? {
            request = request.header(name, value);
        }
        let response = match request.body(event.body.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(client::reason(&error))),
        };
        let status = response.status().as_u16();
        let body: String = response.text().await.unwrap_or_default().chars().take(SHOWN).collect();
        Ok(Ok(Response { status, took: began.elapsed(), body }))
    }
}

/// The secret that signs forwarded events, and whether it was made for this run.
pub fn secret(named: Option<String>, target: &Target) -> CliResult<(String, bool)> {
    match named.or_else(|| target.webhook_secret.clone()) {
        Some(secret) => Ok((secret, false)),
        None => Ok((signature::new_secret()?, true)),
    }
}

/// A line about an event and the response to it.
pub fn show(output: &Output, event: &EventToForward, response: &Response) {
    if output.json {
        let parsed: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let milliseconds = u64::try_from(response.took.as_millis()).unwrap_or(u64::MAX);
        output.json_line(&serde_json::json!({
            "event": parsed, "response": { "status": response.status, "durationMs": milliseconds, "body": response.body },
        }));
        return;
    }
    let color = if response.is_success() { Color::Green } else { Color::Red };
    let status = output.paint(color, &response.status.to_string());
    output.line(&format!("{status}  {}  {}  {} ms", event.kind, event.id, response.took.as_millis()));
    if !response.is_success() && !response.body.is_empty() {
        output.line(&format!("     {}", response.body.replace('\n', " ")));
    }
}
