//! A tenant's management of its apps and their keys.
//!
//! An app's item lists the ids of its keys. Every change of the keys is conditional on that list and is retried if another
//! change was faster.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use crate::clock::{parse_time, saturating_add};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, GrantExcess, KeyGrant, KeyRecord, Scope, ip_range};
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::patch::Patch;
use crate::model::secret::Secret;
use crate::model::trigger_token::TriggerToken;
use crate::registration;
use crate::retry::{Attempt, retry_on_conflict};
use crate::store::{AddedKey, AppChange, ChangeOutcome, KeyChange};

pub async fn find(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<App> {
    gateway.store.app(tenant, id).await?.ok_or(Error::NotFound)
}

/// An app that can have keys and a webhook secret. A Power Automate flow has neither and is not found.
async fn find_program(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<App> {
    let app = gateway.store.app(tenant, id).await?;
    app.filter(|app| app.kind == AppKind::Program).ok_or(Error::NotFound)
}

pub async fn update(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    change: &AppChange,
) -> Result<App> {
    let changed = [
        ("name", change.name.is_some()),
        ("webhookUrl", change.webhook_url != Patch::Keep),
        ("eventTypes", change.event_types.is_some()),
        ("numbers", change.numbers.is_some()),
        ("role", change.role != Patch::Keep),
    ];
    let fields: Vec<&'static str> =
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    let entry = AuditEntry {
        context: audit,
        action: Action::AppChanged,
        tenant,
        subject: id.as_str(),
        fields: &fields,
    };
    match gateway.store.change_app(tenant, id, change, &entry).await? {
        ChangeOutcome::Applied => find(gateway, tenant, id).await,
        ChangeOutcome::NotFound => Err(Error::NotFound),
        ChangeOutcome::Conflict => Err(Error::InvalidField {
            text: "webhookUrl and eventTypes of a Power Automate trigger can't be changed: the flow subscribes with them"
                .to_owned(),
            field: if change.webhook_url == Patch::Keep { "eventTypes" } else { "webhookUrl" },
        }),
    }
}

/// Deletes an app and its keys.
pub async fn delete(gateway: &Gateway, audit: &AuditContext, tenant: &TenantId, id: &AppId) -> Result<()> {
    delete_app(gateway, audit, tenant, id, Action::AppDeleted, |_| true).await
}

/// Ends the subscription of a Power Automate flow. An app of another kind is not found.
pub async fn delete_trigger(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
) -> Result<()> {
    let is_trigger = |app: &App| app.kind == AppKind::Trigger;
    delete_app(gateway, audit, tenant, id, Action::TriggerDeleted, is_trigger).await
}

/// Ends the subscription of a Power Automate flow by its token. With a wrong token, the trigger is not found.
pub async fn end_trigger(
    gateway: &Gateway,
    audit: &AuditContext,
    id: &AppId,
    token: &TriggerToken,
) -> Result<()> {
    let has_token = |app: &App| app.trigger_token.as_deref().is_some_and(|digest| token.matches(digest));
    delete_app(gateway, audit, token.tenant(), id, Action::TriggerDeleted, has_token).await
}

async fn delete_app(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    action: Action,
    may_delete: impl Fn(&App) -> bool,
) -> Result<()> {
    let entry = AuditEntry { context: audit, action, tenant, subject: id.as_str(), fields: &[] };
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let app = find(gateway, tenant, id).await?;
        if !may_delete(&app) {
            return Err(Error::NotFound);
        }
        attempt_of(gateway.store.delete_app(&app, &entry).await?, ())
    })
    .await
}

/// At least one scope is required; duplicates are dropped.
pub fn scopes(names: Option<Vec<String>>) -> Result<Vec<Scope>> {
    let names = names.ok_or(Error::MissingField { text: "scopes is required", field: "scopes" })?;
    let mut scopes = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        let scope = Scope::parse(name).ok_or_else(|| Error::InvalidItem {
            text: format!("scopes[{at}] must be one of {known}"),
            field: format!("scopes[{at}]"),
        })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        return Err(Error::InvalidField {
            text: "scopes must name at least one scope".into(),
            field: "scopes",
        });
    }
    Ok(scopes)
}

