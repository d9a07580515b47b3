//! A webhook receiver on loopback with different handshake behaviours.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator::TestSimulator;

pub const PATH: &str = "/restapi/v1.0/subscription";
pub const INSTANT: &str = "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS";

/// How a receiver replies to the handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HandshakeReply {
    Good,
    NoEcho,
    WrongStatus,
    TooLarge,
    NoContentType,
    Silent,
}

#[derive(Clone, Debug)]
pub struct RecordedRequest {
    pub headers: HeaderMap,
    pub body: String,
}

impl RecordedRequest {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub struct WebhookReceiver {
    pub url: String,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    status: Arc<Mutex<StatusCode>>,
}

impl WebhookReceiver {
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests after the handshake.
    pub fn events(&self) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|p| !p.body.is_empty()).collect()
    }

    /// Sets the status of replies to events.
    pub fn reply_with(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }
}

pub async fn start_receiver(handshake: HandshakeReply) -> WebhookReceiver {
    let requests: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
    let status = Arc::new(Mutex::new(StatusCode::OK));
    let (seen, current) = (Arc::clone(&requests), Arc::clone(&status));
    let app = axum::Router::new().fallback(move |headers: HeaderMap, body: String| {
        let (seen, current) = (Arc::clone(&seen), Arc::clone(&current));
        async move {
            let is_event = !body.is_empty();
            seen.lock().unwrap().push(RecordedRequest { headers: headers.clone(), body });
            let status = *current.lock().unwrap();
            if is_event { status.into_response() } else { reply_to_handshake(handshake, &headers).await }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    WebhookReceiver { url, requests, status }
}

async fn reply_to_handshake(handshake: HandshakeReply, headers: &HeaderMap) -> Response {
    if handshake == HandshakeReply::Silent {
        std::future::pending::<()>().await;
    }
    let status =
        if handshake == HandshakeReply::WrongStatus { StatusCode::NO_CONTENT } else { StatusCode::OK };
    let body = if handshake == HandshakeReply::TooLarge { " ".repeat(1024) } else { String::new() };
    let mut response = (status, body).into_response();
    let mut put = |name: &'static str, value: HeaderValue| {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    };
    let kind = if handshake == HandshakeReply::NoContentType { "text/plain" } else { "application/json" };
    put("content-type", HeaderValue::from_static(kind));
    if handshake != HandshakeReply::NoEcho {
        put("validation-token", headers["validation-token"].clone());
    }
    response
}

/// The body of a subscription for instant messages, with reminders.
pub fn subscription_body(address: &str) -> Value {
    json!({
        "eventFilters": [INSTANT, "/restapi/v1.0/subscription/~?threshold=86400&interval=3600"],
        "deliveryMode": {"transportType": "WebHook", "address": address, "verificationToken": "vt-1"},
        "expiresIn": 604_800,
    })
}

/// A receiver with a subscription to `filters`, and the id of the subscription.
pub async fn subscribed_receiver(
    sim: &TestSimulator,
    access: &str,
    filters: &[&str],
) -> (WebhookReceiver, String) {
    let receiver = start_receiver(HandshakeReply::Good).await;
    let mut body = subscription_body(&receiver.url);
    body["eventFilters"] = json!(filters);
    let (status, reply) = sim.call(Method::POST, access, PATH, body).await;
    assert_eq!(status, 200, "{reply}");
    (receiver, reply["id"].as_str().unwrap().to_owned())
}
