//! Webhook subscriptions.

use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::lenient::record;
use crate::open_enum::open_enum;
use crate::paging::Records;
use crate::rate_limit::UsageGroup;
use crate::secret::Secret;

/// The event filter of inbound SMS and MMS of the user, with their content.
pub const INBOUND_SMS: &str = "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS";

/// The event filter of all changes in the user's messages, as counts. A message sync returns the changes.
pub const MESSAGE_CHANGES: &str = "/restapi/v1.0/account/~/extension/~/message-store";

/// The event filter of consent changes (opt-out, opt-in).
pub const CONSENT_CHANGES: &str = "/restapi/v2/accounts/~/sms/consents";

/// The longest lifetime of a webhook subscription that all sources agree on: ten years, in seconds.
pub const MAX_WEBHOOK_LIFETIME_SECONDS: u64 = 315_360_000;

/// The event filter of reminders before a subscription expires: from `threshold_seconds` before the end, every
/// `interval_seconds`. It cannot be the only filter (`SUB-515`). RingCentral may skip reminders, so do not rely on them
/// alone.
#[must_use]
pub fn renewal_reminder(threshold_seconds: u64, interval_seconds: u64) -> String {
    format!("/restapi/v1.0/subscription/~?threshold={threshold_seconds}&interval={interval_seconds}")
}

open_enum!(
    /// The status of a subscription.
    SubscriptionStatus {
        /// Events are delivered.
        Active = "Active",
        /// Delivery stopped because the webhook URL failed. Delete the subscription and create another one.
        Blacklisted = "Blacklisted",
        /// Delivery stopped, in older responses.
        Suspended = "Suspended",
    }
);

open_enum!(
    /// The transport of a subscription's events.
    Transport {
        /// HTTP POST.
        WebHook = "WebHook",
        /// WebSocket.
        WebSocket = "WebSocket",
        /// Apple push notifications.
        Apns = "RC/APNS",
        /// Google push notifications.
        Gcm = "RC/GCM",
        /// PubNub, which RingCentral has withdrawn.
        PubNub = "PubNub",
    }
);

/// A webhook subscription to create.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// The event filters, at least one. `~` stands for the user's account and extension.
    pub event_filters: Vec<String>,
    /// The webhook URL: https, or, with a simulator, http on a loopback host. While it creates the subscription,
    /// RingCentral sends a POST request with a `Validation-Token` header there, which must be returned within 3 s in a
    /// response of at most 1,024 bytes.
    pub address: String,
    /// A secret that RingCentral sends with each event in the header `Verification-Token`. Nothing else proves that
    /// RingCentral sent an event.
    pub verification_token: Option<Secret>,
    /// The lifetime in seconds, at most [`MAX_WEBHOOK_LIFETIME_SECONDS`]. RingCentral's default is seven days.
    pub expires_in_seconds: Option<u64>,
}

/// A change of a subscription. Each change renews it; a change without fields renews it for the default lifetime.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionChange {
    /// The new event filters, which replace all existing ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_filters: Option<Vec<String>>,
    /// The new lifetime in seconds, from now.
    #[serde(rename = "expiresIn", skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// A subscription. It outlives the access token that it was created with, and is visible to the same user and app only.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The id.
    pub id: String,
    /// The status.
    pub status: Option<SubscriptionStatus>,
    /// The event filters, with ids instead of `~`.
    pub event_filters: Vec<String>,
    /// Event filters that the user no longer has the permission for.
    pub disabled_filters: Vec<DisabledFilter>,
    /// When it was created.
    pub creation_time: Option<Timestamp>,
    /// When it expires.
    pub expiration_time: Option<Timestamp>,
    /// In how many seconds it expires.
    pub expires_in_seconds: Option<i64>,
    /// Where events are delivered.
    pub delivery_mode: Option<DeliveryMode>,
    /// Why delivery stopped.
    pub blacklisted_data: Option<Blacklisting>,
}

record!(Subscription {
    id: required "id",
    status: lossy "status",
    event_filters: lossy_list "eventFilters",
    disabled_filters: lossy_list "disabledFilters",
    creation_time: lossy "creationTime",
    expiration_time: lossy "expirationTime",
    expires_in_seconds: lossy "expiresIn",
    delivery_mode: lossy "deliveryMode",
    blacklisted_data: lossy "blacklistedData",
});

impl Subscription {
    /// Whether events are delivered.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Some(SubscriptionStatus::Active)
    }

    /// The webhook URL.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.delivery_mode.as_ref()?.address.as_deref()
    }
}

