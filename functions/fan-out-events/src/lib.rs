//! The stream of the events' table: writes a delivery of each event for each app that is to be told, and has it tried.
//! It can open nothing that is sealed.

use lambda_runtime::Error;
use shared::delivery;
use shared::gateway::Gateway;
use shared::store::event_of_image;
use shared::work::{self, Answer, Changes};

/// Takes the events in order; from the first one that fails on, the stream offers them again.
pub async fn handle(gateway: &Gateway, changes: Changes) -> Result<Answer, Error> {
    Ok(work::in_order(changes, async |image| delivery::fan_out(gateway, &event_of_image(&image)?).await)
        .await)
}
