//! The event list for polling clients.
//!
//! Events are ordered by id, which is by the time when they occurred. They are written slightly later and not always in that
//! order. So an event is listed only when no earlier one can still be written: a client that continues after the last event of
//! a page misses none.

use jiff::{SignedDuration, Timestamp};

use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::event::Event;
use crate::model::ids::TenantId;
use crate::store::Page;

/// A tenant's events after a position, oldest first, and the position of the last one; the same position if there are none.
pub async fn events_after(
    gateway: &Gateway,
    tenant: &TenantId,
    page: &Page,
) -> Result<(Vec<Event>, Option<String>)> {
    let (mut events, _) = gateway.store.events(tenant, page).await?;
    let visible_until = visible_until(gateway.clock.now());
    events.retain(|event| event.at <= visible_until);
    let position = events.last().map(|event| event.id.to_string()).or_else(|| page.after.clone());
    Ok((events, position))
}

/// All events up to this time are written.
fn visible_until(now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(limits::EVENT_VISIBILITY_SECONDS)).unwrap_or(Timestamp::MIN)
}
