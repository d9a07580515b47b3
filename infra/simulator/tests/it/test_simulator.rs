//! A simulator for one test, with the calls that most tests use.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use simulator::{SeedUser, Simulator, SimulatorOptions};

pub const REDIRECT: &str = "http://127.0.0.1:9400/v1/rc/callback";

pub struct TestSimulator {
    pub simulator: Simulator,
    pub http: reqwest::Client,
    pub url: String,
}

pub struct Login {
    pub access: String,
    pub refresh: String,
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .no_proxy()
        // The tests use no TLS, and loading the system's certificates would take most of their time.
        .tls_certs_only([])
        .build()
        .unwrap()
}

pub async fn start() -> TestSimulator {
    start_in(None).await
}

pub async fn start_in(data: Option<std::path::PathBuf>) -> TestSimulator {
    let listener = simulator::listen(0).await.unwrap();
    let public_url = simulator::public_url(&listener).unwrap();
    let redirect_uris = vec![REDIRECT.to_owned()];
    let simulator =
        Simulator::start(SimulatorOptions { listener, public_url: public_url.clone(), redirect_uris, data })
            .await
            .unwrap();
    TestSimulator { simulator, http: client(), url: public_url }
}

pub async fn json_of(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

impl TestSimulator {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub fn user(&self, index: usize) -> SeedUser {
        self.simulator.seed().users[index].clone()
    }

    /// Sends a control call, which must succeed.
    pub async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, reply) =
            json_of(self.request(method, &format!("/_sim{path}")).json(&body).send().await.unwrap()).await;
        assert!(status.is_success(), "{path}: {status} {reply}");
        reply
    }

    pub async fn settings(&self, patch: Value) {
        self.control(Method::PUT, "/settings", patch).await;
    }

    pub async fn faults(&self, list: Value) {
        self.control(Method::PUT, "/faults", list).await;
    }

    pub async fn ledger(&self) -> Vec<Value> {
        let reply = self.control(Method::GET, "/ledger?since=0", json!({})).await;
        reply["entries"].as_array().unwrap().clone()
    }

    pub async fn ledger_of(&self, kind: &str) -> Vec<Value> {
        self.ledger().await.into_iter().filter(|e| e["kind"] == kind).collect()
    }

    /// Calls the token endpoint as the confidential seed app.
    pub async fn token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let seed = self.simulator.seed();
        let request = self.request(Method::POST, "/restapi/oauth/token");
        json_of(request.basic_auth(seed.client_id, Some(seed.client_secret)).form(form).send().await.unwrap())
            .await
    }

    pub async fn log_in_as(&self, index: usize) -> Login {
        let user = self.user(index);
        let form = [("grant_type", "password"), ("username", &user.username), ("password", &user.password)];
        let (status, reply) = self.token(&form).await;
        assert_eq!(status, 200, "{reply}");
        Login {
            access: reply["access_token"].as_str().unwrap().to_owned(),
            refresh: reply["refresh_token"].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub async fn log_in(&self) -> Login {
        self.log_in_as(0).await
    }

    pub async fn refresh(&self, token: &str) -> (StatusCode, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn get(&self, access: &str, path: &str) -> (StatusCode, Value) {
        json_of(self.request(Method::GET, path).bearer_auth(access).send().await.unwrap()).await
    }

    pub async fn call(&self, method: Method, access: &str, path: &str, body: Value) -> (StatusCode, Value) {
        json_of(self.request(method, path).bearer_auth(access).json(&body).send().await.unwrap()).await
    }

    /// The query of the URL that a browser would be redirected to.
    pub async fn authorize(&self, extra: Value) -> std::collections::HashMap<String, String> {
        let seed = self.simulator.seed();
        let mut body = json!({
            "clientId": seed.client_id, "redirectUri": REDIRECT, "state": "s-1",
            "username": seed.users[0].username,
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let reply = self.control(Method::POST, "/authorize", body).await;
        query(reply["redirect"].as_str().unwrap())
    }
}

pub fn query(url: &str) -> std::collections::HashMap<String, String> {
    url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// The first code of `errors`.
pub fn code(reply: &Value) -> &str {
    reply["errors"][0]["errorCode"].as_str().unwrap_or_default()
}

pub const EXTENSION: &str = "/restapi/v1.0/account/~/extension/~";
