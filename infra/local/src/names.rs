//! The names that the local account gives to things, as CloudFormation would.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

/// The region of the local stack.
pub const REGION: &str = "us-east-1";
/// The account of the local stack.
pub const ACCOUNT: &str = "000000000000";
/// The name of the local CloudFormation stack.
pub const STACK: &str = "ringbridge-local";

/// The value of a pseudo parameter (`AWS::Region` and the like).
#[must_use]
pub fn pseudo_parameter(name: &str) -> Option<String> {
    Some(match name {
        "AWS::Region" => REGION.to_owned(),
        "AWS::AccountId" => ACCOUNT.to_owned(),
        "AWS::StackName" => STACK.to_owned(),
        "AWS::StackId" => arn("cloudformation", &format!("stack/{STACK}/local")),
        "AWS::Partition" => "aws".to_owned(),
        "AWS::URLSuffix" => "amazonaws.com".to_owned(),
        _ => return None,
    })
}

/// An ARN in the local account.
#[must_use]
pub fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

/// The ARN of a function.
#[must_use]
pub fn function_arn(name: &str) -> String {
    arn("lambda", &format!("function:{name}"))
}

/// The ARN of a table.
#[must_use]
pub fn table_arn(name: &str) -> String {
    arn("dynamodb", &format!("table/{name}"))
}

/// The ARN of a KMS key.
#[must_use]
pub fn key_arn(id: &str) -> String {
    arn("kms", &format!("key/{id}"))
}

/// The ARN of a schedule.
#[must_use]
pub fn schedule_arn(group: &str, name: &str) -> String {
    arn("scheduler", &format!("schedule/{group}/{name}"))
}

/// The ARN of a group of schedules.
#[must_use]
pub fn schedule_group_arn(name: &str) -> String {
    arn("scheduler", &format!("schedule-group/{name}"))
}

/// The ARN of a role; roles have no region.
#[must_use]
pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// What CloudFormation would name a resource without a name of its own.
#[must_use]
pub fn generated(logical_id: &str) -> String {
    format!("{STACK}-{logical_id}")
}

/// A stable id for a KMS key: the same logical id always names the same key, so that a reference needs no look-up.
#[must_use]
pub fn key_id(logical_id: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("kms:{logical_id}").as_bytes());
    let hex = HEXLOWER.encode(&digest.as_ref()[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The ARN of a secret, with the six random-looking characters that Secrets Manager appends.
#[must_use]
pub fn secret_arn(name: &str) -> String {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    arn("secretsmanager", &format!("secret:{name}-{}", &HEXLOWER.encode(digest.as_ref())[..6]))
}

/// The ARN of a table's stream. Its label is a time; the tables of the local stack are made but once.
#[must_use]
pub fn stream_arn(table: &str) -> String {
    arn("dynamodb", &format!("table/{table}/stream/2026-01-01T00:00:00.000"))
}

/// The table that a stream belongs to.
#[must_use]
pub fn table_of_stream(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or_default()
}

/// The access key id that a function's credentials carry; it names the function in the call log.
#[must_use]
pub fn access_key_id(function: &str) -> String {
    format!("ASIALOCAL.{function}")
}

/// The function that an access key id belongs to.
#[must_use]
pub fn function_of(access_key_id: &str) -> Option<&str> {
    access_key_id.strip_prefix("ASIALOCAL.")
}
