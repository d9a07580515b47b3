//! KMS of another engine, behind `--endpoint-url`. The engine assigns its own key ids; functions see those of the template.

use super::error::AwsError;
use super::kms::KeyState;
use crate::names;
use crate::template::KeyResource;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub struct RemoteKms {
    url: String,
    client: reqwest::Client,
    /// The engine's key id by the template's.
    keys: BTreeMap<String, String>,
    /// The template's key id by alias.
    aliases: BTreeMap<String, String>,
}

/// Checks that an HTTP server responds at the URL.
pub async fn check_reachable(url: &str) -> Result<()> {
    let response = client()?.get(url).send().await;
    response.map(|_| ()).map_err(|_| anyhow!("the engine at {url} does not respond"))
}

fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build().context("no HTTP client")
}

impl RemoteKms {
    /// Finds the keys of the template in the engine, or creates them.
    pub async fn open(url: &str, keys: &[KeyResource], aliases: BTreeMap<String, String>) -> Result<Self> {
        let mut engine = Self { url: url.to_owned(), client: client()?, keys: BTreeMap::new(), aliases };
        for key in keys {
            let alias = format!("alias/{}-{}", names::STACK, key.id);
            let id = match engine.call("DescribeKey", &json!({ "KeyId": alias })).await {
                Ok(described) => described["KeyMetadata"]["KeyId"].clone(),
                Err(_) => {
                    let failed = |error: AwsError| anyhow!("the engine at {url}: {}", error.message);
                    let created = engine.call("CreateKey", &json!({})).await.map_err(failed)?;
                    let id = created["KeyMetadata"]["KeyId"].clone();
                    let input = json!({ "AliasName": alias, "TargetKeyId": id });
                    engine.call("CreateAlias", &input).await.map_err(failed)?;
                    id
                }
            };
            engine.keys.insert(key.id.clone(), id.as_str().unwrap_or_default().to_owned());
        }
        Ok(engine)
    }

    pub async fn handle(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let mut input = input.clone();
        let known = input["KeyId"].as_str().and_then(|name| self.keys.get(&self.local_id(name)));
        if let Some(engine_id) = known {
            input["KeyId"] = json!(engine_id);
        }
        let mut response = self.call(operation, &input).await?;
        let by_id = operation == "RotateKeyOnDemand";
        self.translate(&mut response, "KeyId", |id| if by_id { id.to_owned() } else { names::key_arn(id) });
        if let Some(metadata) = response.get_mut("KeyMetadata") {
            self.translate(metadata, "KeyId", str::to_owned);
            self.translate(metadata, "Arn", names::key_arn);
        }
        Ok(response)
    }

    /// Enables or disables one key, or all keys of the template.
    pub async fn set_key_state(&self, key_id: Option<&str>, state: KeyState) -> Result<(), AwsError> {
        let operation = match state {
            KeyState::Enabled => "EnableKey",
            KeyState::Disabled => "DisableKey",
        };
        let chosen: Vec<&String> =
            match key_id {
                None => self.keys.values().collect(),
                Some(name) => vec![self.keys.get(&self.local_id(name)).ok_or_else(|| {
                    AwsError::new("NotFoundException", format!("Key '{name}' does not exist"))
                })?],
            };
        for id in chosen {
            self.call(operation, &json!({ "KeyId": id })).await?;
        }
        Ok(())
    }

    /// The ARN of the key that a request names. The key of a ciphertext is known only if the
    /// template has a single key.
    #[must_use]
    pub fn key_arn(&self, input: &Value) -> Option<String> {
        let id = match input["KeyId"].as_str() {
            Some(name) => self.local_id(name),
            None => self.keys.keys().next().filter(|_| self.keys.len() == 1)?.clone(),
        };
        self.keys.contains_key(&id).then(|| names::key_arn(&id))
    }

    fn local_id(&self, name: &str) -> String {
        let local = name.strip_prefix(&names::arn("kms", "")).unwrap_or(name);
        self.aliases
            .get(local)
            .cloned()
            .unwrap_or_else(|| local.strip_prefix("key/").unwrap_or(local).to_owned())
    }

    /// Replaces the engine's key id in a field by the template's, formatted by `named`.
    fn translate(&self, response: &mut Value, field: &str, named: impl Fn(&str) -> String) {
        let engine_id = response[field].as_str().unwrap_or_default();
        let engine_id = engine_id.rsplit('/').next().unwrap_or_default();
        if let Some((local, _)) = self.keys.iter().find(|(_, known)| *known == engine_id) {
            response[field] = json!(named(local));
        }
    }

    async fn call(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let failed = |error: reqwest::Error| {
            AwsError::with_status(500, "KMSInternalException", format!("the engine at {}: {error}", self.url))
        };
        let response = self
            .client
            .post(&self.url)
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=local",
            )
            .body(input.to_string())
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
        if status.is_success() {
            return Ok(body);
        }
        let code = body["__type"].as_str().unwrap_or("KMSInternalException");
        let message = body["message"].as_str().or_else(|| body["Message"].as_str()).unwrap_or_default();
        Err(AwsError::with_status(status.as_u16(), code.rsplit('#').next().unwrap_or_default(), message))
    }
}
