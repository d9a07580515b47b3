//! The stream of the events' table: writes a delivery of each event for each app that is to be told, and has it tried.
//! It can open nothing that is sealed.

use lambda_runtime::Error;
use shared::batch::{self, Answer, Changes};
use shared::delivery;
use shared::gateway::Gateway;
use shared::store::event_of_image;

/// Takes the events in order; from the first one that fails on, the stream offers them again.
pub async fn handle(gateway: &Gateway, changes: Changes) -> Result<Answer, Error> {
    Ok(batch::process_stream(changes, async |image| {
        delivery::fan_out(gateway, &event_of_image(&image)?).await
    })
    .await)
}