/// CIDR ranges or single addresses.
pub fn allowed_ips(texts: Option<&[String]>) -> Result<Vec<IpNet>> {
    let texts = texts.unwrap_or_default();
    if texts.len() > limits::ALLOWED_IPS {
        let text = format!("allowedIps must be at most {} ranges", limits::ALLOWED_IPS);
        return Err(Error::InvalidField { text, field: "allowedIps" });
    }
    let invalid = |at: usize| Error::InvalidItem {
        text: format!("allowedIps[{at}] must be an IP address or a CIDR range"),
        field: format!("allowedIps[{at}]"),
    };
    texts.iter().enumerate().map(|(at, text)| ip_range(text).ok_or_else(|| invalid(at))).collect()
}

/// An ISO 8601 time in the future.
pub fn expiry(text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>> {
    let invalid = || Error::InvalidField {
        text: "expiresAt must be an ISO 8601 time in the future, with its offset".to_owned(),
        field: "expiresAt",
    };
    let end = text.map(|text| parse_time(text).ok_or_else(invalid)).transpose()?;
    if end.is_some_and(|end| end <= now) { Err(invalid()) } else { Ok(end) }
}

/// How long a rotated key stays valid.
pub fn overlap(seconds: Option<i64>) -> Result<SignedDuration> {
    let seconds = seconds.unwrap_or(0);
    if (0..=limits::OVERLAP_SECONDS_MAX).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    let text = format!("overlapSeconds must be 0-{}", limits::OVERLAP_SECONDS_MAX);
    Err(Error::InvalidField { text, field: "overlapSeconds" })
}

/// Creates an additional key of an app, which can do no more than the caller's. Expired keys are deleted, so that they do not
/// count against the limit.
pub async fn create_key(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    callers: &KeyGrant,
    grant: &KeyGrant,
) -> Result<(ApiKey, KeyRecord)> {
    if let Some(excess) = callers.excess_of(grant) {
        return Err(exceeded(callers, &excess));
    }
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let (app, expired) = with_expired_keys(gateway, tenant, id).await?;
        if app.keys.len() - expired.len() >= limits::KEYS_PER_APP {
            return Err(Error::TooManyKeys);
        }
        let key = ApiKey::generate(tenant);
        let record = KeyRecord::of(&key, id, grant.clone(), gateway.clock.now());
        let change = KeyChange { add: Some(&record), remove: expired, ..KeyChange::default() };
        let entry = AuditEntry {
            context: audit,
            action: Action::KeyCreated,
            tenant,
            subject: record.id.as_str(),
            fields: &[],
        };
        let changed = gateway.store.change_keys(&app, &change, &entry).await?;
        attempt_of(changed, (key, record))
    })
    .await
}

/// The error for a request for a key that can do more than the caller's.
fn exceeded(callers: &KeyGrant, excess: &GrantExcess) -> Error {
    let (text, field) = match excess {
        GrantExcess::Scopes(scopes) => {
            let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            (format!("your key lacks {}", names.join(", ")), "scopes")
        }
        GrantExcess::AllowedIps => {
            let ranges: Vec<String> = callers.allowed_ips.iter().map(ToString::to_string).collect();
            (format!("allowedIps must be within those of your key, {}", ranges.join(", ")), "allowedIps")
        }
        GrantExcess::ExpiresAt => {
            let end = callers.expires_at.map(|end| format!("{end:.3}")).unwrap_or_default();
            (format!("expiresAt must not be later than that of your key, {end}"), "expiresAt")
        }
    };
    Error::GrantExceeded { text: format!("Insufficient permissions: {text}"), field }
}

