//! The settings of `PUT /_sim/settings`: how the simulated platform behaves.
//!
//! The second half has one switch for each disagreement between RingCentral's own sources that a client can notice.

use serde::{Deserialize, Deserializer, Serialize};

use crate::platform::consents::{CampaignType, ConsentCoverage};

/// What happens to a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokenPolicy {
    /// It returns the same new pair again, until shortly after the first use of that pair.
    Grace,
    /// It is invalid immediately.
    Strict,
    /// It is invalid immediately, and using it again revokes the session.
    FamilyKill,
}

/// The last status of a sent message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalStatus {
    /// The carrier confirms delivery.
    Delivered,
    /// The carrier accepts the message and reports nothing more.
    Sent,
    /// The carrier rejects the message.
    DeliveryFailed,
    /// The message never reaches a carrier.
    SendingFailed,
}

/// The family of rate limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateLimitHeader {
    #[serde(rename = "X-Rate-Limit")]
    Hyphenated,
    #[serde(rename = "X-RateLimit")]
    Joined,
}

/// The header that carries a subscription's verification token on events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventTokenHeader {
    #[serde(rename = "Verification-Token")]
    VerificationToken,
    #[serde(rename = "Validation-Token")]
    ValidationToken,
}

/// The `type` of a number for voice and fax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoiceFaxName {
    VoiceFax,
    VoiceAndFax,
}

/// Faults in the delivery of webhook events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebhookFaults {
    /// Additional copies of each event.
    pub duplicate: u32,
    /// Each event waits for the next one, which is sent first.
    pub reorder: bool,
    /// The share of events that is lost, 0 to 1.
    pub drop: f64,
    /// Delay of each event.
    pub delay_ms: u64,
    /// Events carry a token other than the subscription's.
    pub wrong_token: bool,
}

impl Default for WebhookFaults {
    fn default() -> Self {
        Self { duplicate: 0, reorder: false, drop: 0.0, delay_ms: 0, wrong_token: false }
    }
}

/// How the content of attachments is served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MediaSettings {
    /// A request without `Range` gets 206 with the first half of the content.
    pub partial: bool,
    /// The content is behind a redirect to another host name, which needs no access token.
    pub redirect: bool,
}

/// Requests per window, by group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// `false` disables all limits.
    pub enabled: bool,
    pub light: u32,
    pub medium: u32,
    pub heavy: u32,
    /// Per user.
    pub auth: u32,
    /// Requests to the token endpoint per app, all its users together; null: no such limit.
    pub auth_per_app: Option<u32>,
    /// Length of the sliding window.
    pub window_seconds: u32,
    /// After an excess, all requests of the group are refused for this long; each further request restarts the
    /// penalty.
    pub penalty_seconds: u32,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            light: 50,
            medium: 40,
            heavy: 10,
            auth: 5,
            auth_per_app: None,
            window_seconds: 60,
            penalty_seconds: 60,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlatformSettings {
    pub refresh_tokens: RefreshTokenPolicy,
    /// `grace`: the old refresh token is valid for this long after the first use of the new access token.
    pub grace_used_seconds: i64,
    /// `grace`: the old refresh token is valid for this long while the new access token is unused.
    pub grace_unused_seconds: i64,
    /// Lifetime of an access token, in seconds.
    pub access_ttl: i64,
    /// Lifetime of a refresh token, in seconds.
    pub refresh_ttl: i64,
    /// The longest lifetime of a refresh token that a client can request, in seconds.
    pub max_refresh_ttl: i64,
    /// Sessions per user and app; a further login revokes the oldest session.
    pub session_limit: usize,
    /// The app setting "Issue refresh tokens".
    pub issue_refresh_tokens: bool,
    /// The app's scopes: a list, or one string with spaces.
    #[serde(deserialize_with = "list_or_words")]
    pub scopes: Vec<String>,
    /// Delay before a send is processed.
    pub sms_latency_ms: u64,
    /// A send is accepted this long after its reply, by the simulator's clock.
    pub sms_late_accept_seconds: i64,
    /// Every message appears in the message store this long after it was created.
    pub store_lag_seconds: i64,
    pub hooks: WebhookFaults,
    pub media: MediaSettings,
    pub final_status: FinalStatus,
    /// The delivery error code of failed messages; null: `SMS-CAR-431`.
    pub delivery_error_code: Option<String>,
    pub rate_limits: RateLimitSettings,
    /// Subscriptions per user and app.
    pub subscription_limit: usize,
    /// Time between two statuses of a sent message.
    pub status_step_seconds: i64,
    /// A subscription is blacklisted after this many consecutive failures …
    pub blacklist_after_failures: u32,
    /// … or when deliveries have failed for this long.
    pub blacklist_after_seconds: i64,

    /// The scope parameter of an authorize request limits the granted scopes.
    pub honour_scope: bool,
    /// HTTP status of OAU errors at the token endpoint: 400 (observed) or 401 (guide).
    pub oauth_error_status: u16,
    pub rate_limit_header: RateLimitHeader,
    /// Longest lifetime of a webhook subscription, in seconds: 10 years, or 20.
    pub max_subscription_ttl: i64,
    /// Time limit of the webhook handshake: 3000, or 1000 in older documentation.
    pub handshake_timeout_ms: u64,
    pub event_token_header: EventTokenHeader,
    /// A blacklisted subscription becomes active again after this many seconds; null: never.
    pub reactivate_after_seconds: Option<i64>,
    /// A send to a recipient who opted out is refused, instead of failing later.
    pub refuse_opted_out: bool,
    /// An API call can opt in a recipient who opted out by a keyword.
    pub api_lifts_keyword_opt_out: bool,
    /// RingCentral confirms opt-outs and opt-ins to the recipient, and answers HELP. The confirmations are in the message store.
    pub keyword_replies: bool,
    /// What a keyword covers: the number that received it (`PhoneNumber`), all numbers (`Account`), or those of campaigns of
    /// `campaignType` (`CampaignType`).
    pub consent_coverage: ConsentCoverage,
    /// The type of the campaigns of all numbers.
    pub campaign_type: CampaignType,
    /// Subscriptions to consent events are accepted; otherwise they are refused with SUB-508.
    pub consent_events: bool,
    /// The account-wide number list has `features`.
    pub account_number_features: bool,
    /// Default range of a full sync, in hours: 24 (specification) or 168 (guide).
    pub full_sync_hours: i64,
    /// Token replies have `session_id`.
    pub session_id: bool,
    /// `VoiceFax` (specification) or `VoiceAndFax` (guide).
    pub number_type: VoiceFaxName,
    /// `ownerId` of events is inside the body instead of on the envelope.
    pub owner_id_in_body: bool,
    /// Attachments are served on another host name than the API, as by media.ringcentral.com. Otherwise on the same.
    pub media_on_second_host: bool,
    /// The login page is on the second host name for every brand, not only for brands with a separate environment.
    pub login_on_second_host: bool,
}

