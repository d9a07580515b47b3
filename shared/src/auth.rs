//! Authentication and rate limiting of requests.
//!
//! Only this module creates a [`Caller`] or an [`Operator`], so a value of these types proves that the key was authenticated and
//! the request counted. The checks in their order: form and checksum of the key, which cost nothing; the cache of unknown keys;
//! one read of key and tenant; the key's secret, expiry and address ranges, and the tenant's status; the rate limit; the scope.
//!
//! Every request reads its key, so a revocation takes effect at once. The exception are send requests, which may use a key that
//! was read in the last ten seconds ([`recent_caller`]). If the key was authenticated recently, the request is counted
//! concurrently with the read.

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
use crate::model::rate_limit::{Allowance, Quota, RateLimitCount};
use crate::model::secret::Secret;
use crate::model::tenant::{Tenant, TenantLimits, TenantStatus};
use crate::rate_limits;
use crate::span;

/// An app with an authenticated API key.
#[derive(Debug)]
pub struct Caller {
    tenant: Tenant,
    key: KeyRecord,
    audit: AuditContext,
}

impl Caller {
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub fn tenant_id(&self) -> &TenantId {
        &self.tenant.id
    }

    pub fn key(&self) -> &KeyRecord {
        &self.key
    }

    pub fn audit(&self) -> &AuditContext {
        &self.audit
    }

    pub fn has_scope(&self, scope: Scope) -> bool {
        self.key.grant.scopes.contains(&scope)
    }

    pub fn cursors(&self, list: impl Into<String>) -> Cursors {
        CursorKey::new(self.tenant.id.as_str(), self.tenant.cursor_key.clone()).of(list)
    }
}

/// The operator, with an authenticated key.
#[derive(Debug)]
pub struct Operator {
    audit: AuditContext,
    cursors: CursorKey,
}

impl Operator {
    pub fn audit(&self) -> &AuditContext {
        &self.audit
    }

    pub fn cursors(&self, list: impl Into<String>) -> Cursors {
        self.cursors.of(list)
    }
}

#[derive(Debug)]
pub enum Principal {
    Operator(Operator),
    Caller(Box<Caller>),
}

impl Principal {
    pub fn audit(&self) -> &AuditContext {
        match self {
            Self::Operator(operator) => operator.audit(),
            Self::Caller(caller) => caller.audit(),
        }
    }
}

