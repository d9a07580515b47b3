//! The supported keys of the template. Each is either used or deliberately ignored; any other key is an error.

use super::resource_type::{self, ResourceType};
use super::yaml::YamlNode;
use anyhow::{Result, bail};

/// The supported keys of a mapping.
struct Keys {
    used: &'static [&'static str],
    ignored: &'static [&'static str],
}

const TEMPLATE: Keys = Keys {
    used: &["Parameters", "Conditions", "Globals", "Resources"],
    ignored: &["AWSTemplateFormatVersion", "Transform", "Description", "Metadata", "Rules", "Outputs"],
};
const GLOBALS: Keys = Keys { used: &["Function"], ignored: &[] };
/// `Globals.Function`.
const FUNCTION_GLOBALS: Keys = Keys {
    used: &[
        "Timeout",
        "MemorySize",
        "Environment",
        "ReservedConcurrentExecutions",
        "PermissionsBoundary",
        "Role",
    ],
    ignored: FUNCTION_IGNORED,
};
/// Packaging and logging.
const FUNCTION_IGNORED: &[&str] =
    &["Handler", "Runtime", "Architectures", "Description", "LoggingConfig", "Tracing", "Tags"];
const RESOURCE: Keys = Keys {
    used: &["Type", "Properties", "Condition", "Metadata"],
    // The local stack has no order of creation, and deletes nothing.
    ignored: &["DependsOn", "DeletionPolicy", "UpdateReplacePolicy"],
};
/// `DefaultRouteSettings`, and each entry of `RouteSettings`.
const ROUTE_SETTINGS: Keys = Keys { used: &["ThrottlingBurstLimit", "ThrottlingRateLimit"], ignored: &[] };
const EVENT_INVOKE_CONFIG: Keys =
    Keys { used: &["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"], ignored: &[] };
const EVENT_INVOKE_DESTINATIONS: Keys = Keys { used: &["OnFailure"], ignored: &[] };
const EVENT: Keys = Keys { used: &["Type", "Properties"], ignored: &[] };

/// Checks the keys of the template. Errors name the line.
pub fn check(template: &YamlNode) -> Result<()> {
    TEMPLATE.check(template)?;
    if let Some(globals) = template.get("Globals") {
        GLOBALS.check(globals)?;
        FUNCTION_GLOBALS.check_value_of(globals, "Function")?;
    }
    for (id, resource) in template.get("Resources").map(YamlNode::entries).unwrap_or_default() {
        RESOURCE.check(resource)?;
        let Some(known) = property_keys(resource_type::type_of(id, resource)?) else { continue };
        known.check_value_of(resource, "Properties")?;
        let property = |name: &str| resource.get("Properties").and_then(|properties| properties.get(name));
        if let Some(settings) = property("DefaultRouteSettings") {
            ROUTE_SETTINGS.check(settings)?;
        }
        for (_, settings) in property("RouteSettings").map(YamlNode::entries).unwrap_or_default() {
            ROUTE_SETTINGS.check(settings)?;
        }
        if let Some(config) = property("EventInvokeConfig") {
            EVENT_INVOKE_CONFIG.check(config)?;
            EVENT_INVOKE_DESTINATIONS.check_value_of(config, "DestinationConfig")?;
        }
        for (_, event) in property("Events").map(YamlNode::entries).unwrap_or_default() {
            EVENT.check(event)?;
            if let Some(known) = event.get("Type").and_then(YamlNode::text).and_then(event_keys) {
                known.check_value_of(event, "Properties")?;
            }
        }
    }
    Ok(())
}