impl Default for PlatformSettings {
    fn default() -> Self {
        Self {
            refresh_tokens: RefreshTokenPolicy::Grace,
            grace_used_seconds: 10,
            grace_unused_seconds: 3600,
            access_ttl: 3600,
            refresh_ttl: 604_800,
            max_refresh_ttl: 604_800,
            session_limit: 5,
            issue_refresh_tokens: true,
            scopes: ["ReadAccounts", "SMS", "ReadMessages", "EditMessages", "SubscriptionWebhook"]
                .map(str::to_owned)
                .to_vec(),
            sms_latency_ms: 0,
            sms_late_accept_seconds: 0,
            store_lag_seconds: 0,
            hooks: WebhookFaults::default(),
            media: MediaSettings::default(),
            final_status: FinalStatus::Delivered,
            delivery_error_code: None,
            rate_limits: RateLimitSettings::default(),
            subscription_limit: 20,
            status_step_seconds: 1,
            blacklist_after_failures: 10,
            blacklist_after_seconds: 600,
            honour_scope: false,
            oauth_error_status: 400,
            rate_limit_header: RateLimitHeader::Hyphenated,
            max_subscription_ttl: 315_360_000,
            handshake_timeout_ms: 3000,
            event_token_header: EventTokenHeader::VerificationToken,
            reactivate_after_seconds: None,
            refuse_opted_out: false,
            api_lifts_keyword_opt_out: false,
            keyword_replies: false,
            consent_coverage: ConsentCoverage::PhoneNumber,
            campaign_type: CampaignType::Conversational,
            consent_events: true,
            account_number_features: false,
            full_sync_hours: 24,
            session_id: true,
            number_type: VoiceFaxName::VoiceFax,
            owner_id_in_body: false,
            media_on_second_host: true,
            login_on_second_host: false,
        }
    }
}

impl PlatformSettings {
    /// These settings with the top-level keys of `patch` replaced. The error names the wrong field.
    pub fn merged(&self, patch: &serde_json::Value) -> Result<Self, String> {
        let Some(patch) = patch.as_object() else {
            return Err("the body must be a JSON object".to_owned());
        };
        let mut all = serde_json::to_value(self).map_err(|e| e.to_string())?;
        for (key, value) in patch {
            all[key] = value.clone();
        }
        let merged: Self = serde_path_to_error::deserialize(all).map_err(|e| {
            let path = e.path().to_string();
            if path == "." { e.into_inner().to_string() } else { format!("{path}: {}", e.into_inner()) }
        })?;
        merged.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let invalid = |field: &str, rule: &str| Err(format!("{field}: {rule}"));
        if !(0.0..=1.0).contains(&self.hooks.drop) {
            return invalid("hooks.drop", "must be 0 to 1");
        }
        if ![400, 401].contains(&self.oauth_error_status) {
            return invalid("oauthErrorStatus", "must be 400 or 401");
        }
        let at_least_one = [
            ("accessTtl", self.access_ttl),
            ("refreshTtl", self.refresh_ttl),
            ("maxRefreshTtl", self.max_refresh_ttl),
            ("maxSubscriptionTtl", self.max_subscription_ttl),
            ("fullSyncHours", self.full_sync_hours),
        ];
        for (field, value) in at_least_one {
            if value < 1 {
                return invalid(field, "must be at least 1");
            }
        }
        let not_negative = [
            ("graceUsedSeconds", self.grace_used_seconds),
            ("graceUnusedSeconds", self.grace_unused_seconds),
            ("smsLateAcceptSeconds", self.sms_late_accept_seconds),
            ("storeLagSeconds", self.store_lag_seconds),
            ("statusStepSeconds", self.status_step_seconds),
            ("blacklistAfterSeconds", self.blacklist_after_seconds),
        ];
        for (field, value) in not_negative {
            if value < 0 {
                return invalid(field, "must not be negative");
            }
        }
        if self.consent_coverage == ConsentCoverage::VirtualSender {
            return invalid("consentCoverage", "must be PhoneNumber, Account or CampaignType");
        }
        if self.session_limit == 0 {
            return invalid("sessionLimit", "must be at least 1");
        }
        Ok(self)
    }
}

/// Deserializes a list of words, or one string with spaces between them.
fn list_or_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrWords {
        List(Vec<String>),
        Words(String),
    }
    Ok(match ListOrWords::deserialize(deserializer)? {
        ListOrWords::List(list) => list,
        ListOrWords::Words(text) => text.split_whitespace().map(str::to_owned).collect(),
    })
}
