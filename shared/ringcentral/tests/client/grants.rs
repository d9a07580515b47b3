//! The grants, refresh and revocation.

use std::sync::{Arc, Mutex};

use ringbridge_ringcentral::oauth::{
    AuthorizeRequest, CodeExchange, CodeVerifier, Display, PasswordGrant, Prompt, TokenOptions,
};
use ringbridge_ringcentral::{AppCredentials, Client, Error, ErrorKind, Grant, TokenSet};

use crate::support::{REDIRECT, Rc, parameter};

fn options() -> TokenOptions {
    TokenOptions::default()
}

async fn code(rc: &Rc, client: &Client, verifier: &CodeVerifier) -> String {
    let request = AuthorizeRequest::new("state-1").challenge(verifier.challenge());
    let redirect = rc.sign_in_at(&client.authorize_url(&request), "101").await;
    assert_eq!(parameter(&redirect, "state").as_deref(), Some("state-1"));
    parameter(&redirect, "code").expect("a code")
}

async fn works(client: &Client, tokens: &TokenSet) -> bool {
    client.api(&tokens.access_token).extension().await.is_ok()
}

fn rejection(result: Result<TokenSet, Error>) -> ErrorKind {
    result.expect_err("rejected").kind()
}

#[tokio::test]
async fn the_authorize_url_contains_every_parameter() {
    let rc = Rc::start().await;
    let request = AuthorizeRequest::new("s t&a=te")
        .redirect_uri("https://other.example/back")
        .challenge("challenge")
        .display(&Display::Touch)
        .prompt(&[Prompt::Login, Prompt::Consent])
        .brand_id("1210")
        .ui_locales("en-US de")
        .login_hint("dana@example.com")
        .nonce("n-1")
        .scope("SMS");
    let url = rc.client().authorize_url(&request);
    assert!(url.as_str().starts_with(&format!("{}/restapi/oauth/authorize?", rc.simulator.url())));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", rc.seed.client_id.as_str()),
        ("redirect_uri", "https://other.example/back"),
        ("state", "s t&a=te"),
        ("code_challenge", "challenge"),
        ("code_challenge_method", "S256"),
        ("display", "touch"),
        ("prompt", "login consent"),
        ("brand_id", "1210"),
        ("ui_locales", "en-US de"),
        ("login_hint", "dana@example.com"),
        ("nonce", "n-1"),
        ("scope", "SMS"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    let plain = rc.client().authorize_url(&AuthorizeRequest::new("s"));
    assert_eq!(parameter(&plain, "redirect_uri").as_deref(), Some(REDIRECT));
}

#[tokio::test]
async fn a_code_can_be_exchanged_once_with_its_verifier() {
    let rc = Rc::start().await;
    let (client, verifier) = (rc.client(), CodeVerifier::random());
    let code = code(&rc, &client, &verifier).await;
    let exchange = CodeExchange::new(code).verifier(verifier);
    let tokens = client.exchange_code(&exchange, &options().endpoint_id("ep-1")).await.expect("exchanged");
    assert!(works(&client, &tokens).await);
    assert!(tokens.refresh_token.is_some() && tokens.scope.contains(&"SMS".to_owned()));
    assert_eq!(tokens.owner_id.map(|id| id.to_string()), Some(rc.user("101").extension_id.clone()));
    assert_eq!(tokens.endpoint_id.as_deref(), Some("ep-1"));
    assert!(matches!(rejection(client.exchange_code(&exchange, &options()).await), ErrorKind::Grant(_)));
}

#[tokio::test]
async fn a_code_is_rejected_with_a_wrong_verifier_or_redirect_uri_or_after_a_minute() {
    let rc = Rc::start().await;
    let (client, verifier) = (rc.client(), CodeVerifier::random());
    let wrong = CodeExchange::new(code(&rc, &client, &verifier).await).verifier(CodeVerifier::random());
    assert!(matches!(rejection(client.exchange_code(&wrong, &options()).await), ErrorKind::Grant(_)));

    let elsewhere = CodeExchange::new(code(&rc, &client, &verifier).await)
        .verifier(verifier.clone())
        .redirect_uri("https://other.example/back");
    let error = client.exchange_code(&elsewhere, &options()).await.expect_err("rejected");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Grant(Grant::Denied), Some("OAU-109")));

    let late = CodeExchange::new(code(&rc, &client, &verifier).await).verifier(verifier);
    rc.advance(61);
    let error = rejection(client.exchange_code(&late, &options()).await);
    assert_eq!(error, ErrorKind::Grant(Grant::Expired));
}

