//! The gateway: passes requests to functions by the routes and throttles of the template, and serves the control API under
//! `/_local`.

use crate::aws::cloudwatch::CloudWatch;
use crate::clock::StackClock;
use crate::event;
use crate::functions::FunctionPools;
use crate::instance::InvocationError;
use crate::logs::FunctionLogs;
use crate::names;
use crate::routes::RouteTable;
use crate::server::{self, HttpRequest, HttpResponse};
use crate::throttles::RouteThrottles;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// API Gateway's integration timeout.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);
/// API Gateway's limit for payloads.
pub const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// Moves the clock of the whole stack by some seconds and returns the response body.
pub type AdvanceClock = Arc<dyn Fn(i64) -> BoxFuture<'static, Value> + Send + Sync>;

/// Waits until no part of the stack has work left.
pub type WaitUntilIdle = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

pub struct HttpApiGateway {
    pub routes: RouteTable,
    pub throttles: RouteThrottles,
    pub functions: FunctionPools,
    pub clock: StackClock,
    pub cloudwatch: Option<CloudWatch>,
    pub logs: FunctionLogs,
    pub advance_clock: AdvanceClock,
    pub wait_until_idle: WaitUntilIdle,
}

impl HttpApiGateway {
    pub async fn handle(&self, request: HttpRequest) -> HttpResponse {
        if let Some(path) = request.uri.path().strip_prefix("/_local/") {
            return self.control(path, &request).await;
        }
        let request_id = uuid::Uuid::new_v4().to_string();
        let began = Instant::now();
        let mut response = self.call_function(&request, &request_id).await;
        if let Some(cloudwatch) = &self.cloudwatch {
            let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
            cloudwatch.api_response(names::API_ID, response.status().as_u16(), milliseconds);
        }
        if let Ok(value) = request_id.parse() {
            response.headers_mut().insert("apigw-requestid", value);
        }
        response
    }

    async fn call_function(&self, request: &HttpRequest, request_id: &str) -> HttpResponse {
        let Some(route) = self.routes.find(request.method.as_str(), request.uri.path()) else {
            return event::gateway_message(StatusCode::NOT_FOUND, "Not Found");
        };
        if !self.throttles.admit(&route.route_key, self.clock.now()) {
            return event::gateway_message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let event = event::request_event(request, &route, request_id, self.clock.now());
        let payload = Bytes::from(event.to_string());
        let invocation = self.functions.invoke(&route.function, payload, INTEGRATION_TIMEOUT);
        match timeout(INTEGRATION_TIMEOUT, invocation).await {
            Ok(Ok(payload)) => event::http_response(&payload).unwrap_or_else(|| {
                event::gateway_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }),
            Ok(Err(InvocationError::Function(_) | InvocationError::UnknownFunction)) => {
                event::gateway_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Ok(Err(InvocationError::NoCapacity)) | Err(_) => {
                event::gateway_message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        }
    }

    async fn control(&self, path: &str, request: &HttpRequest) -> HttpResponse {
        if !request.is_from_this_machine() {
            return server::json(
                StatusCode::FORBIDDEN,
                &json!({ "error": "the control API accepts requests from this machine only" }),
            );
        }
        match (&request.method, path) {
            (&Method::POST, "clock") => match simulator::parse_advance_seconds(&request.body) {
                Ok(seconds) => server::json(StatusCode::OK, &(self.advance_clock)(seconds).await),
                Err(error) => server::json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
            },
            (&Method::GET, "clock") => {
                let now = self.clock.now().to_string();
                server::json(
                    StatusCode::OK,
                    &json!({ "now": now, "offsetSeconds": self.clock.offset_seconds() }),
                )
            }
            (&Method::GET, "logs") => {
                let since = request.query("since").and_then(|since| since.parse().ok()).unwrap_or(0);
                server::json(StatusCode::OK, &self.logs.since(since))
            }
            (&Method::GET, "settings") => self.settings(),
            (&Method::PUT, "settings") => match request.fields(&["enforceThrottles"]) {
                Err(error) => server::json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
                Ok(input) => match &input["enforceThrottles"] {
                    Value::Null => self.settings(),
                    Value::Bool(enforce) => {
                        self.throttles.enforce(*enforce);
                        self.settings()
                    }
                    _ => {
                        let error = "enforceThrottles: must be true or false";
                        server::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
                    }
                },
            },
            (&Method::POST, "idle") => {
                (self.wait_until_idle)().await;
                server::json(StatusCode::OK, &json!({ "idle": true }))
            }
            _ => server::json(StatusCode::NOT_FOUND, &json!({ "error": "unknown control call" })),
        }
    }

    fn settings(&self) -> HttpResponse {
        server::json(StatusCode::OK, &json!({ "enforceThrottles": self.throttles.are_enforced() }))
    }
}
