//! Requests of people who come from another API, of tools, and of strangers: each gets an error that helps, and costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::routes;
use crate::world::{Reply, World};

#[tokio::test]
async fn a_key_in_another_form_is_answered_with_the_right_one() {
    let world = World::start().await;
    let key = world.tenant().key;
    let ask = async |name: &str, value: &str| {
        let request = world.http.get(format!("{}/v1/rc/status", world.gateway())).header(name, value);
        Reply::of(request.send().await.unwrap()).await
    };
    let basic = data_encoding::BASE64.encode(format!("{key}:").as_bytes());
    for (name, value, part) in [
        (format!("Basic {basic}"), "Basic authentication is not supported"),
        (format!("basic {basic}"), "Basic authentication is not supported"),
        (key.clone(), "must be `Authorization: Bearer KEY`"),
        (format!("Token {key}"), "must be `Authorization: Bearer KEY`"),
        (format!("ApiKey {key}"), "must be `Authorization: Bearer KEY`"),
        (format!("Bearer:{key}"), "must be `Authorization: Bearer KEY`"),
        ("Bearer".to_owned(), "Missing or invalid API key"),
        (format!("Bearer Bearer {key}"), "the word `Bearer` once"),
        (format!("Bearer \"{key}\""), "without quotation marks or brackets"),
        (format!("Bearer <{key}>"), "without quotation marks or brackets"),
        (format!("Bearer {{{key}}}"), "without quotation marks or brackets"),
    ]
    .map(|(value, part)| ("authorization", value, part))
    .into_iter()
    .chain([
        ("x-api-key", format!("Bearer {key}"), "must contain the key alone"),
        ("x-api-key", format!("ApiKey {key}"), "must contain the key alone"),
        ("x-api-key", format!("'{key}'"), "without quotation marks or brackets"),
        ("x-api-key", "none".to_owned(), "Missing or invalid API key"),
    ]) {
        let reply = ask(name, &value).await;
        assert_eq!(reply.error(), (401, "unauthorized".to_owned()), "{value}");
        let text = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(text.starts_with("Missing or invalid API key") && text.contains(part), "{value}: {text}");
        assert!(!reply.text.contains(&key[10..]), "the key is not repeated");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    for (name, value) in [("authorization", format!("bEARER  {key}")), ("x-api-key", key.clone())] {
        ask(name, &value).await.expect(200);
    }
}

#[tokio::test]
async fn a_body_in_another_form_is_answered_with_the_right_one() {
    let world = World::start().await;
    let key = world.tenant().key;
    let send = async |media: &str, body: Vec<u8>| {
        let request = world.http.post(format!("{}/v1/sms/send", world.gateway())).bearer_auth(&key);
        Reply::of(request.header("content-type", media).body(body).send().await.unwrap()).await
    };
    let json = r#"{"to":"+16505550111","from":"+14155550100","body":"Zoé"}"#;
    let latin1: Vec<u8> = json.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16: Vec<u8> = format!("\u{feff}{json}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n+16505550111\r\n--x--\r\n";
    for (media, body, part) in [
        (
            "application/x-www-form-urlencoded",
            b"To=%2B16505550111&From=%2B14155550100&Body=x".to_vec(),
            "instead of a form",
        ),
        ("multipart/form-data; boundary=x", multipart.into(), "instead of a form"),
        ("application/json", latin1.clone(), "must be UTF-8 JSON"),
        ("application/json; charset=iso-8859-1", latin1.clone(), "must be UTF-8 JSON"),
        ("text/plain", latin1, "must be UTF-8 JSON"),
        ("application/json; charset=utf-16", utf16, "must be UTF-8 JSON"),
        ("application/json", format!("\u{feff}{json}").into_bytes(), "must be UTF-8 JSON"),
        ("application/xml", b"<to>+16505550111</to>".to_vec(), "must be a JSON object"),
    ] {
        let reply = send(media, body).await;
        assert_eq!(reply.error(), (400, "invalid_body".to_owned()), "{media}");
        assert!(reply.json()["error"].as_str().unwrap().contains(part), "{media}: {}", reply.text);
    }
    for (body, field, similar) in [
        (json!({ "To": "+16505550111", "from": "+14155550100", "body": "x" }), "To", "`to`"),
        (json!({ "to": "+16505550111", "From": "+14155550100", "body": "x" }), "From", "`from`"),
        (json!({ "to": "+16505550111", "from": "+14155550100", "Body": "x" }), "Body", "`body`"),
        (json!({ "to": "+16505550111", "user_id": "x" }), "user_id", "`userId`"),
        (json!({ "sendat": "x" }), "sendat", "`sendAt`"),
    ] {
        let reply = send("application/json", body.to_string().into_bytes()).await;
        assert_eq!(reply.error(), (400, "unknown_field".to_owned()), "{body}");
        assert_eq!(reply.json()["field"], field);
        assert_eq!(reply.json()["error"], format!("Unknown field; did you mean {similar}?"), "{body}");
    }
    let reply = send("application/json", json!({ "callback": "x" }).to_string().into_bytes()).await;
    assert_eq!(reply.json()["error"], "Unknown field");
    // JSON is read whatever type is declared: curl declares a form.
    let good = json.replace('é', "e").into_bytes();
    assert_eq!(
        send("application/x-www-form-urlencoded", good).await.error(),
        (409, "sender_not_connected".to_owned())
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_with_the_reference_and_without_an_aws_call() {
    let world = World::start().await;
    let before = world.calls_so_far().await;
    let docs = format!("{}/docs", world.gateway());
    for (path, hint) in [
        ("/", ""),
        ("/v1", ""),
        ("/v1/", ""),
        ("/robots.txt", ""),
        ("/v1/nothing", ""),
        ("/v1/apps/app_0/nothing/at/all", ""),
        ("/v1/rc/status/", "/v1/rc/status"),
        ("//v1//rc/status", "/v1/rc/status"),
        ("/v2/rc/status", "/v1/rc/status"),
        ("/api/v1/rc/status", "/v1/rc/status"),
        ("/rc/status", "/v1/rc/status"),
        ("/V1/RC/Status", "/v1/rc/status"),
        ("/v1/rc/status%20", ""),
        ("/%00", ""),
        ("/v1/sms/%E9", ""),
        ("/v1/apps/../rc/status/x", ""),
        ("/.env?x=%zz", ""),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let reply = world.call(method.clone(), path, "", None).await;
            assert_eq!(reply.error(), (404, "not_found".to_owned()), "{method} {path}: {}", reply.text);
            let text = reply.json()["error"].as_str().unwrap().to_owned();
            assert!(text.starts_with("Not found") && text.ends_with(&docs), "{path}: {text}");
            assert_eq!(text.contains("Did you mean"), !hint.is_empty(), "{path}: {text}");
            assert!(text.contains(hint), "{path}: {text}");
            assert_eq!(reply.json()["requestId"], reply.header("x-request-id"));
            assert_eq!(reply.header("cache-control"), "no-store");
        }
    }
    for (method, path, allow) in [
        ("GET", "/v1/sms/send", "POST"),
        ("PUT", "/v1/sms/send", "POST"),
        ("OPTIONS", "/v1/sms/send", "POST"),
        ("HEAD", "/health", "GET"),
        ("POST", "/health", "GET"),
        ("PATCH", "/v1/apps/app_00000000000000aa", "DELETE, GET, PUT"),
        ("PUT", "/v1/rc/connect", "GET, HEAD, POST"),
        ("PROPFIND", "/v1/tenants", "GET, POST"),
        ("GET", "/v1/apps/register", "POST"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = world.call(method.clone(), path, "", None).await;
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(reply.error(), (405, "method_not_allowed".to_owned()));
            assert_eq!(reply.json()["error"], "Method not allowed");
        }
    }
    assert_eq!(world.calls_since(before).await, Vec::<Value>::new());
}

/// A path without parameters is not the value of another route's parameter.
#[tokio::test]
async fn every_path_of_the_contract_rejects_the_methods_that_it_does_not_have() {
    let world = World::start().await;
    let mut methods: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for route in routes::all() {
        for key in [Some(route.key), route.head.map(|head| head.key)].into_iter().flatten() {
            let (method, path) = key.split_once(' ').unwrap();
            methods.entry(path.to_owned()).or_default().insert(method);
        }
    }
    for (path, allowed) in methods {
        let mut concrete = String::new();
        for (at, part) in path.split(['{', '}']).enumerate() {
            concrete.push_str(if at % 2 == 0 { part } else { "x_0123456789abcdef" });
        }
        let allow = Vec::from_iter(allowed.iter().copied()).join(", ");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if allowed.contains(method) {
                continue;
            }
            let reply = world.call(method.parse().unwrap(), &concrete, "", None).await;
            assert_eq!(reply.error(), (405, "method_not_allowed".to_owned()), "{method} {concrete}");
            assert_eq!(reply.header("allow"), allow, "{method} {concrete}");
        }
    }
}

/// awslabs/aws-lambda-web-adapter#491: API Gateway passes a decoded query on.
#[tokio::test]
async fn no_event_of_api_gateway_makes_a_function_panic() {
    let world = World::start().await;
    let event = |method: &str, path: &str, query: &str| {
        json!({
            "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
            "headers": { "host": "sms.example.com", "x-forwarded-proto": "https" },
            "requestContext": { "requestId": "id-1", "stage": "$default", "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "x",
            } },
            "isBase64Encoded": false,
        })
    };
    let queries = [
        "error=access_denied&error_description=User denied&state=x y",
        "x=<a b=\"c\">{}|\\^`",
        "token=\u{e9}\u{1f600}\n",
        "c=%zz%&limit=#?",
        "from= &to= &startDate= ",
    ];
    for (function, method, path) in [
        ("finish-connection", "GET", "/v1/rc/callback"),
        ("show-connect-page", "GET", "/v1/rc/connect"),
        ("start-connection", "POST", "/v1/rc/connect"),
        ("list-messages", "GET", "/v1/sms/messages"),
        ("delete-trigger", "DELETE", "/v1/triggers/sms-received/subscribe/{id}"),
        ("receive-event", "POST", "/v1/webhooks/ringcentral"),
        ("reject-unknown-route", "GET", "/not here"),
        ("get-health", "GET", "/health"),
    ] {
        for query in queries {
            let payload = world.invoke(function, &event(method, path, query)).await;
            let status =
                payload["statusCode"].as_u64().unwrap_or_else(|| panic!("{function} {query}: {payload}"));
            assert!(status < 500, "{function} {query}: {payload}");
        }
        let mut odd = event(method, path, "");
        odd["headers"] = json!({ "host": "a b", "x-forwarded-proto": "::" });
        odd["rawPath"] = json!("no slash \u{e9}");
        let mut broken = event(method, path, "");
        broken["body"] = json!("%%%");
        broken["isBase64Encoded"] = json!(true);
        for (event, wanted) in [(odd, None), (broken, Some(400)), (json!({}), Some(400))] {
            let payload = world.invoke(function, &event).await;
            let status = payload["statusCode"].as_u64().unwrap_or_else(|| panic!("{function}: {payload}"));
            assert!(
                status < 500 && wanted.is_none_or(|wanted| wanted == status),
                "{function} {event}: {payload}"
            );
        }
    }
}

/// Anyone can ask for readiness, and the URL of a subscription may be guessed.
#[tokio::test]
async fn what_strangers_can_ask_for_costs_no_dynamodb_call_each_time() {
    let world = World::start().await;
    world.get("/health/ready", "").await.expect(200);
    let before = world.calls_so_far().await;
    for _ in 0..10 {
        world.get("/health/ready", "").await.expect(200);
    }
    assert_eq!(world.calls_since(before).await, Vec::<Value>::new());
    // A failure is kept for as long, and then forgotten.
    let down = json!({ "error": "InternalServerError", "status": 500 });
    world.advance(10).await;
    world.aws_fault(json!({ "operation": "DescribeKey" }), 0, None, down).await;
    world.get("/health/ready", "").await.expect(503);
    world.no_faults().await;
    assert_eq!(world.get("/health/ready", "").await.error(), (503, "unavailable".to_owned()));
    world.advance(10).await;
    world.get("/health/ready", "").await.expect(200);

    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let rows = world.items("ConnectionsTable").await;
    let row = rows.iter().find(|row| row["connection"]["S"].is_string()).unwrap();
    let ids = ["tenant", "connection"].map(|name| row[name]["S"].as_str().unwrap().to_owned());
    let ours = world.event_query(&ids[0], &ids[1]).await;
    let post = async |query: &str| {
        let url = format!("{}/v1/webhooks/ringcentral{query}", world.gateway());
        let body = json!({ "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2/message-store", "subscriptionId": "3",
            "ownerId": "2", "timestamp": "2026-02-03T10:05:09.034Z", "body": { "changes": [] } });
        let request = world.http.post(url).header("verification-token", "a-guess").body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(&ours).await, 401, "only the table knows the token");
    let without_tag = ours.rsplit_once('-').unwrap().0;
    let before = world.calls_so_far().await;
    for forged in [
        without_tag.to_owned(),
        format!("{without_tag}-"),
        format!("{without_tag}-{}", "0".repeat(32)),
        format!("?c=0123456789abcdef-0123456789abcdef-{}", ours.rsplit_once('-').unwrap().1),
        ours.to_uppercase().replace("?C", "?c"),
    ] {
        assert_eq!(post(&forged).await, 401, "{forged}");
    }
    assert_eq!(world.calls_since(before).await, Vec::<Value>::new());
}