#[tokio::test]
async fn a_public_app_signs_in_and_refreshes_without_a_secret() {
    let rc = Rc::start().await;
    let (client, verifier) = (rc.public_client(), CodeVerifier::random());
    let code = code(&rc, &client, &verifier).await;
    let exchange = CodeExchange::new(code).verifier(verifier);
    let tokens = client.exchange_code(&exchange, &options()).await.expect("exchanged");
    let refresh = tokens.refresh_token.expect("a refresh token");
    let next = client.refresh(&refresh, &options()).await.expect("refreshed");
    assert!(works(&client, &next).await);
    client.revoke(&next.access_token).await.expect("revoked");
    assert!(!works(&client, &next).await);
}

/// The Authorization header, if any, and the form that a server receives.
async fn captured(app: AppCredentials) -> (Option<String>, String) {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let handler = move |headers: axum::http::HeaderMap, body: String| async move {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        *note.lock().expect("not poisoned") = Some((header, body));
        axum::http::StatusCode::INTERNAL_SERVER_ERROR
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = axum::Router::new().fallback(handler);
    let client = Client::builder(address, app).build().expect("a client");
    let (token, options) = ("r+/=&".into(), options());
    let call = client.refresh(&token, &options);
    tokio::select! {
        ended = axum::serve(listener, routes) => panic!("the server ended: {ended:?}"),
        result = call => assert_eq!(result.expect_err("500").kind(), ErrorKind::Unavailable),
    }
    let seen = seen.lock().expect("not poisoned").take();
    seen.expect("a request")
}

#[tokio::test]
async fn only_confidential_apps_send_http_basic() {
    let (header, form) = captured(AppCredentials::confidential("id", "secret")).await;
    assert_eq!(header.as_deref(), Some("Basic aWQ6c2VjcmV0"));
    assert_eq!(form, "grant_type=refresh_token&refresh_token=r%2B%2F%3D%26");
    let (header, form) = captured(AppCredentials::public("id")).await;
    assert_eq!(header, None);
    assert_eq!(form, "grant_type=refresh_token&refresh_token=r%2B%2F%3D%26&client_id=id");
}

#[tokio::test]
async fn the_password_grant_accepts_the_extension_in_both_forms() {
    let rc = Rc::start().await;
    let (client, user) = (rc.client(), rc.user("101"));
    let grant = || PasswordGrant::new(&user.username, user.password.as_str());
    for grant in [grant(), grant().extension("101"), grant().extension_in_username("101")] {
        let tokens = client.sign_in_with_password(&grant, &options()).await.expect("signed in");
        assert!(works(&client, &tokens).await);
    }
    let wrong = PasswordGrant::new(&user.username, "wrong");
    let error = client.sign_in_with_password(&wrong, &options()).await.expect_err("rejected");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Grant(Grant::Denied), Some("OAU-140")));
}

#[tokio::test]
async fn a_jwt_credential_can_be_used_repeatedly() {
    let rc = Rc::start().await;
    let (client, jwt) = (rc.client(), rc.user("101").jwt.as_str().into());
    for _ in 0..2 {
        let tokens = client.sign_in_with_jwt(&jwt, &options()).await.expect("signed in");
        assert!(works(&client, &tokens).await);
    }
    let error = client.sign_in_with_jwt(&"a.b.c".into(), &options()).await.expect_err("rejected");
    assert!(matches!(error.kind(), ErrorKind::Grant(_)));
}

