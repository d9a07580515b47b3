//! Sending.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{self, EXTENSION, Kit, code, json_of};

pub fn order(from: &str, to: &[&str], text: &str) -> Value {
    let to: Vec<Value> = to.iter().map(|n| json!({"phoneNumber": n})).collect();
    json!({"from": {"phoneNumber": from}, "to": to, "text": text})
}

pub async fn send(kit: &Kit, access: &str, body: Value) -> (reqwest::StatusCode, Value) {
    kit.call(Method::POST, access, &format!("{EXTENSION}/sms"), body).await
}

const FROM: &str = "+14155550101";
const TO: &str = "+16505550111";

#[tokio::test]
async fn a_text_is_queued_sent_and_delivered() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let (status, sent) = send(&kit, &login.access, order(FROM, &[TO], "hi there")).await;
    assert_eq!(status, 200, "{sent}");
    assert_eq!((&sent["messageStatus"], &sent["subject"]), (&json!("Queued"), &json!("hi there")));
    assert_eq!(sent["to"][0]["messageStatus"], "Queued");
    let conversation = sent["conversationId"].as_i64().unwrap();
    assert!(conversation > 1 << 53);
    assert_eq!(sent["conversation"]["id"], json!(conversation.to_string()));
    assert_eq!(sent["attachments"][0]["id"], sent["id"]);
    let path = format!("{EXTENSION}/message-store/{}", sent["id"]);
    kit.simulator.advance(1);
    assert_eq!(kit.get(&login.access, &path).await.1["messageStatus"], "Sent");
    kit.simulator.advance(1);
    let (_, done) = kit.get(&login.access, &path).await;
    assert_eq!(done["messageStatus"], "Delivered");
    assert!(done["smsDeliveryTime"].is_string());
    let accepted = kit.ledger_of("sms_accepted").await;
    assert_eq!(
        (&accepted[0]["from"], &accepted[0]["to"], &accepted[0]["text"]),
        (&json!(FROM), &json!(TO), &json!("hi there"))
    );
    assert_eq!(accepted[0]["messageId"], json!(sent["id"].to_string()));
}

#[tokio::test]
async fn messages_end_as_the_settings_say() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for (settings, status, error) in [
        (json!({"finalStatus": "Sent"}), "Sent", Value::Null),
        (json!({"finalStatus": "DeliveryFailed"}), "DeliveryFailed", json!("SMS-CAR-431")),
        (
            json!({"finalStatus": "SendingFailed", "deliveryErrorCode": "SMS-UP-430"}),
            "SendingFailed",
            json!("SMS-UP-430"),
        ),
    ] {
        kit.settings(settings).await;
        let (_, sent) = send(&kit, &login.access, order(FROM, &[TO], "x")).await;
        kit.simulator.advance(60);
        let (_, record) = kit.get(&login.access, &format!("{EXTENSION}/message-store/{}", sent["id"])).await;
        assert_eq!((&record["messageStatus"], &record["deliveryErrorCode"]), (&json!(status), &error));
        assert_eq!(record["to"][0]["messageStatus"], json!(status));
    }
}

