//! A webhook receiver on loopback, with good and bad manners.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::Kit;

pub const PATH: &str = "/restapi/v1.0/subscription";
pub const INSTANT: &str = "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS";

/// How a receiver answers the handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    Good,
    NoEcho,
    WrongStatus,
    TooLarge,
    NoContentType,
    Silent,
}

/// One request that came in.
#[derive(Clone, Debug)]
pub struct Post {
    pub headers: HeaderMap,
    pub body: String,
}

impl Post {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub struct Receiver {
    pub url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// What came after the handshake.
    pub fn events(&self) -> Vec<Post> {
        self.posts().into_iter().filter(|p| !p.body.is_empty()).collect()
    }

    /// Events are answered with this from now on.
    pub fn answer_with(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }
}

pub async fn receiver(manner: Manner) -> Receiver {
    let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
    let status = Arc::new(Mutex::new(StatusCode::OK));
    let (seen, answers) = (Arc::clone(&posts), Arc::clone(&status));
    let app = axum::Router::new().fallback(move |headers: HeaderMap, body: String| {
        let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
        async move {
            let is_event = !body.is_empty();
            seen.lock().unwrap().push(Post { headers: headers.clone(), body });
            let status = *answers.lock().unwrap();
            if is_event { status.into_response() } else { handshake(manner, &headers).await }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Receiver { url, posts, status }
}

async fn handshake(manner: Manner, headers: &HeaderMap) -> Response {
    if manner == Manner::Silent {
        std::future::pending::<()>().await;
    }
    let status = if manner == Manner::WrongStatus { StatusCode::NO_CONTENT } else { StatusCode::OK };
    let body = if manner == Manner::TooLarge { " ".repeat(1024) } else { String::new() };
    let mut response = (status, body).into_response();
    let mut put = |name: &'static str, value: HeaderValue| {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    };
    let kind = if manner == Manner::NoContentType { "text/plain" } else { "application/json" };
    put("content-type", HeaderValue::from_static(kind));
    if manner != Manner::NoEcho {
        put("validation-token", headers["validation-token"].clone());
    }
    response
}

/// The body of a subscription for instant messages, with reminders.
pub fn wanted(address: &str) -> Value {
    json!({
        "eventFilters": [INSTANT, "/restapi/v1.0/subscription/~?threshold=86400&interval=3600"],
        "deliveryMode": {"transportType": "WebHook", "address": address, "verificationToken": "vt-1"},
        "expiresIn": 604_800,
    })
}

/// A receiver that is subscribed to `filters`, and the subscription's id.
pub async fn listening(kit: &Kit, access: &str, filters: &[&str]) -> (Receiver, String) {
    let receiver = receiver(Manner::Good).await;
    let mut body = wanted(&receiver.url);
    body["eventFilters"] = json!(filters);
    let (status, reply) = kit.call(Method::POST, access, PATH, body).await;
    assert_eq!(status, 200, "{reply}");
    (receiver, reply["id"].as_str().unwrap().to_owned())
}
