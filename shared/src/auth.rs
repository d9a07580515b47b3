//! Who is calling, and whether they call too often.
//!
//! A [`Caller`] or an [`Operator`] can only be made here, so holding one proves that a key was checked and the request
//! was counted. In this order: form and checksum of the key, which cost nothing; what this process remembers of keys
//! that nobody has; one read of key and tenant; the key's secret, expiry and address, the tenant's status; the rate
//! limit; the scope.
//!
//! Every request reads its key, so a revoked key is dead at once; only whoever sends messages may pass for ten seconds on
//! what was read before ([`recent_caller`]).
//! A key that was proven a short while ago is counted while it is read, so that both take the time of one.

use std::sync::Arc;

use lambda_http::Request;

use crate::cache::KnownKey;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::http;
use crate::limits;
use crate::model::app::{ApiKey, KeyRecord, Scope};
use crate::model::audit::{Actor, AuditContext};
use crate::model::cursor::{CursorKey, Cursors};
use crate::model::ids::TenantId;
use crate::model::rate_limit::RateLimitCount;
use crate::model::secret::Secret;
use crate::model::tenant::{Tenant, TenantStatus};
use crate::rate_limits;
use crate::span;

/// A tenant's program, with a key that was checked.
#[derive(Debug)]
pub struct Caller {
    tenant: Tenant,
    key: KeyRecord,
    by: AuditContext,
}

impl Caller {
    /// The tenant that the key opens.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Its id.
    pub fn tenant_id(&self) -> &TenantId {
        &self.tenant.id
    }

    /// The key.
    pub fn key(&self) -> &KeyRecord {
        &self.key
    }

    /// Who this is, for the audit log.
    pub fn by(&self) -> &AuditContext {
        &self.by
    }

    /// True if the key has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.key.scopes.contains(&scope)
    }

    /// The cursors of one of this tenant's lists.
    pub fn cursors(&self, list: impl Into<String>) -> Cursors {
        CursorKey::new(self.tenant.id.as_str(), self.tenant.cursor_key.clone()).of(list)
    }
}

/// The operator, with a key that was checked.
#[derive(Debug)]
pub struct Operator {
    by: AuditContext,
    cursors: CursorKey,
}

impl Operator {
    /// Who this is, for the audit log.
    pub fn by(&self) -> &AuditContext {
        &self.by
    }

    /// The cursors of one of the operator's lists.
    pub fn cursors(&self, list: impl Into<String>) -> Cursors {
        self.cursors.of(list)
    }
}

/// Either of them.
#[derive(Debug)]
pub enum Principal {
    /// The operator.
    Operator(Operator),
    /// A tenant's program.
    Caller(Box<Caller>),
}

impl Principal {
    /// Who this is, for the audit log.
    pub fn by(&self) -> &AuditContext {
        match self {
            Self::Operator(operator) => operator.by(),
            Self::Caller(caller) => caller.by(),
        }
    }
}

