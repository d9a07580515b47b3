//! Subscriptions to events, delivered to a webhook.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Group};
use crate::error::{Error, Result};
use crate::lenient;
use crate::open_enum::open_enum;
use crate::secret::Secret;

/// Inbound SMS and MMS of the user, with their content.
pub const INBOUND_SMS: &str = "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS";

/// Any change in the user's messages, as counts: follow it with a message sync.
pub const MESSAGE_CHANGES: &str = "/restapi/v1.0/account/~/extension/~/message-store";

/// Changes of consent (opt-out, opt-in).
pub const CONSENT_CHANGES: &str = "/restapi/v2/accounts/~/sms/consents";

/// The longest life of a webhook subscription that all sources agree on: ten years, in seconds.
pub const MAX_WEBHOOK_LIFE_SECONDS: u64 = 315_360_000;

/// A filter for reminders before a subscription ends: from `threshold_seconds` before, every
/// `interval_seconds`. It cannot be the only filter (`SUB-515`), and RingCentral may skip reminders: keep a
/// timer of your own.
#[must_use]
pub fn renewal_reminder(threshold_seconds: u64, interval_seconds: u64) -> String {
    format!("/restapi/v1.0/subscription/~?threshold={threshold_seconds}&interval={interval_seconds}")
}

open_enum!(
    /// Whether events are delivered.
    SubscriptionStatus {
        /// Delivered.
        Active = "Active",
        /// Stopped, since the address failed. Delete the subscription and create another.
        Blacklisted = "Blacklisted",
        /// Stopped, in older answers.
        Suspended = "Suspended",
    }
);

open_enum!(
    /// How events are delivered.
    Transport {
        /// HTTP POST.
        WebHook = "WebHook",
        /// Web socket.
        WebSocket = "WebSocket",
        /// Apple push.
        Apns = "RC/APNS",
        /// Google push.
        Gcm = "RC/GCM",
        /// PubNub, withdrawn.
        PubNub = "PubNub",
    }
);

/// A webhook subscription to be made.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// What to be told of, at least one; `~` stands for the user's own account and extension.
    pub event_filters: Vec<String>,
    /// Where to POST events: https, except on a loopback host in a simulator. During the call RingCentral
    /// POSTs there with a `Validation-Token` header, which must come back within 3 s in an answer of at most
    /// 1,024 bytes.
    pub address: String,
    /// Sent back with each event in the header `Verification-Token`. Nothing else proves where one came from.
    pub verification_token: Option<Secret>,
    /// Life in seconds; without it only seven days. At most [`MAX_WEBHOOK_LIFE_SECONDS`].
    pub expires_in_seconds: Option<u64>,
}

/// What to change in a subscription. Either change renews it; no field at all renews it for the default life.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionChange {
    /// The new filters, in place of all the old ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_filters: Option<Vec<String>>,
    /// The new life in seconds, from now.
    #[serde(rename = "expiresIn", skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// A subscription as RingCentral has it. It outlives the access token that made it, and only the same user
/// and app see it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Whether events are delivered.
    #[serde(default)]
    pub status: Option<SubscriptionStatus>,
    /// The filters, with `~` replaced by ids.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub event_filters: Vec<String>,
    /// Filters that the user has lost the permission for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub disabled_filters: Vec<DisabledFilter>,
    /// When it was made.
    #[serde(default)]
    pub creation_time: Option<Timestamp>,
    /// When it ends.
    #[serde(default)]
    pub expiration_time: Option<Timestamp>,
    /// In how many seconds it ends.
    #[serde(default, rename = "expiresIn", deserialize_with = "lenient::optional_integer")]
    pub expires_in_seconds: Option<i64>,
    /// How events are delivered.
    #[serde(default)]
    pub delivery_mode: Option<DeliveryMode>,
    /// Why it was stopped.
    #[serde(default)]
    pub blacklisted_data: Option<Blacklisting>,
}

