//! The process of `renew-subscriptions`: one gateway, one handler.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::gateway::Gateway;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let gateway = &Gateway::from_env().await?;
    telemetry::init(&gateway.config.log_level);
    run(service_fn(|event: LambdaEvent<_>| renew_subscriptions::handle(gateway, event.payload))).await
}
