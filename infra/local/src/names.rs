//! Names, ids and ARNs of resources in the local AWS account, formed as CloudFormation forms them.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";
/// Name of the local CloudFormation stack.
pub const STACK: &str = "ringbridge-local";

/// The id of the HTTP API.
pub const API_ID: &str = "local";

/// The value of a pseudo parameter such as `AWS::Region`.
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

#[must_use]
pub fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

#[must_use]
pub fn function_arn(name: &str) -> String {
    arn("lambda", &format!("function:{name}"))
}

/// The function's name in its ARN.
#[must_use]
pub fn function_name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

#[must_use]
pub fn table_arn(name: &str) -> String {
    arn("dynamodb", &format!("table/{name}"))
}

#[must_use]
pub fn key_arn(id: &str) -> String {
    arn("kms", &format!("key/{id}"))
}

#[must_use]
pub fn schedule_arn(group: &str, name: &str) -> String {
    arn("scheduler", &format!("schedule/{group}/{name}"))
}

#[must_use]
pub fn schedule_group_arn(name: &str) -> String {
    arn("scheduler", &format!("schedule-group/{name}"))
}

/// Role ARNs have no region.
#[must_use]
pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// Policy ARNs have no region.
#[must_use]
pub fn policy_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/{name}")
}

/// The name of a resource whose template states none.
#[must_use]
pub fn generated(logical_id: &str) -> String {
    format!("{STACK}-{logical_id}")
}

/// The id of a KMS key. It derives from the logical id, so that references need no lookup and the id is stable.
#[must_use]
pub fn key_id(logical_id: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("kms:{logical_id}").as_bytes());
    let hex = HEXLOWER.encode(&digest.as_ref()[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The ARN of a secret, with a six-character suffix like the one that Secrets Manager appends.
#[must_use]
pub fn secret_arn(name: &str) -> String {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    arn("secretsmanager", &format!("secret:{name}-{}", &HEXLOWER.encode(digest.as_ref())[..6]))
}

/// The ARN of a table's stream. Its label is a creation time, here the same for all tables.
#[must_use]
pub fn stream_arn(table: &str) -> String {
    arn("dynamodb", &format!("table/{table}/stream/2026-01-01T00:00:00.000"))
}

/// The table name in the ARN of a stream.
#[must_use]
pub fn table_of_stream(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or_default()
}

/// The ARN of a bucket has no region and no account.
#[must_use]
pub fn bucket_arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

#[must_use]
pub fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// Credentials that belong to no function. With them, all calls are allowed.
pub const ADMINISTRATOR_ACCESS_KEY_ID: &str = "watch";
/// The secret of all credentials of the stack.
pub const SECRET_ACCESS_KEY: &str = "local";

/// The session token of a function's instance, with the clock's offset at the start of the instance.
#[must_use]
pub fn session_token(instance: u64, offset_seconds: i64) -> String {
    format!("instance-{instance}-{offset_seconds}")
}

/// The number of the instance to which a session token belongs, and the clock's offset at its start.
#[must_use]
pub fn instance_of(session_token: &str) -> Option<(u64, i64)> {
    let (number, offset) = session_token.strip_prefix("instance-")?.split_once('-')?;
    Some((number.parse().ok()?, offset.parse().ok()?))
}

/// The access key id of a function's credentials, by which the AWS endpoints recognise the function.
#[must_use]
pub fn access_key_id(function: &str) -> String {
    format!("ASIALOCAL.{function}")
}

/// The function to which an access key id belongs.
#[must_use]
pub fn function_of(access_key_id: &str) -> Option<&str> {
    access_key_id.strip_prefix("ASIALOCAL.")
}
