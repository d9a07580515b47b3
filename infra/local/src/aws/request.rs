//! Reads AWS requests: the service, the operation, and the function whose credentials signed it.

use super::error::AwsError;
use super::s3_wire;
use crate::names;
use crate::server::{HttpRequest, HttpResponse};
use hyper::Method;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AwsService {
    /// DynamoDB and DynamoDB Streams.
    DynamoDb,
    Kms,
    SecretsManager,
    Scheduler,
    Lambda,
    Sqs,
    S3,
}

impl AwsService {
    pub const ALL: [Self; 7] =
        [Self::DynamoDb, Self::Kms, Self::SecretsManager, Self::Scheduler, Self::Lambda, Self::Sqs, Self::S3];

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
            Self::S3 => "s3",
        }
    }
}

pub struct AwsCall {
    pub service: AwsService,
    /// The operation's name in the service's API reference.
    pub operation: String,
    /// Folder name of the function that signed the request; `None` for other callers.
    pub function: Option<String>,
    /// Whether the URL was signed for another client, and not the request.
    pub is_presigned: bool,
    /// Number of the instance that sent the request.
    pub instance: Option<u64>,
    /// The JSON body. For REST services, it includes the parameters of path and query.
    pub input: Value,
    pub http: HttpRequest,
}

impl AwsCall {
    pub fn read(http: HttpRequest) -> Result<Self, AwsError> {
        let credential = http.header("authorization").and_then(|header| {
            let (_, rest) = header.split_once("Credential=")?;
            rest.split(',').next().map(str::to_owned)
        });
        let presigned = http.query("X-Amz-Credential").filter(|_| credential.is_none());
        let is_presigned = presigned.is_some();
        let scope = credential.or(presigned).unwrap_or_default();
        let mut scope = scope.split('/');
        let function = scope.next().and_then(names::function_of).map(str::to_owned);
        let is_s3 = scope.nth(2) == Some("s3");
        let instance =
            http.header("x-amz-security-token").and_then(names::instance_of).map(|(number, _)| number);
        let (service, operation, input) = match http.header("x-amz-target").map(str::to_owned) {
            _ if is_s3 => by_s3(&http),
            Some(target) => by_target(&target, &http)?,
            None => match by_path(&http) {
                // Every other service has its own header or path.
                Err(_) if http.header("authorization").is_none() => by_s3(&http),
                result => result?,
            },
        };
        Ok(Self { service, operation, function, is_presigned, instance, input, http })
    }

    /// The response to a call that is not applied, as the service sends it.
    #[must_use]
    pub fn error_response(&self, error: &AwsError) -> HttpResponse {
        match self.service {
            AwsService::S3 => s3_wire::error_response(error, &self.http.method),
            _ => error.response(),
        }
    }

    /// Bucket and key of a call to S3; the key is empty in a call for a bucket.
    #[must_use]
    pub fn object(&self) -> Option<(String, String)> {
        let text = |name: &str| self.input[name].as_str().unwrap_or_default().to_owned();
        (self.service == AwsService::S3).then(|| (text("Bucket"), text("Key")))
    }

    /// The names of the tables in the request.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        if self.service != AwsService::DynamoDb {
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

fn by_target(target: &str, http: &HttpRequest) -> Result<(AwsService, String, Value), AwsError> {
    let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
    let service = match prefix {
        "DynamoDB_20120810" | "DynamoDBStreams_20120810" => AwsService::DynamoDb,
        "TrentService" => AwsService::Kms,
        "secretsmanager" => AwsService::SecretsManager,
        "AmazonSQS" => AwsService::Sqs,
        _ => return Err(AwsError::unknown_operation(target)),
    };
    Ok((service, operation.to_owned(), body(http)?))
}

fn body(http: &HttpRequest) -> Result<Value, AwsError> {
    if http.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&http.body)
        .map_err(|error| AwsError::new("SerializationException", error.to_string()))
}

fn by_s3(http: &HttpRequest) -> (AwsService, String, Value) {
    let (operation, input) = s3_wire::operation(http);
    (AwsService::S3, operation, input)
}

fn by_path(http: &HttpRequest) -> Result<(AwsService, String, Value), AwsError> {
    let path = http.uri.path();
    let segments: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = &http.method;
    let (service, operation, name) = match parts.as_slice() {
        ["2015-03-31", "functions", name, "invocations"] if method == Method::POST => {
            // The body is the payload and need not be an object.
            return Ok((AwsService::Lambda, "Invoke".to_owned(), json!({ "FunctionName": name })));
        }
        ["schedules"] if method == Method::GET => (AwsService::Scheduler, "ListSchedules", None),
        ["schedule-groups"] if method == Method::GET => (AwsService::Scheduler, "ListScheduleGroups", None),
        ["schedules", name] => (AwsService::Scheduler, verb(method, "Schedule")?, Some(*name)),
        ["schedule-groups", name] => (AwsService::Scheduler, verb(method, "ScheduleGroup")?, Some(*name)),
        _ => {
            return Err(AwsError::with_status(
                404,
                "UnknownOperationException",
                format!("{method} {path} is not supported by the local stack"),
            ));
        }
    };
    let mut input = body(http)?;
    for (key, value) in url::form_urlencoded::parse(http.uri.query().unwrap_or_default().as_bytes()) {
        let key = if key == "groupName" || key == "ScheduleGroup" { "GroupName".into() } else { key };
        input[key.as_ref()] = json!(value);
    }
    if let Some(name) = name {
        input["Name"] = json!(name);
    }
    Ok((service, operation.to_owned(), input))
}

fn verb(method: &Method, noun: &str) -> Result<&'static str, AwsError> {
    Ok(match (method.as_str(), noun) {
        ("POST", "Schedule") => "CreateSchedule",
        ("GET", "Schedule") => "GetSchedule",
        ("PUT", "Schedule") => "UpdateSchedule",
        ("DELETE", "Schedule") => "DeleteSchedule",
        ("POST", _) => "CreateScheduleGroup",
        ("GET", _) => "GetScheduleGroup",
        ("DELETE", _) => "DeleteScheduleGroup",
        _ => return Err(AwsError::with_status(404, "UnknownOperationException", format!("{method} {noun}"))),
    })
}
