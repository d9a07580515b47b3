//! Who is calling.
//!
//! A [`Caller`] or an [`Operator`] can only be made here, so holding one proves that a key was checked.

use lambda_http::Request;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::app::{ApiKey, KeyRecord, Scope};
use crate::model::ids::TenantId;
use crate::model::secret::Secret;
use crate::model::tenant::Tenant;

/// A tenant's program, with a key that was checked.
#[derive(Debug)]
pub struct Caller {
    tenant: Tenant,
    key: KeyRecord,
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

    /// True if the key has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.key.scopes.contains(&scope)
    }
}

/// The operator, with a key that was checked.
#[derive(Debug)]
pub struct Operator(());

/// Either of them.
#[derive(Debug)]
pub enum Principal {
    /// The operator.
    Operator(Operator),
    /// A tenant's program.
    Caller(Box<Caller>),
}

/// The program that calls, if its key has one of these scopes. One DynamoDB call.
pub async fn caller(gateway: &Gateway, request: &Request, one_of: &[Scope]) -> Result<Caller> {
    let key = ApiKey::parse(presented(request)?.expose()).ok_or(Error::MissingKey)?;
    with_key(gateway, &key, one_of).await
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
        return Ok(Principal::Caller(Box::new(with_key(gateway, &key, one_of).await?)));
    }
    if *gateway.operator_key().await? == presented {
        return Ok(Principal::Operator(Operator(())));
    }
    Err(Error::MissingKey)
}

async fn with_key(gateway: &Gateway, key: &ApiKey, one_of: &[Scope]) -> Result<Caller> {
    let found = gateway.store.key(key).await?;
    // An unknown id costs the same work as a known one.
    let digest = found.as_ref().map_or("", |(_, record)| record.digest.as_str());
    let matches = key.matches(digest);
    let (tenant, record) = found.filter(|_| matches).ok_or(Error::UnknownKey)?;
    if record.expires_at.is_some_and(|end| end <= gateway.clock.now()) {
        return Err(Error::UnknownKey);
    }
    if !tenant.is_active() {
        return Err(Error::TenantSuspended);
    }
    let caller = Caller { tenant, key: record };
    if !one_of.is_empty() && !one_of.iter().any(|scope| caller.may(*scope)) {
        return Err(Error::InsufficientScope);
    }
    Ok(caller)
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
