//! Reads the stream of the events table: writes one delivery of each event for each app that subscribes to it, and queues
//! its first attempt. This function can open nothing that is sealed.

use serde_json::Value;
use shared::error::Result;
use shared::gateway::Gateway;
use shared::store::event_of_image;
use shared::{delivery, run};

fn main() -> run::ProcessResult {
    run::stream(handle)
}

async fn handle(gateway: &Gateway, image: Value) -> Result<()> {
    delivery::fan_out(gateway, &event_of_image(&image)?).await
}
