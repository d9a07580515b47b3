//! Comparing with RingCentral's message store: the guarantee that nothing that came in is lost.
//!
//! RingCentral does not repeat an event that was not taken. So every connection's messages are compared every ten minutes
//! or so, and at once after trouble, from where the last comparison ended: a token of RingCentral's, which is kept only
//! after everything before it is stored.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::rate::later;
use crate::receiving;
use crate::ringcentral::{self, Api, Direction, Kind, MessageKind, SyncRequest, Synced};
use crate::sending;
use crate::store::{Due, Lane};
use crate::tokens;
use crate::work;

/// Compares the messages of every connection whose turn has come; one that fails does not stop the others. Gives how many
/// were compared.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let within = SignedDuration::from_millis(limits::SYNC_RUN_MS);
    work::while_due(gateway, Lane::Sync, limits::SYNCS_AT_ONCE, within, async |due| turn(gateway, due).await)
        .await
}

/// Compares the messages of one connection.
async fn turn(gateway: &Gateway, due: &Due) -> Result<bool> {
    let Some((taken, token)) = gateway.store.take_sync(due).await? else { return Ok(false) };
    let usable = match tokens::usable(gateway, &due.tenant, &due.connection).await {
        Ok(usable) => usable,
        Err(Error::NotConnected) => {
            // A connection that comes back is compared at once.
            gateway.store.end_sync(due).await?;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let connection = &usable.connection;
    let client = gateway.ringcentral()?;
    let since = begin(connection, gateway.clock.now());
    let synced = match ask(&client.api(&usable.access), since, token.as_deref()).await {
        Err(error) if error.kind() == Kind::AccessToken => {
            let usable =
                tokens::after_refusal(gateway, &due.tenant, &due.connection, connection.generation).await?;
            ask(&client.api(&usable.access), since, token.as_deref()).await
        }
        other => other,
    };
    let synced = synced.map_err(|error| Error::unavailable("RingCentral", error))?;
    for record in &synced.records {
        take_in(gateway, connection, record).await?;
    }
    let next = later(gateway.clock.now(), connection.at_its_pace(limits::SYNC_SECONDS));
    gateway.store.commit_sync(due, taken, &synced.token, next).await?;
    Ok(true)
}

/// What has changed since a token; everything of the last days if there is none, or RingCentral does not know it any more.
async fn ask(api: &Api, since: Timestamp, token: Option<&str>) -> ringcentral::Result<Synced> {
    if let Some(token) = token {
        match api.sync_messages(&SyncRequest::since(token)).await {
            Err(error) if error.needs_full_sync() => {}
            other => return other,
        }
    }
    api.sync_messages(&SyncRequest::Full {
        date_from: since,
        date_to: None,
        direction: Vec::<Direction>::new(),
        kind: vec![MessageKind::Sms],
        record_count: None,
    })
    .await
}

/// From when on messages are ours to tell: since the extension was connected, and not for longer than what is remembered
/// of messages that came in before.
fn begin(connection: &Connection, now: Timestamp) -> Timestamp {
    let back = now.saturating_sub(SignedDuration::from_secs(limits::SYNC_BACK_SECONDS)).unwrap_or(now);
    connection.connected_at.max(back)
}

/// Takes in what a record tells: a text to us that no event has brought, or what became of one from us.
async fn take_in(gateway: &Gateway, connection: &Connection, record: &ringcentral::Message) -> Result<()> {
    let (tenant, extension) = (&connection.tenant, &connection.extension);
    if receiving::is_inbound(record) {
        if receiving::take_late(gateway, tenant, extension, record).await? {
            tracing::info!(tenant.id = %tenant, connection.id = %connection.id, "a message was found by comparing");
            // Perhaps no event comes any more: whoever renews the subscription looks at it now, not within a day.
            gateway.store.make_due(Lane::Renewal, tenant, &connection.id).await?;
        }
    } else if record.direction == Some(Direction::Outbound) {
        sending::note_record(gateway, tenant, extension, record).await?;
    }
    Ok(())
}
