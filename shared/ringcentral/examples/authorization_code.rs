//! Signs in a user in a browser, with the authorization code grant and PKCE.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;

use common::text;
use ringbridge_ringcentral::oauth::{
    AuthorizeRequest, CodeVerifier, Display, Prompt, TokenOptions, parse_redirect,
};
use ringbridge_ringcentral::secret::Secret;
use ringbridge_ringcentral::{AppCredentials, Client};
use serde_json::{Value, json};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let client = Client::builder(&server, app).redirect_uri(text(&seed, "/redirectUris/0")).build()?;

    // Keep the state and the verifier in the session of the browser until it returns.
    let (state, verifier) = (Secret::random(), CodeVerifier::random());
    let request = AuthorizeRequest::new(state.expose())
        .challenge(verifier.challenge())
        .display(&Display::Page)
        .prompt(&[Prompt::Login, Prompt::Consent])
        .brand_id("1210");
    let login_page = client.authorize_url(&request);
    println!("send the browser to {}{}", login_page.origin().ascii_serialization(), login_page.path());

    let redirect = sign_in(&server, &login_page, text(&seed, "/users/1/username")).await?;
    let exchange = parse_redirect(&redirect, state.expose())?.verifier(verifier);
    let tokens = client.exchange_code(&exchange, &TokenOptions::default()).await?;

    let extension = client.api(&tokens.access_token).extension().await?;
    println!("signed in as extension {}", extension.extension_number.unwrap_or_default());
    Ok(())
}

/// Stands in for the user's browser: signs in at the simulator, and returns the URL that the browser is redirected to.
async fn sign_in(server: &str, login_page: &Url, username: &str) -> Result<Url, Box<dyn Error>> {
    let body = json!({ "url": login_page.as_str(), "username": username });
    let http = reqwest::Client::builder().build()?;
    let response: Value =
        http.post(format!("{server}/_sim/authorize")).json(&body).send().await?.json().await?;
    Ok(response["redirect"].as_str().ok_or("no redirect")?.parse()?)
}
