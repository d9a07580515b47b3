//! Reads the stream of the events table: writes one delivery of each event for each app that subscribes to it, and queues
//! its first attempt. This function can open nothing that is sealed.

use serde_json::Value;
use shared::error::Result;
use shared::gateway::Gateway;
use shared::{delivery, run};

fn main() -> run::ProcessResult {
    run::stream(handle)
}

async fn handle(gateway: &Gateway, image: Value) -> Result<()> {
    match gateway.store.event_of_image(&image) {
        Some(event) => delivery::fan_out(gateway, &event).await,
        // An unreadable event must not hold up the stream.
        None => Ok(()),
    }
}
