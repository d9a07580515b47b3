//! A webhook event that waits for its delivery.

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct WebhookEvent {
    pub subscription_id: String,
    /// The URL of the receiver.
    pub address: String,
    /// The subscription's verification token, sent in `token_header`.
    pub token: Option<String>,
    pub token_header: String,
    /// The JSON body.
    pub envelope: Value,
}
