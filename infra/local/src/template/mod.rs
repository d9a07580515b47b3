//! Reads `template.yaml`, the single source of what runs: functions with their routes, environment, policies and events,
//! and the tables, keys, secrets, queues and schedules that they use.
//!
//! Invariant: anything that the local stack does not support is an error with its line, and never ignored silently.

mod alarms;
mod buckets;
mod functions;
mod intrinsics;
mod resource_type;
mod streams;
mod supported_keys;
mod throttles;
mod yaml;

pub use alarms::{AlarmResource, AlarmSeries, Comparison, MetricFilterResource, MissingData};
pub use buckets::{BucketResource, LifecycleRule};
pub use functions::{ApiRoute, AsyncSettings, FunctionResource, QueueTrigger, ScheduleTrigger};
pub use streams::{StartingPosition, StreamTrigger};
pub use throttles::{Throttle, ThrottleSettings};

use crate::iam_policy::IamPolicy;
use crate::names;
use anyhow::{Context, Result, anyhow, bail};
use intrinsics::TemplateScope;
use resource_type::ResourceType;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use yaml::YamlNode;

/// The template with all references resolved.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// In the order of the file.
    pub functions: Vec<FunctionResource>,
    pub tables: Vec<TableResource>,
    pub keys: Vec<KeyResource>,
    /// Key ids by alias name, which includes `alias/`.
    pub aliases: BTreeMap<String, String>,
    pub secrets: Vec<SecretResource>,
    pub queues: Vec<QueueResource>,
    pub buckets: Vec<BucketResource>,
    pub schedule_groups: Vec<String>,
    /// Schedules that are resources: the bodies of CreateSchedule, with `Name`.
    pub schedules: Vec<Value>,
    pub throttles: ThrottleSettings,
    pub alarms: Vec<AlarmResource>,
    /// Of the functions' log.
    pub metric_filters: Vec<MetricFilterResource>,
    /// Templates of nested stacks, by their path beside this template, with the values of their parameters.
    nested: Vec<(String, BTreeMap<String, String>)>,
}

#[derive(Clone, Debug)]
pub struct TableResource {
    pub name: String,
    /// The body of CreateTable.
    pub create: Value,
    pub ttl_attribute: Option<String>,
}

#[derive(Clone, Debug)]
pub struct KeyResource {
    pub id: String,
    pub enabled: bool,
    /// The key policy.
    pub policy: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct SecretResource {
    pub logical_id: String,
    pub name: String,
    pub source: SecretSource,
}

#[derive(Clone, Debug)]
pub enum SecretSource {
    Value(String),
    /// Generated at the first start.
    Generated {
        length: usize,
        exclude_punctuation: bool,
        exclude_characters: String,
        /// `SecretStringTemplate` and `GenerateStringKey`.
        wrapped: Option<(String, String)>,
    },
}

#[derive(Clone, Debug)]
pub struct QueueResource {
    pub name: String,
    /// The attributes of CreateQueue.
    pub attributes: BTreeMap<String, String>,
}

/// URLs and parameter values that the runner sets.
#[derive(Clone, Debug, Default)]
pub struct TemplateOverrides {
    pub aws_url: String,
    pub gateway_url: String,
    /// Parameter values. Names that the template does not have are ignored.
    pub parameters: BTreeMap<String, String>,
}

impl TemplateOverrides {
    /// For programs that read the template without a stack: parameters without a default have some value.
    #[must_use]
    pub fn without_stack() -> Self {
        let parameters = BTreeMap::from([("PublicUrl".to_owned(), "https://localhost".to_owned())]);
        Self { parameters, ..Self::default() }
    }
}

impl Template {
    /// Reads the file. Errors name the file and the line.
    pub fn read(path: &Path, overrides: &TemplateOverrides) -> Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let mut template = Self::parse(&text, overrides).map_err(|error| anyhow!("{file}: {error:#}"))?;
        for (file, parameters) in std::mem::take(&mut template.nested) {
            let path = path.parent().unwrap_or(Path::new(".")).join(file);
            let overrides = TemplateOverrides { parameters, ..overrides.clone() };
            let nested = Self::read(&path, &overrides)?;
            template.alarms.extend(nested.alarms);
            template.metric_filters.extend(nested.metric_filters);
        }
        Ok(template)
    }

