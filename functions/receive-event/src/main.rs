//! The process of `receive-event`: one gateway, one handler. Its answers have no header that is not needed: RingCentral
//! counts them.

use lambda_http::{Error, run, service_fn};
use shared::gateway::Gateway;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let gateway = &Gateway::from_env().await?;
    telemetry::init(&gateway.config.log_level);
    run(service_fn(|request| receive_event::handle(gateway, request))).await
}
