//! The event list for polling clients.
//!
//! Events are ordered by id, which is by the time when they occurred. They are written slightly later and not always in that
//! order. So an event is listed only when no earlier one can still be written: a client that continues after the last event of
//! a page misses none.

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::event::Event;
use crate::model::ids::{EventId, TenantId};
use crate::store::{EventPage, Page};

/// A tenant's events after a position, oldest first, and the position of the last one; the same position if there are none.
pub async fn events_after(
    gateway: &Gateway,
    tenant: &TenantId,
    page: &Page,
) -> Result<(Vec<Event>, Option<String>)> {
    let EventPage { mut events, last } = gateway.store.events(tenant, page).await?;
    let visible_until = visible_until(gateway.clock.now());
    let total = events.len();
    events.retain(|event| event.at <= visible_until);
    // The position passes unreadable events, but none that is not visible yet.
    let invisible = EventId::first_of(saturating_add(visible_until, SignedDuration::from_millis(1)));
    let last = last.filter(|id| events.len() == total && id.as_str() < invisible.as_str());
    let last = last.or_else(|| events.last().map(|event| event.id.clone()));
    Ok((events, last.map(|id| id.to_string()).or_else(|| page.after.clone())))
}

/// All events up to this time are written.
fn visible_until(now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(limits::EVENT_VISIBILITY_SECONDS)).unwrap_or(Timestamp::MIN)
}