#[tokio::test]
async fn every_rule_has_its_code() {
    let kit = kit::start().await;
    kit.settings(json!({"rateLimits": {"enabled": false}})).await;
    let (dana, robin, kim, alex) =
        (kit.log_in_as(0).await, kit.log_in_as(1).await, kit.log_in_as(2).await, kit.log_in_as(3).await);
    let eleven: Vec<String> = (0..11).map(|n| format!("+165055501{n:02}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    for (login, body, status, expected) in [
        (&dana, order("+14155550102", &[TO], "x"), 403, "MSG-304"),
        (&robin, order("+14155550100", &[TO], "x"), 403, "MSG-304"),
        (&dana, order("+19995550199", &[TO], "x"), 403, "MSG-304"),
        (&robin, order("+14155550105", &[TO], "x"), 403, "MSG-242"),
        (&kim, order("+14155550103", &[TO], "x"), 403, "CMN-408"),
        (&dana, order("", &[TO], "x"), 400, "CMN-101"),
        (&dana, order(FROM, &[], "x"), 400, "CMN-101"),
        (&dana, order(FROM, &["101"], "x"), 400, "CMN-101"),
        (&dana, order(FROM, &[TO], ""), 400, "CMN-101"),
        (&dana, order(FROM, &[TO], &"a".repeat(1001)), 400, "MSG-338"),
        (&dana, order(FROM, &[TO], &"\u{1f600}".repeat(501)), 400, "MSG-338"),
        (&dana, order(FROM, &[TO], &"\u{1f600}".repeat(500)), 200, ""),
        (&dana, order(FROM, &[TO, TO], "x"), 400, "CMN-406"),
        (&dana, order(FROM, &eleven, "x"), 400, "MSG-381"),
        (&dana, order(FROM, &eleven[..10], "x"), 200, ""),
        (&dana, order(FROM, &["+447700900123"], "x"), 200, ""),
        (&alex, order("+18005550122", &[TO], "x"), 200, ""),
        (&alex, order("+18005550122", &["+447700900123"], "x"), 400, "MSG-403"),
        (&alex, order("+18005550122", &[TO, "+16505550112"], "x"), 403, "BIL-103"),
        (&dana, json!("x"), 400, "CMN-103"),
    ] {
        let (got, reply) = send(&kit, &login.access, body.clone()).await;
        assert_eq!((got.as_u16(), code(&reply)), (status, expected), "{body} {reply}");
        if expected == "MSG-304" {
            assert_eq!(reply["errorCode"], "FeatureNotAvailable");
        }
    }
    let other = format!("/restapi/v1.0/account/~/extension/{}/sms", kit.user(1).extension_id);
    let (status, reply) = kit.call(Method::POST, &dana.access, &other, order(FROM, &[TO], "x")).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "MSG-304"), "not even an administrator may");
    assert!(!kit.ledger_of("sms_refused").await.is_empty());
}

#[tokio::test]
async fn files_travel_in_every_multipart_variant() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let json = order(FROM, &[TO], "look").to_string();
    let body = |first: &str, second: &str| {
        format!(
            "--bnd\r\n{first}Content-Type: application/json\r\n\r\n{json}\r\n--bnd\r\n{second}\
             Content-Type: image/png\r\n\r\nPNGDATA\r\n--bnd--\r\n"
        )
    };
    let form = |name: &str, file: &str| {
        format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n")
    };
    for (kind, body) in [
        ("form-data", body(&form("json", "request.json"), &form("attachment", "a.png"))),
        ("form-data", body(&form("request.json", "request.json"), &form("attachments", "a.png"))),
        ("mixed", body("", "Content-Disposition: attachment; filename=\"a.png\"\r\n")),
    ] {
        for path in ["sms", "mms"] {
            let request =
                kit.request(Method::POST, &format!("{EXTENSION}/{path}")).bearer_auth(&login.access);
            let request =
                request.header("content-type", format!("multipart/{kind}; boundary=bnd")).body(body.clone());
            let (status, sent) = json_of(request.send().await.unwrap()).await;
            assert_eq!(status, 200, "{kind}: {sent}");
            let file = &sent["attachments"][1];
            assert_eq!(
                (&file["type"], &file["fileName"], &file["size"]),
                (&json!("MmsAttachment"), &json!("a.png"), &json!(7))
            );
            let content =
                kit.http.get(file["uri"].as_str().unwrap()).bearer_auth(&login.access).send().await.unwrap();
            assert_eq!(content.headers()["content-type"], "image/png");
            assert_eq!(content.bytes().await.unwrap().as_ref(), b"PNGDATA");
        }
    }
    let (status, _) = kit
        .call(Method::POST, &login.access, &format!("{EXTENSION}/mms"), order(FROM, &[TO], "no file"))
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn files_have_limits() {
    let kit = kit::start().await;
    let (dana, alex) = (kit.log_in_as(0).await, kit.log_in_as(3).await);
    let post = async |access: &str, from: &str, files: &[(&str, usize)]| {
        let mut body = format!("--b\r\nContent-Type: application/json\r\n\r\n{}\r\n", order(from, &[TO], ""));
        for (kind, size) in files {
            body.push_str(&format!("--b\r\nContent-Type: {kind}\r\n\r\n{}\r\n", "x".repeat(*size)));
        }
        body.push_str("--b--\r\n");
        let request = kit.request(Method::POST, &format!("{EXTENSION}/sms")).bearer_auth(access);
        json_of(
            request
                .header("content-type", "multipart/form-data; boundary=b")
                .body(body)
                .send()
                .await
                .unwrap(),
        )
        .await
    };
    for (files, expected) in [
        (vec![("image/png", 1_500_000)], ""),
        (vec![("image/png", 1_500_001)], "MSG-337"),
        (vec![("image/png", 800_000), ("image/png", 800_000)], "MSG-376"),
        (vec![("image/png", 1); 11], "MSG-379"),
        (vec![("application/x-msdownload", 1)], "MSG-348"),
    ] {
        let (_, reply) = post(&dana.access, FROM, &files).await;
        assert_eq!(code(&reply), expected, "{files:?}");
    }
    assert_eq!(
        code(&post(&alex.access, "+18005550122", &[("image/png", 1)]).await.1),
        "BIL-103",
        "no MMS from toll-free"
    );
}

