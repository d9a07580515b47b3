//! Sending.

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator::{self, EXTENSION, TestSimulator, code, json_of};

pub fn sms_body(from: &str, to: &[&str], text: &str) -> Value {
    let to: Vec<Value> = to.iter().map(|n| json!({"phoneNumber": n})).collect();
    json!({"from": {"phoneNumber": from}, "to": to, "text": text})
}

pub async fn send(sim: &TestSimulator, access: &str, body: Value) -> (reqwest::StatusCode, Value) {
    sim.call(Method::POST, access, &format!("{EXTENSION}/sms"), body).await
}

const FROM: &str = "+14155550101";
const TO: &str = "+16505550111";

#[tokio::test]
async fn a_message_is_queued_sent_and_delivered() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (status, sent) = send(&sim, &login.access, sms_body(FROM, &[TO], "hi there")).await;
    assert_eq!(status, 200, "{sent}");
    assert_eq!((&sent["messageStatus"], &sent["subject"]), (&json!("Queued"), &json!("hi there")));
    assert_eq!(sent["to"][0]["messageStatus"], "Queued");
    let conversation = sent["conversationId"].as_i64().unwrap();
    assert!(conversation > 1 << 53);
    assert_eq!(sent["conversation"]["id"], json!(conversation.to_string()));
    assert_eq!(sent["attachments"][0]["id"], sent["id"]);
    let path = format!("{EXTENSION}/message-store/{}", sent["id"]);
    sim.simulator.advance(1);
    assert_eq!(sim.get(&login.access, &path).await.1["messageStatus"], "Sent");
    sim.simulator.advance(1);
    let (_, done) = sim.get(&login.access, &path).await;
    assert_eq!(done["messageStatus"], "Delivered");
    assert!(done["smsDeliveryTime"].is_string());
    let accepted = sim.ledger_of("sms_accepted").await;
    assert_eq!(
        (&accepted[0]["from"], &accepted[0]["to"], &accepted[0]["text"]),
        (&json!(FROM), &json!(TO), &json!("hi there"))
    );
    assert_eq!(accepted[0]["messageId"], json!(sent["id"].to_string()));
}

#[tokio::test]
async fn settings_decide_the_final_status_of_messages() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for (settings, status, error) in [
        (json!({"finalStatus": "Sent"}), "Sent", Value::Null),
        (json!({"finalStatus": "DeliveryFailed"}), "DeliveryFailed", json!("SMS-CAR-431")),
        (
            json!({"finalStatus": "SendingFailed", "deliveryErrorCode": "SMS-UP-430"}),
            "SendingFailed",
            json!("SMS-UP-430"),
        ),
    ] {
        sim.settings(settings).await;
        let (_, sent) = send(&sim, &login.access, sms_body(FROM, &[TO], "x")).await;
        sim.simulator.advance(60);
        let (_, record) = sim.get(&login.access, &format!("{EXTENSION}/message-store/{}", sent["id"])).await;
        assert_eq!((&record["messageStatus"], &record["deliveryErrorCode"]), (&json!(status), &error));
        assert_eq!(record["to"][0]["messageStatus"], json!(status));
    }
}

#[tokio::test]
async fn each_refusal_of_a_send_has_its_code() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"rateLimits": {"enabled": false}})).await;
    let (dana, robin, kim, alex) =
        (sim.log_in_as(0).await, sim.log_in_as(1).await, sim.log_in_as(2).await, sim.log_in_as(3).await);
    let eleven: Vec<String> = (0..11).map(|n| format!("+165055501{n:02}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    for (login, body, status, expected) in [
        (&dana, sms_body("+14155550102", &[TO], "x"), 403, "MSG-304"),
        (&robin, sms_body("+14155550100", &[TO], "x"), 403, "MSG-304"),
        (&dana, sms_body("+19995550199", &[TO], "x"), 403, "MSG-304"),
        (&robin, sms_body("+14155550105", &[TO], "x"), 403, "MSG-242"),
        (&kim, sms_body("+14155550103", &[TO], "x"), 403, "CMN-408"),
        (&dana, sms_body("", &[TO], "x"), 400, "CMN-101"),
        (&dana, sms_body(FROM, &[], "x"), 400, "CMN-101"),
        (&dana, sms_body(FROM, &["101"], "x"), 400, "CMN-101"),
        (&dana, sms_body(FROM, &[TO], ""), 400, "CMN-101"),
        (&dana, sms_body(FROM, &[TO], &"a".repeat(1001)), 400, "MSG-338"),
        (&dana, sms_body(FROM, &[TO], &"\u{1f600}".repeat(501)), 400, "MSG-338"),
        (&dana, sms_body(FROM, &[TO], &"\u{1f600}".repeat(500)), 200, ""),
        (&dana, sms_body(FROM, &[TO, TO], "x"), 400, "CMN-406"),
        (&dana, sms_body(FROM, &eleven, "x"), 400, "MSG-381"),
        (&dana, sms_body(FROM, &eleven[..10], "x"), 200, ""),
        (&dana, sms_body(FROM, &["+447700900123"], "x"), 200, ""),
        (&alex, sms_body("+18005550122", &[TO], "x"), 200, ""),
        (&alex, sms_body("+18005550122", &["+447700900123"], "x"), 400, "MSG-403"),
        (&alex, sms_body("+18005550122", &[TO, "+16505550112"], "x"), 403, "BIL-103"),
        (&dana, json!("x"), 400, "CMN-103"),
    ] {
        let (got, reply) = send(&sim, &login.access, body.clone()).await;
        assert_eq!((got.as_u16(), code(&reply)), (status, expected), "{body} {reply}");
        if expected == "MSG-304" {
            assert_eq!(reply["errorCode"], "FeatureNotAvailable");
        }
    }
    let other = format!("/restapi/v1.0/account/~/extension/{}/sms", sim.user(1).extension_id);
    let (status, reply) = sim.call(Method::POST, &dana.access, &other, sms_body(FROM, &[TO], "x")).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "MSG-304"), "an administrator cannot send for others");
    assert!(!sim.ledger_of("sms_refused").await.is_empty());
}

