//! The control API under `/_aws`: call log, faults, KMS on and off, schedules. For this machine only.

use super::Aws;
use crate::server::{self, Answer, Call};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a control call.
pub async fn answer(aws: &Arc<Aws>, call: &Call) -> Answer {
    if !call.is_from_this_machine() {
        return refuse(StatusCode::FORBIDDEN, "the control API answers this machine only");
    }
    let path = call.uri.path().strip_prefix("/_aws/").unwrap_or_default();
    match (&call.method, path) {
        (&Method::GET, "calls") => {
            let since = match call.query("since").map(|since| since.parse()) {
                None => 0,
                Some(Ok(since)) => since,
                Some(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "since: must be a number"),
            };
            server::json(StatusCode::OK, &aws.calls.since(since))
        }
        (&Method::GET, "faults") => server::json(StatusCode::OK, &aws.faults.list()),
        (&Method::PUT, "faults") => match aws.faults.replace(&call.body) {
            Ok(()) => server::json(StatusCode::OK, &aws.faults.list()),
            Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
        },
        (&Method::DELETE, "faults") => {
            aws.faults.clear();
            server::json(StatusCode::OK, &json!([]))
        }
        (&Method::POST, "kms/disable" | "kms/enable") => switch_key(aws, path == "kms/enable", call).await,
        (&Method::GET, "scheduler") => server::json(StatusCode::OK, &aws.scheduler.overview()),
        (&Method::GET, "sqs") => server::json(StatusCode::OK, &aws.sqs.overview()),
        (&Method::GET, "streams") => {
            let all: Vec<Value> = aws.streams.iter().map(|stream| stream.overview(&aws.positions)).collect();
            server::json(StatusCode::OK, &json!({ "streams": all }))
        }
        (&Method::POST, "scheduler/fire") => fire(aws, call).await,
        (&Method::POST, "ttl/sweep") => {
            aws.dynamodb.sweep(aws.clock.now()).await;
            server::json(StatusCode::OK, &json!({}))
        }
        _ => refuse(StatusCode::NOT_FOUND, "there is no such control call"),
    }
}

async fn switch_key(aws: &Aws, enabled: bool, call: &Call) -> Answer {
    let input = match fields(call, &["keyId"]) {
        Ok(input) => input,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    match aws.kms.set_enabled(input["keyId"].as_str(), enabled).await {
        Ok(true) => server::json(StatusCode::OK, &json!({ "enabled": enabled })),
        Ok(false) => refuse(StatusCode::NOT_FOUND, "keyId: there is no such key"),
        Err(refusal) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &refusal.message),
    }
}

/// Fires one schedule by its name, or all that are due before a time, and waits for their functions.
async fn fire(aws: &Arc<Aws>, call: &Call) -> Answer {
    let input = match fields(call, &["name", "dueBefore"]) {
        Ok(input) => input,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    // Looked at first: what is taken is not there any more.
    let Some(functions) = aws.functions.get() else {
        return refuse(StatusCode::CONFLICT, "no functions run here");
    };
    let now = aws.clock.now();
    let due = match (input["name"].as_str(), input["dueBefore"].as_str().map(str::parse::<Timestamp>)) {
        (Some(name), None) => match aws.scheduler.take(name, now) {
            Some(due) => vec![due],
            None => return refuse(StatusCode::NOT_FOUND, "name: there is no such schedule"),
        },
        (None, Some(Ok(before))) => aws.scheduler.take_due(before),
        (None, Some(Err(_))) => {
            return refuse(StatusCode::BAD_REQUEST, "dueBefore: must be a time, as 2026-01-02T03:04:05Z");
        }
        _ => return refuse(StatusCode::BAD_REQUEST, "give either name or dueBefore"),
    };
    let mut fired = Vec::new();
    for schedule in due {
        let name = schedule.name.clone();
        let ok = aws.deliver(functions, schedule.into_call()).await;
        fired.push(json!({ "name": name, "ok": ok }));
    }
    server::json(StatusCode::OK, &json!({ "fired": fired }))
}

fn fields(call: &Call, known: &[&str]) -> Result<Value, String> {
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    let value: Value =
        serde_json::from_slice(&call.body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let object = value.as_object().ok_or("the body must be an object")?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("{unknown}: unknown field")),
        None => Ok(value),
    }
}

fn refuse(status: StatusCode, error: &str) -> Answer {
    server::json(status, &json!({ "error": error }))
}
