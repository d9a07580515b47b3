//! The process of `receive-event`. It needs nothing but the request.

use lambda_http::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(receive_event::handle)).await
}