/// The properties of a resource type; `None` for ignored types.
fn property_keys(kind: ResourceType) -> Option<Keys> {
    let (used, ignored): (&[&str], &[&str]) = match kind {
        ResourceType::Function => (
            &[
                "FunctionName",
                "CodeUri",
                "Timeout",
                "MemorySize",
                "Environment",
                "ReservedConcurrentExecutions",
                "EventInvokeConfig",
                "PermissionsBoundary",
                "Role",
                "Policies",
                "Events",
            ],
            FUNCTION_IGNORED,
        ),
        ResourceType::Table => (
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
        // The local KMS rotates on demand only.
        ResourceType::Key => (
            &["KeyPolicy", "Enabled"],
            &["Description", "EnableKeyRotation", "RotationPeriodInDays", "PendingWindowInDays", "Tags"],
        ),
        ResourceType::Alias => (&["AliasName", "TargetKeyId"], &[]),
        ResourceType::Secret => {
            (&["Name", "SecretString", "GenerateSecretString"], &["Description", "KmsKeyId", "Tags"])
        }
        ResourceType::Queue => (
            &["QueueName", "DelaySeconds", "MessageRetentionPeriod", "RedrivePolicy", "VisibilityTimeout"],
            &["SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "Tags"],
        ),
        // Every object is private, and encrypted as far as clients can see.
        ResourceType::Bucket => (
            &["BucketName", "LifecycleConfiguration"],
            &["BucketEncryption", "OwnershipControls", "PublicAccessBlockConfiguration", "Tags"],
        ),
        ResourceType::ScheduleGroup => (&["Name"], &["Tags"]),
        ResourceType::Schedule => (
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
        ResourceType::Role => (
            &["RoleName", "Policies"],
            &[
                "PermissionsBoundary",
                "AssumeRolePolicyDocument",
                "Description",
                "MaxSessionDuration",
                "Path",
                "Tags",
            ],
        ),
        ResourceType::HttpApi => (
            &["DefaultRouteSettings", "RouteSettings"],
            &["AccessLogSettings", "Description", "DisableExecuteApiEndpoint", "Name", "StageName", "Tags"],
        ),
        ResourceType::ManagedPolicy => (&["PolicyDocument"], &["Description"]),
        ResourceType::Alarm => (
            &[
                "AlarmName",
                "Namespace",
                "MetricName",
                "Dimensions",
                "Statistic",
                "ExtendedStatistic",
                "Period",
                "EvaluationPeriods",
                "DatapointsToAlarm",
                "Threshold",
                "ComparisonOperator",
                "TreatMissingData",
                "Metrics",
            ],
            // The local stack sends no notifications.
            &["AlarmDescription", "AlarmActions", "OKActions", "InsufficientDataActions", "ActionsEnabled"],
        ),
        // Every filter is one of the functions' log.
        ResourceType::MetricFilter => {
            (&["FilterPattern", "MetricTransformations"], &["LogGroupName", "FilterName"])
        }
        ResourceType::NestedStack => (&["TemplateURL", "Parameters"], &["Tags", "TimeoutInMinutes"]),
        ResourceType::Ignored => return None,
    };
    Some(Keys { used, ignored })
}

/// The properties of an event type; `None` for unknown types, which are reported elsewhere.
fn event_keys(kind: &str) -> Option<Keys> {
    let (used, ignored): (&[&str], &[&str]) = match kind {
        // The template has a single API.
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
            &["Description", "PermissionsBoundary"],
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
            // A single concurrent batch keeps the order that parallel ones would keep.
            &["ParallelizationFactor"],
        ),
        _ => return None,
    };
    Some(Keys { used, ignored })
}

impl Keys {
    fn check(&self, node: &YamlNode) -> Result<()> {
        let known = |key: &str| self.used.contains(&key) || self.ignored.contains(&key);
        match node.entries().iter().find(|(key, _)| !known(key)) {
            Some((key, node)) => bail!("line {}: {key} is not supported by the local stack", node.line),
            None => Ok(()),
        }
    }

    fn check_value_of(&self, node: &YamlNode, key: &str) -> Result<()> {
        node.get(key).map_or(Ok(()), |node| self.check(node))
    }
}
