//! The authorize endpoint and the login pages.

use reqwest::Method;
use serde_json::json;

use crate::test_simulator::{self, REDIRECT, query};

fn path(sim: &test_simulator::TestSimulator, extra: &str) -> String {
    let redirect: String = url::form_urlencoded::byte_serialize(REDIRECT.as_bytes()).collect();
    let client = sim.simulator.seed().client_id;
    format!(
        "/restapi/oauth/authorize?response_type=code&client_id={client}&redirect_uri={redirect}&state=abc{extra}"
    )
}

async fn location(sim: &test_simulator::TestSimulator, path: &str) -> (u16, String) {
    let response = sim.request(Method::GET, path).send().await.unwrap();
    let to = response.headers().get("location").map(|l| l.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), to)
}

#[tokio::test]
async fn a_browser_signs_in_allows_access_and_returns_with_a_code() {
    let sim = test_simulator::start().await;
    // The JavaScript SDK sends empty parameters like these.
    let (status, login) = location(&sim, &path(&sim, "&display=&ui_locales=&localeId=")).await;
    assert_eq!(status, 302);
    assert!(login.starts_with(&format!("{}/login/", sim.url)), "{login}");
    let page = sim.http.get(&login).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let html = page.text().await.unwrap();
    assert!(!html.contains("<script"), "the login page has no script");
    for user in sim.simulator.seed().users {
        assert!(html.contains(&format!("value=\"{}\"", user.extension_id)), "each user has a sign-in button");
    }

    let user = sim.user(0);
    let wrong =
        sim.http.post(&login).form(&[("username", user.username.as_str()), ("password", "no")]).send().await;
    assert_eq!(wrong.unwrap().status(), 401);
    let form =
        [("username", user.username.as_str()), ("extension", "101"), ("password", user.password.as_str())];
    let signed_in = sim.http.post(&login).form(&form).send().await.unwrap();
    assert_eq!(signed_in.status(), 303);
    let consent = sim.http.get(&login).send().await.unwrap().text().await.unwrap();
    assert!(consent.contains("Dana Sim") && consent.contains("SMS Gateway") && consent.contains("Deny"));
    let back = sim.http.post(&login).form(&[("decision", "allow")]).send().await.unwrap();
    assert_eq!(back.status(), 303);
    let back = back.headers()["location"].to_str().unwrap();
    assert!(back.starts_with(REDIRECT));
    let back = query(back);
    assert_eq!((back["state"].as_str(), back["expires_in"].as_str()), ("abc", "60"));

    let again = sim.http.get(&login).send().await.unwrap();
    assert_eq!(again.status(), 410, "the page is valid only once");
    let form = [("grant_type", "authorization_code"), ("code", &back["code"]), ("redirect_uri", REDIRECT)];
    assert_eq!(sim.token(&form).await.0, 200);
}

#[tokio::test]
async fn one_click_signs_in_and_deny_returns_access_denied() {
    let sim = test_simulator::start().await;
    let (_, login) = location(&sim, &path(&sim, "")).await;
    let user = sim.user(1).extension_id;
    assert_eq!(sim.http.post(&login).form(&[("user", user)]).send().await.unwrap().status(), 303);
    let back = sim.http.post(&login).form(&[("decision", "deny")]).send().await.unwrap();
    let back = query(back.headers()["location"].to_str().unwrap());
    assert_eq!((back["error"].as_str(), back["state"].as_str()), ("access_denied", "abc"));
    assert!(!back.contains_key("code"));
}

#[tokio::test]
async fn a_wrong_client_or_redirect_uri_shows_an_error_page() {
    let sim = test_simulator::start().await;
    let client = sim.simulator.seed().client_id;
    let uris = [
        "http://127.0.0.1:9400/v1/rc/callback/",
        "http://127.0.0.1:9400/v1/rc/Callback",
        "https://evil.example/",
    ];
    for uri in uris {
        let (status, to) = location(
            &sim,
            &format!("/restapi/oauth/authorize?response_type=code&client_id={client}&redirect_uri={uri}"),
        )
        .await;
        assert_eq!((status, to.as_str()), (400, ""), "{uri}");
    }
    let (status, to) = location(
        &sim,
        &format!("/restapi/oauth/authorize?response_type=code&client_id=no&redirect_uri={REDIRECT}"),
    )
    .await;
    assert_eq!((status, to.as_str()), (400, ""));
}

#[tokio::test]
async fn other_errors_redirect_to_the_app() {
    let sim = test_simulator::start().await;
    let token = path(&sim, "").replace("response_type=code", "response_type=token");
    for (path, error) in [
        (token, "unsupported_response_type"),
        (path(&sim, "&code_challenge=x&code_challenge_method=MD5"), "invalid_request"),
        (path(&sim, "&prompt=none"), "access_denied"),
        (path(&sim, "&prompt=none+login"), "invalid_request"),
    ] {
        let (status, to) = location(&sim, &path).await;
        assert_eq!(status, 302);
        assert!(to.starts_with(REDIRECT), "{to}");
        assert_eq!(query(&to)["error"], error);
        assert_eq!(query(&to)["state"], "abc");
    }
}

#[tokio::test]
async fn brands_with_a_separate_environment_sign_in_on_the_second_host() {
    let sim = test_simulator::start().await;
    let (_, login) = location(&sim, &path(&sim, "&brand_id=2210")).await;
    assert!(login.starts_with("http://127.0.0.1:"), "{login}");
    assert_eq!(sim.http.get(&login).send().await.unwrap().status(), 200);
    let (_, login) = location(&sim, &path(&sim, "&brandId=1210")).await;
    assert!(login.starts_with("http://localhost:"), "{login}");
}

#[tokio::test]
async fn the_authorize_request_can_be_a_post() {
    let sim = test_simulator::start().await;
    let client = sim.simulator.seed().client_id;
    let form = [("response_type", "code"), ("client_id", &client), ("redirect_uri", REDIRECT)];
    let response = sim.request(Method::POST, "/restapi/oauth/authorize").form(&form).send().await.unwrap();
    assert_eq!(response.status(), 302);
}

#[tokio::test]
async fn a_call_queue_cannot_sign_in_and_a_hostile_state_is_escaped() {
    let sim = test_simulator::start().await;
    let seed = sim.simulator.seed();
    let body =
        json!({"clientId": seed.client_id, "redirectUri": REDIRECT, "username": "support@example.com"});
    let response = sim.request(Method::POST, "/_sim/authorize").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let (_, login) = location(&sim, &path(&sim, "&login_hint=%22%3E%3Cb%3E")).await;
    let html = sim.http.get(&login).send().await.unwrap().text().await.unwrap();
    assert!(!html.contains("\"><b>"));
    let back = sim.authorize(json!({"state": "a&b=c\"<>", "deny": true})).await;
    assert_eq!(back["state"], "a&b=c\"<>");
}