/// Authenticates an app whose key must have one of these scopes; any key if there are none. One read and one write of DynamoDB, which
/// are concurrent in a warm function.
pub async fn caller(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Caller> {
    let key = tenant_key(request)?;
    authenticate(gateway, request, &key, one_of).await
}

/// Like [`caller`], but a key that was read recently ([`limits::SEND_CACHE_SECONDS`]) is not read again. For the route whose latency
/// matters most. A revocation takes effect after that time.
pub async fn recent_caller(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Caller> {
    let key = tenant_key(request)?;
    let found = gateway.cache.authenticated_keys.get(&key.prefix(), gateway.clock.now());
    let Some(found) = found.filter(|found| key.matches(&found.1.digest)) else {
        let caller = authenticate(gateway, request, &key, one_of).await?;
        let until =
            saturating_add(gateway.clock.now(), jiff::SignedDuration::from_secs(limits::SEND_CACHE_SECONDS));
        let found = Arc::new((caller.tenant.clone(), caller.key.clone()));
        gateway.cache.authenticated_keys.insert(&key.prefix(), found, until);
        return Ok(caller);
    };
    let (tenant, record) = (found.0.clone(), found.1.clone());
    let limits = tenant.limits;
    if let Some(count) = rate_limits::cached_rejection(gateway, &counter(&key), &quota(&key, &limits)) {
        within_limit(request, count)?;
    }
    let caller = validated(gateway, request, tenant, record)?;
    let (counted, ()) = tokio::join!(count(gateway, &key, &limits), record_use(gateway, &caller.key));
    within_limit(request, counted)?;
    require_scope(caller, one_of)
}

/// Authenticates the operator. The key of a tenant is rejected.
pub async fn operator(gateway: &Gateway, request: &Request) -> Result<Operator> {
    match principal(gateway, request, &[]).await? {
        Principal::Operator(operator) => Ok(operator),
        Principal::Caller(_) => Err(Error::InsufficientScope),
    }
}

/// Authenticates the operator, or an app whose key has one of these scopes; any key if there are none.
pub async fn principal(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Principal> {
    let presented = presented(request)?;
    if let Some(key) = ApiKey::parse(presented.expose()) {
        return Ok(Principal::Caller(Box::new(authenticate(gateway, request, &key, one_of).await?)));
    }
    let operator_key = gateway.operator_key().await?;
    if *operator_key != presented {
        return Err(not_a_key(&presented));
    }
    let quota = Quota::single(Allowance::per_minute(limits::OPERATOR_REQUESTS_PER_MINUTE));
    within_limit(request, rate_limits::count_request(gateway, "operator", &quota).await)?;
    let cursors = CursorKey::new("operator", Secret::new(operator_key.digest()));
    Ok(Principal::Operator(Operator { audit: audit_context(request, Actor::Operator), cursors }))
}

async fn authenticate(
    gateway: &Gateway,
    request: &Request,
    key: &ApiKey,
    one_of: &[Scope],
) -> Result<Caller> {
    let known = known_key(gateway, key)?;
    reject_without_read(gateway, request, key, known.as_ref())?;
    let (checked, counted) = match known.map(|known| known.limits) {
        // Only requests with the complete key reach its counter: the key was authenticated before.
        Some(limits) => {
            let (checked, counted) = tokio::join!(check(gateway, request, key), count(gateway, key, &limits));
            (checked?, Some(counted))
        }
        None => (check(gateway, request, key).await?, None),
    };
    let counted = async {
        match counted {
            Some(counted) => counted,
            None => count(gateway, key, &checked.tenant.limits).await,
        }
    };
    let (counted, ()) = tokio::join!(counted, record_use(gateway, &checked.key));
    within_limit(request, counted)?;
    require_scope(checked, one_of)
}

/// Counts a request against the limit of its key and that of the tenant, in one write.
async fn count(gateway: &Gateway, key: &ApiKey, limits: &TenantLimits) -> RateLimitCount {
    rate_limits::count_request(gateway, &counter(key), &quota(key, limits)).await
}

/// The counter of a tenant's requests.
fn counter(key: &ApiKey) -> String {
    format!("requests#{}", key.tenant())
}

fn quota<'a>(key: &'a ApiKey, limits: &TenantLimits) -> Quota<'a> {
    let all = Quota::single(Allowance::per_minute(limits.tenant_requests_per_minute));
    Quota { party: key.id().digits(), own: limits.requests_per_minute, ..all }
}

fn require_scope(caller: Caller, one_of: &[Scope]) -> Result<Caller> {
    if !one_of.is_empty() && !one_of.iter().any(|scope| caller.has_scope(*scope)) {
        return Err(Error::InsufficientScope);
    }
    Ok(caller)
}

/// Rejects a request over the rate limit without a read if its key was read recently, so that a flood of requests causes no
/// reads. It never accepts a request.
fn reject_without_read(
    gateway: &Gateway,
    request: &Request,
    key: &ApiKey,
    known: Option<&KnownKey>,
) -> Result<()> {
    let fresh = jiff::SignedDuration::from_millis(limits::KEY_REREAD_MS);
    let known = known.filter(|known| gateway.clock.now().duration_since(known.read_at) < fresh);
    let rejection = known
        .and_then(|known| rate_limits::cached_rejection(gateway, &counter(key), &quota(key, &known.limits)));
    rejection.map_or(Ok(()), |count| within_limit(request, count))
}

/// The cached record of a key if its secret matches. Rejects a key that is known not to exist.
fn known_key(gateway: &Gateway, key: &ApiKey) -> Result<Option<KnownKey>> {
    let now = gateway.clock.now();
    if gateway.cache.unknown_keys.get(&key.prefix(), now).is_some() {
        return Err(Error::UnknownKey);
    }
    match gateway.cache.known_keys.get(&key.prefix(), now) {
        Some(known) if key.matches(&known.digest) => Ok(Some(known)),
        // The digest of a key never changes, so another secret is wrong without a read.
        Some(_) => Err(Error::UnknownKey),
        None => Ok(None),
    }
}

/// Reads key and tenant and validates them. If they can't be read, the request fails.
async fn check(gateway: &Gateway, request: &Request, key: &ApiKey) -> Result<Caller> {
    let found = gateway.store.key(key).await?;
    cache_key(gateway, key, found.as_ref());
    // The same work for an unknown id as for a known one, against timing attacks.
    let digest = found.as_ref().map_or("", |(_, record)| record.digest.as_str());
    let matches = key.matches(digest);
    let (tenant, record) = found.filter(|_| matches).ok_or(Error::UnknownKey)?;
    validated(gateway, request, tenant, record)
}

/// Validates the records of a key and its tenant.
fn validated(gateway: &Gateway, request: &Request, tenant: Tenant, record: KeyRecord) -> Result<Caller> {
    span::set_tenant(&tenant.id);
    if record.grant.is_expired(gateway.clock.now()) || tenant.status == TenantStatus::Deleting {
        return Err(Error::UnknownKey);
    }
    if !tenant.is_active() {
        return Err(Error::TenantSuspended);
    }
    if !record.grant.allows_address(http::source(request)) {
        return Err(Error::AddressNotAllowed);
    }
    let audit = audit_context(request, Actor::Key(record.id.clone()));
    Ok(Caller { tenant, key: record, audit })
}

fn cache_key(gateway: &Gateway, key: &ApiKey, found: Option<&(Tenant, KeyRecord)>) {
    let until = |seconds| saturating_add(gateway.clock.now(), jiff::SignedDuration::from_secs(seconds));
    match found {
        None => gateway.cache.unknown_keys.insert(&key.prefix(), (), until(limits::UNKNOWN_KEY_SECONDS)),
        Some((tenant, record)) => {
            let known = KnownKey {
                digest: record.digest.clone(),
                limits: tenant.limits,
                read_at: gateway.clock.now(),
            };
            gateway.cache.known_keys.insert(&key.prefix(), known, until(limits::KNOWN_KEY_SECONDS));
        }
    }
}

/// Sets the rate limit headers of the response, and rejects the request if it is over the limit.
fn within_limit(request: &Request, count: RateLimitCount) -> Result<()> {
    http::tell_limit(request, count);
    if count.allowed {
        return Ok(());
    }
    Err(Error::RateLimited { limit: count.limit, retry_after: count.reset })
}

/// Records the use of a key, at most once a minute. A failure does not affect the request.
async fn record_use(gateway: &Gateway, key: &KeyRecord) {
    let now = gateway.clock.now();
    if gateway.cache.recorded_key_uses.get(key.id.as_str(), now).is_some() {
        return;
    }
    let until = saturating_add(now, jiff::SignedDuration::from_secs(limits::LAST_USED_SECONDS));
    gateway.cache.recorded_key_uses.insert(key.id.as_str(), (), until);
    let timeout = std::time::Duration::from_millis(limits::COUNTING_MS);
    match tokio::time::timeout(timeout, gateway.store.record_key_use(&key.app, &key.id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => http::note(&error.into(), "last use of key not recorded"),
        Err(_) => tracing::warn!(key.id = %key.id, "last use of key not recorded: timeout"),
    }
}

pub fn audit_context(request: &Request, actor: Actor) -> AuditContext {
    AuditContext {
        actor,
        source: http::source(request),
        request: http::RequestId::from(request).as_str().to_owned(),
    }
}

/// `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
fn presented(request: &Request) -> Result<Secret> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").map(str::trim);
    let bearer = authorization.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let key = bearer.or_else(|| header("x-api-key").map(str::trim)).filter(|key| !key.is_empty());
    key.map(Secret::new).ok_or_else(|| authorization.map_or(Error::MissingKey, malformed))
}

fn tenant_key(request: &Request) -> Result<ApiKey> {
    let presented = presented(request)?;
    ApiKey::parse(presented.expose()).ok_or_else(|| not_a_key(&presented))
}

/// The error for a value that is neither a tenant's key nor the operator key.
fn not_a_key(presented: &Secret) -> Error {
    let is_around = |c: char| "\"'`<>{}[]()\u{201c}\u{201d}\u{2018}\u{2019}".contains(c);
    let value = presented.expose();
    let text = if value.contains(char::is_whitespace) {
        "Missing or invalid API key: the header `X-API-Key` must contain the key alone, and `Authorization` the word `Bearer` once \
         and the key"
    } else if value.starts_with(is_around) || value.ends_with(is_around) {
        "Missing or invalid API key: send the key without quotation marks or brackets around it"
    } else {
        return Error::MissingKey;
    };
    Error::MalformedAuthorization { text }
}

/// The error for an `Authorization` header without a bearer key.
fn malformed(authorization: &str) -> Error {
    let scheme = authorization.split(' ').next().unwrap_or_default();
    let text = if scheme.is_empty() || scheme.eq_ignore_ascii_case("bearer") {
        return Error::MissingKey;
    } else if scheme.eq_ignore_ascii_case("basic") {
        "Missing or invalid API key: Basic authentication is not supported; send the header `Authorization: Bearer KEY` or \
         `X-API-Key: KEY`"
    } else {
        "Missing or invalid API key: the header must be `Authorization: Bearer KEY` or `X-API-Key: KEY`"
    };
    Error::MalformedAuthorization { text }
}

/// True if a request presents a key in any form.
pub fn presents_key(request: &Request) -> bool {
    ["authorization", "x-api-key"].iter().any(|name| request.headers().contains_key(*name))
}
