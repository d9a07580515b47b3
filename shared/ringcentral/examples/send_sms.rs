//! Sends an SMS from the first number that can send SMS, and reads its status from the message store.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use ringbridge_ringcentral::{AppCredentials, Client, Limiter, Retry, Session, Sms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let session = Session::builder(Client::builder(server, app).build()?)
        .jwt(text(&seed, "/users/0/jwt"))
        .limiter(Limiter::new())
        .build();

    let numbers = session.extension_phone_numbers().await?;
    let from = numbers.iter().find(|number| number.can_send_sms()).ok_or("no number that can send SMS")?;
    let message = match session.send_sms(&Sms::new(from.e164(), "+16505550111", "Hello!")).await {
        Ok(message) => message,
        // The message may have been sent: look for it in the message store before sending it again.
        Err(error) if error.is_ambiguous() => return Err(error.into()),
        Err(error) => {
            if let Retry::After(wait) = error.retry() {
                println!("retry in {} s", wait.as_secs());
            }
            return Err(error.into());
        }
    };
    let stored = session.message(message.id).await?;
    println!(
        "message {} is {}",
        stored.id,
        stored.status.map(|status| status.to_string()).unwrap_or_default()
    );
    Ok(())
}