impl Subscription {
    /// True if events are delivered.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Some(SubscriptionStatus::Active)
    }

    /// The address that gets the events.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.delivery_mode.as_ref()?.address.as_deref()
    }
}

/// A filter that no longer works.
#[derive(Debug, Clone, Deserialize)]
pub struct DisabledFilter {
    /// The filter.
    #[serde(default)]
    pub filter: String,
    /// A word for why.
    #[serde(default)]
    pub reason: Option<String>,
    /// A sentence for why.
    #[serde(default)]
    pub message: Option<String>,
}

/// How events are delivered. The verification token is never told again.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryMode {
    /// The transport.
    #[serde(default)]
    pub transport_type: Option<Transport>,
    /// The address of a webhook.
    #[serde(default)]
    pub address: Option<String>,
}

/// Why a subscription was stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blacklisting {
    /// When.
    #[serde(default)]
    pub blacklisted_at: Option<Timestamp>,
    /// What the address did, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event_filters: &'a [String],
    delivery_mode: Delivery<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivery<'a> {
    transport_type: &'a str,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_token: Option<&'a str>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    records: Vec<Subscription>,
}

impl Api {
    /// Makes a webhook subscription. RingCentral calls the address before it answers. App scope
    /// `SubscriptionWebhook` and that of each filter; group Medium; 20 to 30 per user and app (`SUB-505`).
    ///
    /// # Errors
    /// [`Kind::Invalid`](super::Kind::Invalid) with `SUB-520` to `SUB-525` if the address does not answer as it
    /// should; [`Kind::Forbidden`](super::Kind::Forbidden) for too many subscriptions or missing permissions.
    pub async fn create_subscription(&self, new: &NewSubscription) -> Result<Subscription> {
        let body = Body {
            event_filters: &new.event_filters,
            delivery_mode: Delivery {
                transport_type: Transport::WebHook.as_str(),
                address: &new.address,
                verification_token: new.verification_token.as_ref().map(Secret::expose),
            },
            expires_in: new.expires_in_seconds,
        };
        let call = self.call("create_subscription", Group::Medium, Method::POST, PATH).body(&body)?;
        let secrets = new.verification_token.as_ref().map(Secret::expose);
        self.send_with_secrets(call, secrets.as_slice()).await?.json()
    }

    /// One subscription. Group Light.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if it is over, or of another user or app.
    pub async fn subscription(&self, id: &str) -> Result<Subscription> {
        self.json(self.get("subscription", Group::Light, &one("subscription", id)?)).await
    }

    /// All subscriptions of this user and app. Group Light.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let list: List = self.json(self.get("subscriptions", Group::Light, PATH)).await?;
        Ok(list.records)
    }

    /// Changes filters or life, and renews. The address cannot be changed: make another subscription. Group
    /// Medium.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if it is over, or of another user or app.
    pub async fn update_subscription(&self, id: &str, change: &SubscriptionChange) -> Result<Subscription> {
        let path = one("update_subscription", id)?;
        self.json(self.call("update_subscription", Group::Medium, Method::PUT, &path).body(change)?).await
    }

    /// Renews for the life that it was made with. Group Light.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if it is over, or of another user or app.
    pub async fn renew_subscription(&self, id: &str) -> Result<Subscription> {
        let path = format!("{}/renew", one("renew_subscription", id)?);
        self.json(self.call("renew_subscription", Group::Light, Method::POST, &path)).await
    }

    /// Ends a subscription. Group Medium.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if it is over already, or of another user or app.
    pub async fn delete_subscription(&self, id: &str) -> Result<()> {
        let path = one("delete_subscription", id)?;
        self.send(self.call("delete_subscription", Group::Medium, Method::DELETE, &path)).await.map(drop)
    }
}

const PATH: &str = "/restapi/v1.0/subscription";

/// The path of one subscription. Ids are words: anything else could reach another path.
fn one(operation: &'static str, id: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) {
        return Err(Error::refused(operation, "not the id of a subscription"));
    }
    Ok(format!("{PATH}/{id}"))
}
