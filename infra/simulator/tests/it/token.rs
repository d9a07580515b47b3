//! Grants, client authentication and revocation.

use reqwest::Method;
use serde_json::json;

use crate::test_simulator::{self, EXTENSION, REDIRECT, code, json_of};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

#[tokio::test]
async fn a_code_can_be_exchanged_once_within_60_seconds_with_its_redirect_uri() {
    let sim = test_simulator::start().await;
    let exchange = |code: String, uri: &'static str| {
        let sim = &sim;
        async move {
            sim.token(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", uri)]).await
        }
    };
    let first = sim.authorize(json!({})).await["code"].clone();
    let (status, reply) = exchange(first.clone(), "http://127.0.0.1:9400/else").await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-109"));
    assert_eq!(reply["error"], "invalid_grant");
    let (status, reply) = exchange(first.clone(), REDIRECT).await;
    assert_eq!(status, 200);
    assert_eq!((&reply["token_type"], &reply["expires_in"]), (&json!("bearer"), &json!(3599)));
    assert_eq!(reply["refresh_token_expires_in"], 604_799);
    assert_eq!(reply["owner_id"], json!(sim.user(0).extension_id));
    assert!(reply["scope"].as_str().unwrap().contains("SMS"));
    for secret in ["access_token", "refresh_token"] {
        assert!(reply[secret].as_str().unwrap().contains("CANARY"));
    }
    let (status, reply) = exchange(first, REDIRECT).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-106"));

    let late = sim.authorize(json!({})).await["code"].clone();
    sim.simulator.advance(60);
    let (status, reply) = exchange(late, REDIRECT).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-108"));
    assert_eq!(sim.ledger_of("token_issued").await.len(), 1);
    assert_eq!(sim.ledger_of("token_refused").await.len(), 3);
}

#[tokio::test]
async fn pkce_binds_the_code_to_its_verifier() {
    let sim = test_simulator::start().await;
    for (method, challenge, verifier, good) in [
        ("S256", CHALLENGE, VERIFIER, true),
        ("S256", CHALLENGE, "another-verifier-that-is-long-enough-1234567", false),
        ("S256", CHALLENGE, "", false),
        ("plain", VERIFIER, VERIFIER, true),
    ] {
        sim.simulator.advance(61);
        let back = sim.authorize(json!({"codeChallenge": challenge, "codeChallengeMethod": method})).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &back["code"]),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        let (status, reply) = sim.token(&form).await;
        assert_eq!(status == 200, good, "{method} {verifier}: {reply}");
    }
}

#[tokio::test]
async fn clients_authenticate_by_basic_by_body_or_by_both() {
    let sim = test_simulator::start().await;
    let seed = sim.simulator.seed();
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
        (Some(("unknown", "x")), None, "OAU-153"),
        (None, Some(id), "OAU-123"),
        (None, None, "OAU-123"),
    ] {
        sim.simulator.advance(61);
        let mut request = sim.request(Method::POST, "/restapi/oauth/token").form(&form(body));
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        let (status, reply) = json_of(request.send().await.unwrap()).await;
        assert_eq!(code(&reply), expected, "{basic:?} {body:?} {status}");
        assert_eq!(status == 200, expected.is_empty());
    }
}

#[tokio::test]
async fn every_grant_returns_tokens_or_its_error() {
    let sim = test_simulator::start().await;
    let user = sim.user(1);
    let starred = format!("{}*102", sim.user(0).username);
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
        sim.simulator.advance(61);
        let (status, reply) = sim.token(&form).await;
        assert_eq!(code(&reply), expected, "{form:?} {reply}");
        assert_eq!(status.as_u16(), if expected.is_empty() { 200 } else { 400 });
    }
    let reply = sim.request(Method::POST, "/restapi/oauth/token").json(&json!({})).send().await.unwrap();
    assert_eq!(reply.status(), 415);
}