/// Replaces an app's main key by one with the same permissions, except those that the caller's key lacks. The old key expires
/// after the overlap; it is revoked at once if the overlap is zero.
pub async fn rotate_key(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    callers: &KeyGrant,
    overlap: SignedDuration,
) -> Result<(ApiKey, KeyRecord)> {
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let app = find_program(gateway, tenant, id).await?;
        let now = gateway.clock.now();
        let keys = gateway.store.keys(&app).await?;
        let (expired, valid): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.grant.is_expired(now));
        let old = valid.iter().find(|key| Some(&key.id) == app.main_key.as_ref());
        let key = ApiKey::generate(tenant);
        let grant = match old {
            None => callers.clone(),
            Some(old) => callers.intersection(&old.grant).ok_or_else(|| Error::GrantExceeded {
                text: "Insufficient permissions: your key has no scope or address in common with the app's main key"
                    .to_owned(),
                field: "appId",
            })?,
        };
        let record = KeyRecord::of(&key, id, grant, now);
        let (added_key, remove) = (AddedKey::Main, ids(&expired));
        let mut change = KeyChange { added_key, remove, ..KeyChange::default() };
        if let Some(old) = old {
            if overlap.is_zero() {
                change.remove.push(old.id.clone());
            } else {
                let end = saturating_add(now, overlap);
                let end = old.grant.expires_at.map_or(end, |earlier| earlier.min(end));
                change.expire = Some((old.id.clone(), end));
            }
        }
        if app.keys.len() - change.remove.len() >= limits::KEYS_PER_APP {
            return Err(Error::TooManyKeys);
        }
        change.add = Some(&record);
        let entry = AuditEntry {
            context: audit,
            action: Action::KeyRotated,
            tenant,
            subject: record.id.as_str(),
            fields: &[],
        };
        let changed = gateway.store.change_keys(&app, &change, &entry).await?;
        attempt_of(changed, (key, record.clone()))
    })
    .await
}

/// Revokes a key of an app. Requests that start afterwards are rejected.
pub async fn revoke_key(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    key: &KeyId,
) -> Result<()> {
    let entry =
        AuditEntry { context: audit, action: Action::KeyRevoked, tenant, subject: key.as_str(), fields: &[] };
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let app = find(gateway, tenant, id).await?;
        if !app.keys.contains(key) {
            return Err(Error::NotFound);
        }
        let change = KeyChange { remove: vec![key.clone()], ..KeyChange::default() };
        attempt_of(gateway.store.change_keys(&app, &change, &entry).await?, ())
    })
    .await
}

/// Replaces an app's webhook secret. Returns the new one, and until when events are also signed with the old one.
pub async fn rotate_webhook_secret(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
) -> Result<(Secret, Timestamp)> {
    let entry = AuditEntry {
        context: audit,
        action: Action::WebhookSecretRotated,
        tenant,
        subject: id.as_str(),
        fields: &[],
    };
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let found = gateway.store.signing_app(tenant, id).await?;
        let (app, seen) = found.filter(|(app, _)| app.kind == AppKind::Program).ok_or(Error::NotFound)?;
        let now = gateway.clock.now();
        // Each replaced secret signs until the end that was promised. The next rotation is possible when the first one ends.
        let is_full = seen.replaced.len() >= limits::WEBHOOK_SECRETS_REPLACED;
        if let Some((_, end)) = seen.replaced.first().filter(|_| is_full) {
            return Err(Error::WebhookSecretLimit { until: *end });
        }
        let generation = seen.current.generation + 1;
        let secret = registration::new_webhook_secret();
        let sealed = registration::seal_webhook_secret(gateway, tenant, id, generation, &secret).await?;
        let ends = saturating_add(now, SignedDuration::from_secs(limits::WEBHOOK_SECRET_OVERLAP_SECONDS));
        let replaced = gateway.store.replace_webhook_secret(&app, &seen, &sealed, ends, &entry).await?;
        attempt_of(replaced, (secret, ends))
    })
    .await
}

async fn with_expired_keys(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<(App, Vec<KeyId>)> {
    let app = find_program(gateway, tenant, id).await?;
    let now = gateway.clock.now();
    let mut keys = gateway.store.keys(&app).await?;
    keys.retain(|key| key.grant.is_expired(now));
    Ok((app, ids(&keys)))
}

fn ids(keys: &[KeyRecord]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id.clone()).collect()
}

fn attempt_of<T>(changed: ChangeOutcome, result: T) -> Result<Attempt<T>> {
    match changed {
        ChangeOutcome::Applied => Ok(Attempt::Done(result)),
        ChangeOutcome::Conflict => Ok(Attempt::Conflict),
        ChangeOutcome::NotFound => Err(Error::NotFound),
    }
}

fn contended() -> Error {
    Error::unavailable("the app", "every attempt to change it met a concurrent change")
}
