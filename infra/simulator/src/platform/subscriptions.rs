//! Webhook subscriptions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::clock::{Millis, SECOND, format_time, seconds_until};
use crate::platform::filters;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookStatus {
    Active,
    /// Too many deliveries failed; no event is sent.
    Blacklisted,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    /// A UUID.
    pub id: String,
    /// The app that created it.
    pub client_id: String,
    /// The user who created it.
    pub extension_id: i64,
    pub account_id: i64,
    /// With `~` resolved to ids.
    pub filters: Vec<String>,
    /// The URL that receives the events.
    pub address: String,
    /// Sent with each event.
    pub verification_token: Option<String>,
    pub created_at: Millis,
    /// Lifetime in seconds.
    pub ttl: i64,
    pub expires_at: Millis,
    /// An expired subscription is kept, because calls on it get another error than calls on an unknown one.
    pub expired: bool,
    pub status: WebhookStatus,
    /// Time and reason.
    pub blacklisted: Option<(Millis, String)>,
    /// Consecutive failed deliveries.
    pub failures: u32,
    /// Time of the first of them.
    pub failing_since: Option<Millis>,
    /// When the next renewal reminder is due.
    pub remind_at: Option<Millis>,
}

impl SubscriptionRecord {
    /// `uri` is its absolute URL.
    #[must_use]
    pub fn to_json(&self, uri: &str, now: Millis) -> Value {
        let mut record = json!({
            "uri": uri,
            "id": self.id,
            "creationTime": format_time(self.created_at),
            "status": self.status,
            "eventFilters": self.filters,
            "expirationTime": format_time(self.expires_at),
            "expiresIn": (seconds_until(self.expires_at, now) - 1).max(0),
            "deliveryMode": {"transportType": "WebHook", "encryption": false, "address": self.address},
        });
        if let Some((at, reason)) = &self.blacklisted {
            record["blacklistedData"] = json!({"blacklistedAt": format_time(*at), "reason": reason});
        }
        record
    }

    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        !self.expired && now < self.expires_at
    }

    /// Starts a new lifetime of `ttl` seconds.
    pub fn renew(&mut self, now: Millis, ttl: i64) {
        self.ttl = ttl;
        self.expires_at = now + ttl * SECOND;
        self.remind_at = filters::first_reminder(&self.filters, self.expires_at);
    }

    /// The fields of a ledger entry. They leave out the verification token and the address, which may hold a secret.
    #[must_use]
    pub fn ledger_fields(&self) -> Value {
        json!({
            "subscriptionId": self.id,
            "extensionId": self.extension_id.to_string(),
            "accountId": self.account_id.to_string(),
            "clientId": self.client_id,
            "eventFilters": self.filters,
            "expirationTime": format_time(self.expires_at),
        })
    }
}