/// The program that calls, if its key has one of these scopes (any key, if none is named). One read and one write of
/// DynamoDB, at the same time on a warm function.
pub async fn caller(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Caller> {
    let key = ApiKey::parse(presented(request)?.expose()).ok_or(Error::MissingKey)?;
    with_key(gateway, request, &key, one_of).await
}

/// The program that calls, as [`caller`] finds it; but a key that was looked up a moment ago
/// ([`limits::SEND_CACHE_SECONDS`]) is not read again. It is for the one route where a round trip counts; a revoked key is
/// dead when that time is over.
pub async fn recent_caller(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Caller> {
    let key = ApiKey::parse(presented(request)?.expose()).ok_or(Error::MissingKey)?;
    let found = gateway.cache.checked_keys.get(&key.prefix(), gateway.clock.now());
    let Some(found) = found.filter(|found| key.matches(&found.1.digest)) else {
        let caller = with_key(gateway, request, &key, one_of).await?;
        let until =
            saturating_add(gateway.clock.now(), jiff::SignedDuration::from_secs(limits::SEND_CACHE_SECONDS));
        let found = Arc::new((caller.tenant.clone(), caller.key.clone()));
        gateway.cache.checked_keys.insert(&key.prefix(), found, until);
        return Ok(caller);
    };
    let (tenant, record) = (found.0.clone(), found.1.clone());
    let limit = tenant.limits.requests_per_minute;
    if let Some(count) = rate_limits::cached_rejection(gateway, key.id().as_str(), limit) {
        within_limit(request, count)?;
    }
    let caller = passed(gateway, request, tenant, record)?;
    within_limit(request, rate_limits::count_request(gateway, key.id().as_str(), limit).await)?;
    note_use(gateway, &caller.key).await;
    with_scope(caller, one_of)
}

/// The operator. A tenant's key, even a good one, is not enough.
pub async fn operator(gateway: &Gateway, request: &Request) -> Result<Operator> {
    match principal(gateway, request, &[]).await? {
        Principal::Operator(operator) => Ok(operator),
        Principal::Caller(_) => Err(Error::InsufficientScope),
    }
}

/// The operator, or a program whose key has one of these scopes (any key, if none is named).
pub async fn principal(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Principal> {
    let presented = presented(request)?;
    if let Some(key) = ApiKey::parse(presented.expose()) {
        return Ok(Principal::Caller(Box::new(with_key(gateway, request, &key, one_of).await?)));
    }
    let operator_key = gateway.operator_key().await?;
    if *operator_key != presented {
        return Err(Error::MissingKey);
    }
    let count = rate_limits::count_request(gateway, "operator", limits::OPERATOR_REQUESTS_PER_MINUTE).await;
    within_limit(request, count)?;
    let cursors = CursorKey::new("operator", Secret::new(operator_key.digest()));
    Ok(Principal::Operator(Operator { by: by(request, Actor::Operator), cursors }))
}

async fn with_key(gateway: &Gateway, request: &Request, key: &ApiKey, one_of: &[Scope]) -> Result<Caller> {
    let proven = proven(gateway, key)?;
    refuse_unread(gateway, request, key, proven.as_ref())?;
    let (checked, counted) = match proven.map(|known| known.requests_per_minute) {
        // Counting can't hit somebody else's counter: the whole key was proven before.
        Some(limit) => {
            let (checked, counted) = tokio::join!(
                check(gateway, request, key),
                rate_limits::count_request(gateway, key.id().as_str(), limit)
            );
            (checked?, Some(counted))
        }
        None => (check(gateway, request, key).await?, None),
    };
    let count = match counted {
        Some(count) => count,
        None => {
            let limit = checked.tenant.limits.requests_per_minute;
            rate_limits::count_request(gateway, key.id().as_str(), limit).await
        }
    };
    within_limit(request, count)?;
    note_use(gateway, &checked.key).await;
    with_scope(checked, one_of)
}

fn with_scope(caller: Caller, one_of: &[Scope]) -> Result<Caller> {
    if !one_of.is_empty() && !one_of.iter().any(|scope| caller.may(*scope)) {
        return Err(Error::InsufficientScope);
    }
    Ok(caller)
}

/// Refuses a request over the limit without asking anybody, if its key was read a moment ago: a flood costs its sender
/// the answers, and nobody a read. Nothing passes here.
fn refuse_unread(gateway: &Gateway, request: &Request, key: &ApiKey, known: Option<&KnownKey>) -> Result<()> {
    let fresh = jiff::SignedDuration::from_millis(limits::REFUSE_UNREAD_MS);
    let known = known.filter(|known| gateway.clock.now().duration_since(known.read_at) < fresh);
    let refused = known.and_then(|known| {
        rate_limits::cached_rejection(gateway, key.id().as_str(), known.requests_per_minute)
    });
    refused.map_or(Ok(()), |count| within_limit(request, count))
}

/// What this process remembers of a presented key, if the whole of it was proven. Refuses one that nobody has.
fn proven(gateway: &Gateway, key: &ApiKey) -> Result<Option<KnownKey>> {
    let now = gateway.clock.now();
    if gateway.cache.unknown_keys.get(&key.prefix(), now).is_some() {
        return Err(Error::UnknownKey);
    }
    match gateway.cache.known_keys.get(&key.prefix(), now) {
        Some(known) if key.matches(&known.digest) => Ok(Some(known)),
        // The digest of a key never changes: another secret is wrong without a look.
        Some(_) => Err(Error::UnknownKey),
        None => Ok(None),
    }
}

/// Reads key and tenant, and checks all that they say. If they can't be read, nobody passes.
async fn check(gateway: &Gateway, request: &Request, key: &ApiKey) -> Result<Caller> {
    let found = gateway.store.key(key).await?;
    remember(gateway, key, found.as_ref());
    // An unknown id costs the same work as a known one.
    let digest = found.as_ref().map_or("", |(_, record)| record.digest.as_str());
    let matches = key.matches(digest);
    let (tenant, record) = found.filter(|_| matches).ok_or(Error::UnknownKey)?;
    passed(gateway, request, tenant, record)
}

/// Checks all that the records of a key and its tenant say.
fn passed(gateway: &Gateway, request: &Request, tenant: Tenant, record: KeyRecord) -> Result<Caller> {
    span::set_tenant(&tenant.id);
    if record.is_expired(gateway.clock.now()) || tenant.status == TenantStatus::Deleting {
        return Err(Error::UnknownKey);
    }
    if !tenant.is_active() {
        return Err(Error::TenantSuspended);
    }
    if !record.may_be_used_from(http::source(request)) {
        return Err(Error::AddressNotAllowed);
    }
    let by = by(request, Actor::Key(record.id.clone()));
    Ok(Caller { tenant, key: record, by })
}

fn remember(gateway: &Gateway, key: &ApiKey, found: Option<&(Tenant, KeyRecord)>) {
    let until = |seconds| saturating_add(gateway.clock.now(), jiff::SignedDuration::from_secs(seconds));
    match found {
        None => gateway.cache.unknown_keys.insert(&key.prefix(), (), until(limits::UNKNOWN_KEY_SECONDS)),
        Some((tenant, record)) => {
            let known = KnownKey {
                digest: record.digest.clone(),
                requests_per_minute: tenant.limits.requests_per_minute,
                read_at: gateway.clock.now(),
            };
            gateway.cache.known_keys.insert(&key.prefix(), known, until(limits::KNOWN_KEY_SECONDS));
        }
    }
}

/// Every answer tells the limit; a refusal tells when to come again.
fn within_limit(request: &Request, count: RateLimitCount) -> Result<()> {
    http::tell_limit(request, count);
    if count.allowed {
        return Ok(());
    }
    Err(Error::RateLimited { limit: count.limit, retry_after: count.reset })
}

/// Writes down that a key was used, at most once a minute. That it can't be written down stops nobody.
async fn note_use(gateway: &Gateway, key: &KeyRecord) {
    let now = gateway.clock.now();
    if gateway.cache.noted_uses.get(key.id.as_str(), now).is_some() {
        return;
    }
    let until = saturating_add(now, jiff::SignedDuration::from_secs(limits::LAST_USED_SECONDS));
    gateway.cache.noted_uses.insert(key.id.as_str(), (), until);
    let patience = std::time::Duration::from_millis(limits::COUNTING_MS);
    match tokio::time::timeout(patience, gateway.store.record_key_use(&key.app, &key.id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => http::note(&error.into(), "the use of a key was not written down"),
        Err(_) => tracing::warn!("the use of a key was not written down in time"),
    }
}

/// Who calls, from where, in which request.
pub fn by(request: &Request, actor: Actor) -> AuditContext {
    AuditContext {
        actor,
        source: http::source(request),
        request: http::RequestId::from(request).as_str().to_owned(),
    }
}

/// `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
fn presented(request: &Request) -> Result<Secret> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let key = bearer.or_else(|| header("x-api-key").map(str::trim)).filter(|key| !key.is_empty());
    key.map(Secret::new).ok_or(Error::MissingKey)
}
