//! Functions of the template: their settings merged with the globals, their events and their policies.

use super::intrinsics::TemplateScope;
use super::resource_type::ResourceType;
use super::streams::{self, StreamTrigger};
use super::yaml::YamlNode;
use crate::iam_policy::IamPolicy;
use crate::names;
use anyhow::{Context, Result, anyhow, bail};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct FunctionResource {
    pub logical_id: String,
    /// `FunctionName`.
    pub name: String,
    /// The name of the binary, which is the last part of `CodeUri` and the name of the function's folder.
    pub binary: String,
    pub timeout: Duration,
    /// Passed to the function in its environment; not enforced.
    pub memory_mb: u64,
    pub environment: BTreeMap<String, String>,
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<usize>,
    pub async_settings: AsyncSettings,
    pub routes: Vec<ApiRoute>,
    pub schedules: Vec<ScheduleTrigger>,
    pub queues: Vec<QueueTrigger>,
    pub streams: Vec<StreamTrigger>,
    /// The policy documents of its role.
    pub policies: Vec<Value>,
    /// The policy document of its permissions boundary.
    pub boundary: Option<Value>,
}

/// `EventInvokeConfig`: how Lambda treats asynchronous invocations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsyncSettings {
    pub max_retries: usize,
    pub max_age: SignedDuration,
    /// ARN of the queue that receives a record of each discarded invocation.
    pub on_failure: Option<String>,
}

