//! Calls from one function to another.
//!
//! The functions that face the internet cannot decrypt refresh tokens. They call the one that can, by Lambda `Invoke`.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::aws::{self, AwsClient, AwsRequest};
use crate::limits;

/// Calls functions by name or ARN.
#[derive(Debug, Clone)]
pub struct Functions(AwsClient);

/// Why a function gave no response.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// Lambda rejected the call, or its response was lost. If it was lost, the function may have run.
    #[error("Lambda: {0}")]
    Unavailable(String),
    /// The function ran and failed.
    #[error("the function failed")]
    Failed,
    /// The payload cannot be written as JSON, or the response is not JSON.
    #[error("not JSON")]
    Json(#[source] serde_json::Error),
}

impl Functions {
    pub fn new(client: AwsClient) -> Self {
        Self(client)
    }

    /// Calls a function, once, and waits for its response. The function may wait for RingCentral, so the call may take
    /// longer than other AWS calls.
    pub async fn call(&self, function: &str, payload: &impl Serialize) -> Result<Value, InvokeError> {
        let request = AwsRequest {
            service: "lambda",
            operation: "Invoke",
            method: "POST",
            bucket: None,
            path: format!("/2015-03-31/functions/{}/invocations", aws::percent_encoded(function)),
            headers: vec![
                ("x-amz-invocation-type", "RequestResponse".to_owned()),
                ("content-type", "application/json".to_owned()),
            ],
            body: serde_json::to_vec(payload).map_err(InvokeError::Json)?.into(),
            timeout: Duration::from_millis(limits::INVOKE_MS),
        };
        let response =
            self.0.send(request).await.map_err(|error| InvokeError::Unavailable(error.to_string()))?;
        match response.status {
            200 if response.function_error => Err(InvokeError::Failed),
            200 if response.body.is_empty() => Ok(Value::Null),
            200 => serde_json::from_slice(&response.body).map_err(InvokeError::Json),
            status => Err(InvokeError::Unavailable(format!("status {status}"))),
        }
    }
}
