//! The queue of the function that refreshes: attempts that are due again, and sealed pairs that could not be stored.

use data_encoding::BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Counted, RefreshOrder, follow, refresh};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::connection::{Connection, Revocation, Sealed, SealedToken};
use crate::model::event::EventKind;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::refresh::{Answer, Attempt, Effect, Event, Record, State, half_life, jitter, step};
use crate::store::Pair;

/// A pair that could not be stored, on its way through the queue. It is sealed; whoever works the queue stores it without
/// opening it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rescue {
    tenant_id: String,
    connection_id: String,
    extension_id: String,
    issuer: String,
    /// The generation that the pair replaces.
    generation: u64,
    attempt: String,
    access: ParkedToken,
    refresh: ParkedToken,
}

impl Rescue {
    /// The pair that an attempt has received for a connection.
    pub(super) fn of(found: &Connection, attempt: &str, pair: &Pair) -> Self {
        let park = |token: &SealedToken| ParkedToken {
            token: BASE64.encode(token.token.as_bytes()),
            key: BASE64.encode(token.key.as_bytes()),
            expires_at: token.expires_at,
        };
        Self {
            tenant_id: found.tenant.to_string(),
            connection_id: found.id.to_string(),
            extension_id: found.extension.to_string(),
            issuer: found.issuer.clone(),
            generation: found.generation,
            attempt: attempt.to_owned(),
            access: park(&pair.access),
            refresh: park(&pair.refresh),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ParkedToken {
    token: String,
    key: String,
    expires_at: Timestamp,
}

/// Stores a pair from the queue, under the same condition as whoever received it. If the connection was given up
/// meanwhile, its session is ended.
///
/// # Errors
/// If the store fails, or the row has changed meanwhile: the queue offers it again.
async fn rescue(gateway: &Gateway, rescue: &Rescue) -> Result<Counted> {
    let invalid = || Error::Internal { what: "a parked pair", source: None };
    let tenant = TenantId::from_record(&rescue.tenant_id).ok_or_else(invalid)?;
    let id = ConnectionId::from_record(&rescue.connection_id).ok_or_else(invalid)?;
    let unpark = |parked: &ParkedToken| {
        let bytes = |text: &String| BASE64.decode(text.as_bytes()).ok().map(Sealed::from_record);
        Some(SealedToken {
            token: bytes(&parked.token)?,
            key: bytes(&parked.key)?,
            expires_at: parked.expires_at,
        })
    };
    let pair = Pair {
        access: unpark(&rescue.access).ok_or_else(invalid)?,
        refresh: unpark(&rescue.refresh).ok_or_else(invalid)?,
    };
    let now = gateway.clock.now();
    let Some(found) = gateway.store.connection(&tenant, &id).await? else {
        let extension = ExtensionId::parse(&rescue.extension_id).ok_or_else(invalid)?;
        // What is left of a connection that was given up is the pair's session. If that of the older pair is still to be
        // ended, this is in its place.
        let known = gateway.store.revocation(&tenant, &id).await?;
        let (subscription, attempts) = known.map_or((None, 0), |known| (known.subscription, known.attempts));
        let (issuer, generation) = (rescue.issuer.clone(), rescue.generation + 1);
        let Pair { access, refresh } = pair;
        let left = Revocation {
            tenant,
            connection: id,
            extension,
            issuer,
            generation,
            access,
            refresh,
            subscription,
            attempts,
        };
        gateway.store.create_revocation(&left).await?;
        return Ok(Counted::default());
    };
    if found.generation != rescue.generation {
        return Ok(Counted::default());
    }
    let state = State::Calling(Record::from(&found));
    let attempt =
        Attempt { id: &rescue.attempt, stale: None, now, deadline: now, patience: now, jitter: jitter() };
    if let (_, Effect::Write(write, mut record)) = step(state, Event::Answered(Answer::Pair), &attempt) {
        record.upkeep.due = Some(half_life(now, pair.refresh.expires_at, attempt.jitter));
        let event = (record.status != found.status)
            .then(|| record.applied_to(&found).event(EventKind::ExtensionStatus, now));
        let made =
            gateway.store.write_upkeep(&found, write, &record, &rescue.attempt, Some(&pair), event.as_ref());
        if made.await? {
            tracing::info!(tenant.id = %tenant, connection.id = %id, "a parked pair was stored");
            follow(gateway, &found, &record).await;
            return Ok(Counted { refreshed: 1, ..Counted::default() });
        }
        return Err(Error::unavailable("the store", "the row of a parked pair has changed"));
    }
    Ok(Counted::default())
}

/// What the queue of the function that refreshes holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// An attempt that is due again.
    Refresh(RefreshOrder),
    /// A pair that could not be stored.
    Rescue(Rescue),
}

/// Does a piece of work from the queue.
///
/// # Errors
/// If the queue is to offer it again.
pub async fn work(gateway: &Gateway, work: &Work, deadline: Timestamp) -> Result<Counted> {
    match work {
        // How it ends is in the row, with when it is due again.
        Work::Refresh(order) => Ok(refresh(gateway, order, deadline).await?.counted),
        Work::Rescue(parked) => rescue(gateway, parked).await,
    }
}