/// An event filter that no longer matches.
#[derive(Debug, Clone)]
pub struct DisabledFilter {
    /// The event filter.
    pub filter: Option<String>,
    /// The reason, as a code.
    pub reason: Option<String>,
    /// The reason, as text.
    pub message: Option<String>,
}

record!(DisabledFilter {
    filter: lossy "filter",
    reason: lossy "reason",
    message: lossy "message",
});

/// Where events are delivered. RingCentral never returns the verification token.
#[derive(Debug, Clone)]
pub struct DeliveryMode {
    /// The transport.
    pub transport_type: Option<Transport>,
    /// The webhook URL.
    pub address: Option<String>,
}

record!(DeliveryMode {
    transport_type: lossy "transportType",
    address: lossy "address",
});

/// Why the delivery of a subscription stopped.
#[derive(Debug, Clone)]
pub struct Blacklisting {
    /// When it stopped.
    pub blacklisted_at: Option<Timestamp>,
    /// How the webhook URL failed, as text.
    pub reason: Option<String>,
}

record!(Blacklisting {
    blacklisted_at: lossy "blacklistedAt",
    reason: lossy "reason",
});

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody<'a> {
    event_filters: &'a [String],
    delivery_mode: DeliveryModeBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryModeBody<'a> {
    transport_type: &'a str,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_token: Option<&'a str>,
}

impl Api {
    /// Creates a webhook subscription. RingCentral calls the webhook URL before it responds. App scope
    /// `SubscriptionWebhook` and that of each event filter; group Medium; at most 20 to 30 per user and app (`SUB-505`).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with `SUB-520` to `SUB-525` if the webhook URL does not
    /// respond as required; [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden) for too many subscriptions or missing
    /// permissions.
    pub async fn create_subscription(&self, new: &NewSubscription) -> Result<Subscription> {
        let body = SubscriptionBody {
            event_filters: &new.event_filters,
            delivery_mode: DeliveryModeBody {
                transport_type: Transport::WebHook.as_str(),
                address: &new.address,
                verification_token: new.verification_token.as_ref().map(Secret::expose),
            },
            expires_in: new.expires_in_seconds,
        };
        let call = self.call("create_subscription", UsageGroup::Medium, Method::POST, PATH).body(&body)?;
        let secrets = new.verification_token.as_ref().map(Secret::expose);
        self.send_with_secrets(call, secrets.as_slice()).await?.json()
    }

    /// Returns a subscription. Group Light.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it has expired, or belongs to another user or app.
    pub async fn subscription(&self, id: &str) -> Result<Subscription> {
        self.json(self.get("subscription", UsageGroup::Light, &subscription_path("subscription", id)?)).await
    }

    /// Returns all subscriptions of this user and app. Group Light.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn subscriptions(&self) -> Result<Records<Subscription>> {
        self.json(self.get("subscriptions", UsageGroup::Light, PATH)).await
    }

    /// Changes the event filters or the lifetime, and renews the subscription. The webhook URL cannot be changed: create
    /// another subscription. Group Medium.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it has expired, or belongs to another user or app.
    pub async fn update_subscription(&self, id: &str, change: &SubscriptionChange) -> Result<Subscription> {
        let path = subscription_path("update_subscription", id)?;
        self.json(self.call("update_subscription", UsageGroup::Medium, Method::PUT, &path).body(change)?)
            .await
    }

    /// Renews a subscription for the lifetime that it was created with. Group Light.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it has expired, or belongs to another user or app.
    pub async fn renew_subscription(&self, id: &str) -> Result<Subscription> {
        let path = format!("{}/renew", subscription_path("renew_subscription", id)?);
        self.json(self.call("renew_subscription", UsageGroup::Light, Method::POST, &path)).await
    }

    /// Deletes a subscription. Group Medium.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it has expired, or belongs to another user or app.
    pub async fn delete_subscription(&self, id: &str) -> Result<()> {
        let path = subscription_path("delete_subscription", id)?;
        let call = self.call("delete_subscription", UsageGroup::Medium, Method::DELETE, &path);
        self.send(call).await?.no_content()
    }
}

const PATH: &str = "/restapi/v1.0/subscription";

/// The path of a subscription. Ids with other characters are refused, because they could lead to another path.
fn subscription_path(operation: &'static str, id: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) {
        return Err(Error::refused(operation, "malformed subscription id"));
    }
    Ok(format!("{PATH}/{id}"))
}
