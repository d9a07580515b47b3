//! Secrets Manager: the secrets of the template, kept with the data folder.

use super::Refusal;
use crate::names;
use crate::state_file::StateFile;
use crate::template::{Secret, SecretSource};
use anyhow::{Context, Result};
use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The secrets, by name.
pub struct Secrets {
    texts: Mutex<BTreeMap<String, String>>,
    file: StateFile,
}

impl Secrets {
    /// Loads the secrets, and makes those that the template adds. `given` are texts by logical id, which win.
    pub fn open(file: StateFile, secrets: &[Secret], given: &BTreeMap<String, String>) -> Result<Self> {
        let mut texts: BTreeMap<String, String> = file.load()?;
        for secret in secrets {
            match (given.get(&secret.logical_id), &secret.source) {
                (Some(text), _) | (None, SecretSource::Text(text)) => {
                    texts.insert(secret.name.clone(), text.clone());
                }
                (None, generated @ SecretSource::Generated { .. }) => {
                    if !texts.contains_key(&secret.name) {
                        texts.insert(secret.name.clone(), generate(generated)?);
                    }
                }
            }
        }
        file.save(&texts)?;
        Ok(Self { texts: Mutex::new(texts), file })
    }

    /// The text of a secret.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Answers an operation.
    pub fn answer(&self, operation: &str, input: &Value, now: Timestamp) -> Result<Value, Refusal> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let id = input["SecretId"].as_str().unwrap_or_default();
        let name = texts
            .keys()
            .find(|name| *name == id || names::secret_arn(name) == id)
            .cloned()
            .ok_or_else(|| {
                Refusal::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
            })?;
        let about = json!({
            "ARN": names::secret_arn(&name),
            "Name": name,
            "VersionId": "00000000-0000-4000-8000-000000000000",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": now.as_second(),
        });
        match operation {
            "GetSecretValue" => {
                let mut answer = about;
                answer["SecretString"] = json!(texts[&name]);
                Ok(answer)
            }
            "PutSecretValue" => {
                let text = input["SecretString"]
                    .as_str()
                    .ok_or_else(|| Refusal::new("InvalidParameterException", "SecretString is missing"))?;
                texts.insert(name, text.to_owned());
                self.file
                    .save(&*texts)
                    .map_err(|error| Refusal::with_status(500, "InternalServiceError", error.to_string()))?;
                Ok(about)
            }
            "DescribeSecret" => Ok(about),
            other => Err(Refusal::new(
                "UnknownOperationException",
                format!("{other} is not part of the local stack"),
            )),
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
        rand::fill(&mut byte).ok().context("no randomness")?;
        // Bytes past the last whole multiple would make some characters likelier than others.
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
