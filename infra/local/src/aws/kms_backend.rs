//! KMS: the local one, or another engine's.

use super::error::AwsError;
use super::kms::{KeyState, LocalKms};
use super::remote_kms::RemoteKms;
use serde_json::Value;

pub enum KmsBackend {
    Local(LocalKms),
    Remote(RemoteKms),
}

impl KmsBackend {
    pub async fn handle(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        match self {
            Self::Local(kms) => kms.handle(operation, input),
            Self::Remote(kms) => kms.handle(operation, input).await,
        }
    }

    /// Enables or disables one key, or all keys of the template.
    pub async fn set_key_state(&self, key_id: Option<&str>, state: KeyState) -> Result<(), AwsError> {
        match self {
            Self::Local(kms) => kms.set_key_state(key_id, state),
            Self::Remote(kms) => kms.set_key_state(key_id, state).await,
        }
    }

    /// The ARN of the key that a request uses.
    #[must_use]
    pub fn key_arn(&self, input: &Value) -> Option<String> {
        match self {
            Self::Local(kms) => kms.key_arn(input),
            Self::Remote(kms) => kms.key_arn(input),
        }
    }
}
