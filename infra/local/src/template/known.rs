//! Which keys of the template the runner knows, each of them acted upon or left out on purpose. Any other is an error.

use super::resources::{self, Type};
use super::yaml::Node;
use anyhow::{Result, bail};

/// The keys of a mapping: those that the runner acts upon, and those that mean nothing on this machine.
struct Keys {
    understood: &'static [&'static str],
    ignored: &'static [&'static str],
}

const TEMPLATE: Keys = Keys {
    understood: &["Parameters", "Conditions", "Globals", "Resources"],
    ignored: &["AWSTemplateFormatVersion", "Transform", "Description", "Metadata", "Outputs"],
};
const GLOBALS: Keys = Keys { understood: &["Function"], ignored: &[] };
/// What all functions share. The rest of a function is its own.
const SHARED: Keys = Keys {
    understood: &["Timeout", "MemorySize", "Environment", "ReservedConcurrentExecutions", "Role"],
    ignored: NOT_HERE,
};
/// How a function is packed, and where its log goes.
const NOT_HERE: &[&str] =
    &["CodeUri", "Handler", "Runtime", "Architectures", "Description", "LoggingConfig", "Tracing", "Tags"];
const RESOURCE: Keys = Keys {
    understood: &["Type", "Properties", "Condition", "Metadata"],
    // Nothing is made in an order here, and nothing is deleted.
    ignored: &["DependsOn", "DeletionPolicy", "UpdateReplacePolicy"],
};
const EVENT: Keys = Keys { understood: &["Type", "Properties"], ignored: &[] };

/// Checks all keys that have a meaning of their own; errors name the line.
pub fn check(template: &Node) -> Result<()> {
    TEMPLATE.hold(template)?;
    if let Some(globals) = template.get("Globals") {
        GLOBALS.hold(globals)?;
        SHARED.hold_in(globals, "Function")?;
    }
    for (id, resource) in template.get("Resources").map(Node::entries).unwrap_or_default() {
        RESOURCE.hold(resource)?;
        let Some(known) = properties(resources::type_of(id, resource)?) else { continue };
        known.hold_in(resource, "Properties")?;
        let events = resource.get("Properties").and_then(|properties| properties.get("Events"));
        for (_, event) in events.map(Node::entries).unwrap_or_default() {
            EVENT.hold(event)?;
            if let Some(known) = event.get("Type").and_then(Node::text).and_then(trigger) {
                known.hold_in(event, "Properties")?;
            }
        }
    }
    Ok(())
}

/// The properties of a resource, unless the runner has nothing to do with resources of the type at all.
fn properties(kind: Type) -> Option<Keys> {
    let (understood, ignored): (&[&str], &[&str]) = match kind {
        Type::Function => (
            &[
                "FunctionName",
                "Timeout",
                "MemorySize",
                "Environment",
                "ReservedConcurrentExecutions",
                "Role",
                "Policies",
                "Events",
            ],
            NOT_HERE,
        ),
        Type::Table => (
            &[
                "TableName",
                "AttributeDefinitions",
                "KeySchema",
                "GlobalSecondaryIndexes",
                "LocalSecondaryIndexes",
                "StreamSpecification",
                "TimeToLiveSpecification",
            ],
            &[
                "BillingMode",
                "DeletionProtectionEnabled",
                "PointInTimeRecoverySpecification",
                "SSESpecification",
                "Tags",
            ],
        ),
        // A key rotates when it is told to.
        Type::Key => (
            &["KeyPolicy", "Enabled"],
            &["Description", "EnableKeyRotation", "RotationPeriodInDays", "PendingWindowInDays", "Tags"],
        ),
        Type::Alias => (&["AliasName", "TargetKeyId"], &[]),
        Type::Secret => {
            (&["Name", "SecretString", "GenerateSecretString"], &["Description", "KmsKeyId", "Tags"])
        }
        Type::Queue => (
            &["QueueName", "DelaySeconds", "MessageRetentionPeriod", "RedrivePolicy", "VisibilityTimeout"],
            &["SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "Tags"],
        ),
        Type::ScheduleGroup => (&["Name"], &["Tags"]),
        Type::Schedule => (
            &[
                "Name",
                "GroupName",
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "FlexibleTimeWindow",
                "State",
                "StartDate",
                "EndDate",
                "Target",
            ],
            &["Description", "KmsKeyArn"],
        ),
        Type::Role => (
            &["RoleName", "Policies"],
            &["AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Path", "Tags"],
        ),
        Type::HttpApi => (
            &[],
            &[
                "AccessLogSettings",
                "DefaultRouteSettings",
                "Description",
                "DisableExecuteApiEndpoint",
                "Name",
                "StageName",
                "Tags",
            ],
        ),
        Type::Ignored => return None,
    };
    Some(Keys { understood, ignored })
}

/// The properties of an event that calls a function; nothing for a type that is unknown, which is told elsewhere.
fn trigger(kind: &str) -> Option<Keys> {
    let (understood, ignored): (&[&str], &[&str]) = match kind {
        // There is but one API.
        "HttpApi" => (&["Path", "Method"], &["ApiId"]),
        "Schedule" | "ScheduleV2" => (
            &[
                "Name",
                "GroupName",
                "Schedule",
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "FlexibleTimeWindow",
                "State",
                "StartDate",
                "EndDate",
                "Input",
                "RetryPolicy",
                "DeadLetterConfig",
                "RoleArn",
            ],
            &["Description"],
        ),
        "SQS" => (
            &[
                "Queue",
                "Enabled",
                "BatchSize",
                "MaximumBatchingWindowInSeconds",
                "FunctionResponseTypes",
                "ScalingConfig",
            ],
            &[],
        ),
        "DynamoDB" => (
            &[
                "Stream",
                "StartingPosition",
                "Enabled",
                "BatchSize",
                "MaximumBatchingWindowInSeconds",
                "FunctionResponseTypes",
                "BisectBatchOnFunctionError",
                "MaximumRetryAttempts",
                "MaximumRecordAgeInSeconds",
                "DestinationConfig",
                "FilterCriteria",
            ],
            // One call at a time keeps every order that several would keep.
            &["ParallelizationFactor"],
        ),
        _ => return None,
    };
    Some(Keys { understood, ignored })
}

impl Keys {
    /// Holds the entries of a mapping against the keys.
    fn hold(&self, node: &Node) -> Result<()> {
        let known = |key: &str| self.understood.contains(&key) || self.ignored.contains(&key);
        match node.entries().iter().find(|(key, _)| !known(key)) {
            Some((key, node)) => bail!("line {}: {key} is not understood by the local stack", node.line),
            None => Ok(()),
        }
    }

    fn hold_in(&self, node: &Node, key: &str) -> Result<()> {
        node.get(key).map_or(Ok(()), |node| self.hold(node))
    }
}
