//! Posts events to the apps' webhook URLs. First attempts and retries come from two queues. This function can open webhook
//! secrets, but no tokens.

use shared::delivery::{self, DeliveryTask};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::run;

fn main() -> run::ProcessResult {
    run::queue(handle)
}

async fn handle(gateway: &Gateway, task: DeliveryTask) -> Result<()> {
    delivery::attempt(gateway, &task).await
}
