//! Apps and their keys: a tenant manages its own.
//!
//! An app's item names all its keys, and every change of them says which it has seen; a change that another one has
//! overtaken looks again.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyRecord, Scope, ip_range};
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::secret::Secret;
use crate::registration;
use crate::store::{AppChange, Changed, KeyChange};

/// How often a change is tried again when another one was faster.
const ATTEMPTS: u32 = 5;

/// An app's id as a program writes it.
pub fn app_id(text: &str) -> Result<AppId> {
    AppId::parse(text).ok_or(Error::InvalidId { kind: "appId" })
}

/// A flow's id as a program writes it.
pub fn trigger_id(text: &str) -> Result<AppId> {
    AppId::parse(text).ok_or(Error::InvalidId { kind: "id" })
}

/// A key's id as a program writes it.
pub fn key_id(text: &str) -> Result<KeyId> {
    KeyId::parse(text).ok_or(Error::InvalidId { kind: "keyId" })
}

/// One app of a tenant.
pub async fn find(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<App> {
    gateway.store.app(tenant, id).await?.ok_or(Error::NotFound)
}

/// Changes an app.
pub async fn change(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    change: &AppChange,
) -> Result<App> {
    let changed = [
        ("name", change.name.is_some()),
        ("webhookUrl", change.webhook_url.is_some()),
        ("eventTypes", change.event_types.is_some()),
        ("numbers", change.numbers.is_some()),
        ("role", change.role.is_some()),
    ];
    let fields: Vec<&'static str> =
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    let deed = AuditEntry { by, action: Action::AppChanged, tenant, subject: id.as_str(), fields: &fields };
    match gateway.store.change_app(tenant, id, change, &deed).await? {
        Changed::Yes => find(gateway, tenant, id).await,
        Changed::Absent | Changed::Moved => Err(Error::NotFound),
    }
}

/// Deletes an app with all its keys.
pub async fn delete(gateway: &Gateway, by: &AuditContext, tenant: &TenantId, id: &AppId) -> Result<()> {
    end(gateway, by, tenant, id, Action::AppDeleted, None).await
}

/// Ends a flow's subscription. An app that is none is not found.
pub async fn delete_trigger(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
) -> Result<()> {
    end(gateway, by, tenant, id, Action::TriggerDeleted, Some(AppKind::Trigger)).await
}

async fn end(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    action: Action,
    kind: Option<AppKind>,
) -> Result<()> {
    let deed = AuditEntry { by, action, tenant, subject: id.as_str(), fields: &[] };
    for _ in 0..ATTEMPTS {
        let app = find(gateway, tenant, id).await?;
        if kind.is_some_and(|kind| kind != app.kind) {
            return Err(Error::NotFound);
        }
        match gateway.store.delete_app(&app, &deed).await? {
            Changed::Yes => return Ok(()),
            Changed::Absent => return Err(Error::NotFound),
            Changed::Moved => {}
        }
    }
    Err(overtaken())
}

/// A further key as a program orders it.
#[derive(Debug)]
pub struct KeyOrder {
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is dead, if ever.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used; from anywhere if there is nothing here.
    pub allowed_ips: Vec<IpNet>,
}

/// Scopes as a program writes them: at least one, each named once.
pub fn scopes(words: Option<Vec<String>>) -> Result<Vec<Scope>> {
    let words = words.ok_or(Error::MissingField { text: "scopes is required", field: "scopes" })?;
    let mut scopes = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        let scope = Scope::parse(word).ok_or_else(|| Error::InvalidItem {
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

/// Address ranges as a program writes them: CIDR, or single addresses.
pub fn allowed_ips(texts: Option<&[String]>) -> Result<Vec<IpNet>> {
    let texts = texts.unwrap_or_default();
    if texts.len() > limits::ALLOWED_IPS {
        let text = format!("allowedIps must be at most {} ranges", limits::ALLOWED_IPS);
        return Err(Error::InvalidField { text, field: "allowedIps" });
    }
    let wrong = |at: usize| Error::InvalidItem {
        text: format!("allowedIps[{at}] must be an IP address or a CIDR range"),
        field: format!("allowedIps[{at}]"),
    };
    texts.iter().enumerate().map(|(at, text)| ip_range(text).ok_or_else(|| wrong(at))).collect()
}

/// An expiry as a program writes it: ISO 8601, in the future.
pub fn expiry(text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>> {
    let wrong = || Error::InvalidField {
        text: "expiresAt must be an ISO 8601 time in the future".to_owned(),
        field: "expiresAt",
    };
    let end = text.map(|text| text.parse::<Timestamp>().map_err(|_| wrong())).transpose()?;
    if end.is_some_and(|end| end <= now) { Err(wrong()) } else { Ok(end) }
}

/// For how long a rotated key stays alive.
pub fn overlap(seconds: Option<i64>) -> Result<SignedDuration> {
    let seconds = seconds.unwrap_or(0);
    if (0..=limits::OVERLAP_SECONDS_MAX).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    let text = format!("overlapSeconds must be 0-{}", limits::OVERLAP_SECONDS_MAX);
    Err(Error::InvalidField { text, field: "overlapSeconds" })
}

/// Makes a further key of an app.
pub async fn create_key(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    order: &KeyOrder,
) -> Result<(ApiKey, KeyRecord)> {
    for _ in 0..ATTEMPTS {
        let (app, expired) = with_expired_keys(gateway, tenant, id).await?;
        if app.keys.len() - expired.len() >= limits::KEYS_PER_APP {
            return Err(Error::TooManyKeys);
        }
        let key = ApiKey::generate(tenant);
        let record = KeyRecord {
            allowed_ips: order.allowed_ips.clone(),
            expires_at: order.expires_at,
            ..KeyRecord::of(&key, id, order.scopes.clone(), gateway.clock.now())
        };
        let change = KeyChange { add: Some(&record), remove: expired, ..KeyChange::default() };
        let deed =
            AuditEntry { by, action: Action::KeyCreated, tenant, subject: record.id.as_str(), fields: &[] };
        if applied(gateway.store.change_keys(&app, &change, &deed).await?)? {
            return Ok((key, record));
        }
    }
    Err(overtaken())
}

/// Replaces an app's main key by one that may do the same. The old one is dead after the overlap, without one at once.
pub async fn rotate_key(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    overlap: SignedDuration,
) -> Result<ApiKey> {
    for _ in 0..ATTEMPTS {
        let app = find(gateway, tenant, id).await?;
        let now = gateway.clock.now();
        let keys = gateway.store.keys(&app).await?;
        let (dead, alive): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.is_expired(now));
        let old = alive.iter().find(|key| Some(&key.id) == app.main_key.as_ref());
        let key = ApiKey::generate(tenant);
        let mut record = KeyRecord::of(&key, id, Scope::ALL.to_vec(), now);
        let mut change = KeyChange { is_main: true, remove: ids(&dead), ..KeyChange::default() };
        if let Some(old) = old {
            record.scopes = old.scopes.clone();
            record.allowed_ips = old.allowed_ips.clone();
            if overlap.is_zero() {
                change.remove.push(old.id.clone());
            } else {
                let end = saturating_add(now, overlap);
                change.expire =
                    Some((old.id.clone(), old.expires_at.map_or(end, |earlier| earlier.min(end))));
            }
        }
        if app.keys.len() - change.remove.len() >= limits::KEYS_PER_APP {
            return Err(Error::TooManyKeys);
        }
        change.add = Some(&record);
        let deed =
            AuditEntry { by, action: Action::KeyRotated, tenant, subject: record.id.as_str(), fields: &[] };
        if applied(gateway.store.change_keys(&app, &change, &deed).await?)? {
            return Ok(key);
        }
    }
    Err(overtaken())
}

/// Revokes a key of an app: no request that begins after this passes with it.
pub async fn revoke_key(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
    key: &KeyId,
) -> Result<()> {
    let deed = AuditEntry { by, action: Action::KeyRevoked, tenant, subject: key.as_str(), fields: &[] };
    for _ in 0..ATTEMPTS {
        let app = find(gateway, tenant, id).await?;
        if !app.keys.contains(key) {
            return Err(Error::NotFound);
        }
        let change = KeyChange { remove: vec![key.clone()], ..KeyChange::default() };
        if applied(gateway.store.change_keys(&app, &change, &deed).await?)? {
            return Ok(());
        }
    }
    Err(overtaken())
}

/// Replaces an app's webhook secret. The one before signs along until the moment that is given with the new one.
pub async fn rotate_webhook_secret(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    id: &AppId,
) -> Result<(Secret, Timestamp)> {
    let deed =
        AuditEntry { by, action: Action::WebhookSecretRotated, tenant, subject: id.as_str(), fields: &[] };
    for _ in 0..ATTEMPTS {
        let (app, seen) = gateway.store.signing_app(tenant, id).await?.ok_or(Error::NotFound)?;
        let now = gateway.clock.now();
        // Each signs along for as long as was promised with its successor, so there is room when the first one ends.
        let limit = limits::WEBHOOK_SECRETS_REPLACED;
        if let Some((_, end)) = seen.replaced.first().filter(|_| seen.replaced.len() >= limit as usize) {
            let retry_after = end.duration_since(now).try_into().unwrap_or_default();
            return Err(Error::RateLimited { limit, retry_after });
        }
        let generation = seen.current.generation + 1;
        let secret = registration::new_webhook_secret();
        let sealed = registration::seal_webhook_secret(gateway, tenant, id, generation, &secret).await?;
        let ends = saturating_add(now, SignedDuration::from_secs(limits::WEBHOOK_SECRET_OVERLAP_SECONDS));
        if applied(gateway.store.replace_webhook_secret(&app, &seen, &sealed, ends, &deed).await?)? {
            return Ok((secret, ends));
        }
    }
    Err(overtaken())
}

/// An app, with those of its keys that are dead and may be forgotten.
async fn with_expired_keys(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<(App, Vec<KeyId>)> {
    let app = find(gateway, tenant, id).await?;
    let now = gateway.clock.now();
    let mut keys = gateway.store.keys(&app).await?;
    keys.retain(|key| key.is_expired(now));
    Ok((app, ids(&keys)))
}

fn ids(keys: &[KeyRecord]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id.clone()).collect()
}

/// True if a change was made, false if it is to be tried again.
fn applied(changed: Changed) -> Result<bool> {
    match changed {
        Changed::Yes => Ok(true),
        Changed::Moved => Ok(false),
        Changed::Absent => Err(Error::NotFound),
    }
}

fn overtaken() -> Error {
    Error::unavailable("an app that others keep changing", "changing an app")
}
