//! The token endpoint, grants and client authentication; revocation.

use reqwest::Method;
use serde_json::json;

use crate::kit::{self, EXTENSION, REDIRECT, code, json_of};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

#[tokio::test]
async fn a_code_is_exchanged_once_within_60_seconds_and_only_with_its_redirect_uri() {
    let kit = kit::start().await;
    let exchange = |code: String, uri: &'static str| {
        let kit = &kit;
        async move {
            kit.token(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", uri)]).await
        }
    };
    let first = kit.authorize(json!({})).await["code"].clone();
    let (status, reply) = exchange(first.clone(), "http://127.0.0.1:9400/else").await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-109"));
    assert_eq!(reply["error"], "invalid_grant");
    let (status, reply) = exchange(first.clone(), REDIRECT).await;
    assert_eq!(status, 200);
    assert_eq!((&reply["token_type"], &reply["expires_in"]), (&json!("bearer"), &json!(3599)));
    assert_eq!(reply["refresh_token_expires_in"], 604_799);
    assert_eq!(reply["owner_id"], json!(kit.user(0).extension_id));
    assert!(reply["scope"].as_str().unwrap().contains("SMS"));
    for secret in ["access_token", "refresh_token"] {
        assert!(reply[secret].as_str().unwrap().contains("CANARY"));
    }
    let (status, reply) = exchange(first, REDIRECT).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-106"));

    let late = kit.authorize(json!({})).await["code"].clone();
    kit.simulator.advance(60);
    let (status, reply) = exchange(late, REDIRECT).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-108"));
    assert_eq!(kit.ledger_of("token_issued").await.len(), 1);
    assert_eq!(kit.ledger_of("token_refused").await.len(), 3);
}

#[tokio::test]
async fn pkce_binds_the_code_to_its_verifier() {
    let kit = kit::start().await;
    for (method, challenge, verifier, good) in [
        ("S256", CHALLENGE, VERIFIER, true),
        ("S256", CHALLENGE, "another-verifier-that-is-long-enough-1234567", false),
        ("S256", CHALLENGE, "", false),
        ("plain", VERIFIER, VERIFIER, true),
    ] {
        kit.simulator.advance(61);
        let back = kit.authorize(json!({"codeChallenge": challenge, "codeChallengeMethod": method})).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &back["code"]),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        let (status, reply) = kit.token(&form).await;
        assert_eq!(status == 200, good, "{method} {verifier}: {reply}");
    }
}

#[tokio::test]
async fn clients_authenticate_by_basic_by_body_or_by_both() {
    let kit = kit::start().await;
    let seed = kit.simulator.seed();
    let user = &seed.users[0];
    let form = |client: Option<&str>| {
        let mut form = vec![
            ("grant_type", "password".to_owned()),
            ("username", user.username.clone()),
            ("password", user.password.clone()),
        ];
        form.extend(client.map(|c| ("client_id", c.to_owned())));
        form
    };
    let (id, secret, public) =
        (seed.client_id.as_str(), seed.client_secret.as_str(), seed.public_client_id.as_str());
    for (basic, body, expected) in [
        (Some((id, secret)), None, ""),
        (Some((id, secret)), Some(id), ""),
        (None, Some(public), ""),
        (Some((public, "")), None, ""),
        (Some((id, secret)), Some(public), "OAU-150"),
        (Some((id, "wrong")), None, "OAU-146"),
        (Some(("nobody", "x")), None, "OAU-153"),
        (None, Some(id), "OAU-123"),
        (None, None, "OAU-123"),
    ] {
        kit.simulator.advance(61);
        let mut request = kit.request(Method::POST, "/restapi/oauth/token").form(&form(body));
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        let (status, reply) = json_of(request.send().await.unwrap()).await;
        assert_eq!(code(&reply), expected, "{basic:?} {body:?} {status}");
        assert_eq!(status == 200, expected.is_empty());
    }
}

#[tokio::test]
async fn every_grant_answers() {
    let kit = kit::start().await;
    let user = kit.user(1);
    let starred = format!("{}*102", kit.user(0).username);
    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    for (form, expected) in [
        (vec![("grant_type", jwt), ("assertion", &user.jwt)], ""),
        (vec![("grant_type", jwt), ("assertion", "rubbish")], "CMN-101"),
        (vec![("grant_type", jwt), ("assertion", "a.b.c")], "OAU-149"),
        (vec![("grant_type", "password"), ("username", &starred), ("password", &user.password)], ""),
        (vec![("grant_type", "password"), ("username", &user.username), ("password", "no")], "OAU-140"),
        (vec![("grant_type", "partner_jwt"), ("assertion", "a.b.c")], "OAU-112"),
        (vec![("grant_type", "client_credentials")], "OAU-125"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "SIMRT.nothing")], "OAU-213"),
        (vec![("grant_type", "refresh_token")], "CMN-101"),
        (vec![("grant_type", "refresh_token"), ("grant_type", "password")], "OAU-111"),
        (vec![], "CMN-101"),
    ] {
        kit.simulator.advance(61);
        let (status, reply) = kit.token(&form).await;
        assert_eq!(code(&reply), expected, "{form:?} {reply}");
        assert_eq!(status.as_u16(), if expected.is_empty() { 200 } else { 400 });
    }
    let reply = kit.request(Method::POST, "/restapi/oauth/token").json(&json!({})).send().await.unwrap();
    assert_eq!(reply.status(), 415);
}