    pub fn parse(text: &str, overrides: &TemplateOverrides) -> Result<Self> {
        let root = yaml::parse(text)?;
        // Unsupported types and keys are errors even if a condition excludes the resource.
        supported_keys::check(&root)?;
        let resources = root.get("Resources").context("the template has no Resources")?.entries();
        let conditions = root.get("Conditions").map(YamlNode::entries).unwrap_or_default();
        let mut scope = TemplateScope::new(resources, conditions, &overrides.aws_url, &overrides.gateway_url);
        for (name, parameter) in root.get("Parameters").map(YamlNode::entries).unwrap_or_default() {
            let value = match (overrides.parameters.get(name), parameter.get("Default")) {
                (Some(value), _) => Value::String(value.clone()),
                (None, Some(default)) => Value::String(scope.text(default)?),
                (None, None) => bail!(
                    "line {}: parameter {name} has no Default, and the local stack does not set it",
                    parameter.line
                ),
            };
            scope.parameters.insert(name.clone(), value);
        }
        let mut types = Vec::with_capacity(resources.len());
        for (id, resource) in resources {
            types.push(resource_type::type_of(id, resource)?);
        }
        let globals = root.get("Globals").and_then(|globals| globals.get("Function"));
        let roles = functions::roles(&scope, resources, &types)?;
        let mut template = Self::default();
        for ((id, resource), kind) in resources.iter().zip(types) {
            if let Some(condition) = resource.get("Condition") {
                let name = condition.text().unwrap_or_default();
                if !scope.condition(name, condition.line)? {
                    continue;
                }
            }
            template.add(&scope, id, resource, kind, globals, &roles).map_err(|error| {
                let text = format!("{error:#}");
                // Most errors state their line. The others get the line of the resource.
                if text.starts_with("line ") {
                    error
                } else {
                    anyhow!("line {}: {id}: {text}", resource.line)
                }
            })?;
        }
        Ok(template)
    }

