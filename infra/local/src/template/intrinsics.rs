//! Evaluates nodes of the template to JSON: parameters, pseudo parameters, conditions and intrinsic functions.

use super::resource_type::{self, ResourceType};
use super::yaml::{NodeKind, YamlNode};
use crate::names;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Deeper references are circular.
const MAX_REFERENCE_DEPTH: usize = 32;

/// What values of the template can refer to.
pub struct TemplateScope<'template> {
    pub(super) resources: &'template [(String, YamlNode)],
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) conditions: BTreeMap<String, &'template YamlNode>,
    pub(super) aws_url: String,
    /// The value of `GetAtt` for `ApiEndpoint` of the HTTP API.
    pub(super) gateway_url: String,
    depth: Cell<usize>,
}

impl<'template> TemplateScope<'template> {
    pub(super) fn new(
        resources: &'template [(String, YamlNode)],
        conditions: &'template [(String, YamlNode)],
        aws_url: &str,
        gateway_url: &str,
    ) -> Self {
        Self {
            resources,
            parameters: BTreeMap::new(),
            conditions: conditions.iter().map(|(name, node)| (name.clone(), node)).collect(),
            aws_url: aws_url.to_owned(),
            gateway_url: gateway_url.to_owned(),
            depth: Cell::new(0),
        }
    }

