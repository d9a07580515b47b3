//! What an AWS request asks for and who asks: the service, the operation, the function whose credentials sign it.

use super::Refusal;
use crate::names;
use crate::server::Call;
use hyper::Method;
use serde_json::{Value, json};

/// The services that answer here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Service {
    /// DynamoDB and its streams.
    DynamoDb,
    /// Key Management Service.
    Kms,
    /// Secrets Manager.
    SecretsManager,
    /// EventBridge Scheduler.
    Scheduler,
    /// Lambda.
    Lambda,
    /// Simple Queue Service.
    Sqs,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::DynamoDb, Self::Kms, Self::SecretsManager, Self::Scheduler, Self::Lambda, Self::Sqs];

    /// The name in ARNs, policies, the call log and faults.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
            Self::Scheduler => "scheduler",
            Self::Lambda => "lambda",
            Self::Sqs => "sqs",
        }
    }
}

/// A request that was understood.
pub struct Request {
    /// Its service.
    pub service: Service,
    /// Its operation, as in the service's API reference.
    pub operation: String,
    /// Folder name of the function that signed it; none for anybody else.
    pub function: Option<String>,
    /// Number of the instance that sent it.
    pub instance: Option<u64>,
    /// The input: the JSON body; for REST services with what the path and query say.
    pub input: Value,
    /// The request as it came.
    pub call: Call,
}

impl Request {
    /// Finds out what a request asks for.
    pub fn read(call: Call) -> Result<Self, Refusal> {
        let access_key = call.header("authorization").and_then(|header| {
            let (_, rest) = header.split_once("Credential=")?;
            rest.split('/').next()
        });
        let function = access_key.and_then(names::function_of).map(str::to_owned);
        let instance = call
            .header("x-amz-security-token")
            .and_then(|token| token.strip_prefix("instance-")?.parse().ok());
        let (service, operation, input) = match call.header("x-amz-target").map(str::to_owned) {
            Some(target) => by_target(&target, &call)?,
            None => by_path(&call)?,
        };
        Ok(Self { service, operation, function, instance, input, call })
    }

    /// The tables that it names.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        if self.service != Service::DynamoDb {
            return Vec::new();
        }
        let mut tables = Vec::new();
        let mut add = |name: &str| {
            let name = name.rsplit('/').next().unwrap_or(name).to_owned();
            if !tables.contains(&name) {
                tables.push(name);
            }
        };
        if let Some(name) = self.input["TableName"].as_str() {
            add(name);
        }
        for name in self.input["RequestItems"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            add(name);
        }
        for item in self.input["TransactItems"].as_array().into_iter().flatten() {
            for action in item.as_object().into_iter().flat_map(serde_json::Map::values) {
                if let Some(name) = action["TableName"].as_str() {
                    add(name);
                }
            }
        }
        tables
    }
}

fn by_target(target: &str, call: &Call) -> Result<(Service, String, Value), Refusal> {
    let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
    let service = match prefix {
        "DynamoDB_20120810" | "DynamoDBStreams_20120810" => Service::DynamoDb,
        "TrentService" => Service::Kms,
        "secretsmanager" => Service::SecretsManager,
        "AmazonSQS" => Service::Sqs,
        _ => {
            return Err(Refusal::new(
                "UnknownOperationException",
                format!("{target} is not part of the local stack"),
            ));
        }
    };
    Ok((service, operation.to_owned(), body(call)?))
}

fn body(call: &Call) -> Result<Value, Refusal> {
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::new("SerializationException", error.to_string()))
}

fn by_path(call: &Call) -> Result<(Service, String, Value), Refusal> {
    let path = call.uri.path();
    let segments: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = &call.method;
    let (service, operation, name) = match parts.as_slice() {
        ["2015-03-31", "functions", name, "invocations"] if method == Method::POST => {
            // The body is the payload, of any shape.
            return Ok((Service::Lambda, "Invoke".to_owned(), json!({ "FunctionName": name })));
        }
        ["schedules"] if method == Method::GET => (Service::Scheduler, "ListSchedules", None),
        ["schedule-groups"] if method == Method::GET => (Service::Scheduler, "ListScheduleGroups", None),
        ["schedules", name] => (Service::Scheduler, verb(method, "Schedule")?, Some(*name)),
        ["schedule-groups", name] => (Service::Scheduler, verb(method, "ScheduleGroup")?, Some(*name)),
        _ => {
            return Err(Refusal::with_status(
                404,
                "UnknownOperationException",
                format!("{method} {path} is not part of the local stack"),
            ));
        }
    };
    let mut input = body(call)?;
    for (key, value) in url::form_urlencoded::parse(call.uri.query().unwrap_or_default().as_bytes()) {
        let key = if key == "groupName" || key == "ScheduleGroup" { "GroupName".into() } else { key };
        input[key.as_ref()] = json!(value);
    }
    if let Some(name) = name {
        input["Name"] = json!(name);
    }
    Ok((service, operation.to_owned(), input))
}

fn verb(method: &Method, noun: &str) -> Result<&'static str, Refusal> {
    Ok(match (method.as_str(), noun) {
        ("POST", "Schedule") => "CreateSchedule",
        ("GET", "Schedule") => "GetSchedule",
        ("PUT", "Schedule") => "UpdateSchedule",
        ("DELETE", "Schedule") => "DeleteSchedule",
        ("POST", _) => "CreateScheduleGroup",
        ("GET", _) => "GetScheduleGroup",
        ("DELETE", _) => "DeleteScheduleGroup",
        _ => return Err(Refusal::with_status(404, "UnknownOperationException", format!("{method} {noun}"))),
    })
}
