//! The supported resource types.

use super::yaml::YamlNode;
use anyhow::{Context, Result, bail};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResourceType {
    HttpApi,
    Function,
    Table,
    Key,
    Alias,
    ScheduleGroup,
    Schedule,
    Secret,
    Queue,
    Bucket,
    Role,
    ManagedPolicy,
    Alarm,
    MetricFilter,
    NestedStack,
    /// Accepted, but without effect on this machine.
    Ignored,
}

pub fn type_of(id: &str, resource: &YamlNode) -> Result<ResourceType> {
    let node =
        resource.get("Type").with_context(|| format!("line {}: resource {id} has no Type", resource.line))?;
    Ok(match node.text().unwrap_or_default() {
        "AWS::Serverless::HttpApi" => ResourceType::HttpApi,
        "AWS::Serverless::Function" => ResourceType::Function,
        "AWS::DynamoDB::Table" => ResourceType::Table,
        "AWS::KMS::Key" => ResourceType::Key,
        "AWS::KMS::Alias" => ResourceType::Alias,
        "AWS::Scheduler::ScheduleGroup" => ResourceType::ScheduleGroup,
        "AWS::Scheduler::Schedule" => ResourceType::Schedule,
        "AWS::SecretsManager::Secret" => ResourceType::Secret,
        "AWS::SQS::Queue" => ResourceType::Queue,
        "AWS::S3::Bucket" => ResourceType::Bucket,
        "AWS::IAM::Role" => ResourceType::Role,
        "AWS::IAM::ManagedPolicy" => ResourceType::ManagedPolicy,
        "AWS::CloudWatch::Alarm" => ResourceType::Alarm,
        "AWS::Logs::MetricFilter" => ResourceType::MetricFilter,
        "AWS::CloudFormation::Stack" => ResourceType::NestedStack,
        "AWS::Logs::LogGroup"
        | "AWS::Logs::QueryDefinition"
        | "AWS::CloudWatch::Dashboard"
        | "AWS::SNS::Topic"
        | "AWS::SNS::Subscription"
        | "AWS::ApiGatewayV2::DomainName"
        | "AWS::ApiGatewayV2::ApiMapping"
        | "AWS::Route53::RecordSet"
        | "AWS::Lambda::Permission"
        // It can only deny, and the local stack has no https.
        | "AWS::S3::BucketPolicy"
        | "AWS::SQS::QueuePolicy" => ResourceType::Ignored,
        other => bail!(
            "line {}: the resource type {other} (of {id}) is not supported by the local stack",
            node.line
        ),
    })
}
