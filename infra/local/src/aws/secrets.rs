//! Secrets Manager with the secrets of the template. The data folder keeps generated secrets.

use super::error::AwsError;
use crate::names;
use crate::state_file::StateFile;
use crate::template::{SecretResource, SecretSource};
use anyhow::{Context, Result};
use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub struct SecretsManager {
    /// By name.
    values: Mutex<BTreeMap<String, String>>,
    file: StateFile,
}

impl SecretsManager {
    /// Loads the secrets, and generates those that the template adds. Values in `overrides`, by logical id, take
    /// precedence.
    pub fn open(
        file: StateFile,
        secrets: &[SecretResource],
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut values: BTreeMap<String, String> = file.load()?;
        for secret in secrets {
            match (overrides.get(&secret.logical_id), &secret.source) {
                (Some(text), _) | (None, SecretSource::Value(text)) => {
                    values.insert(secret.name.clone(), text.clone());
                }
                (None, generated @ SecretSource::Generated { .. }) => {
                    if !values.contains_key(&secret.name) {
                        values.insert(secret.name.clone(), generate(generated)?);
                    }
                }
            }
        }
        file.save(&values)?;
        Ok(Self { values: Mutex::new(values), file })
    }

    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn handle(&self, operation: &str, input: &Value, now: Timestamp) -> Result<Value, AwsError> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let id = input["SecretId"].as_str().unwrap_or_default();
        let name = values
            .keys()
            .find(|name| *name == id || names::secret_arn(name) == id)
            .cloned()
            .ok_or_else(|| {
                AwsError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
            })?;
        let metadata = json!({
            "ARN": names::secret_arn(&name),
            "Name": name,
            "VersionId": "00000000-0000-4000-8000-000000000000",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": now.as_second(),
        });
        match operation {
            "GetSecretValue" => {
                let mut response = metadata;
                response["SecretString"] = json!(values[&name]);
                Ok(response)
            }
            "PutSecretValue" => {
                let text = input["SecretString"]
                    .as_str()
                    .ok_or_else(|| AwsError::new("InvalidParameterException", "SecretString is required"))?;
                values.insert(name, text.to_owned());
                self.file
                    .save(&*values)
                    .map_err(|error| AwsError::with_status(500, "InternalServiceError", error.to_string()))?;
                Ok(metadata)
            }
            "DescribeSecret" => Ok(metadata),
            other => Err(AwsError::unknown_operation(other)),
        }
    }
}

fn generate(source: &SecretSource) -> Result<String> {
    let SecretSource::Generated { length, exclude_punctuation, exclude_characters, wrapped } = source else {
        return Ok(String::new());
    };
    let mut alphabet: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    if !exclude_punctuation {
        alphabet.extend("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".chars());
    }
    alphabet.retain(|character| !exclude_characters.contains(*character));
    let mut text = String::with_capacity(*length);
    while text.len() < *length {
        let mut byte = [0_u8; 1];
        rand::fill(&mut byte).ok().context("no random bytes")?;
        // Bytes past the last whole multiple would make some characters more likely than others.
        if usize::from(byte[0]) < 256 / alphabet.len() * alphabet.len() {
            text.push(alphabet[usize::from(byte[0]) % alphabet.len()]);
        }
    }
    Ok(match wrapped {
        None => text,
        Some((template, key)) => {
            let mut object: Value =
                serde_json::from_str(template).context("SecretStringTemplate is not JSON")?;
            object[key] = json!(text);
            object.to_string()
        }
    })
}