#[tokio::test]
async fn files_are_accepted_in_every_multipart_variant() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let json = sms_body(FROM, &[TO], "look").to_string();
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
                sim.request(Method::POST, &format!("{EXTENSION}/{path}")).bearer_auth(&login.access);
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
                sim.http.get(file["uri"].as_str().unwrap()).bearer_auth(&login.access).send().await.unwrap();
            assert_eq!(content.headers()["content-type"], "image/png");
            assert_eq!(content.bytes().await.unwrap().as_ref(), b"PNGDATA");
        }
    }
    let (status, _) = sim
        .call(Method::POST, &login.access, &format!("{EXTENSION}/mms"), sms_body(FROM, &[TO], "no file"))
        .await;
    assert_eq!(status, 400);
}

/// A multipart body with the given header lines and bytes of each file.
fn multipart(from: &str, text: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let json = sms_body(from, &[TO], text);
    let mut body = format!("--b\r\nContent-Type: application/json\r\n\r\n{json}\r\n").into_bytes();
    for (headers, bytes) in files {
        body.extend(format!("--b\r\n{headers}\r\n").bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    body
}

async fn post_multipart(
    sim: &TestSimulator,
    access: &str,
    endpoint: &str,
    body: Vec<u8>,
) -> (reqwest::StatusCode, Value) {
    let request = sim.request(Method::POST, &format!("{EXTENSION}/{endpoint}")).bearer_auth(access);
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(body);
    json_of(request.send().await.unwrap()).await
}

fn file(content_type: &str, size: usize) -> (String, Vec<u8>) {
    let headers = format!(
        "Content-Disposition: form-data; name=\"attachment\"; filename=\"a.bin\"\r\nContent-Type: {content_type}\r\n"
    );
    (headers, vec![b'x'; size])
}

#[tokio::test]
async fn files_are_limited_in_number_size_and_type() {
    let sim = test_simulator::start().await;
    let (dana, alex) = (sim.log_in_as(0).await, sim.log_in_as(3).await);
    for (files, status, expected) in [
        (vec![file("image/png", 1_500_000)], 200, ""),
        (vec![file("image/png", 1_500_001)], 400, "MSG-337"),
        (vec![file("image/png", 800_000), file("image/png", 800_000)], 400, "MSG-376"),
        (vec![file("image/png", 1); 11], 400, "MSG-379"),
        (vec![file("image/png", 0)], 400, "MSG-347"),
        (vec![file("application/x-msdownload", 1)], 415, "MSG-348"),
        (vec![file("image/heic", 1)], 415, "MSG-348"),
        (vec![file("image/jpg", 1)], 415, "MSG-348"),
        (vec![file("audio/x-wav", 1)], 415, "MSG-348"),
        (vec![file("video/avi", 1), file("audio/amr", 1), file("text/vcard", 1)], 200, ""),
        (vec![file("video/msvideo", 1)], 415, "MSG-348"),
        (vec![("Content-Type: image/png\r\n".to_owned(), vec![1])], 400, "MSG-350"),
        (
            vec![("Content-Disposition: attachment\r\nContent-Type: image/png\r\n".to_owned(), vec![1])],
            400,
            "MSG-351",
        ),
    ] {
        let body = multipart(FROM, "", &files);
        let (got, reply) = post_multipart(&sim, &dana.access, "mms", body).await;
        assert_eq!((got.as_u16(), code(&reply)), (status, expected), "{:?}", files[0].0);
    }
    let (_, ledger) = json_of(sim.request(Method::GET, "/_sim/ledger").send().await.unwrap()).await;
    let accepted =
        ledger["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "sms_accepted");
    let attachments: Vec<&Value> = accepted.map(|entry| &entry["attachments"]).collect();
    let sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let stored = |content_type: &str| json!({"contentType": content_type, "fileName": "a.bin", "size": 1, "sha256": sha256});
    let expected = ["video/avi", "audio/amr", "text/vcard"].map(stored);
    assert_eq!(attachments.len(), 2, "only accepted messages");
    assert_eq!(attachments[0][0]["size"], 1_500_000);
    assert_eq!(*attachments[1], json!(expected));
    let body = multipart("+18005550122", "", &[file("image/png", 1)]);
    assert_eq!(
        code(&post_multipart(&sim, &alex.access, "mms", body).await.1),
        "BIL-103",
        "no MMS from toll-free"
    );
    let too_large = multipart(FROM, "", &[file("image/png", 10 * 1024 * 1024)]);
    assert_eq!(
        post_multipart(&sim, &dana.access, "mms", too_large).await.0,
        413,
        "the endpoint takes 10 MiB"
    );
}

#[tokio::test]
async fn the_text_is_required_at_sms_and_optional_at_mms() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for (endpoint, text, expected) in
        [("sms", "look", ""), ("sms", "", "CMN-101"), ("mms", "look", ""), ("mms", "", "")]
    {
        let body = multipart(FROM, text, &[file("image/png", 3)]);
        let (_, reply) = post_multipart(&sim, &login.access, endpoint, body).await;
        assert_eq!(code(&reply), expected, "{endpoint} {text:?}");
    }
}

#[tokio::test]
async fn sends_to_opted_out_recipients_fail_later_or_optionally_immediately() {
    let sim = test_simulator::start().await;
    let (dana, sasha) = (sim.log_in_as(0).await, sim.log_in_as(4).await);
    sim.control(Method::POST, "/inbound", json!({"from": TO, "to": FROM, "text": " stop "})).await;
    let delivery_error = async |access: &str, from: &str| {
        let (status, sent) = send(&sim, access, sms_body(from, &[TO], "x")).await;
        assert_eq!(status, 200, "{sent}");
        sim.simulator.advance(5);
        let (_, record) = sim.get(access, &format!("{EXTENSION}/message-store/{}", sent["id"])).await;
        record["deliveryErrorCode"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(delivery_error(&dana.access, FROM).await, "SMS-RC-413");
    assert_eq!(delivery_error(&dana.access, "+14155550100").await, "", "opt-outs are per pair");
    assert_eq!(
        delivery_error(&sasha.access, "+16505550123").await,
        "SMS-UP-414",
        "the campaign is suspended"
    );
    sim.settings(json!({"refuseOptedOut": true})).await;
    let (status, reply) = send(&sim, &dana.access, sms_body(FROM, &[TO], "x")).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "MSG-243"));
    sim.control(Method::POST, "/inbound", json!({"from": TO, "to": FROM, "text": "START"})).await;
    assert_eq!(delivery_error(&dana.access, FROM).await, "");
}

#[tokio::test]
async fn a_send_can_be_accepted_late() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"smsLateAcceptSeconds": 30, "storeLagSeconds": 20})).await;
    let login = sim.log_in().await;
    let (status, sent) = send(&sim, &login.access, sms_body(FROM, &[TO], "late")).await;
    assert_eq!(status, 200);
    let path = format!("{EXTENSION}/message-store/{}", sent["id"]);
    assert!(sim.ledger_of("sms_accepted").await.is_empty());
    sim.simulator.advance(30);
    assert_eq!(sim.ledger_of("sms_accepted").await.len(), 1);
    assert_eq!(sim.get(&login.access, &path).await.0, 404, "accepted, but not yet in the message store");
    sim.simulator.advance(20);
    assert_eq!(sim.get(&login.access, &path).await.0, 200);
}

#[tokio::test]
async fn a_slow_send_is_accepted_although_the_client_has_disconnected() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let fault = json!([{"match": {"path": "/sms"}, "times": 1, "do": {"delayBeforeMs": 200}}]);
    for (settings, faults) in [(json!({"smsLatencyMs": 200}), json!([])), (json!({"smsLatencyMs": 0}), fault)]
    {
        sim.settings(settings).await;
        sim.faults(faults).await;
        let before = sim.ledger_of("sms_accepted").await.len();
        let request = sim.request(Method::POST, &format!("{EXTENSION}/sms")).bearer_auth(&login.access);
        let request =
            request.json(&sms_body(FROM, &[TO], "slow")).timeout(std::time::Duration::from_millis(50));
        assert!(request.send().await.unwrap_err().is_timeout());
        while sim.ledger_of("sms_accepted").await.len() == before {
            tokio::task::yield_now().await;
        }
    }
}
