//! Calls from one function to another.
//!
//! The functions that face the internet cannot open refresh tokens; they ask the one that can, by Lambda `Invoke`.

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde::Serialize;
use serde_json::Value;

/// Calls functions by name.
#[derive(Debug, Clone)]
pub struct Functions(aws_sdk_lambda::Client);

/// Why a function gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// Lambda did not take the call, or its answer was lost; the function may have run.
    #[error("Lambda: {0}")]
    Unavailable(String),
    /// The function failed.
    #[error("the function failed")]
    Failed,
    /// What it was to be told can't be written as JSON, or its answer can't be read.
    #[error("not JSON")]
    Json(#[source] serde_json::Error),
}

impl Functions {
    /// Calls through this client.
    pub fn new(client: aws_sdk_lambda::Client) -> Self {
        Self(client)
    }

    /// Calls a function and waits for its answer.
    pub async fn call(&self, function: &str, payload: &impl Serialize) -> Result<Value, InvokeError> {
        let payload = serde_json::to_vec(payload).map_err(InvokeError::Json)?;
        let answer = self
            .0
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        if answer.function_error.is_some() {
            return Err(InvokeError::Failed);
        }
        let body = answer.payload.unwrap_or_else(|| Blob::new("null"));
        serde_json::from_slice(body.as_ref()).map_err(InvokeError::Json)
    }
}

fn unavailable<E: ProvideErrorMetadata>(error: &SdkError<E>) -> InvokeError {
    InvokeError::Unavailable(
        error.as_service_error().and_then(|e| e.code()).unwrap_or("no answer").to_owned(),
    )
}
