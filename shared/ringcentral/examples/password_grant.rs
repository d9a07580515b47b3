//! Signs in with a user name and password, with a short-lived access token.
//!
//! RingCentral has withdrawn this grant for new apps; see `authorization_code.rs` for the current way to sign in users.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use ringbridge_ringcentral::oauth::{PasswordGrant, TokenOptions};
use ringbridge_ringcentral::{AppCredentials, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let client = Client::builder(server, app).build()?;

    let grant = PasswordGrant::new(text(&seed, "/users/1/username"), text(&seed, "/users/1/password"))
        .extension(text(&seed, "/users/1/extension"));
    let options = TokenOptions::default().access_token_ttl(600).refresh_token_ttl(86_400);
    let tokens = client.sign_in_with_password(&grant, &options).await?;
    println!("access token valid until {}", tokens.expires_at);

    let extension = client.api(&tokens.access_token).extension().await?;
    println!("signed in as extension {}", extension.extension_number.unwrap_or_default());

    client.revoke(&tokens.access_token).await?;
    println!("signed out");
    Ok(())
}
