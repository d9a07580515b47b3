//! Triggered by its queue: copies the files of a message to the bucket. An outbound message is sent afterwards; the files of an
//! inbound message can be downloaded afterwards. What is to be copied is in the table, so a superfluous request does nothing.

use shared::error::Result;
use shared::gateway::Gateway;
use shared::media::CopyRequest;
use shared::{media_copy, run};

fn main() -> run::ProcessResult {
    run::queue(handle)
}

async fn handle(gateway: &Gateway, request: CopyRequest) -> Result<()> {
    media_copy::run(gateway, &request).await
}
