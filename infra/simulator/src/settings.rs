//! The settings of `PUT /_sim/settings`: how the simulated platform behaves.
//!
//! The second half is one switch for each disagreement between RingCentral's own sources that a client can notice.

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::{Millis, SECOND};

/// What happens to a refresh token that has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    /// It keeps answering with the same new pair, until shortly after that pair is first used.
    Grace,
    /// It is dead at once.
    Strict,
    /// It is dead at once, and using it again ends the whole session.
    FamilyKill,
}

/// How the sent message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalStatus {
    /// The carrier confirmed it.
    Delivered,
    /// The carrier took it and says no more.
    Sent,
    /// The carrier refused it.
    DeliveryFailed,
    /// It never reached a carrier.
    SendingFailed,
}

/// Trouble on the way of webhook events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hooks {
    /// Further copies of each event.
    pub duplicate: u32,
    /// Events wait for a second one, which then goes first.
    pub reorder: bool,
    /// The share of events that is lost, 0 to 1.
    pub drop: f64,
    /// Each event waits so long.
    pub delay_ms: u64,
    /// Events carry a token that is not the subscription's.
    pub wrong_token: bool,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { duplicate: 0, reorder: false, drop: 0.0, delay_ms: 0, wrong_token: false }
    }
}

/// Requests per window and group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimits {
    /// False switches every limit off.
    pub enabled: bool,
    /// Requests of group Light.
    pub light: u32,
    /// Requests of group Medium.
    pub medium: u32,
    /// Requests of group Heavy.
    pub heavy: u32,
    /// Requests of group Auth, per user.
    pub auth: u32,
    /// Requests to the token endpoint of one app, all users together; null: no such limit.
    pub auth_per_app: Option<u32>,
    /// The sliding window.
    pub window_seconds: u32,
    /// How long everything is refused after an excess; each further request starts it again.
    pub penalty_seconds: u32,
}

impl Default for RateLimits {
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

/// All settings. A setting that is not named keeps its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The rule for refresh tokens that were used.
    pub refresh_tokens: RefreshTokens,
    /// `grace`: so long after the first use of the new access token the old refresh token dies.
    pub grace_used_seconds: i64,
    /// `grace`: so long the old refresh token lives while the new access token is unused.
    pub grace_unused_seconds: i64,
    /// Life of an access token, in seconds.
    pub access_ttl: i64,
    /// Life of a refresh token, in seconds.
    pub refresh_ttl: i64,
    /// The longest refresh token life that a client may ask for.
    pub max_refresh_ttl: i64,
    /// Sessions of one user and app; one more ends the oldest.
    pub session_limit: usize,
    /// The app setting "Issue refresh tokens".
    pub issue_refresh_tokens: bool,
    /// The app's scopes: a list, or one string with spaces.
    #[serde(deserialize_with = "words")]
    pub scopes: Vec<String>,
    /// A send is answered (and done) so many milliseconds late.
    pub sms_latency_ms: u64,
    /// A send that was accepted reaches the message store so many seconds late, by the simulator's clock.
    pub sms_late_accept_seconds: i64,
    /// Every message shows up in the message store so many seconds late.
    pub store_lag_seconds: i64,
    /// Trouble with webhooks.
    pub hooks: Hooks,
    /// How sent messages end.
    pub final_status: FinalStatus,
    /// The error code of messages that end badly; null: `SMS-CAR-431`.
    pub delivery_error_code: Option<String>,
    /// Requests per window and group.
    pub rate_limits: RateLimits,
    /// Subscriptions of one user and app.
    pub subscription_limit: usize,
    /// The status of a sent message moves on after so many seconds per step.
    pub status_step_seconds: i64,
    /// A subscription is blacklisted after so many failures in a row.
    pub blacklist_after_failures: u32,
    /// A subscription is blacklisted when events have failed for so many seconds.
    pub blacklist_after_seconds: i64,

