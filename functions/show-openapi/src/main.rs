//! The process of `show-openapi`: one gateway, one handler.

use lambda_http::{Error, run, service_fn};
use shared::gateway::Gateway;
use shared::{http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let gateway = &Gateway::from_env().await?;
    telemetry::init(&gateway.config.log_level);
    run(service_fn(|request| http::answer(request, |request| show_openapi::handle(gateway, request)))).await
}
