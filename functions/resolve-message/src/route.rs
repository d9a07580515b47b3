//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveMessageRequest {
    /// `resend` sends the message again, `drop` marks it as failed.
    #[schemars(required, extend("enum" = ["resend", "drop"]))]
    pub action: Option<String>,
}