#[tokio::test]
async fn token_lifetimes_are_clamped() {
    let sim = test_simulator::start().await;
    let user = sim.user(0);
    for (access, refresh, expected) in [
        ("-1", "-1", (599, 604_799)),
        ("10", "60", (599, 59)),
        ("1200", "604800", (1199, 604_799)),
        ("9000", "2592000", (3599, 604_799)),
    ] {
        sim.simulator.advance(61);
        let form = [
            ("grant_type", "password"),
            ("username", &user.username),
            ("password", &user.password),
            ("access_token_ttl", access),
            ("refresh_token_ttl", refresh),
        ];
        let (_, reply) = sim.token(&form).await;
        assert_eq!(
            (reply["expires_in"].as_i64().unwrap(), reply["refresh_token_expires_in"].as_i64().unwrap()),
            expected
        );
    }
}

#[tokio::test]
async fn no_refresh_token_is_issued_if_the_app_setting_is_off() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"issueRefreshTokens": false, "scopes": "ReadAccounts", "sessionId": false})).await;
    let login = sim.log_in().await;
    assert_eq!(login.refresh, "");
    let (status, reply) = sim.get(&login.access, &format!("{EXTENSION}/phone-number")).await;
    assert_eq!(status, 200, "{reply}");
    let body = json!({"eventFilters": [], "deliveryMode": {"transportType": "WebHook", "address": "https://a.example/"}});
    let (status, reply) = sim.call(Method::POST, &login.access, "/restapi/v1.0/subscription", body).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-401"));
    assert_eq!(
        (&reply["permissionName"], &reply["errorCode"]),
        (&json!("SubscriptionWebhook"), &json!("InsufficientPermissions"))
    );
}

#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    let sim = test_simulator::start().await;
    let seed = sim.simulator.seed();
    let revoke = async |token: &str, secret: &str| {
        let request =
            sim.request(Method::POST, "/restapi/oauth/revoke").basic_auth(&seed.client_id, Some(secret));
        json_of(request.form(&[("token", token)]).send().await.unwrap()).await
    };
    for by_access in [true, false] {
        sim.simulator.advance(61);
        let login = sim.log_in().await;
        let (status, reply) =
            revoke(if by_access { &login.access } else { &login.refresh }, &seed.client_secret).await;
        assert_eq!((status.as_u16(), reply), (200, json!("")));
        let (status, reply) = sim.get(&login.access, EXTENSION).await;
        assert_eq!((status.as_u16(), code(&reply)), (401, "OAU-213"));
        let (status, reply) = sim.refresh(&login.refresh).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-211"));
    }
    assert_eq!(sim.ledger_of("session_revoked").await.len(), 2);
    sim.simulator.advance(61);
    let (status, reply) = revoke("", &seed.client_secret).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "CMN-101"));
    let (status, _) = revoke("SIMAT.unknown", &seed.client_secret).await;
    assert_eq!(status, 200);
    let (status, reply) = revoke("x", "wrong").await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-146"));
}

#[tokio::test]
async fn a_user_can_revoke_the_access_of_an_app() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let path = format!("/users/{}/revoke", sim.user(0).extension_id);
    assert_eq!(sim.control(Method::POST, &path, json!({})).await, json!({"revoked": 1}));
    let (status, reply) = sim.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), &reply["error"], code(&reply)), (400, &json!("invalid_grant"), "OAU-211"));
    assert_eq!(sim.ledger_of("session_revoked").await[0]["reason"], "user");
}

#[tokio::test]
async fn a_sixth_session_revokes_the_oldest() {
    let sim = test_simulator::start().await;
    let mut logins = Vec::new();
    for _ in 0..6 {
        sim.simulator.advance(61);
        logins.push(sim.log_in().await);
    }
    let mut alive = Vec::new();
    for login in &logins {
        alive.push(sim.get(&login.access, EXTENSION).await.0 == 200);
    }
    assert_eq!(alive, [false, true, true, true, true, true]);
    assert_eq!(sim.ledger_of("session_revoked").await[0]["reason"], "session_limit");
}

#[tokio::test]
async fn oauth_errors_can_have_status_401_as_in_the_guide() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"oauthErrorStatus": 401})).await;
    assert_eq!(sim.refresh("SIMRT.nothing").await.0, 401);
}

#[tokio::test]
async fn a_client_can_authenticate_by_an_assertion_signed_with_its_secret() {
    let sim = test_simulator::start().await;
    let seed = sim.simulator.seed();
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
            json_of(sim.request(Method::POST, "/restapi/oauth/token").form(&form).send().await.unwrap())
                .await;
        assert_eq!(status == 200, good, "{reply}");
    }
}
