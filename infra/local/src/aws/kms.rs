//! The local KMS. It encrypts with AES-256-GCM and the encryption context as associated data. The data folder keeps the
//! key material, so that a later run can decrypt.

use super::error::AwsError;
use crate::clock::StackClock;
use crate::names::{self, key_arn};
use crate::state_file::StateFile;
use crate::template::KeyResource;
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
/// A key id is a UUID as text.
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
    /// Base64 of 32 bytes each, oldest first; the last one encrypts.
    material: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyState {
    Enabled,
    Disabled,
}

pub struct LocalKms {
    state: Mutex<State>,
    aliases: BTreeMap<String, String>,
    file: StateFile,
    clock: StackClock,
}

impl LocalKms {
    /// Loads the keys, and creates those that the template adds.
    pub fn open(
        file: StateFile,
        keys: &[KeyResource],
        aliases: BTreeMap<String, String>,
        clock: StackClock,
    ) -> Result<Self> {
        let mut state: State = file.load()?;
        for key in keys {
            if !state.keys.contains_key(&key.id) {
                let mut created = new_key(&clock, "")?;
                created.enabled = key.enabled;
                state.keys.insert(key.id.clone(), created);
            }
        }
        file.save(&state)?;
        Ok(Self { state: Mutex::new(state), aliases, file, clock })
    }

    /// Enables or disables one key, or all keys.
    pub fn set_key_state(&self, key_id: Option<&str>, key_state: KeyState) -> Result<(), AwsError> {
        let mut state = self.lock();
        let chosen = key_id.map(|id| self.find(&state, id)).transpose()?;
        for (id, key) in &mut state.keys {
            if chosen.as_ref().is_none_or(|chosen| chosen == id) {
                key.enabled = key_state == KeyState::Enabled;
            }
        }
        self.save(&state)
    }

