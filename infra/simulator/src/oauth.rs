//! OAuth: the authorize pages, the token endpoint, revocation, and who the user is.

pub mod authorize;
pub mod client;
pub mod revoke;
pub mod sessions;
pub mod token;
pub mod userinfo;

use std::collections::HashMap;

use crate::error::OauthError;

/// A form or query as OAuth reads it: an empty value is absent, a repeated name an error.
#[derive(Debug, Clone, Default)]
pub struct Params(HashMap<String, String>);

impl Params {
    /// Reads `a=b&c=d`.
    pub fn parse(encoded: &[u8]) -> Result<Self, OauthError> {
        let mut params = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if value.is_empty() {
                continue;
            }
            // The JavaScript SDK repeats this one on purpose.
            if params.insert(name.to_string(), value.to_string()).is_some() && name != "ui_options" {
                return Err(OauthError {
                    parameter: Some(name.to_string()),
                    ..OauthError::new("invalid_request", "OAU-111", format!("Duplicate parameter [{name}]"))
                });
            }
        }
        Ok(Self(params))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there.
    pub fn need(&self, name: &str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::parameter(name))
    }
}

/// A secret with a prefix, the canary, and 256 random bits.
#[must_use]
pub fn secret(prefix: &str) -> String {
    let mut bytes = [0_u8; 32];
    // The system's generator fails only when the process is beyond help; a UUID keeps the value unique even then.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    format!("{prefix}.CANARY.{}", data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

/// A random id without a secret in it.
#[must_use]
pub fn random_id(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