#[tokio::test]
async fn lifetimes_are_clamped() {
    let kit = kit::start().await;
    let user = kit.user(0);
    for (access, refresh, expected) in [
        ("-1", "-1", (599, 604_799)),
        ("10", "60", (599, 59)),
        ("1200", "604800", (1199, 604_799)),
        ("9000", "2592000", (3599, 604_799)),
    ] {
        kit.simulator.advance(61);
        let form = [
            ("grant_type", "password"),
            ("username", &user.username),
            ("password", &user.password),
            ("access_token_ttl", access),
            ("refresh_token_ttl", refresh),
        ];
        let (_, reply) = kit.token(&form).await;
        assert_eq!(
            (reply["expires_in"].as_i64().unwrap(), reply["refresh_token_expires_in"].as_i64().unwrap()),
            expected
        );
    }
}

#[tokio::test]
async fn without_issue_refresh_tokens_there_is_none() {
    let kit = kit::start().await;
    kit.settings(json!({"issueRefreshTokens": false, "scopes": "ReadAccounts", "sessionId": false})).await;
    let login = kit.log_in().await;
    assert_eq!(login.refresh, "");
    let (status, reply) = kit.get(&login.access, &format!("{EXTENSION}/phone-number")).await;
    assert_eq!(status, 200, "{reply}");
    let body = json!({"eventFilters": [], "deliveryMode": {"transportType": "WebHook", "address": "https://a.example/"}});
    let (status, reply) = kit.call(Method::POST, &login.access, "/restapi/v1.0/subscription", body).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-401"));
    assert_eq!(
        (&reply["permissionName"], &reply["errorCode"]),
        (&json!("SubscriptionWebhook"), &json!("InsufficientPermissions"))
    );
}

#[tokio::test]
async fn revoking_either_token_ends_the_whole_session() {
    let kit = kit::start().await;
    let seed = kit.simulator.seed();
    let revoke = async |token: &str, secret: &str| {
        let request =
            kit.request(Method::POST, "/restapi/oauth/revoke").basic_auth(&seed.client_id, Some(secret));
        json_of(request.form(&[("token", token)]).send().await.unwrap()).await
    };
    for by_access in [true, false] {
        kit.simulator.advance(61);
        let login = kit.log_in().await;
        let (status, reply) =
            revoke(if by_access { &login.access } else { &login.refresh }, &seed.client_secret).await;
        assert_eq!((status.as_u16(), reply), (200, json!("")));
        let (status, reply) = kit.get(&login.access, EXTENSION).await;
        assert_eq!((status.as_u16(), code(&reply)), (401, "OAU-213"));
        let (status, reply) = kit.refresh(&login.refresh).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-211"));
    }
    assert_eq!(kit.ledger_of("session_revoked").await.len(), 2);
    kit.simulator.advance(61);
    let (status, reply) = revoke("", &seed.client_secret).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "CMN-101"));
    let (status, _) = revoke("SIMAT.unknown", &seed.client_secret).await;
    assert_eq!(status, 200);
    let (status, reply) = revoke("x", "wrong").await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-146"));
}

#[tokio::test]
async fn the_user_can_end_the_apps_access() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let path = format!("/users/{}/revoke", kit.user(0).extension_id);
    assert_eq!(kit.sim(Method::POST, &path, json!({})).await, json!({"revoked": 1}));
    let (status, reply) = kit.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), &reply["error"], code(&reply)), (400, &json!("invalid_grant"), "OAU-211"));
    assert_eq!(kit.ledger_of("session_revoked").await[0]["reason"], "user");
}

#[tokio::test]
async fn a_sixth_session_ends_the_oldest() {
    let kit = kit::start().await;
    let mut logins = Vec::new();
    for _ in 0..6 {
        kit.simulator.advance(61);
        logins.push(kit.log_in().await);
    }
    let mut alive = Vec::new();
    for login in &logins {
        alive.push(kit.get(&login.access, EXTENSION).await.0 == 200);
    }
    assert_eq!(alive, [false, true, true, true, true, true]);
    assert_eq!(kit.ledger_of("session_revoked").await[0]["reason"], "session_limit");
}

#[tokio::test]
async fn oauth_errors_can_be_401_as_the_guide_has_it() {
    let kit = kit::start().await;
    kit.settings(json!({"oauthErrorStatus": 401})).await;
    assert_eq!(kit.refresh("SIMRT.nothing").await.0, 401);
}

#[tokio::test]
async fn a_client_may_sign_an_assertion_with_its_secret() {
    let kit = kit::start().await;
    let seed = kit.simulator.seed();
    let user = &seed.users[0];
    let part = |v: serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(v.to_string().as_bytes());
    for (secret, good) in [(seed.client_secret.as_str(), true), ("wrong", false)] {
        let signed = format!(
            "{}.{}",
            part(json!({"alg": "HS256", "typ": "JWT"})),
            part(json!({"iss": seed.client_id, "sub": seed.client_id, "exp": 4_102_444_800_i64}))
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        let assertion = format!("{signed}.{}", data_encoding::BASE64URL_NOPAD.encode(tag.as_ref()));
        let form = [
            ("grant_type", "password"),
            ("username", &user.username),
            ("password", &user.password),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ];
        let (status, reply) =
            json_of(kit.request(Method::POST, "/restapi/oauth/token").form(&form).send().await.unwrap())
                .await;
        assert_eq!(status == 200, good, "{reply}");
    }
}
