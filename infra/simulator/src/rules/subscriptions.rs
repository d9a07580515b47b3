//! Webhook subscriptions: who may create which, how they are renewed, expire and are blacklisted.

use http::StatusCode;
use serde_json::Value;

use crate::platform::clock::{Millis, SECOND};
use crate::platform::errors::RestError;
use crate::platform::filters::{EventFilter, EventTopic};
use crate::platform::ledger::LedgerKind;
use crate::platform::state::PlatformState;
use crate::platform::subscriptions::{SubscriptionRecord, WebhookStatus};
use crate::rules::caller::ApiCaller;

/// Lifetime of a subscription whose request has no `expiresIn`, in seconds.
const DEFAULT_TTL: i64 = 604_800;

fn bad_request(code: &'static str, text: &str) -> RestError {
    RestError::new(StatusCode::BAD_REQUEST, code, text)
}

fn forbidden(code: &'static str, text: &str) -> RestError {
    RestError::new(StatusCode::FORBIDDEN, code, text)
}

/// Refuses URLs other than https, and http to this machine.
pub fn check_webhook_address(address: &str) -> Result<(), RestError> {
    let invalid = || RestError::parameter("deliveryMode.address", address);
    let url = url::Url::parse(address).map_err(|_| invalid())?;
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(invalid()),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        "http" => Err(bad_request("SUB-523", "HTTPS is required for WebHook address")),
        _ => Err(invalid()),
    }
}

/// The filters of a request with ids in place of `~`, if the caller may use all of them.
pub fn resolve_filters(
    state: &PlatformState,
    caller: &ApiCaller,
    requested: &[String],
) -> Result<Vec<String>, RestError> {
    if requested.is_empty() {
        return Err(bad_request("SUB-508", "Event filters are not specified"));
    }
    let mut resolved = Vec::new();
    let mut only_reminders = true;
    for text in requested {
        let supported = |f: &EventFilter| f.topic != EventTopic::Consents || state.settings.consent_events;
        let filter = EventFilter::parse(text).filter(supported).ok_or_else(|| {
            bad_request("SUB-508", "Event filter is not recognized").attribute("filter", text.as_str())
        })?;
        only_reminders &= filter.topic == EventTopic::Reminder;
        resolved.push(resolve_filter(state, caller, &filter)?);
    }
    if only_reminders {
        return Err(bad_request("SUB-515", "A reminder can not be the only event filter"));
    }
    Ok(resolved)
}

fn resolve_filter(
    state: &PlatformState,
    caller: &ApiCaller,
    filter: &EventFilter,
) -> Result<String, RestError> {
    let own = caller.own_extension(state)?;
    match filter.topic {
        EventTopic::InstantMessage | EventTopic::MessageStore => caller.require_scope("ReadMessages")?,
        EventTopic::Extension => caller.require_scope("ReadAccounts")?,
        EventTopic::Consents => caller.require_scope("SMS")?,
        EventTopic::Reminder => {}
    }
    if filter.account != "~" && filter.account != own.account_id.to_string() {
        return Err(forbidden("SUB-406", "Subscription to events of another account is not allowed"));
    }
    let extension = match filter.extension.as_deref() {
        None => None,
        Some("~") => Some(own.id),
        Some(id) => {
            let other = state.extension(id).filter(|e| e.account_id == own.account_id);
            let other = other.ok_or_else(|| forbidden("SUB-408", "Unknown user in the event filter"))?;
            if other.id != own.id && !own.admin {
                let text = "Subscription to events of another extension is not allowed";
                return Err(forbidden("SUB-405", text));
            }
            Some(other.id)
        }
    };
    Ok(filter.with_ids(own.account_id, extension))
}

/// The lifetime of a subscription in seconds.
pub fn subscription_ttl(state: &PlatformState, requested: Option<i64>) -> Result<i64, RestError> {
    match requested {
        None => Ok(DEFAULT_TTL),
        Some(ttl) if ttl < 1 => Err(RestError::parameter("expiresIn", ttl)),
        Some(ttl) => Ok(ttl.min(state.settings.max_subscription_ttl)),
    }
}

/// Subscriptions are visible only to the user and app that created them.
fn belongs_to(subscription: &SubscriptionRecord, caller: &ApiCaller) -> bool {
    subscription.extension_id == caller.session.extension_id
        && subscription.client_id == caller.session.client_id
}

/// What a new subscription consists of. All fields are checked.
#[derive(Debug)]
pub struct SubscriptionDraft {
    pub filters: Vec<String>,
    pub address: String,
    pub verification_token: Option<String>,
    /// Lifetime in seconds.
    pub ttl: i64,
}

