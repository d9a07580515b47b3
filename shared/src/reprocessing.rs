//! Processing quarantined records again, by the code that read them first.

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::connection::Connection;
use crate::model::quarantine::{QuarantineEntry, QuarantineId, QuarantineKind};
use crate::{message_sync, quarantine, receiving, setup};

/// Processes a record again, and deletes it from the quarantine if that succeeds.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::StillUnreadable`]; or if the tables or KMS are unavailable.
pub async fn retry(gateway: &Gateway, id: &QuarantineId) -> Result<()> {
    let (entry, raw) = quarantine::open(gateway, id).await?;
    let content = raw.content().ok_or_else(|| unreadable("only its beginning was kept"))?;
    process(gateway, &entry, &content).await?;
    match quarantine::delete(gateway, id).await {
        // Deleted meanwhile.
        Err(Error::NotFound) => {}
        result => result?,
    }
    tracing::info!(quarantine.id = %id, quarantine.kind = entry.kind.as_str(), "quarantined record processed");
    Ok(())
}

async fn process(gateway: &Gateway, entry: &QuarantineEntry, content: &[u8]) -> Result<()> {
    match entry.kind {
        QuarantineKind::Event => {
            receiving::reprocess_event(gateway, &connection(gateway, entry).await?, content).await
        }
        QuarantineKind::MessageRecord => {
            message_sync::reprocess_record(gateway, &connection(gateway, entry).await?, content).await
        }
        kind @ (QuarantineKind::PhoneNumber | QuarantineKind::Subscription) => {
            setup::reprocess_record(gateway, &connection(gateway, entry).await?, kind, content).await
        }
        // The row is still in its table, where each run tries to read it.
        QuarantineKind::TableRow => {
            Err(unreadable("repair the row in its table; it is read again automatically"))
        }
    }
}

/// The connection that a record came by.
async fn connection(gateway: &Gateway, entry: &QuarantineEntry) -> Result<Connection> {
    let (Some(tenant), Some(id)) = (entry.id.tenant(), &entry.connection) else {
        return Err(unreadable("its connection is not known"));
    };
    let connection = gateway.store.connection(&tenant, id).await?;
    connection.ok_or_else(|| unreadable("its connection was removed"))
}

fn unreadable(reason: &str) -> Error {
    Error::StillUnreadable { reason: reason.to_owned() }
}
