//! Access tokens for whoever calls RingCentral in a connection's name.

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::ringcentral::AccessToken;
use crate::setup;

/// A token that may be used now, and what it was stored with.
#[derive(Debug)]
pub struct Usable {
    /// The token. It was stored before it is used.
    pub access: AccessToken,
    /// The connection as it was read with it; `generation` counts the token pairs.
    pub connection: Connection,
}

/// A token of a connection that lives long enough to be used, refreshed first if it has to be.
///
/// # Errors
/// [`Error::NotConnected`] if the connection is gone or revoked; [`Error::Unavailable`] if it can't be refreshed at
/// present.
pub async fn usable(gateway: &Gateway, tenant: &TenantId, id: &ConnectionId) -> Result<Usable> {
    let connection = gateway.store.connection(tenant, id).await?.ok_or(Error::NotConnected)?;
    if !connection.status.is_connected() {
        return Err(Error::NotConnected);
    }
    match setup::access_token(gateway, &connection).await? {
        Some(access) => Ok(Usable { access, connection }),
        None => Err(Error::unavailable("RingCentral", "the access token has expired")),
    }
}

/// What to use instead after RingCentral has answered 401 to a token of this generation: a newer one that was stored
/// meanwhile, else a refreshed one. Whoever calls this repeats the refused call once.
///
/// # Errors
/// As [`usable`].
pub async fn after_refusal(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    generation: u64,
) -> Result<Usable> {
    let usable = usable(gateway, tenant, id).await?;
    if usable.connection.generation == generation {
        return Err(Error::unavailable("RingCentral", "the access token is refused"));
    }
    Ok(usable)
}
