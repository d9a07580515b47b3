//! Messages that background work looks for: an unreadable one must not hold up the others.

use crate::error::Result;
use crate::gateway::Gateway;
use crate::model::ids::{MessageId, TenantId};
use crate::model::message::Message;
use crate::store::StoreError;

/// A message that background work looks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub(super) enum FoundMessage {
    Readable(Message),
    Absent,
    /// Its row cannot be read. It must not hold up other messages.
    Unreadable,
}

pub(super) async fn find_message(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &MessageId,
) -> Result<FoundMessage> {
    match gateway.store.message(tenant, id).await {
        Ok(Some(message)) => Ok(FoundMessage::Readable(message)),
        Ok(None) => Ok(FoundMessage::Absent),
        Err(StoreError::Damaged(_)) => Ok(FoundMessage::Unreadable),
        Err(error) => Err(error.into()),
    }
}