#[tokio::test]
async fn opted_out_and_unregistered_fail_later_or_if_wanted_at_once() {
    let kit = kit::start().await;
    let (dana, sasha) = (kit.log_in_as(0).await, kit.log_in_as(4).await);
    kit.sim(Method::POST, "/inbound", json!({"from": TO, "to": FROM, "text": " stop "})).await;
    let fate = async |access: &str, from: &str| {
        let (status, sent) = send(&kit, access, order(from, &[TO], "x")).await;
        assert_eq!(status, 200, "{sent}");
        kit.simulator.advance(5);
        let (_, record) = kit.get(access, &format!("{EXTENSION}/message-store/{}", sent["id"])).await;
        record["deliveryErrorCode"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(fate(&dana.access, FROM).await, "SMS-RC-413");
    assert_eq!(fate(&dana.access, "+14155550100").await, "", "opt-outs are per pair");
    assert_eq!(fate(&sasha.access, "+16505550123").await, "SMS-UP-414", "the campaign is suspended");
    kit.settings(json!({"refuseOptedOut": true})).await;
    let (status, reply) = send(&kit, &dana.access, order(FROM, &[TO], "x")).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "MSG-243"));
    kit.sim(Method::POST, "/inbound", json!({"from": TO, "to": FROM, "text": "START"})).await;
    assert_eq!(fate(&dana.access, FROM).await, "");
}

#[tokio::test]
async fn a_send_can_land_late() {
    let kit = kit::start().await;
    kit.settings(json!({"smsLateAcceptSeconds": 30, "storeLagSeconds": 20})).await;
    let login = kit.log_in().await;
    let (status, sent) = send(&kit, &login.access, order(FROM, &[TO], "late")).await;
    assert_eq!(status, 200);
    let path = format!("{EXTENSION}/message-store/{}", sent["id"]);
    assert!(kit.ledger_of("sms_accepted").await.is_empty());
    kit.simulator.advance(30);
    assert_eq!(kit.ledger_of("sms_accepted").await.len(), 1);
    assert_eq!(kit.get(&login.access, &path).await.0, 404, "accepted, but the store lags behind");
    kit.simulator.advance(20);
    assert_eq!(kit.get(&login.access, &path).await.0, 200);
}

#[tokio::test]
async fn a_slow_send_is_accepted_although_the_client_has_gone() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let fault = json!([{"match": {"path": "/sms"}, "times": 1, "do": {"delayBeforeMs": 200}}]);
    for (settings, faults) in [(json!({"smsLatencyMs": 200}), json!([])), (json!({"smsLatencyMs": 0}), fault)]
    {
        kit.settings(settings).await;
        kit.faults(faults).await;
        let before = kit.ledger_of("sms_accepted").await.len();
        let request = kit.request(Method::POST, &format!("{EXTENSION}/sms")).bearer_auth(&login.access);
        let request = request.json(&order(FROM, &[TO], "slow")).timeout(std::time::Duration::from_millis(50));
        assert!(request.send().await.unwrap_err().is_timeout());
        while kit.ledger_of("sms_accepted").await.len() == before {
            tokio::task::yield_now().await;
        }
    }
}
