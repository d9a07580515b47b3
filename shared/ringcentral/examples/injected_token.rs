//! Uses a token that another OAuth2 library has obtained: here a response of the `oauth2` crate.
//!
//! A token from any other source works as well: `TokenSet::new(access_token, expires_at)`.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use oauth2::basic::BasicTokenResponse;
use ringbridge_ringcentral::clock::{Clock, SystemClock};
use ringbridge_ringcentral::{AppCredentials, Client, Session, TokenSet};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let (client_id, client_secret) = (text(&seed, "/clientId"), text(&seed, "/clientSecret"));

    // Any OAuth2 library: a request to the token endpoint, and the response as that library's type.
    let requested_at = SystemClock::default().now();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", text(&seed, "/users/4/jwt")),
    ];
    let http = reqwest::Client::builder().build()?;
    let request = http.post(format!("{server}/restapi/oauth/token")).form(&form);
    let response: BasicTokenResponse =
        request.basic_auth(client_id, Some(client_secret)).send().await?.json().await?;

    let client = Client::builder(server, AppCredentials::confidential(client_id, client_secret)).build()?;
    let session = Session::builder(client).build();
    session.set_tokens(TokenSet::from_oauth2(&response, requested_at)).await?;
    let extension = session.extension().await?;
    println!("used the token of extension {}", extension.extension_number.unwrap_or_default());
    Ok(())
}