impl AsyncSettings {
    fn parse(config: &Value) -> Result<Self> {
        let number = |key: &str, default: u64, max: u64| match &config[key] {
            Value::Null => Ok(default),
            value => value
                .as_u64()
                .filter(|number| *number <= max)
                .with_context(|| format!("{key}: at most {max}")),
        };
        let on_failure = &config["DestinationConfig"]["OnFailure"]["Destination"];
        if on_failure.as_str().is_some_and(|arn| !arn.starts_with("arn:aws:sqs:")) {
            bail!("the local stack supports queues as destinations only");
        }
        Ok(Self {
            max_retries: usize::try_from(number("MaximumRetryAttempts", 2, 2)?)?,
            max_age: SignedDuration::from_secs(i64::try_from(number(
                "MaximumEventAgeInSeconds",
                21_600,
                21_600,
            )?)?),
            on_failure: on_failure.as_str().map(str::to_owned),
        })
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiRoute {
    /// In upper case, or `ANY`.
    pub method: String,
    /// Path with `{parameters}`, or `$default`.
    pub path: String,
}

#[derive(Clone, Debug)]
pub struct ScheduleTrigger {
    pub name: String,
    /// The properties of the event.
    pub properties: Value,
}

#[derive(Clone, Debug)]
pub struct QueueTrigger {
    pub queue_arn: String,
    /// Maximum number of messages per invocation.
    pub batch_size: usize,
    /// How long to wait for a full batch.
    pub window: Duration,
    /// `ReportBatchItemFailures`.
    pub report_failures: bool,
    /// Maximum number of concurrent invocations.
    pub maximum_concurrency: Option<usize>,
}

/// The policies of the roles that are resources, by ARN.
pub fn roles(
    scope: &TemplateScope,
    resources: &[(String, YamlNode)],
    types: &[ResourceType],
) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut roles = BTreeMap::new();
    for ((id, resource), _) in resources.iter().zip(types).filter(|(_, kind)| **kind == ResourceType::Role) {
        let arn = names::role_arn(&scope.resource_name(id, resource, "RoleName")?);
        let properties = resource.get("Properties");
        let mut documents = Vec::new();
        if let Some(policies) = properties.and_then(|properties| properties.get("Policies")) {
            let list = scope.value(policies)?.unwrap_or_default();
            for policy in list.as_array().into_iter().flatten() {
                documents.push(policy["PolicyDocument"].clone());
            }
        }
        roles.insert(arn, documents);
    }
    Ok(roles)
}

pub fn function(
    scope: &TemplateScope,
    id: &str,
    resource: &YamlNode,
    globals: Option<&YamlNode>,
    roles: &BTreeMap<String, Vec<Value>>,
) -> Result<FunctionResource> {
    let properties = resource.get("Properties");
    let own = |key: &str| properties.and_then(|properties| properties.get(key));
    let merged = |key: &str| own(key).or_else(|| globals.and_then(|globals| globals.get(key)));
    let number = |key: &str, default: u64| -> Result<u64> {
        match merged(key) {
            None => Ok(default),
            Some(node) => scope
                .text(node)?
                .parse()
                .with_context(|| format!("line {}: {key} must be a number", node.line)),
        }
    };

    let mut environment = BTreeMap::new();
    for source in [globals, properties].into_iter().flatten() {
        let Some(variables) = source.get("Environment").and_then(|node| node.get("Variables")) else {
            continue;
        };
        for (name, node) in variables.entries() {
            if let Some(value) = scope.value(node)? {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                environment.insert(name.clone(), value);
            }
        }
    }

    let code =
        own("CodeUri").with_context(|| format!("line {}: function {id} has no CodeUri", resource.line))?;
    let code = scope.text(code)?;
    let binary = code.rsplit('/').next().unwrap_or_default().to_owned();
    let reserved_concurrency = match merged("ReservedConcurrentExecutions") {
        Some(node) if scope.value(node)?.is_some() => scope.text(node)?.parse().ok(),
        _ => None,
    };
    let async_config = match own("EventInvokeConfig") {
        Some(node) => scope.value(node)?.unwrap_or_default(),
        None => json!({}),
    };
    let async_settings = AsyncSettings::parse(&async_config)
        .with_context(|| format!("line {}: EventInvokeConfig of {id}", resource.line))?;
    let mut function = FunctionResource {
        logical_id: id.to_owned(),
        name: scope.resource_name(id, resource, "FunctionName")?,
        binary,
        timeout: Duration::from_secs(number("Timeout", 3)?),
        memory_mb: number("MemorySize", 128)?,
        environment,
        reserved_concurrency,
        async_settings,
        routes: Vec::new(),
        schedules: Vec::new(),
        queues: Vec::new(),
        streams: Vec::new(),
        policies: policies(scope, own("Policies"), merged("Role"), roles)?,
        boundary: boundary(scope, merged("PermissionsBoundary"))?,
    };
    for (name, event) in own("Events").map(YamlNode::entries).unwrap_or_default() {
        add_event(scope, &mut function, name, event)?;
    }
    Ok(function)
}

fn policies(
    scope: &TemplateScope,
    policies: Option<&YamlNode>,
    role: Option<&YamlNode>,
    roles: &BTreeMap<String, Vec<Value>>,
) -> Result<Vec<Value>> {
    if let Some(role) = role {
        let arn = scope.text(role)?;
        return roles.get(&arn).cloned().with_context(|| format!("line {}: unknown role {arn}", role.line));
    }
    let Some(node) = policies else { return Ok(Vec::new()) };
    let mut documents = Vec::new();
    for policy in scope.value(node)?.unwrap_or_default().as_array().into_iter().flatten() {
        match policy {
            Value::Object(document) if document.contains_key("Statement") => {
                IamPolicy::parse(policy).map_err(|error| anyhow!("line {}: {error:#}", node.line))?;
                documents.push(policy.clone());
            }
            // The local stack has no logs and traces of AWS.
            Value::String(name)
                if ["AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess"]
                    .iter()
                    .any(|known| name.ends_with(known)) => {}
            other => bail!("line {}: the policy {other} is not supported by the local stack", node.line),
        }
    }
    Ok(documents)
}

/// The boundary is a managed policy of the template.
fn boundary(scope: &TemplateScope, node: Option<&YamlNode>) -> Result<Option<Value>> {
    let Some(node) = node else { return Ok(None) };
    let Some(Value::String(arn)) = scope.value(node)? else { return Ok(None) };
    let id = arn.rsplit_once(&format!("policy/{}-", names::STACK)).map_or("", |(_, id)| id);
    let document = scope.resource(id).and_then(|resource| resource.get("Properties")?.get("PolicyDocument"));
    let document =
        document.with_context(|| format!("line {}: the template has no policy {arn}", node.line))?;
    let document = scope.value(document)?.unwrap_or_default();
    IamPolicy::parse(&document)?;
    Ok(Some(document))
}

fn add_event(
    scope: &TemplateScope,
    function: &mut FunctionResource,
    name: &str,
    event: &YamlNode,
) -> Result<()> {
    let line = event.line;
    let kind = event.get("Type").and_then(YamlNode::text).unwrap_or_default();
    let properties = match event.get("Properties") {
        Some(node) => scope.value(node)?.unwrap_or_default(),
        None => json!({}),
    };
    let text = |key: &str| properties[key].as_str();
    match kind {
        "HttpApi" => function.routes.push(match (text("Method"), text("Path")) {
            (Some(method), Some(path)) => ApiRoute { method: method.to_uppercase(), path: path.to_owned() },
            (None, None) => ApiRoute { method: "ANY".to_owned(), path: "$default".to_owned() },
            _ => bail!("line {line}: an HttpApi event needs both Path and Method"),
        }),
        "Schedule" | "ScheduleV2" => {
            let expression = text("ScheduleExpression").or_else(|| text("Schedule"));
            let Some(expression) = expression else {
                bail!("line {line}: event {name} has no ScheduleExpression");
            };
            let mut properties = properties.clone();
            properties["ScheduleExpression"] = json!(expression);
            let own_name = properties["Name"].as_str().map(str::to_owned);
            function.schedules.push(ScheduleTrigger {
                name: own_name.unwrap_or_else(|| format!("{}{name}", function.logical_id)),
                properties,
            });
        }
        "SQS" => {
            let number = |key: &str| properties[key].as_u64().and_then(|number| usize::try_from(number).ok());
            let failures = properties["FunctionResponseTypes"].as_array();
            if properties["Enabled"] == false {
                return Ok(());
            }
            function.queues.push(QueueTrigger {
                queue_arn: text("Queue")
                    .with_context(|| format!("line {line}: event {name} has no Queue"))?
                    .to_owned(),
                batch_size: number("BatchSize").unwrap_or(10),
                window: Duration::from_secs(
                    properties["MaximumBatchingWindowInSeconds"].as_u64().unwrap_or(0),
                ),
                report_failures: failures
                    .is_some_and(|types| types.iter().any(|kind| kind == "ReportBatchItemFailures")),
                maximum_concurrency: properties["ScalingConfig"]["MaximumConcurrency"]
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok()),
            });
        }
        "DynamoDB" => {
            let trigger = streams::parse(&properties);
            function.streams.extend(trigger.with_context(|| format!("line {line}: event {name}"))?);
        }
        other => bail!(
            "line {line}: the event type {other} (of {}) is not supported by the local stack",
            function.logical_id
        ),
    }
    Ok(())
}
