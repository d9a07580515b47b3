//! `template.yaml`, the one source of what runs: functions with their routes, environment, rights and triggers, and the
//! tables, keys, secrets, queues and schedules that they use.
//!
//! Invariant: what the runner does not understand is an error with its line, never silently left out.

mod functions;
mod intrinsics;
mod known;
mod resources;
mod streams;
pub mod yaml;

pub use functions::{Function, QueueTrigger, Route, ScheduleTrigger};
pub use streams::StreamTrigger;

use crate::aws::iam::Policy;
use crate::names;
use anyhow::{Context, Result, anyhow, bail};
use intrinsics::Scope;
use resources::Type;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use yaml::Node;

/// What the runner needs of the template, with every reference resolved.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The functions, in the order of the file.
    pub functions: Vec<Function>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The KMS keys.
    pub keys: Vec<Key>,
    /// Alias name (with `alias/`) to key id.
    pub aliases: BTreeMap<String, String>,
    /// The secrets.
    pub secrets: Vec<Secret>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// The schedule groups.
    pub schedule_groups: Vec<String>,
    /// Schedules that are resources of their own: the body of CreateSchedule, with `Name`.
    pub schedules: Vec<Value>,
}

/// A DynamoDB table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The body of CreateTable.
    pub create: Value,
    /// The attribute that TTL looks at.
    pub ttl_attribute: Option<String>,
}

/// A KMS key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Whether it starts enabled.
    pub enabled: bool,
    /// Its key policy.
    pub policy: Option<Value>,
}

/// A secret of Secrets Manager.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Logical id in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// Where its text comes from.
    pub source: SecretSource,
}

/// Where the text of a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// It is in the template.
    Text(String),
    /// It is generated once: length, characters left out, and the JSON template with its key, if any.
    Generated {
        /// Number of characters.
        length: usize,
        /// No punctuation.
        exclude_punctuation: bool,
        /// Characters left out.
        exclude_characters: String,
        /// JSON object to put it into, and the key.
        wrapped: Option<(String, String)>,
    },
}

/// An SQS queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its attributes, as CreateQueue takes them.
    pub attributes: BTreeMap<String, String>,
}

/// The addresses and parameter values that the runner puts in.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Address of the AWS endpoints.
    pub aws_url: String,
    /// Address of the gateway.
    pub gateway_url: String,
    /// Parameter values; a name that the template does not have is fine.
    pub parameters: BTreeMap<String, String>,
}

impl Template {
    /// Reads the file; errors name it and the line.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        Self::parse(&text, overrides).map_err(|error| anyhow!("{file}: {error:#}"))
    }

    /// Reads the text of a template.
    pub fn parse(text: &str, overrides: &Overrides) -> Result<Self> {
        let root = yaml::parse(text)?;
        // An unknown type or key is told even where a condition leaves the resource out.
        known::check(&root)?;
        let resources = root.get("Resources").context("it has no Resources")?.entries();
        let conditions = root.get("Conditions").map(Node::entries).unwrap_or_default();
        let mut scope = Scope::new(resources, conditions, &overrides.aws_url, &overrides.gateway_url);
        for (name, parameter) in root.get("Parameters").map(Node::entries).unwrap_or_default() {
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
            types.push(resources::type_of(id, resource)?);
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
                // Most errors say their line; the resource's own is better than none.
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
        scope: &Scope,
        id: &str,
        resource: &Node,
        kind: Type,
        globals: Option<&Node>,
        roles: &BTreeMap<String, Vec<Value>>,
    ) -> Result<()> {
        let properties = || -> Result<Value> {
            Ok(match resource.get("Properties") {
                Some(node) => scope.value(node)?.unwrap_or_else(|| json!({})),
                None => json!({}),
            })
        };
        match kind {
            Type::Function => self.functions.push(functions::function(scope, id, resource, globals, roles)?),
            Type::Table => {
                self.tables.push(table(&resources::name(scope, id, resource, "TableName")?, &properties()?));
            }
            Type::Key => {
                let properties = properties()?;
                let policy = properties.get("KeyPolicy").cloned();
                if let Some(document) = &policy {
                    Policy::parse(document)?;
                }
                let enabled = properties.get("Enabled").is_none_or(|enabled| enabled != false);
                self.keys.push(Key { id: names::key_id(id), enabled, policy });
            }
            Type::Alias => {
                let properties = properties()?;
                let target = text(&properties, "TargetKeyId")?;
                let target = target.rsplit('/').next().unwrap_or_default().to_owned();
                self.aliases.insert(text(&properties, "AliasName")?, target);
            }
            Type::Secret => self.secrets.push(secret(scope, id, resource, &properties()?)?),
            Type::Queue => {
                self.queues.push(queue(&resources::name(scope, id, resource, "QueueName")?, &properties()?));
            }
            Type::ScheduleGroup => self.schedule_groups.push(resources::name(scope, id, resource, "Name")?),
            Type::Schedule => {
                let mut body = properties()?;
                body["Name"] = Value::String(resources::name(scope, id, resource, "Name")?);
                self.schedules.push(body);
            }
            Type::HttpApi | Type::Role | Type::Ignored => {}
        }
        Ok(())
    }

    /// The bodies of CreateSchedule for every schedule: events of functions, and resources of their own.
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
    properties[key].as_str().map(str::to_owned).with_context(|| format!("{key} is missing"))
}

fn table(name: &str, properties: &Value) -> Table {
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
    Table {
        name: name.to_owned(),
        create,
        ttl_attribute: ttl["AttributeName"].as_str().filter(|_| enabled).map(str::to_owned),
    }
}

fn secret(scope: &Scope, id: &str, resource: &Node, properties: &Value) -> Result<Secret> {
    let name = resources::name(scope, id, resource, "Name")?;
    let source = match (properties.get("SecretString"), properties.get("GenerateSecretString")) {
        (Some(Value::String(text)), _) => SecretSource::Text(text.clone()),
        (Some(other), _) => SecretSource::Text(other.to_string()),
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
        (None, None) => SecretSource::Text(String::new()),
    };
    Ok(Secret { logical_id: id.to_owned(), name, source })
}

fn queue(name: &str, properties: &Value) -> Queue {
    let mut attributes = BTreeMap::new();
    for (key, value) in properties.as_object().into_iter().flatten() {
        if ["QueueName", "Tags"].contains(&key.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        attributes.insert(key.clone(), value);
    }
    Queue { name: name.to_owned(), attributes }
}
