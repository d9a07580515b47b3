//! Access tokens for API calls.

use std::time::Duration;

use jiff::SignedDuration;

use super::sealing::sealed_for;
use crate::cache::KnownToken;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive::RefreshRequest;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::TokenPriority;
use crate::ringcentral::AccessToken;
use crate::span;
use crate::vault::Purpose;

/// An access token that is stored and valid.
#[derive(Debug)]
pub struct UsableToken {
    pub access: AccessToken,
    /// The connection as it was read with the token.
    pub connection: Connection,
}

/// A usable access token of a connection. If necessary, it is refreshed first. A token that this process has read within
/// the last minute needs no AWS call; any other token needs one read and at most one call of KMS.
///
/// # Errors
/// [`Error::NotConnected`] if the connection was disconnected or is revoked; [`Error::Unavailable`] if the token can't be
/// refreshed at the moment.
pub async fn access_token(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    priority: TokenPriority,
) -> Result<UsableToken> {
    if let Some(token) = cached_token(gateway, id) {
        return Ok(token);
    }
    // One task at a time for each connection: the next one finds the token in the cache.
    let lock = gateway.cache.connection_locks.of(id.as_str());
    let _guard = lock.lock().await;
    if let Some(token) = cached_token(gateway, id) {
        return Ok(token);
    }
    let connection = read_connected(gateway, tenant, id).await?;
    if is_valid_for(gateway, &connection, limits::ACCESS_MARGIN_SECONDS) {
        return unseal_access_token(gateway, connection).await;
    }
    request_refresh(gateway, connection, priority).await
}

/// A replacement for an access token of this generation, after RingCentral has rejected it with 401: a newer token that was
/// stored meanwhile, or a refreshed one. The caller repeats the rejected call once, as [`call`](super::call) does.
///
/// # Errors
/// The same as for [`access_token`].
pub async fn replace_rejected_token(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    generation: u64,
) -> Result<UsableToken> {
    gateway.cache.tokens.remove(id.as_str());
    let lock = gateway.cache.connection_locks.of(id.as_str());
    let _guard = lock.lock().await;
    let connection = read_connected(gateway, tenant, id).await?;
    if connection.generation > generation && is_valid_for(gateway, &connection, limits::ACCESS_MARGIN_SECONDS)
    {
        return unseal_access_token(gateway, connection).await;
    }
    let token = request_refresh(gateway, connection, TokenPriority::Normal).await?;
    if token.connection.generation <= generation {
        return Err(Error::unavailable(
            "RingCentral",
            "the access token was rejected and can't be refreshed yet",
        ));
    }
    Ok(token)
}

/// Invokes the function that refreshes, then reads the connection again.
async fn request_refresh(
    gateway: &Gateway,
    connection: Connection,
    priority: TokenPriority,
) -> Result<UsableToken> {
    let (tenant, id) = (&connection.tenant, &connection.id);
    let request = RefreshRequest {
        request_id: span::request_id(),
        priority,
        ..RefreshRequest::new(tenant, id, Some(connection.generation))
    };
    let response = gateway.functions().call(&gateway.config.refresh_function, &request).await;
    let retry_after = match response {
        Ok(response) => response["retryAfterSeconds"].as_u64(),
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, connection.id = %id, error = %error, "refresh function did not respond");
            None
        }
    };
    let connection = read_connected(gateway, tenant, id).await?;
    // Without a refresh, the old token is used as long as it is valid.
    if is_valid_for(gateway, &connection, limits::ACCESS_LAST_USE_SECONDS) {
        return unseal_access_token(gateway, connection).await;
    }
    Err(Error::Unavailable {
        what: "RingCentral's token endpoint",
        retry_after: Duration::from_secs(retry_after.unwrap_or(5).max(1)),
        source: None,
    })
}

async fn read_connected(gateway: &Gateway, tenant: &TenantId, id: &ConnectionId) -> Result<Connection> {
    let connection = gateway.store.connection(tenant, id).await?;
    connection.filter(|connection| connection.status.is_connected()).ok_or(Error::NotConnected)
}

fn is_valid_for(gateway: &Gateway, connection: &Connection, seconds: i64) -> bool {
    saturating_add(gateway.clock.now(), SignedDuration::from_secs(seconds)) < connection.access.expires_at
}

async fn unseal_access_token(gateway: &Gateway, connection: Connection) -> Result<UsableToken> {
    let (owner, binding) = sealed_for(&connection, Purpose::Access);
    let secret =
        gateway.vault().open(owner, binding, &connection.access.key, &connection.access.token).await?;
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_secs(limits::ACCESS_UNREAD_SECONDS));
    let known = KnownToken { connection: connection.clone(), access: secret.clone() };
    gateway.cache.tokens.insert(connection.id.as_str(), known, until);
    Ok(UsableToken { access: AccessToken::new(secret), connection })
}

fn cached_token(gateway: &Gateway, id: &ConnectionId) -> Option<UsableToken> {
    let known = gateway.cache.tokens.get(id.as_str(), gateway.clock.now())?;
    is_valid_for(gateway, &known.connection, limits::ACCESS_MARGIN_SECONDS)
        .then(|| UsableToken { access: AccessToken::new(known.access), connection: known.connection })
}
