//! Functions of the template: settings merged with the globals, events, and what their roles allow.

use super::intrinsics::Scope;
use super::resources::{self, Type};
use super::streams::{self, StreamTrigger};
use super::yaml::Node;
use crate::aws::iam::Policy;
use crate::names;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A function, as the runner starts it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Logical id in the template.
    pub logical_id: String,
    /// `FunctionName`.
    pub name: String,
    /// The binary to run, which is the name of the function's folder.
    pub binary: String,
    /// After this it is killed.
    pub timeout: Duration,
    /// Memory in MB; only told to the function.
    pub memory: u64,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<usize>,
    /// Its HTTP routes.
    pub routes: Vec<Route>,
    /// Schedules that call it.
    pub schedules: Vec<ScheduleTrigger>,
    /// Queues that feed it.
    pub queues: Vec<QueueTrigger>,
    /// Streams of tables that feed it.
    pub streams: Vec<StreamTrigger>,
    /// Policy documents of its role.
    pub policies: Vec<Value>,
}

/// A route of the HTTP API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Upper-case method, or `ANY`.
    pub method: String,
    /// Path with `{parameters}`, or `$default`.
    pub path: String,
}

/// A schedule that calls the function: the body of CreateSchedule without `Target.Arn`.
#[derive(Clone, Debug)]
pub struct ScheduleTrigger {
    /// Name of the schedule.
    pub name: String,
    /// Properties of the event.
    pub properties: Value,
}

/// A queue that feeds the function.
#[derive(Clone, Debug)]
pub struct QueueTrigger {
    /// ARN of the queue.
    pub queue_arn: String,
    /// Most messages of one call.
    pub batch_size: usize,
    /// How long to collect a batch.
    pub window: Duration,
    /// The function reports which messages failed.
    pub report_failures: bool,
    /// Most calls at a time.
    pub maximum_concurrency: Option<usize>,
}

/// Policies of the roles that are resources of their own, by ARN.
pub fn roles(
    scope: &Scope,
    resources: &[(String, Node)],
    types: &[Type],
) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut roles = BTreeMap::new();
    for ((id, resource), _) in resources.iter().zip(types).filter(|(_, kind)| **kind == Type::Role) {
        let arn = names::role_arn(&resources::name(scope, id, resource, "RoleName")?);
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

/// Reads a function.
pub fn function(
    scope: &Scope,
    id: &str,
    resource: &Node,
    globals: Option<&Node>,
    roles: &BTreeMap<String, Vec<Value>>,
) -> Result<Function> {
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

    let binary = resource
        .get("Metadata")
        .and_then(|metadata| metadata.get("BuildProperties"))
        .and_then(|build| build.get("Binary"))
        .with_context(|| {
            format!("line {}: function {id} has no Metadata.BuildProperties.Binary", resource.line)
        })?;
    let reserved_concurrency = match merged("ReservedConcurrentExecutions") {
        Some(node) if scope.value(node)?.is_some() => scope.text(node)?.parse().ok(),
        _ => None,
    };
    let mut function = Function {
        logical_id: id.to_owned(),
        name: resources::name(scope, id, resource, "FunctionName")?,
        binary: scope.text(binary)?,
        timeout: Duration::from_secs(number("Timeout", 3)?),
        memory: number("MemorySize", 128)?,
        environment,
        reserved_concurrency,
        routes: Vec::new(),
        schedules: Vec::new(),
        queues: Vec::new(),
        streams: Vec::new(),
        policies: policies(scope, own("Policies"), merged("Role"), roles)?,
    };
    for (name, event) in own("Events").map(Node::entries).unwrap_or_default() {
        add_event(scope, &mut function, name, event)?;
    }
    Ok(function)
}

fn policies(
    scope: &Scope,
    policies: Option<&Node>,
    role: Option<&Node>,
    roles: &BTreeMap<String, Vec<Value>>,
) -> Result<Vec<Value>> {
    if let Some(role) = role {
        let arn = scope.text(role)?;
        return roles
            .get(&arn)
            .cloned()
            .with_context(|| format!("line {}: there is no role {arn}", role.line));
    }
    let Some(node) = policies else { return Ok(Vec::new()) };
    let mut documents = Vec::new();
    for policy in scope.value(node)?.unwrap_or_default().as_array().into_iter().flatten() {
        match policy {
            Value::Object(document) if document.contains_key("Statement") => {
                Policy::parse(policy).map_err(|error| anyhow!("line {}: {error:#}", node.line))?;
                documents.push(policy.clone());
            }
            // Log and trace writing is nothing that runs here.
            Value::String(name)
                if ["AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess"]
                    .iter()
                    .any(|known| name.ends_with(known)) => {}
            other => bail!("line {}: the policy {other} is not understood by the local stack", node.line),
        }
    }
    Ok(documents)
}

fn add_event(scope: &Scope, function: &mut Function, name: &str, event: &Node) -> Result<()> {
    let line = event.line;
    let kind = event.get("Type").and_then(Node::text).unwrap_or_default();
    let properties = match event.get("Properties") {
        Some(node) => scope.value(node)?.unwrap_or_default(),
        None => json!({}),
    };
    let text = |key: &str| properties[key].as_str();
    match kind {
        "HttpApi" => function.routes.push(match (text("Method"), text("Path")) {
            (Some(method), Some(path)) => Route { method: method.to_uppercase(), path: path.to_owned() },
            (None, None) => Route { method: "ANY".to_owned(), path: "$default".to_owned() },
            _ => bail!("line {line}: an HttpApi event has both Path and Method"),
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
            let trigger = streams::trigger(&properties);
            function.streams.extend(trigger.with_context(|| format!("line {line}: event {name}"))?);
        }
        other => bail!(
            "line {line}: the event type {other} (of {}) is not understood by the local stack",
            function.logical_id
        ),
    }
    Ok(())
}
