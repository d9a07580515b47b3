//! Saves the tokens of one session as JSON, and loads them into another one.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use ringbridge_ringcentral::{AppCredentials, Client, Session, TokenSet};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let client = Client::builder(server, app).build()?;

    // The first instance signs in and saves its tokens. They are plain text: encrypt them in a real program.
    let first = Session::builder(client.clone()).jwt(text(&seed, "/users/3/jwt")).build();
    let saved: String = serde_json::to_string(&first.tokens().await?.expose())?;

    // The second instance does not sign in. It refreshes the tokens when they expire.
    let loaded: TokenSet = serde_json::from_str(&saved)?;
    let second = Session::builder(client).build();
    second.set_tokens(loaded).await?;
    let extension = second.extension().await?;
    println!("reused the tokens of extension {}", extension.extension_number.unwrap_or_default());
    Ok(())
}
