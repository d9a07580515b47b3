//! The authorize endpoint and its pages.

use reqwest::Method;
use serde_json::json;

use crate::kit::{self, REDIRECT, query};

fn path(kit: &kit::Kit, extra: &str) -> String {
    let redirect: String = url::form_urlencoded::byte_serialize(REDIRECT.as_bytes()).collect();
    let client = kit.simulator.seed().client_id;
    format!(
        "/restapi/oauth/authorize?response_type=code&client_id={client}&redirect_uri={redirect}&state=abc{extra}"
    )
}

async fn location(kit: &kit::Kit, path: &str) -> (u16, String) {
    let response = kit.request(Method::GET, path).send().await.unwrap();
    let to = response.headers().get("location").map(|l| l.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), to)
}

#[tokio::test]
async fn a_browser_signs_in_allows_and_goes_back_with_a_code() {
    let kit = kit::start().await;
    // Empty parameters, as the JavaScript SDK sends them.
    let (status, login) = location(&kit, &path(&kit, "&display=&ui_locales=&localeId=")).await;
    assert_eq!(status, 302);
    assert!(login.starts_with(&format!("{}/login/", kit.url)), "{login}");
    let page = kit.http.get(&login).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let html = page.text().await.unwrap();
    assert!(!html.contains("<script"), "the login page needs no script");
    for user in kit.simulator.seed().users {
        assert!(html.contains(&format!("value=\"{}\"", user.extension_id)), "one click for each user");
    }

    let user = kit.user(0);
    let wrong =
        kit.http.post(&login).form(&[("username", user.username.as_str()), ("password", "no")]).send().await;
    assert_eq!(wrong.unwrap().status(), 401);
    let form =
        [("username", user.username.as_str()), ("extension", "101"), ("password", user.password.as_str())];
    let signed_in = kit.http.post(&login).form(&form).send().await.unwrap();
    assert_eq!(signed_in.status(), 303);
    let consent = kit.http.get(&login).send().await.unwrap().text().await.unwrap();
    assert!(consent.contains("Dana Sim") && consent.contains("SMS Gateway") && consent.contains("Deny"));
    let back = kit.http.post(&login).form(&[("decision", "allow")]).send().await.unwrap();
    assert_eq!(back.status(), 303);
    let back = back.headers()["location"].to_str().unwrap();
    assert!(back.starts_with(REDIRECT));
    let back = query(back);
    assert_eq!((back["state"].as_str(), back["expires_in"].as_str()), ("abc", "60"));

    let again = kit.http.get(&login).send().await.unwrap();
    assert_eq!(again.status(), 410, "the page is good once");
    let form = [("grant_type", "authorization_code"), ("code", &back["code"]), ("redirect_uri", REDIRECT)];
    assert_eq!(kit.token(&form).await.0, 200);
}

#[tokio::test]
async fn one_click_signs_in_and_deny_goes_back_with_access_denied() {
    let kit = kit::start().await;
    let (_, login) = location(&kit, &path(&kit, "")).await;
    let user = kit.user(1).extension_id;
    assert_eq!(kit.http.post(&login).form(&[("user", user)]).send().await.unwrap().status(), 303);
    let back = kit.http.post(&login).form(&[("decision", "deny")]).send().await.unwrap();
    let back = query(back.headers()["location"].to_str().unwrap());
    assert_eq!((back["error"].as_str(), back["state"].as_str()), ("access_denied", "abc"));
    assert!(!back.contains_key("code"));
}

#[tokio::test]
async fn a_wrong_client_or_redirect_uri_is_answered_on_the_spot() {
    let kit = kit::start().await;
    let client = kit.simulator.seed().client_id;
    let uris = [
        "http://127.0.0.1:9400/v1/rc/callback/",
        "http://127.0.0.1:9400/v1/rc/Callback",
        "https://evil.example/",
    ];
    for uri in uris {
        let (status, to) = location(
            &kit,
            &format!("/restapi/oauth/authorize?response_type=code&client_id={client}&redirect_uri={uri}"),
        )
        .await;
        assert_eq!((status, to.as_str()), (400, ""), "{uri}");
    }
    let (status, to) = location(
        &kit,
        &format!("/restapi/oauth/authorize?response_type=code&client_id=no&redirect_uri={REDIRECT}"),
    )
    .await;
    assert_eq!((status, to.as_str()), (400, ""));
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_app() {
    let kit = kit::start().await;
    let token = path(&kit, "").replace("response_type=code", "response_type=token");
    for (path, error) in [
        (token, "unsupported_response_type"),
        (path(&kit, "&code_challenge=x&code_challenge_method=MD5"), "invalid_request"),
        (path(&kit, "&prompt=none"), "access_denied"),
        (path(&kit, "&prompt=none+login"), "invalid_request"),
    ] {
        let (status, to) = location(&kit, &path).await;
        assert_eq!(status, 302);
        assert!(to.starts_with(REDIRECT), "{to}");
        assert_eq!(query(&to)["error"], error);
        assert_eq!(query(&to)["state"], "abc");
    }
}

#[tokio::test]
async fn brands_with_their_own_environment_sign_in_on_the_second_host() {
    let kit = kit::start().await;
    let (_, login) = location(&kit, &path(&kit, "&brand_id=2210")).await;
    assert!(login.starts_with("http://127.0.0.1:"), "{login}");
    assert_eq!(kit.http.get(&login).send().await.unwrap().status(), 200);
    let (_, login) = location(&kit, &path(&kit, "&brandId=1210")).await;
    assert!(login.starts_with("http://localhost:"), "{login}");
}

#[tokio::test]
async fn the_authorize_request_may_be_posted() {
    let kit = kit::start().await;
    let client = kit.simulator.seed().client_id;
    let form = [("response_type", "code"), ("client_id", &client), ("redirect_uri", REDIRECT)];
    let response = kit.request(Method::POST, "/restapi/oauth/authorize").form(&form).send().await.unwrap();
    assert_eq!(response.status(), 302);
}

#[tokio::test]
async fn a_queue_can_not_sign_in_and_a_hostile_state_is_escaped() {
    let kit = kit::start().await;
    let seed = kit.simulator.seed();
    let body =
        json!({"clientId": seed.client_id, "redirectUri": REDIRECT, "username": "support@example.com"});
    let response = kit.request(Method::POST, "/_sim/authorize").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let (_, login) = location(&kit, &path(&kit, "&login_hint=%22%3E%3Cb%3E")).await;
    let html = kit.http.get(&login).send().await.unwrap().text().await.unwrap();
    assert!(!html.contains("\"><b>"));
    let back = kit.authorize(json!({"state": "a&b=c\"<>", "deny": true})).await;
    assert_eq!(back["state"], "a&b=c\"<>");
}
