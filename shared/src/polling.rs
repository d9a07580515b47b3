//! Events for programs that ask instead of being told.
//!
//! Events are in the order of their ids, which are by the time at which they were made; they are written a moment later,
//! some before others that were made after them. So an event is shown only when none that was made before it can still
//! be on its way: whoever goes on after the last one shown skips nothing.

use jiff::{SignedDuration, Timestamp};

use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::event::Event;
use crate::model::ids::TenantId;
use crate::store::Page;

/// A tenant's events after a place, the oldest first, and the place of the last one, or the same place if nothing has
/// happened since.
pub async fn since(
    gateway: &Gateway,
    tenant: &TenantId,
    page: &Page,
) -> Result<(Vec<Event>, Option<String>)> {
    let (mut events, _) = gateway.store.events(tenant, page).await?;
    let settled = settled(gateway.clock.now());
    events.retain(|event| event.at <= settled);
    let place = events.last().map(|event| event.id.to_string()).or_else(|| page.after.clone());
    Ok((events, place))
}

/// Up to this moment every event is written that will be.
fn settled(now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(limits::EVENT_SETTLED_SECONDS)).unwrap_or(Timestamp::MIN)
}