    fn add(
        &mut self,
        scope: &TemplateScope,
        id: &str,
        resource: &YamlNode,
        kind: ResourceType,
        globals: Option<&YamlNode>,
        roles: &BTreeMap<String, Vec<Value>>,
    ) -> Result<()> {
        let properties = || -> Result<Value> {
            Ok(match resource.get("Properties") {
                Some(node) => scope.value(node)?.unwrap_or_else(|| json!({})),
                None => json!({}),
            })
        };
        match kind {
            ResourceType::Function => {
                self.functions.push(functions::function(scope, id, resource, globals, roles)?);
            }
            ResourceType::Table => {
                self.tables.push(table(&scope.resource_name(id, resource, "TableName")?, &properties()?));
            }
            ResourceType::Key => {
                let properties = properties()?;
                let policy = properties.get("KeyPolicy").cloned();
                if let Some(document) = &policy {
                    IamPolicy::parse(document)?;
                }
                let enabled = properties.get("Enabled").is_none_or(|enabled| enabled != false);
                self.keys.push(KeyResource { id: names::key_id(id), enabled, policy });
            }
            ResourceType::Alias => {
                let properties = properties()?;
                let target = text(&properties, "TargetKeyId")?;
                let target = target.rsplit('/').next().unwrap_or_default().to_owned();
                self.aliases.insert(text(&properties, "AliasName")?, target);
            }
            ResourceType::Secret => self.secrets.push(secret(scope, id, resource, &properties()?)?),
            ResourceType::Queue => {
                self.queues.push(queue(&scope.resource_name(id, resource, "QueueName")?, &properties()?));
            }
            ResourceType::Bucket => {
                let name = scope.bucket_name(id, resource)?;
                self.buckets.push(buckets::bucket(name, &properties()?)?);
            }
            ResourceType::ScheduleGroup => {
                self.schedule_groups.push(scope.resource_name(id, resource, "Name")?);
            }
            ResourceType::Schedule => {
                let mut body = properties()?;
                body["Name"] = Value::String(scope.resource_name(id, resource, "Name")?);
                self.schedules.push(body);
            }
            ResourceType::HttpApi => self.throttles = throttles::settings(&properties()?)?,
            ResourceType::Alarm => {
                let name = scope.resource_name(id, resource, "AlarmName")?;
                self.alarms.push(AlarmResource::parse(&name, &properties()?)?);
            }
            ResourceType::MetricFilter => self.metric_filters.extend(alarms::metric_filters(&properties()?)?),
            ResourceType::NestedStack => {
                let properties = properties()?;
                let parameters = properties["Parameters"].as_object().into_iter().flatten();
                let parameters = parameters.map(|(name, value)| {
                    (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                });
                self.nested.push((text(&properties, "TemplateURL")?, parameters.collect()));
            }
            ResourceType::Role | ResourceType::ManagedPolicy | ResourceType::Ignored => {}
        }
        Ok(())
    }

    /// The bodies of CreateSchedule for all schedules: events of functions, and resources.
    #[must_use]
    pub fn schedule_inputs(&self) -> Vec<Value> {
        let of_functions = self.functions.iter().flat_map(|function| {
            function.schedules.iter().map(|trigger| {
                let properties = &trigger.properties;
                let mut input = json!({
                    "Name": trigger.name,
                    "Target": {
                        "Arn": names::function_arn(&function.name),
                        "RoleArn": properties["RoleArn"].as_str().map_or_else(
                            || names::role_arn(&names::generated(&format!("{}{}Role", function.logical_id, trigger.name))),
                            str::to_owned,
                        ),
                    },
                });
                for key in ["Input", "RetryPolicy", "DeadLetterConfig"] {
                    if let Some(value) = properties.get(key) {
                        input["Target"][key] = value.clone();
                    }
                }
                for key in [
                    "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "GroupName", "State",
                    "StartDate", "EndDate", "Description",
                ] {
                    if let Some(value) = properties.get(key) {
                        input[key] = value.clone();
                    }
                }
                input
            })
        });
        of_functions.chain(self.schedules.iter().cloned()).collect()
    }
}

fn text(properties: &Value, key: &str) -> Result<String> {
    properties[key].as_str().map(str::to_owned).with_context(|| format!("{key} is required"))
}

fn table(name: &str, properties: &Value) -> TableResource {
    let mut create = json!({ "TableName": name, "BillingMode": "PAY_PER_REQUEST" });
    for key in ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        if let Some(value) = properties.get(key) {
            create[key] = value.clone();
        }
    }
    if let Some(view) = properties["StreamSpecification"]["StreamViewType"].as_str() {
        create["StreamSpecification"] = json!({ "StreamEnabled": true, "StreamViewType": view });
    }
    let ttl = &properties["TimeToLiveSpecification"];
    let enabled = ttl["Enabled"] == true || ttl["Enabled"] == "true";
    TableResource {
        name: name.to_owned(),
        create,
        ttl_attribute: ttl["AttributeName"].as_str().filter(|_| enabled).map(str::to_owned),
    }
}

fn secret(
    scope: &TemplateScope,
    id: &str,
    resource: &YamlNode,
    properties: &Value,
) -> Result<SecretResource> {
    let name = scope.resource_name(id, resource, "Name")?;
    let source = match (properties.get("SecretString"), properties.get("GenerateSecretString")) {
        (Some(Value::String(text)), _) => SecretSource::Value(text.clone()),
        (Some(other), _) => SecretSource::Value(other.to_string()),
        (None, Some(rules)) => SecretSource::Generated {
            length: rules["PasswordLength"]
                .as_u64()
                .and_then(|length| usize::try_from(length).ok())
                .unwrap_or(32),
            exclude_punctuation: rules["ExcludePunctuation"] == true,
            exclude_characters: rules["ExcludeCharacters"].as_str().unwrap_or_default().to_owned(),
            wrapped: rules["GenerateStringKey"].as_str().map(|key| {
                (rules["SecretStringTemplate"].as_str().unwrap_or("{}").to_owned(), key.to_owned())
            }),
        },
        (None, None) => SecretSource::Value(String::new()),
    };
    Ok(SecretResource { logical_id: id.to_owned(), name, source })
}

fn queue(name: &str, properties: &Value) -> QueueResource {
    let mut attributes = BTreeMap::new();
    for (key, value) in properties.as_object().into_iter().flatten() {
        if ["QueueName", "Tags"].contains(&key.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        attributes.insert(key.clone(), value);
    }
    QueueResource { name: name.to_owned(), attributes }
}
