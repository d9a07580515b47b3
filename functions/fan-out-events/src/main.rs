//! Reads the stream of the events table: writes one delivery of each event for each app that subscribes to it, and queues
//! its first attempt. Events that cannot be fanned out at once go on through its queue. This function can open nothing that is
//! sealed.

use serde::Deserialize;
use shared::batch::{self, BatchResponse, SqsBatch, StreamBatch};
use shared::delivery::{self, FanOutTask};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::run;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EventBatch {
    Stream(StreamBatch),
    Queue(SqsBatch),
}

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, events: EventBatch) -> Result<BatchResponse> {
    Ok(match events {
        EventBatch::Stream(batch) => {
            let until = delivery::fan_out_deadline();
            let work = async |image| delivery::fan_out_change(gateway, image, until).await;
            batch::process_stream(batch, work).await
        }
        EventBatch::Queue(batch) => {
            let work = async |task: FanOutTask| delivery::fan_out_task(gateway, &task).await;
            batch::process_sqs_batch(batch, work).await
        }
    })
}
