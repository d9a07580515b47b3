//! The content of `stack.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StackInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringcentral: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_key: Option<String>,
    /// The tenant that the runner created at the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The key of that tenant's first app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The simulator's seed app and users.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub rc: Value,
}

impl StackInfo {
    /// The gateway's URL, empty if the gateway does not run.
    #[must_use]
    pub fn gateway(&self) -> &str {
        self.gateway.as_deref().unwrap_or_default()
    }

    /// The simulator's URL, empty if the simulator does not run.
    #[must_use]
    pub fn ringcentral(&self) -> &str {
        self.ringcentral.as_deref().unwrap_or_default()
    }

    /// The URL of the AWS endpoints, empty if they do not run.
    #[must_use]
    pub fn aws(&self) -> &str {
        self.aws.as_deref().unwrap_or_default()
    }
}
