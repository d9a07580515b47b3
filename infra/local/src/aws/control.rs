//! The control API under `/_aws`: call log, hot keys, faults, KMS keys, schedules, streams, queues, objects and TTL.

use super::endpoints::AwsEndpoints;
use super::kms::KeyState;
use crate::server::{self, HttpRequest, HttpResponse};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The path prefix of the control API.
pub const PREFIX: &str = "/_aws/";

pub async fn handle(aws: &AwsEndpoints, request: &HttpRequest) -> HttpResponse {
    if !request.is_from_this_machine() {
        return error(StatusCode::FORBIDDEN, "the control API accepts requests from this machine only");
    }
    let services = &aws.services;
    let path = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match (&request.method, path) {
        (&Method::GET, "calls") => {
            let since = match request.query("since").map(|since| since.parse()) {
                None => 0,
                Some(Ok(since)) => since,
                Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "since: must be a number"),
            };
            server::json(StatusCode::OK, &aws.calls.since(since))
        }
        (&Method::GET, "hot") => match request.query("since").map(|since| since.parse()) {
            None => server::json(StatusCode::OK, &services.dynamodb.hot_keys.since(0)),
            Some(Ok(since)) => server::json(StatusCode::OK, &services.dynamodb.hot_keys.since(since)),
            Some(Err(_)) => error(StatusCode::BAD_REQUEST, "since: must be a number of seconds since 1970"),
        },
        (&Method::GET, "settings") => settings(aws),
        (&Method::PUT, "settings") => change_settings(aws, request),
        (&Method::GET, "faults") => server::json(StatusCode::OK, &aws.faults.list()),
        (&Method::PUT, "faults") => match aws.faults.replace(&request.body) {
            Ok(()) => server::json(StatusCode::OK, &aws.faults.list()),
            Err(message) => error(StatusCode::BAD_REQUEST, &message),
        },
        (&Method::DELETE, "faults") => {
            aws.faults.clear();
            server::json(StatusCode::OK, &json!([]))
        }
        (&Method::POST, "kms/disable") => set_key_state(aws, KeyState::Disabled, request).await,
        (&Method::POST, "kms/enable") => set_key_state(aws, KeyState::Enabled, request).await,
        (&Method::GET, "scheduler") => server::json(StatusCode::OK, &services.scheduler.overview()),
        (&Method::GET, "alarms") => {
            aws.measure();
            server::json(StatusCode::OK, &services.cloudwatch.overview())
        }
        (&Method::GET, "metrics") => server::json(StatusCode::OK, &services.cloudwatch.metrics()),
        (&Method::GET, "sqs") => server::json(StatusCode::OK, &services.sqs.overview()),
        (&Method::GET, "s3") => server::json(StatusCode::OK, &services.s3.objects.overview()),
        (&Method::GET, "streams") => {
            let mappings = aws.stream_mappings.iter();
            let all: Vec<Value> = mappings.map(|mapping| mapping.overview(&services.positions)).collect();
            server::json(StatusCode::OK, &json!({ "streams": all }))
        }
        (&Method::POST, "scheduler/fire") => fire(aws, request).await,
        (&Method::POST, "ttl/sweep") => {
            services.delete_expired().await;
            server::json(StatusCode::OK, &json!({}))
        }
        _ => error(StatusCode::NOT_FOUND, "unknown control call"),
    }
}

fn settings(aws: &AwsEndpoints) -> HttpResponse {
    let enforces = aws.services.dynamodb.hot_keys.enforces_limits();
    server::json(StatusCode::OK, &json!({ "enforceKeyLimits": enforces }))
}

/// Changes the settings in the request; the others stay.
fn change_settings(aws: &AwsEndpoints, request: &HttpRequest) -> HttpResponse {
    match request.fields(&["enforceKeyLimits"]) {
        Err(message) => error(StatusCode::BAD_REQUEST, &message),
        Ok(input) => match &input["enforceKeyLimits"] {
            Value::Null => settings(aws),
            Value::Bool(enforce) => {
                aws.services.dynamodb.hot_keys.enforce_limits(*enforce);
                settings(aws)
            }
            _ => error(StatusCode::BAD_REQUEST, "enforceKeyLimits: must be true or false"),
        },
    }
}

async fn set_key_state(aws: &AwsEndpoints, state: KeyState, request: &HttpRequest) -> HttpResponse {
    let input = match request.fields(&["keyId"]) {
        Ok(input) => input,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    match aws.services.kms.set_key_state(input["keyId"].as_str(), state).await {
        Ok(()) => server::json(StatusCode::OK, &json!({ "enabled": state == KeyState::Enabled })),
        Err(failure) if failure.code == "NotFoundException" => {
            error(StatusCode::NOT_FOUND, "keyId: unknown key")
        }
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.message),
    }
}

/// Fires one schedule by name, or all that are due before a time, and waits for their targets.
async fn fire(aws: &AwsEndpoints, request: &HttpRequest) -> HttpResponse {
    let input = match request.fields(&["name", "dueBefore"]) {
        Ok(input) => input,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    // Checked before a schedule is taken, since taking it moves it to its next time.
    let Some(functions) = aws.services.functions.get() else {
        return error(StatusCode::CONFLICT, "this stack runs no functions");
    };
    let scheduler = &aws.services.scheduler;
    let now = aws.services.clock.now();
    let due = match (input["name"].as_str(), input["dueBefore"].as_str().map(str::parse::<Timestamp>)) {
        (Some(name), None) => match scheduler.take(name, now) {
            Some(due) => vec![due],
            None => return error(StatusCode::NOT_FOUND, "name: unknown schedule"),
        },
        (None, Some(Ok(before))) => scheduler.take_due(before),
        (None, Some(Err(_))) => {
            return error(StatusCode::BAD_REQUEST, "dueBefore: must be a time, such as 2026-01-02T03:04:05Z");
        }
        _ => return error(StatusCode::BAD_REQUEST, "give either name or dueBefore"),
    };
    let mut fired = Vec::new();
    for schedule in due {
        let name = schedule.name.clone();
        let result = aws.deliver(functions, schedule.into_delivery()).await;
        fired.push(json!({ "name": name, "ok": result.is_ok() }));
    }
    server::json(StatusCode::OK, &json!({ "fired": fired }))
}

fn error(status: StatusCode, message: &str) -> HttpResponse {
    server::json(status, &json!({ "error": message }))
}