#[tokio::test]
async fn token_lifetimes_are_as_requested_within_the_limits() {
    let rc = Rc::start().await;
    let (client, jwt) = (rc.client(), rc.user("101").jwt.as_str().into());
    let options = options().access_token_ttl(900).refresh_token_ttl(86_400);
    let tokens = client.sign_in_with_jwt(&jwt, &options).await.expect("signed in");
    let lifetimes = |tokens: &TokenSet| {
        let since = |at: jiff::Timestamp| at.duration_since(rc.now()).as_secs();
        (since(tokens.expires_at), tokens.refresh_expires_at.map(since).unwrap_or_default())
    };
    let (access, refresh) = lifetimes(&tokens);
    assert!((840..=900).contains(&access), "{access}");
    assert!((86_340..=86_400).contains(&refresh), "{refresh}");
    let short = TokenOptions::default().access_token_ttl(1);
    let (access, _) = lifetimes(&client.sign_in_with_jwt(&jwt, &short).await.expect("signed in"));
    assert!((540..=600).contains(&access), "{access}");
}

#[tokio::test]
async fn rejections_of_a_refresh_token_are_classified() {
    let rc = Rc::start().await;
    let client = rc.client();
    let rejected =
        async |token: &str| client.refresh(&token.into(), &options()).await.expect_err("rejected").kind();
    assert_eq!(rejected("unknown").await, ErrorKind::Grant(Grant::Unknown));

    let tokens = rc.tokens().await;
    let refresh = tokens.refresh_token.expect("a refresh token");
    rc.advance(604_801);
    assert_eq!(rejected(refresh.expose()).await, ErrorKind::Grant(Grant::Expired));

    let tokens = rc.tokens().await;
    let refresh = tokens.refresh_token.expect("a refresh token");
    let path = format!("users/{}/revoke", rc.user("101").extension_id);
    rc.control(reqwest::Method::POST, &path, serde_json::json!({})).await;
    let kind = rejected(refresh.expose()).await;
    assert_eq!(kind, ErrorKind::Grant(Grant::Revoked));
}

#[tokio::test]
async fn wrong_client_credentials_are_an_error_of_the_app_configuration() {
    let rc = Rc::start().await;
    let refresh = rc.tokens().await.refresh_token.expect("a refresh token");
    for app in [
        AppCredentials::confidential(&rc.seed.client_id, "wrong"),
        AppCredentials::confidential("unknown", "wrong"),
        AppCredentials::public(&rc.seed.client_id),
    ] {
        let error = rc.client_as(app).refresh(&refresh, &options()).await.expect_err("rejected");
        assert_eq!(error.kind(), ErrorKind::AppConfiguration, "{error}");
    }
    assert!(rc.client().refresh(&refresh, &options()).await.is_ok());
}

#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    let rc = Rc::start().await;
    let client = rc.client();
    let (by_access, by_refresh) = (rc.tokens().await, rc.tokens().await);
    client.revoke(&by_access.access_token).await.expect("revoked");
    client.revoke(by_refresh.refresh_token.as_ref().expect("one")).await.expect("revoked");
    for tokens in [by_access, by_refresh] {
        assert!(!works(&client, &tokens).await);
        let refresh = tokens.refresh_token.expect("a refresh token");
        assert!(matches!(rejection(client.refresh(&refresh, &options()).await), ErrorKind::Grant(_)));
    }
}

#[tokio::test]
async fn an_app_that_issues_no_refresh_tokens_is_supported() {
    let rc = Rc::start().await;
    rc.settings(serde_json::json!({"issueRefreshTokens": false})).await;
    let tokens = rc.tokens().await;
    assert!(tokens.refresh_token.is_none() && !tokens.can_refresh(rc.now()));
}