    /// Is the `scope` of the authorize request honoured (specification) or ignored (guide)?
    pub honour_scope: bool,
    /// OAU errors of the token endpoint: 400 as in live replies, or 401 as in the guide's table.
    pub oauth_error_status: u16,
    /// Header family: `X-Rate-Limit` or `X-RateLimit`.
    pub rate_limit_header: String,
    /// Longest life of a webhook subscription, in seconds: 10 years, or 20.
    pub max_subscription_ttl: i64,
    /// How long the receiver may take to answer the handshake: 3000, or 1000 in older texts.
    pub handshake_timeout_ms: u64,
    /// Header of the token on events: `Verification-Token`, or `Validation-Token`.
    pub event_token_header: String,
    /// A blacklisted subscription is set active again after so many seconds; null: never.
    pub reactivate_after_seconds: Option<i64>,
    /// An opted-out recipient is refused at once instead of by the message's status.
    pub refuse_opted_out: bool,
    /// `features` in the account-wide number list.
    pub account_number_features: bool,
    /// Default frame of a full sync, in hours: 24 (specification) or 168 (guide).
    pub full_sync_hours: i64,
    /// `session_id` in token replies.
    pub session_id: bool,
    /// `VoiceFax` (specification) or `VoiceAndFax` (guide) as type of a number.
    pub number_type: String,
    /// `ownerId` of instant events inside the body instead of on the envelope.
    pub owner_id_in_body: bool,
    /// Attachments live on the second host name instead of the first.
    pub media_on_second_host: bool,
    /// The login page is on the second host name for every brand, not only for those with environments of their own.
    pub login_on_second_host: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh_tokens: RefreshTokens::Grace,
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
            hooks: Hooks::default(),
            final_status: FinalStatus::Delivered,
            delivery_error_code: None,
            rate_limits: RateLimits::default(),
            subscription_limit: 20,
            status_step_seconds: 1,
            blacklist_after_failures: 10,
            blacklist_after_seconds: 600,
            honour_scope: false,
            oauth_error_status: 400,
            rate_limit_header: "X-Rate-Limit".to_owned(),
            max_subscription_ttl: 315_360_000,
            handshake_timeout_ms: 3000,
            event_token_header: "Verification-Token".to_owned(),
            reactivate_after_seconds: None,
            refuse_opted_out: false,
            account_number_features: false,
            full_sync_hours: 24,
            session_id: true,
            number_type: "VoiceFax".to_owned(),
            owner_id_in_body: false,
            media_on_second_host: false,
            login_on_second_host: false,
        }
    }
}

impl Settings {
    /// These settings with the top-level keys of `patch` replaced; the error names the field.
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
        let wrong = |field: &str, rule: &str| Err(format!("{field}: {rule}"));
        if !(0.0..=1.0).contains(&self.hooks.drop) {
            return wrong("hooks.drop", "must be 0 to 1");
        }
        if !["X-Rate-Limit", "X-RateLimit"].contains(&self.rate_limit_header.as_str()) {
            return wrong("rateLimitHeader", "must be X-Rate-Limit or X-RateLimit");
        }
        if !["Verification-Token", "Validation-Token"].contains(&self.event_token_header.as_str()) {
            return wrong("eventTokenHeader", "must be Verification-Token or Validation-Token");
        }
        if !["VoiceFax", "VoiceAndFax"].contains(&self.number_type.as_str()) {
            return wrong("numberType", "must be VoiceFax or VoiceAndFax");
        }
        if ![400, 401].contains(&self.oauth_error_status) {
            return wrong("oauthErrorStatus", "must be 400 or 401");
        }
        let times = [
            ("accessTtl", self.access_ttl),
            ("refreshTtl", self.refresh_ttl),
            ("maxRefreshTtl", self.max_refresh_ttl),
            ("maxSubscriptionTtl", self.max_subscription_ttl),
            ("fullSyncHours", self.full_sync_hours),
        ];
        for (field, value) in times {
            if value < 1 {
                return wrong(field, "must be at least 1");
            }
        }
        let spans = [
            ("graceUsedSeconds", self.grace_used_seconds),
            ("graceUnusedSeconds", self.grace_unused_seconds),
            ("smsLateAcceptSeconds", self.sms_late_accept_seconds),
            ("storeLagSeconds", self.store_lag_seconds),
            ("statusStepSeconds", self.status_step_seconds),
            ("blacklistAfterSeconds", self.blacklist_after_seconds),
        ];
        for (field, value) in spans {
            if value < 0 {
                return wrong(field, "must not be negative");
            }
        }
        if self.session_limit == 0 {
            return wrong("sessionLimit", "must be at least 1");
        }
        Ok(self)
    }

    /// The rate window, in [`Millis`].
    #[must_use]
    pub fn rate_window(&self) -> Millis {
        Millis::from(self.rate_limits.window_seconds) * SECOND
    }
}

/// A list of words, or one string with spaces between them.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(match Words::deserialize(deserializer)? {
        Words::List(list) => list,
        Words::One(text) => text.split_whitespace().map(str::to_owned).collect(),
    })
}
