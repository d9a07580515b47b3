//! Which resource types the runner understands, and what `Ref` and `GetAtt` answer for each.

use super::intrinsics::Scope;
use super::yaml::Node;
use crate::names::{self, arn};
use anyhow::{Context, Result, bail};

/// What a resource type means to the runner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Type {
    /// `AWS::Serverless::HttpApi`
    HttpApi,
    /// `AWS::Serverless::Function`
    Function,
    /// `AWS::DynamoDB::Table`
    Table,
    /// `AWS::KMS::Key`
    Key,
    /// `AWS::KMS::Alias`
    Alias,
    /// `AWS::Scheduler::ScheduleGroup`
    ScheduleGroup,
    /// `AWS::Scheduler::Schedule`
    Schedule,
    /// `AWS::SecretsManager::Secret`
    Secret,
    /// `AWS::SQS::Queue`
    Queue,
    /// `AWS::IAM::Role`
    Role,
    /// Understood, and nothing to do for on this machine.
    Ignored,
}

/// The type of a resource, or an error with its line.
pub fn type_of(id: &str, resource: &Node) -> Result<Type> {
    let node =
        resource.get("Type").with_context(|| format!("line {}: resource {id} has no Type", resource.line))?;
    Ok(match node.text().unwrap_or_default() {
        "AWS::Serverless::HttpApi" => Type::HttpApi,
        "AWS::Serverless::Function" => Type::Function,
        "AWS::DynamoDB::Table" => Type::Table,
        "AWS::KMS::Key" => Type::Key,
        "AWS::KMS::Alias" => Type::Alias,
        "AWS::Scheduler::ScheduleGroup" => Type::ScheduleGroup,
        "AWS::Scheduler::Schedule" => Type::Schedule,
        "AWS::SecretsManager::Secret" => Type::Secret,
        "AWS::SQS::Queue" => Type::Queue,
        "AWS::IAM::Role" => Type::Role,
        "AWS::Logs::LogGroup"
        | "AWS::Logs::MetricFilter"
        | "AWS::SNS::Topic"
        | "AWS::CloudWatch::Alarm"
        | "AWS::CloudFormation::Stack"
        | "AWS::Lambda::Permission"
        | "AWS::SQS::QueuePolicy" => Type::Ignored,
        other => bail!(
            "line {}: the resource type {other} (of {id}) is not understood by the local stack",
            node.line
        ),
    })
}

/// The physical name of a resource: its own, or a generated one.
pub fn name(scope: &Scope, id: &str, resource: &Node, property: &str) -> Result<String> {
    match resource.get("Properties").and_then(|properties| properties.get(property)) {
        Some(node) => scope.text(node),
        None => Ok(names::generated(id)),
    }
}

/// What `Ref` answers for a resource.
pub fn reference(scope: &Scope, id: &str, line: usize) -> Result<String> {
    let Some(resource) = scope.resource(id) else {
        bail!("line {line}: there is no parameter or resource {id}");
    };
    let named = |property| name(scope, id, resource, property);
    Ok(match type_of(id, resource)? {
        Type::HttpApi => "local".to_owned(),
        Type::Function => named("FunctionName")?,
        Type::Table => named("TableName")?,
        Type::Key => names::key_id(id),
        Type::Alias => named("AliasName")?,
        Type::ScheduleGroup | Type::Schedule => named("Name")?,
        Type::Secret => names::secret_arn(&named("Name")?),
        Type::Queue => queue_url(scope, &named("QueueName")?),
        Type::Role => named("RoleName")?,
        Type::Ignored => names::generated(id),
    })
}

/// What `GetAtt` answers for an attribute of a resource.
pub fn attribute(scope: &Scope, id: &str, attribute: &str, line: usize) -> Result<String> {
    let Some(resource) = scope.resource(id) else {
        // SAM makes a role for every function that has none of its own.
        if let Some(function) = id.strip_suffix("Role").filter(|function| scope.resource(function).is_some())
        {
            return match attribute {
                "Arn" => Ok(names::role_arn(&names::generated(&format!("{function}Role")))),
                _ => bail!("line {line}: {id} has no attribute {attribute}"),
            };
        }
        bail!("line {line}: there is no resource {id}");
    };
    let named = |property| name(scope, id, resource, property);
    Ok(match (type_of(id, resource)?, attribute) {
        (Type::HttpApi, "ApiEndpoint") => scope.gateway_url.clone(),
        (Type::Function, "Arn") => names::function_arn(&named("FunctionName")?),
        (Type::Table, "Arn") => names::table_arn(&named("TableName")?),
        (Type::Table, "StreamArn") => {
            let properties = resource.get("Properties");
            if properties.and_then(|properties| properties.get("StreamSpecification")).is_none() {
                bail!("line {line}: {id} has no StreamSpecification");
            }
            names::stream_arn(&named("TableName")?)
        }
        (Type::Key, "Arn") => names::key_arn(&names::key_id(id)),
        (Type::Key, "KeyId") => names::key_id(id),
        (Type::ScheduleGroup, "Arn") => names::schedule_group_arn(&named("Name")?),
        (Type::Schedule, "Arn") => names::schedule_arn("default", &named("Name")?),
        (Type::Secret, "Arn" | "Id") => names::secret_arn(&named("Name")?),
        (Type::Queue, "Arn") => arn("sqs", &named("QueueName")?),
        (Type::Queue, "QueueName") => named("QueueName")?,
        (Type::Queue, "QueueUrl") => queue_url(scope, &named("QueueName")?),
        (Type::Role, "Arn") => names::role_arn(&named("RoleName")?),
        (Type::Role, "RoleId") => format!("AROALOCAL{id}"),
        (Type::Ignored, "Arn") => arn("logs", &format!("log-group:{}", names::generated(id))),
        _ => bail!("line {line}: {id} has no attribute {attribute} that the local stack knows"),
    })
}

fn queue_url(scope: &Scope, name: &str) -> String {
    format!("{}/{}/{name}", scope.aws_url, names::ACCOUNT)
}