    pub(super) fn resource(&self, id: &str) -> Option<&'template YamlNode> {
        self.resources.iter().find(|(name, _)| name == id).map(|(_, node)| node)
    }

    /// `None` is `AWS::NoValue`.
    pub fn value(&self, node: &YamlNode) -> Result<Option<Value>> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_REFERENCE_DEPTH {
            bail!("line {}: this reference is circular", node.line);
        }
        let value = self.evaluate(node);
        self.depth.set(self.depth.get() - 1);
        value
    }

    fn evaluate(&self, node: &YamlNode) -> Result<Option<Value>> {
        if let Some((name, argument)) = node.intrinsic() {
            return self.call(name, argument);
        }
        Ok(Some(match &node.kind {
            NodeKind::Scalar { text, plain: true } => plain_scalar(text),
            NodeKind::Scalar { text, plain: false } => Value::String(text.clone()),
            NodeKind::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(self.value(item)?);
                }
                Value::Array(values)
            }
            NodeKind::Mapping(entries) => {
                let mut values = Map::new();
                for (key, entry) in entries {
                    if let Some(value) = self.value(entry)? {
                        values.insert(key.clone(), value);
                    }
                }
                Value::Object(values)
            }
        }))
    }

    /// The value of a node as a string.
    pub fn text(&self, node: &YamlNode) -> Result<String> {
        match self.value(node)? {
            Some(Value::String(text)) => Ok(text),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(flag)) => Ok(flag.to_string()),
            _ => bail!("line {}: this must be a string", node.line),
        }
    }

    pub fn condition(&self, name: &str, line: usize) -> Result<bool> {
        let node =
            self.conditions.get(name).with_context(|| format!("line {line}: unknown condition {name}"))?;
        self.truth(node)
    }

    fn truth(&self, node: &YamlNode) -> Result<bool> {
        match self.value(node)? {
            Some(Value::Bool(flag)) => Ok(flag),
            _ => bail!("line {}: this is not a condition", node.line),
        }
    }

    fn call(&self, name: &str, argument: &YamlNode) -> Result<Option<Value>> {
        let line = argument.line;
        Ok(Some(match name {
            "Ref" => {
                let target = argument.text().with_context(|| format!("line {line}: Ref takes a name"))?;
                if target == "AWS::NoValue" {
                    return Ok(None);
                }
                self.reference(target, line)?
            }
            "Condition" => {
                let target =
                    argument.text().with_context(|| format!("line {line}: Condition takes a name"))?;
                Value::Bool(self.condition(target, line)?)
            }
            "Fn::GetAtt" => match items(argument, 2, "GetAtt")? {
                [resource, attribute] => {
                    let (resource, attribute) = (self.text(resource)?, self.text(attribute)?);
                    Value::String(self.resource_attribute(&resource, &attribute, line)?)
                }
                _ => bail!("line {line}: GetAtt takes [Resource, Attribute]"),
            },
            "Fn::Sub" => Value::String(self.substitute(argument)?),
            "Fn::Join" => match items(argument, 2, "Join")? {
                [separator, parts] => {
                    let separator = self.text(separator)?;
                    let Some(Value::Array(parts)) = self.value(parts)? else {
                        bail!("line {line}: Join takes a separator and a list");
                    };
                    Value::String(parts.iter().map(plain_text).collect::<Vec<_>>().join(&separator))
                }
                _ => bail!("line {line}: Join takes a separator and a list"),
            },
            "Fn::If" => match items(argument, 3, "If")? {
                [condition, yes, no] => {
                    let name = condition
                        .text()
                        .with_context(|| format!("line {line}: If takes the name of a condition first"))?;
                    return self.value(if self.condition(name, line)? { yes } else { no });
                }
                _ => bail!("line {line}: If takes a condition and two values"),
            },
            "Fn::Equals" => match items(argument, 2, "Equals")? {
                [left, right] => Value::Bool(
                    self.value(left)?.as_ref().map(plain_text) == self.value(right)?.as_ref().map(plain_text),
                ),
                _ => bail!("line {line}: Equals takes two values"),
            },
            "Fn::Not" => match items(argument, 1, "Not")? {
                [inner] => Value::Bool(!self.truth(inner)?),
                _ => bail!("line {line}: Not takes one condition"),
            },
            "Fn::And" | "Fn::Or" => {
                let NodeKind::Sequence(parts) = &argument.kind else {
                    bail!("line {line}: {name} takes a list of conditions");
                };
                let mut truths = Vec::with_capacity(parts.len());
                for part in parts {
                    truths.push(self.truth(part)?);
                }
                Value::Bool(if name == "Fn::And" {
                    truths.iter().all(|t| *t)
                } else {
                    truths.contains(&true)
                })
            }
            other => bail!("line {line}: the intrinsic function {other} is not supported by the local stack"),
        }))
    }

    fn reference(&self, target: &str, line: usize) -> Result<Value> {
        if let Some(pseudo) = names::pseudo_parameter(target) {
            return Ok(Value::String(pseudo));
        }
        if let Some(value) = self.parameters.get(target) {
            return Ok(value.clone());
        }
        Ok(Value::String(self.resource_reference(target, line)?))
    }

    /// `Fn::Sub` in both forms: a string, or a string and a mapping of variables.
    fn substitute(&self, argument: &YamlNode) -> Result<String> {
        let (template, names) = match &argument.kind {
            NodeKind::Sequence(parts) => match parts.as_slice() {
                [template, names] => (template, Some(names)),
                _ => bail!("line {}: Sub takes a string, or a string and a mapping", argument.line),
            },
            NodeKind::Scalar { .. } | NodeKind::Mapping(_) => (argument, None),
        };
        let line = template.line;
        let mut rest = template.text().with_context(|| format!("line {line}: Sub takes a string"))?;
        let mut out = String::new();
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let after = &rest[start + 2..];
            let end = after.find('}').with_context(|| format!("line {line}: \"${{\" without \"}}\""))?;
            let name = after[..end].trim();
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
            } else if let Some(node) = names.and_then(|names| names.get(name)) {
                out.push_str(&self.text(node)?);
            } else if let Some((resource, attribute)) =
                name.split_once('.').filter(|(resource, _)| !resource.contains("::"))
            {
                out.push_str(&self.resource_attribute(resource, attribute, line)?);
            } else {
                out.push_str(&plain_text(&self.reference(name, line)?));
            }
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The physical name of a resource: the value of its name property, or a generated name.
    pub fn resource_name(&self, id: &str, resource: &YamlNode, property: &str) -> Result<String> {
        match resource.get("Properties").and_then(|properties| properties.get(property)) {
            Some(node) => self.text(node),
            None => Ok(names::generated(id)),
        }
    }

    /// A bucket's generated name is in lower case.
    pub fn bucket_name(&self, id: &str, resource: &YamlNode) -> Result<String> {
        match resource.get("Properties").and_then(|properties| properties.get("BucketName")) {
            Some(node) => self.text(node),
            None => Ok(names::generated(id).to_lowercase()),
        }
    }

    /// The value of `Ref` for a resource.
    fn resource_reference(&self, id: &str, line: usize) -> Result<String> {
        let Some(resource) = self.resource(id) else {
            bail!("line {line}: unknown parameter or resource {id}");
        };
        let named = |property| self.resource_name(id, resource, property);
        Ok(match resource_type::type_of(id, resource)? {
            ResourceType::HttpApi => names::API_ID.to_owned(),
            ResourceType::Function => named("FunctionName")?,
            ResourceType::Table => named("TableName")?,
            ResourceType::Key => names::key_id(id),
            ResourceType::Alias => named("AliasName")?,
            ResourceType::ScheduleGroup | ResourceType::Schedule => named("Name")?,
            ResourceType::Secret => names::secret_arn(&named("Name")?),
            ResourceType::Queue => self.queue_url(&named("QueueName")?),
            ResourceType::Bucket => self.bucket_name(id, resource)?,
            ResourceType::Role => named("RoleName")?,
            ResourceType::ManagedPolicy => names::policy_arn(&names::generated(id)),
            ResourceType::Alarm => named("AlarmName")?,
            ResourceType::MetricFilter | ResourceType::NestedStack | ResourceType::Ignored => {
                names::generated(id)
            }
        })
    }

    /// The value of `GetAtt` for an attribute of a resource.
    fn resource_attribute(&self, id: &str, attribute: &str, line: usize) -> Result<String> {
        let Some(resource) = self.resource(id) else {
            // SAM creates a role for every function without one.
            if let Some(function) =
                id.strip_suffix("Role").filter(|function| self.resource(function).is_some())
            {
                return match attribute {
                    "Arn" => Ok(names::role_arn(&names::generated(&format!("{function}Role")))),
                    _ => bail!("line {line}: {id} has no attribute {attribute}"),
                };
            }
            bail!("line {line}: unknown resource {id}");
        };
        let named = |property| self.resource_name(id, resource, property);
        Ok(match (resource_type::type_of(id, resource)?, attribute) {
            (ResourceType::HttpApi, "ApiEndpoint") => self.gateway_url.clone(),
            (ResourceType::Function, "Arn") => names::function_arn(&named("FunctionName")?),
            (ResourceType::Table, "Arn") => names::table_arn(&named("TableName")?),
            (ResourceType::Table, "StreamArn") => {
                let properties = resource.get("Properties");
                if properties.and_then(|properties| properties.get("StreamSpecification")).is_none() {
                    bail!("line {line}: {id} has no StreamSpecification");
                }
                names::stream_arn(&named("TableName")?)
            }
            (ResourceType::Key, "Arn") => names::key_arn(&names::key_id(id)),
            (ResourceType::Key, "KeyId") => names::key_id(id),
            (ResourceType::ScheduleGroup, "Arn") => names::schedule_group_arn(&named("Name")?),
            (ResourceType::Schedule, "Arn") => names::schedule_arn("default", &named("Name")?),
            (ResourceType::Secret, "Arn" | "Id") => names::secret_arn(&named("Name")?),
            (ResourceType::Queue, "Arn") => names::arn("sqs", &named("QueueName")?),
            (ResourceType::Queue, "QueueName") => named("QueueName")?,
            (ResourceType::Queue, "QueueUrl") => self.queue_url(&named("QueueName")?),
            (ResourceType::Bucket, "Arn") => names::bucket_arn(&self.bucket_name(id, resource)?),
            (ResourceType::Role, "Arn") => names::role_arn(&named("RoleName")?),
            (ResourceType::Role, "RoleId") => format!("AROALOCAL{id}"),
            (ResourceType::Ignored, "Arn") => {
                names::arn("logs", &format!("log-group:{}", names::generated(id)))
            }
            _ => bail!("line {line}: {id} has no attribute {attribute} that the local stack supports"),
        })
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.aws_url, names::ACCOUNT)
    }
}

fn items<'node>(argument: &'node YamlNode, count: usize, name: &str) -> Result<&'node [YamlNode]> {
    match &argument.kind {
        NodeKind::Sequence(items) if items.len() == count => Ok(items),
        _ => bail!("line {}: {name} takes a list of {count}", argument.line),
    }
}

/// A value as a string. CloudFormation does not keep the types of numbers and booleans.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Scalars without quotes have the types of YAML 1.2's core schema.
fn plain_scalar(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        "" | "~" | "null" => Value::Null,
        number => number
            .parse::<i64>()
            .ok()
            .filter(|parsed| parsed.to_string() == number)
            .map_or_else(|| Value::String(number.to_owned()), Value::from),
    }
}
