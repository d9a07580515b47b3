//! KMS with real AES-256-GCM: the encryption context is bound as associated data, and key material stays with the data
//! folder, so that what was sealed yesterday opens today.

use super::Refusal;
use crate::clock::Clock;
use crate::names::{self, key_arn};
use crate::state_file::StateFile;
use crate::template::Key as TemplateKey;
use anyhow::{Context, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// First byte of every ciphertext.
const FORMAT: u8 = 1;
/// A key id is a UUID in text.
const KEY_ID_LENGTH: usize = 36;

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Key {
    enabled: bool,
    created: i64,
    description: String,
    /// Base64 of 32 bytes each, the oldest first; the last one encrypts.
    material: Vec<String>,
}

/// The keys.
pub struct Kms {
    state: Mutex<State>,
    aliases: BTreeMap<String, String>,
    file: StateFile,
    clock: Clock,
}

impl Kms {
    /// Loads the keys, and makes those that the template adds.
    pub fn open(
        file: StateFile,
        keys: &[TemplateKey],
        aliases: BTreeMap<String, String>,
        clock: Clock,
    ) -> Result<Self> {
        let mut state: State = file.load()?;
        for key in keys {
            if !state.keys.contains_key(&key.id) {
                let mut made = new_key(&clock, "")?;
                made.enabled = key.enabled;
                state.keys.insert(key.id.clone(), made);
            }
        }
        file.save(&state)?;
        Ok(Self { state: Mutex::new(state), aliases, file, clock })
    }

    /// Switches one key, or all of them, off or on. False: there is no such key.
    pub fn set_enabled(&self, key_id: Option<&str>, enabled: bool) -> Result<bool, Refusal> {
        let mut state = self.lock();
        match key_id {
            None => state.keys.values_mut().for_each(|key| key.enabled = enabled),
            Some(id) => match self.find(&state, id) {
                Ok(id) => state.keys.get_mut(&id).into_iter().for_each(|key| key.enabled = enabled),
                Err(_) => return Ok(false),
            },
        }
        self.save(&state)?;
        Ok(true)
    }

    /// The ARN of the key that a request names, or whose ciphertext it carries: what policies are about.
    #[must_use]
    pub fn arn_of(&self, input: &Value) -> Option<String> {
        let state = self.lock();
        let id = match input["KeyId"].as_str() {
            Some(id) => self.find(&state, id).ok()?,
            None => {
                let blob = BASE64.decode(input["CiphertextBlob"].as_str()?.as_bytes()).ok()?;
                String::from_utf8(blob.get(1..=KEY_ID_LENGTH)?.to_vec()).ok()?
            }
        };
        Some(key_arn(&id))
    }

    /// Answers an operation.
    pub fn answer(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        match operation {
            "Encrypt" => {
                let plaintext = blob(input, "Plaintext")?;
                if plaintext.is_empty() || plaintext.len() > 4096 {
                    return Err(Refusal::new("ValidationException", "Plaintext must be 1 to 4096 bytes"));
                }
                let (id, sealed) = self.seal(input, plaintext)?;
                Ok(
                    json!({ "CiphertextBlob": sealed, "KeyId": key_arn(&id), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }),
                )
            }
            "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => {
                let length = match (input["KeySpec"].as_str(), input["NumberOfBytes"].as_u64()) {
                    (Some("AES_256"), None) => 32,
                    (Some("AES_128"), None) => 16,
                    (None, Some(bytes @ 1..=1024)) => usize::try_from(bytes).unwrap_or(32),
                    _ => {
                        return Err(Refusal::new(
                            "ValidationException",
                            "Please specify either number of bytes or key spec.",
                        ));
                    }
                };
                let mut key = vec![0_u8; length];
                random(&mut key)?;
                let plaintext = BASE64.encode(&key);
                let (id, sealed) = self.seal(input, key)?;
                let mut answer = json!({ "CiphertextBlob": sealed, "KeyId": key_arn(&id) });
                if operation == "GenerateDataKey" {
                    answer["Plaintext"] = json!(plaintext);
                }
                Ok(answer)
            }
            "Decrypt" => {
                let (id, plaintext) = self.open_blob(input)?;
                Ok(json!({
                    "KeyId": key_arn(&id),
                    "Plaintext": BASE64.encode(&plaintext),
                    "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                }))
            }
            "GenerateRandom" => {
                let length = input["NumberOfBytes"].as_u64().unwrap_or(32).clamp(1, 1024);
                let mut bytes = vec![0_u8; usize::try_from(length).unwrap_or(32)];
                random(&mut bytes)?;
                Ok(json!({ "Plaintext": BASE64.encode(&bytes) }))
            }
            "CreateKey" => {
                let id = uuid::Uuid::new_v4().to_string();
                let key = new_key(&self.clock, input["Description"].as_str().unwrap_or_default())
                    .map_err(|error| internal(&error))?;
                let metadata = metadata(&id, &key);
                let mut state = self.lock();
                state.keys.insert(id, key);
                self.save(&state)?;
                Ok(json!({ "KeyMetadata": metadata }))
            }
            "DescribeKey" => {
                let state = self.lock();
                let id = self.find(&state, key_id(input)?)?;
                Ok(json!({ "KeyMetadata": metadata(&id, &state.keys[&id]) }))
            }
            "ListKeys" => {
                let state = self.lock();
                let keys: Vec<Value> =
                    state.keys.keys().map(|id| json!({ "KeyId": id, "KeyArn": key_arn(id) })).collect();
                Ok(json!({ "Keys": keys, "Truncated": false }))
            }
            "EnableKey" | "DisableKey" => {
                let id = self.find(&self.lock(), key_id(input)?)?;
                self.set_enabled(Some(&id), operation == "EnableKey")?;
                Ok(json!({}))
            }
            "RotateKeyOnDemand" => {
                let mut state = self.lock();
                let id = self.usable(&state, key_id(input)?)?;
                let material = new_material().map_err(|error| internal(&error))?;
                if let Some(key) = state.keys.get_mut(&id) {
                    key.material.push(material);
                }
                self.save(&state)?;
                Ok(json!({ "KeyId": id }))
            }
            other => Err(Refusal::new(
                "UnknownOperationException",
                format!("{other} is not part of the local stack"),
            )),
        }
    }

    fn seal(&self, input: &Value, mut bytes: Vec<u8>) -> Result<(String, String), Refusal> {
        let state = self.lock();
        let id = self.usable(&state, key_id(input)?)?;
        let material = &state.keys[&id].material;
        let number = u32::try_from(material.len() - 1).unwrap_or(0);
        let cipher = cipher(&material[material.len() - 1])?;
        let mut nonce = [0_u8; NONCE_LEN];
        random(&mut nonce)?;
        cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context(input)?),
                &mut bytes,
            )
            .map_err(|_| internal(&anyhow::anyhow!("encrypting failed")))?;
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(id.as_bytes());
        sealed.extend_from_slice(&number.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&bytes);
        Ok((id, BASE64.encode(&sealed)))
    }

    fn open_blob(&self, input: &Value) -> Result<(String, Vec<u8>), Refusal> {
        let sealed = blob(input, "CiphertextBlob")?;
        let invalid = || Refusal::new("InvalidCiphertextException", "");
        let (id, rest) = split(&sealed).ok_or_else(invalid)?;
        let state = self.lock();
        let key = state.keys.get(id).ok_or_else(invalid)?;
        if let Some(named) = input["KeyId"].as_str()
            && self.find(&state, named)? != id
        {
            return Err(Refusal::new(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        enabled(id, key)?;
        let (number, rest) = rest.split_at_checked(4).ok_or_else(invalid)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(invalid)?;
        let number = <[u8; 4]>::try_from(number).map_or(u32::MAX, u32::from_be_bytes);
        let material =
            usize::try_from(number).ok().and_then(|number| key.material.get(number)).ok_or_else(invalid)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| invalid())?;
        let mut bytes = body.to_vec();
        let plaintext = cipher(material)?
            .open_in_place(nonce, Aad::from(context(input)?), &mut bytes)
            .map_err(|_| invalid())?;
        Ok((id.to_owned(), plaintext.to_vec()))
    }

    /// The id for any of the ways to name a key.
    fn find(&self, state: &State, name: &str) -> Result<String, Refusal> {
        let local = name.strip_prefix(&names::arn("kms", "")).unwrap_or(name);
        let id = match self.aliases.get(local) {
            Some(id) => id,
            None => local.strip_prefix("key/").unwrap_or(local),
        };
        if state.keys.contains_key(id) {
            return Ok(id.to_owned());
        }
        let arn = if local.starts_with("alias/") { names::arn("kms", local) } else { key_arn(id) };
        let kind = if local.starts_with("alias/") { "Alias" } else { "Key" };
        Err(Refusal::new("NotFoundException", format!("{kind} '{arn}' does not exist")))
    }

    fn usable(&self, state: &State, name: &str) -> Result<String, Refusal> {
        let id = self.find(state, name)?;
        enabled(&id, &state.keys[&id])?;
        Ok(id)
    }

    fn save(&self, state: &State) -> Result<(), Refusal> {
        self.file.save(state).map_err(|error| internal(&error))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enabled(id: &str, key: &Key) -> Result<(), Refusal> {
    if key.enabled {
        Ok(())
    } else {
        Err(Refusal::new("DisabledException", format!("{} is disabled.", key_arn(id))))
    }
}

fn split(sealed: &[u8]) -> Option<(&str, &[u8])> {
    let (first, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_at_checked(KEY_ID_LENGTH)?;
    (*first == FORMAT).then_some(())?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

/// The encryption context as bytes: sorted, each part with its length in front, so that no two contexts look alike.
fn context(input: &Value) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let pairs: BTreeMap<&String, &Value> =
        input["EncryptionContext"].as_object().into_iter().flatten().collect();
    for (key, value) in pairs {
        let value = value
            .as_str()
            .ok_or_else(|| Refusal::new("SerializationException", "an encryption context has text values"))?;
        for part in [key.as_str(), value] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    Ok(bytes)
}

fn key_id(input: &Value) -> Result<&str, Refusal> {
    input["KeyId"].as_str().ok_or_else(|| Refusal::new("ValidationException", "KeyId is missing"))
}

fn blob(input: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    let text = input[name]
        .as_str()
        .ok_or_else(|| Refusal::new("ValidationException", format!("{name} is missing")))?;
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| Refusal::new("SerializationException", format!("{name} is not base64")))
}

fn cipher(material: &str) -> Result<LessSafeKey, Refusal> {
    let damaged = || internal(&anyhow::anyhow!("the key material is damaged"));
    let bytes = BASE64.decode(material.as_bytes()).map_err(|_| damaged())?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| damaged())?))
}

fn random(bytes: &mut [u8]) -> Result<(), Refusal> {
    rand::fill(bytes).map_err(|_| internal(&anyhow::anyhow!("no randomness")))
}

fn new_material() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).ok().context("no randomness")?;
    Ok(BASE64.encode(&bytes))
}

fn new_key(clock: &Clock, description: &str) -> Result<Key> {
    Ok(Key {
        enabled: true,
        created: clock.now().as_second(),
        description: description.to_owned(),
        material: vec![new_material()?],
    })
}

fn metadata(id: &str, key: &Key) -> Value {
    json!({
        "AWSAccountId": names::ACCOUNT,
        "KeyId": id,
        "Arn": key_arn(id),
        "CreationDate": key.created,
        "Enabled": key.enabled,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": if key.enabled { "Enabled" } else { "Disabled" },
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    })
}

fn internal(error: &anyhow::Error) -> Refusal {
    Refusal::with_status(500, "KMSInternalException", format!("{error:#}"))
}
