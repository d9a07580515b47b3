//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveMessageRequest {
    /// `resend` sends it again, `drop` gives it up.
    #[schemars(required, extend("enum" = ["resend", "drop"]))]
    pub action: Option<String>,
}