    /// The ARN of the key that a request names, or that encrypted its ciphertext.
    #[must_use]
    pub fn key_arn(&self, input: &Value) -> Option<String> {
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

    pub fn handle(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        match operation {
            "Encrypt" => {
                let plaintext = blob(input, "Plaintext")?;
                if plaintext.is_empty() || plaintext.len() > 4096 {
                    return Err(AwsError::new("ValidationException", "Plaintext must be 1 to 4096 bytes"));
                }
                let (id, ciphertext) = self.encrypt(input, plaintext)?;
                Ok(
                    json!({ "CiphertextBlob": ciphertext, "KeyId": key_arn(&id), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }),
                )
            }
            "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => {
                let length = match (input["KeySpec"].as_str(), input["NumberOfBytes"].as_u64()) {
                    (Some("AES_256"), None) => 32,
                    (Some("AES_128"), None) => 16,
                    (None, Some(bytes @ 1..=1024)) => usize::try_from(bytes).unwrap_or(32),
                    _ => {
                        return Err(AwsError::new(
                            "ValidationException",
                            "Please specify either number of bytes or key spec.",
                        ));
                    }
                };
                let mut key = vec![0_u8; length];
                random(&mut key)?;
                let plaintext = BASE64.encode(&key);
                let (id, ciphertext) = self.encrypt(input, key)?;
                let mut response = json!({ "CiphertextBlob": ciphertext, "KeyId": key_arn(&id) });
                if operation == "GenerateDataKey" {
                    response["Plaintext"] = json!(plaintext);
                }
                Ok(response)
            }
            "Decrypt" => {
                let (id, plaintext) = self.decrypt(input)?;
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
            "EnableKey" => {
                self.set_key_state(Some(key_id(input)?), KeyState::Enabled)?;
                Ok(json!({}))
            }
            "DisableKey" => {
                self.set_key_state(Some(key_id(input)?), KeyState::Disabled)?;
                Ok(json!({}))
            }
            "RotateKeyOnDemand" => {
                let mut state = self.lock();
                let id = self.find_enabled(&state, key_id(input)?)?;
                let material = new_material().map_err(|error| internal(&error))?;
                if let Some(key) = state.keys.get_mut(&id) {
                    key.material.push(material);
                }
                self.save(&state)?;
                Ok(json!({ "KeyId": id }))
            }
            other => Err(AwsError::unknown_operation(other)),
        }
    }

    fn encrypt(&self, input: &Value, mut bytes: Vec<u8>) -> Result<(String, String), AwsError> {
        let state = self.lock();
        let id = self.find_enabled(&state, key_id(input)?)?;
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
            .map_err(|_| internal(&anyhow::anyhow!("encryption failed")))?;
        let mut ciphertext = vec![FORMAT];
        ciphertext.extend_from_slice(id.as_bytes());
        ciphertext.extend_from_slice(&number.to_be_bytes());
        ciphertext.extend_from_slice(&nonce);
        ciphertext.extend_from_slice(&bytes);
        Ok((id, BASE64.encode(&ciphertext)))
    }

    fn decrypt(&self, input: &Value) -> Result<(String, Vec<u8>), AwsError> {
        let ciphertext = blob(input, "CiphertextBlob")?;
        let invalid = || AwsError::new("InvalidCiphertextException", "");
        let (id, rest) = split(&ciphertext).ok_or_else(invalid)?;
        let state = self.lock();
        let key = state.keys.get(id).ok_or_else(invalid)?;
        if let Some(named) = input["KeyId"].as_str()
            && self.find(&state, named)? != id
        {
            return Err(AwsError::new(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        require_enabled(id, key)?;
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

    /// The id of a key named by id, ARN, alias or alias ARN.
    fn find(&self, state: &State, name: &str) -> Result<String, AwsError> {
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
        Err(AwsError::new("NotFoundException", format!("{kind} '{arn}' does not exist")))
    }

    fn find_enabled(&self, state: &State, name: &str) -> Result<String, AwsError> {
        let id = self.find(state, name)?;
        require_enabled(&id, &state.keys[&id])?;
        Ok(id)
    }

    fn save(&self, state: &State) -> Result<(), AwsError> {
        self.file.save(state).map_err(|error| internal(&error))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn require_enabled(id: &str, key: &Key) -> Result<(), AwsError> {
    if key.enabled {
        Ok(())
    } else {
        Err(AwsError::new("DisabledException", format!("{} is disabled.", key_arn(id))))
    }
}

fn split(ciphertext: &[u8]) -> Option<(&str, &[u8])> {
    let (first, rest) = ciphertext.split_first()?;
    let (id, rest) = rest.split_at_checked(KEY_ID_LENGTH)?;
    (*first == FORMAT).then_some(())?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

/// The encryption context as bytes: sorted, each part prefixed by its length, so that different contexts differ.
fn context(input: &Value) -> Result<Vec<u8>, AwsError> {
    let mut bytes = Vec::new();
    let pairs: BTreeMap<&String, &Value> =
        input["EncryptionContext"].as_object().into_iter().flatten().collect();
    for (key, value) in pairs {
        let value = value.as_str().ok_or_else(|| {
            AwsError::new("SerializationException", "the values of an encryption context must be strings")
        })?;
        for part in [key.as_str(), value] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    Ok(bytes)
}

fn key_id(input: &Value) -> Result<&str, AwsError> {
    input["KeyId"].as_str().ok_or_else(|| AwsError::new("ValidationException", "KeyId is missing"))
}

fn blob(input: &Value, name: &str) -> Result<Vec<u8>, AwsError> {
    let text = input[name]
        .as_str()
        .ok_or_else(|| AwsError::new("ValidationException", format!("{name} is missing")))?;
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| AwsError::new("SerializationException", format!("{name} is not base64")))
}

fn cipher(material: &str) -> Result<LessSafeKey, AwsError> {
    let damaged = || internal(&anyhow::anyhow!("the key material is damaged"));
    let bytes = BASE64.decode(material.as_bytes()).map_err(|_| damaged())?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| damaged())?))
}

fn random(bytes: &mut [u8]) -> Result<(), AwsError> {
    rand::fill(bytes).map_err(|_| internal(&anyhow::anyhow!("no random bytes")))
}

fn new_material() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).ok().context("no random bytes")?;
    Ok(BASE64.encode(&bytes))
}

fn new_key(clock: &StackClock, description: &str) -> Result<Key> {
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

fn internal(error: &anyhow::Error) -> AwsError {
    AwsError::with_status(500, "KMSInternalException", format!("{error:#}"))
}
