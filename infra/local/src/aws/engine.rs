//! Another AWS emulator behind our address: DynamoDB and KMS go there, with our call log, faults and rights in front.
//!
//! The other engine has key ids of its own; the functions go on seeing those of the template. Schedules, queues, secrets
//! and Lambda stay here: they drive functions by the clock of the stack.

use super::Refusal;
use crate::names;
use crate::template::Key as TemplateKey;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// KMS of another engine.
pub struct OtherKms {
    url: String,
    client: reqwest::Client,
    /// Our key id to theirs.
    keys: BTreeMap<String, String>,
    /// Alias to our key id.
    aliases: BTreeMap<String, String>,
}

/// Checks that something answers at the address.
pub async fn probe(url: &str) -> Result<()> {
    let answer = client()?.get(url).send().await;
    answer.map(|_| ()).map_err(|_| anyhow!("the engine at {url} does not answer"))
}

fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build().context("no HTTP client")
}

impl OtherKms {
    /// Finds the keys of the template there, or makes them.
    pub async fn open(url: &str, keys: &[TemplateKey], aliases: BTreeMap<String, String>) -> Result<Self> {
        let mut engine = Self { url: url.to_owned(), client: client()?, keys: BTreeMap::new(), aliases };
        for key in keys {
            let alias = format!("alias/{}-{}", names::STACK, key.id);
            let theirs = match engine.call("DescribeKey", &json!({ "KeyId": alias })).await {
                Ok(described) => described["KeyMetadata"]["KeyId"].clone(),
                Err(_) => {
                    let refused = |refusal: Refusal| anyhow!("the engine at {url}: {}", refusal.message);
                    let made = engine.call("CreateKey", &json!({})).await.map_err(refused)?;
                    let id = made["KeyMetadata"]["KeyId"].clone();
                    let input = json!({ "AliasName": alias, "TargetKeyId": id });
                    engine.call("CreateAlias", &input).await.map_err(refused)?;
                    id
                }
            };
            engine.keys.insert(key.id.clone(), theirs.as_str().unwrap_or_default().to_owned());
        }
        Ok(engine)
    }

    /// Answers an operation, with key ids translated both ways.
    pub async fn answer(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        let mut input = input.clone();
        if let Some(theirs) = input["KeyId"].as_str().and_then(|name| self.keys.get(&self.our_id(name))) {
            input["KeyId"] = json!(theirs);
        }
        let mut answer = self.call(operation, &input).await?;
        self.translate(&mut answer, "KeyId", operation != "RotateKeyOnDemand");
        if let Some(metadata) = answer.get_mut("KeyMetadata") {
            self.translate(metadata, "KeyId", false);
            self.translate(metadata, "Arn", true);
        }
        Ok(answer)
    }

    /// Switches one key, or all of the template, off or on. False: there is no such key.
    pub async fn set_enabled(&self, key_id: Option<&str>, enabled: bool) -> Result<bool, Refusal> {
        let operation = if enabled { "EnableKey" } else { "DisableKey" };
        let chosen: Vec<&String> = match key_id {
            None => self.keys.values().collect(),
            Some(name) => self.keys.get(&self.our_id(name)).into_iter().collect(),
        };
        for id in &chosen {
            self.call(operation, &json!({ "KeyId": id })).await?;
        }
        Ok(!chosen.is_empty())
    }

    /// The ARN of the key that a request names. A ciphertext does not say whose it is, unless there is only one key.
    #[must_use]
    pub fn arn_of(&self, input: &Value) -> Option<String> {
        let id = match input["KeyId"].as_str() {
            Some(name) => self.our_id(name),
            None => self.keys.keys().next().filter(|_| self.keys.len() == 1)?.clone(),
        };
        self.keys.contains_key(&id).then(|| names::key_arn(&id))
    }

    fn our_id(&self, name: &str) -> String {
        let local = name.strip_prefix(&names::arn("kms", "")).unwrap_or(name);
        self.aliases
            .get(local)
            .cloned()
            .unwrap_or_else(|| local.strip_prefix("key/").unwrap_or(local).to_owned())
    }

    fn translate(&self, answer: &mut Value, field: &str, arn: bool) {
        let theirs = answer[field].as_str().unwrap_or_default();
        let id = theirs.rsplit('/').next().unwrap_or_default();
        if let Some((ours, _)) = self.keys.iter().find(|(_, known)| *known == id) {
            answer[field] = json!(if arn { names::key_arn(ours) } else { ours.clone() });
        }
    }

    async fn call(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        let broken = |error: reqwest::Error| {
            Refusal::with_status(500, "KMSInternalException", format!("the engine at {}: {error}", self.url))
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
            .map_err(broken)?;
        let status = response.status();
        let text = response.text().await.map_err(broken)?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
        if status.is_success() {
            return Ok(answer);
        }
        let code = answer["__type"].as_str().unwrap_or("KMSInternalException");
        let message = answer["message"].as_str().or_else(|| answer["Message"].as_str()).unwrap_or_default();
        Err(Refusal::with_status(status.as_u16(), code.rsplit('#').next().unwrap_or_default(), message))
    }
}

/// KMS, ours or another engine's.
pub enum AnyKms {
    /// Ours.
    Ours(super::kms::Kms),
    /// Another engine's.
    Other(OtherKms),
}

impl AnyKms {
    /// Answers an operation.
    pub async fn answer(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        match self {
            Self::Ours(kms) => kms.answer(operation, input),
            Self::Other(kms) => kms.answer(operation, input).await,
        }
    }

    /// Switches one key, or all of them, off or on. False: there is no such key.
    pub async fn set_enabled(&self, key_id: Option<&str>, enabled: bool) -> Result<bool, Refusal> {
        match self {
            Self::Ours(kms) => kms.set_enabled(key_id, enabled),
            Self::Other(kms) => kms.set_enabled(key_id, enabled).await,
        }
    }

    /// The ARN of the key that a request is about.
    #[must_use]
    pub fn arn_of(&self, input: &Value) -> Option<String> {
        match self {
            Self::Ours(kms) => kms.arn_of(input),
            Self::Other(kms) => kms.arn_of(input),
        }
    }
}