impl PlatformState {
    pub fn live_subscriptions<'s>(
        &'s self,
        caller: &'s ApiCaller,
        now: Millis,
    ) -> impl Iterator<Item = &'s SubscriptionRecord> {
        self.subscriptions.iter().filter(move |s| belongs_to(s, caller) && s.is_live(now))
    }

    /// Refuses a further subscription of a caller who has the maximum.
    pub fn check_subscription_count(&self, caller: &ApiCaller, now: Millis) -> Result<(), RestError> {
        if self.live_subscriptions(caller, now).count() < self.settings.subscription_limit {
            return Ok(());
        }
        Err(forbidden("SUB-505", "Subscriptions limit exceeded"))
    }

    pub fn create_subscription(
        &mut self,
        caller: &ApiCaller,
        now: Millis,
        draft: SubscriptionDraft,
    ) -> SubscriptionRecord {
        let mut subscription = SubscriptionRecord {
            id: uuid::Uuid::new_v4().to_string(),
            client_id: caller.session.client_id.clone(),
            extension_id: caller.session.extension_id,
            account_id: caller.session.account_id,
            filters: draft.filters,
            address: draft.address,
            verification_token: draft.verification_token,
            created_at: now,
            ttl: 0,
            expires_at: now,
            expired: false,
            status: WebhookStatus::Active,
            blacklisted: None,
            failures: 0,
            failing_since: None,
            remind_at: None,
        };
        subscription.renew(now, draft.ttl);
        self.ledger.add(now, LedgerKind::SubscriptionCreated, subscription.ledger_fields());
        self.subscriptions.push(subscription.clone());
        subscription
    }

    /// A live subscription of the caller.
    pub fn subscription_mut(
        &mut self,
        caller: &ApiCaller,
        now: Millis,
        id: &str,
    ) -> Result<&mut SubscriptionRecord, RestError> {
        match self.subscriptions.iter_mut().find(|s| s.id == id && belongs_to(s, caller)) {
            Some(found) if found.is_live(now) => Ok(found),
            Some(_) => {
                Err(RestError::new(StatusCode::NOT_FOUND, "SUB-507", "Subscription is expired or not found"))
            }
            None => Err(RestError::not_found("subscriptionId", id)),
        }
    }

    /// Starts a new lifetime of `ttl` seconds, by default of the same length, optionally with new filters.
    pub fn renew_subscription(
        &mut self,
        caller: &ApiCaller,
        now: Millis,
        id: &str,
        filters: Option<Vec<String>>,
        ttl: Option<i64>,
    ) -> Result<SubscriptionRecord, RestError> {
        let subscription = self.subscription_mut(caller, now, id)?;
        if let Some(filters) = filters {
            subscription.filters = filters;
        }
        subscription.renew(now, ttl.unwrap_or(subscription.ttl));
        let renewed = subscription.clone();
        self.ledger.add(now, LedgerKind::SubscriptionRenewed, renewed.ledger_fields());
        Ok(renewed)
    }

    pub fn delete_subscription(
        &mut self,
        caller: &ApiCaller,
        now: Millis,
        id: &str,
    ) -> Result<(), RestError> {
        let fields = self.subscription_mut(caller, now, id)?.ledger_fields();
        self.subscriptions.retain(|s| s.id != id);
        self.ledger.add(now, LedgerKind::SubscriptionDeleted, fields);
        Ok(())
    }

    /// Expires the subscriptions whose lifetime is over.
    pub fn expire_subscriptions(&mut self, now: Millis) {
        let mut expired: Vec<(Millis, Value)> = Vec::new();
        for subscription in &mut self.subscriptions {
            if !subscription.expired && now >= subscription.expires_at {
                subscription.expired = true;
                expired.push((subscription.expires_at, subscription.ledger_fields()));
            }
        }
        for (at, fields) in expired {
            self.ledger.add(at, LedgerKind::SubscriptionExpired, fields);
        }
    }

    /// A subscription of any user that has not expired.
    pub fn unexpired_subscription(&mut self, id: &str) -> Option<&mut SubscriptionRecord> {
        self.subscriptions.iter_mut().find(|s| s.id == id && !s.expired)
    }

    pub fn record_delivery_success(&mut self, id: &str) {
        if let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.id == id) {
            subscription.failures = 0;
            subscription.failing_since = None;
        }
    }

    /// Counts a failed delivery. Too many of them, or failures for too long, blacklist the subscription.
    pub fn record_delivery_failure(&mut self, now: Millis, id: &str, reason: &str) {
        let settings = &self.settings;
        let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.id == id) else {
            return;
        };
        subscription.failures += 1;
        let since = *subscription.failing_since.get_or_insert(now);
        let failed_for_too_long =
            now - since >= settings.blacklist_after_seconds * SECOND && subscription.failures > 1;
        if subscription.status == WebhookStatus::Active
            && (failed_for_too_long || subscription.failures >= settings.blacklist_after_failures)
        {
            self.blacklist_subscription(now, id, reason);
        }
    }

    /// Stops the events of a subscription. Has no effect if it expired.
    pub fn blacklist_subscription(&mut self, now: Millis, id: &str, reason: &str) {
        let Some(subscription) = self.unexpired_subscription(id) else { return };
        subscription.status = WebhookStatus::Blacklisted;
        subscription.blacklisted = Some((now, reason.to_owned()));
        let mut fields = subscription.ledger_fields();
        fields["reason"] = reason.into();
        self.ledger.add(now, LedgerKind::SubscriptionBlacklisted, fields);
    }

    /// Activates blacklisted subscriptions again if `reactivateAfterSeconds` is set and over.
    pub fn reactivate_subscriptions(&mut self, now: Millis) {
        let Some(seconds) = self.settings.reactivate_after_seconds else {
            return;
        };
        for subscription in &mut self.subscriptions {
            let is_due =
                subscription.blacklisted.as_ref().is_some_and(|(at, _)| now >= at + seconds * SECOND);
            if subscription.status == WebhookStatus::Blacklisted && is_due {
                subscription.status = WebhookStatus::Active;
                subscription.blacklisted = None;
                subscription.failures = 0;
                subscription.failing_since = None;
            }
        }
    }
}
