//! No error and no log event contains a token, secret, code or password.

use std::time::Duration;

use ringbridge_ringcentral::oauth::{CodeExchange, PasswordGrant, TokenOptions};
use ringbridge_ringcentral::{AppCredentials, Error, Session, Sms};
use serde_json::json;

use crate::support::Rc;

/// All texts of an error: its formats, its sources and RingCentral's messages.
fn all_texts(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    for code in error.codes() {
        text.push_str(&format!(" {} {} {code:?}", code.code, code.message));
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn no_error_and_no_log_event_contains_a_secret() {
    let rc = Rc::start().await;
    let client = rc.client().with_timeout(Duration::from_millis(300));
    let options = TokenOptions::default();
    let user = rc.user("101");
    let mut text = format!("{client:?}");
    let mut errors = Vec::new();
    let everything = json!({
        "errorCode": "CANARY", "message": "SECRETS", "error": "invalid_grant",
        "error_description": "SECRETS",
        "errors": [{"errorCode": "OAU-213", "message": "SECRETS", "parameterName": "SECRETS",
            "parameterValue": "SECRETS", "permissionName": "SECRETS"}],
    });

    for fault in [
        json!({"hang": true}),
        json!({"reset": "after_body"}),
        json!({"applyThenDrop": true}),
        json!({"truncateJson": true}),
        json!({"status": 429}),
        json!({"status": 500, "body": "<html>"}),
        json!("echo"),
    ] {
        let tokens = rc.tokens().await;
        let refresh = tokens.refresh_token.clone().expect("a refresh token");
        text.push_str(&format!("{tokens:?} {tokens:#?} {refresh:?}"));
        // A server that repeats the secret in every field.
        let echoed = |secret: &str| {
            let body = everything
                .to_string()
                .replace("SECRETS", secret)
                .replace("\"CANARY\"", &json!(secret).to_string());
            json!({"status": 400, "body": serde_json::from_str::<serde_json::Value>(&body).expect("JSON")})
        };
        let fault_for = |secret: &str| if fault == json!("echo") { echoed(secret) } else { fault.clone() };

        rc.token_fault(1, fault_for(refresh.expose())).await;
        errors.extend(client.refresh(&refresh, &options).await.err());
        rc.token_fault(1, fault_for(&user.password)).await;
        let password = PasswordGrant::new(&user.username, user.password.as_str());
        text.push_str(&format!("{password:?}"));
        errors.extend(client.sign_in_with_password(&password, &options).await.err());
        rc.token_fault(1, fault_for(&user.jwt)).await;
        errors.extend(client.sign_in_with_jwt(&user.jwt.as_str().into(), &options).await.err());
        rc.token_fault(1, fault_for("CANARY-code")).await;
        let exchange = CodeExchange::new("CANARY-code");
        text.push_str(&format!("{exchange:?}"));
        errors.extend(client.exchange_code(&exchange, &options).await.err());
        rc.faults(
            json!([{"match": {"path": "/oauth/revoke"}, "times": 1, "do": fault_for(refresh.expose())}]),
        )
        .await;
        errors.extend(client.revoke(&refresh).await.err());

        let api = client.api(&tokens.access_token);
        text.push_str(&format!("{api:?}"));
        let access = tokens.access_token.expose();
        rc.faults(json!([{"match": {"path": "/v1.0/"}, "times": 2, "do": fault_for(access)}])).await;
        errors.extend(api.extension().await.err());
        let sms = Sms::new(&user.numbers[0], "+16505550111", "CANARY text");
        errors.extend(api.send_sms(&sms).await.err());
        rc.faults(json!([])).await;

        let session = Session::builder(client.clone()).refresh_attempts(1, Duration::ZERO).build();
        session.set_tokens(tokens.clone()).await.expect("stored");
        text.push_str(&format!("{session:?}"));
        rc.advance(3601);
        rc.token_fault(1, fault_for(refresh.expose())).await;
        errors.extend(session.extension().await.err());
        rc.faults(json!([])).await;
    }
    let wrong = AppCredentials::confidential(&rc.seed.client_id, "CANARY-wrong");
    text.push_str(&format!("{wrong:?}"));
    errors.extend(rc.client_as(wrong).refresh(&"CANARY-refresh".into(), &options).await.err());

    assert!(errors.len() >= 7 * 7, "only {} errors", errors.len());
    for error in &errors {
        text.push_str(&all_texts(error));
    }
    // Everything that this process has logged, in the other tests too.
    let log = crate::support::log();
    assert!(log.contains("RingCentral call failed") && log.contains("DEBUG"), "the log was recorded");
    for (name, text) in [("an error or Debug output", &text), ("the log", &log)] {
        if let Some(at) = text.find("CANARY") {
            let start = text.floor_char_boundary(at.saturating_sub(200));
            let end = text.ceil_char_boundary((at + 100).min(text.len()));
            panic!("{name} contains a secret: {}", &text[start..end]);
        }
    }
}
