//! Reads the inbound messages of the last day, then only what has changed since.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use jiff::SignedDuration;
use ringbridge_ringcentral::clock::{Clock, SystemClock};
use ringbridge_ringcentral::{AppCredentials, Client, Direction, Session, SyncRequest};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let client = Client::builder(&server, app).build()?;
    let session = Session::builder(client).jwt(text(&seed, "/users/0/jwt")).build();

    let yesterday = SystemClock::default().now() - SignedDuration::from_hours(24);
    let full = session.sync_messages(&SyncRequest::sms(Direction::Inbound, yesterday)).await?;
    println!("{} messages of the last day", full.records.len());

    // A message arrives in the meantime.
    let inbound =
        json!({ "from": "+16505550111", "to": text(&seed, "/users/0/numbers/0"), "text": "Hello back!" });
    let http = reqwest::Client::builder().build()?;
    http.post(format!("{server}/_sim/inbound")).json(&inbound).send().await?.error_for_status()?;

    let token = full.token.as_deref().ok_or("a sync returns a token")?;
    // Store the token: it is valid for the next sync, even in another process.
    let changes = match session.sync_messages(&SyncRequest::since(token)).await {
        // The token is no longer valid: make a full sync.
        Err(error) if error.needs_full_sync() => {
            session.sync_messages(&SyncRequest::sms(Direction::Inbound, yesterday)).await?
        }
        result => result?,
    };
    // RingCentral repeats the changes of the last seconds: ignore the ids that are known already.
    let known: Vec<_> = full.records.iter().map(|message| message.id).collect();
    for message in changes.records.iter().filter(|message| !known.contains(&message.id)) {
        println!("new message: {}", message.text.as_deref().unwrap_or_default());
    }
    Ok(())
}
