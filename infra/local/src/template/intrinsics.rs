//! Turns nodes of the template into plain JSON: parameters, pseudo parameters, conditions and the intrinsic functions.

use super::resources;
use super::yaml::{Kind, Node};
use crate::names;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeMap;

/// References deeper than this are a cycle.
const DEEPEST_REFERENCE: usize = 32;

/// Everything that a value of the template may refer to.
pub struct Scope<'template> {
    pub(super) resources: &'template [(String, Node)],
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) conditions: BTreeMap<String, &'template Node>,
    /// Base of queue URLs and the like.
    pub(super) aws_url: String,
    /// What `GetAtt HttpApi.ApiEndpoint` answers.
    pub(super) gateway_url: String,
    depth: Cell<usize>,
}

impl<'template> Scope<'template> {
    pub(super) fn new(
        resources: &'template [(String, Node)],
        conditions: &'template [(String, Node)],
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

    /// The node of the resource with this logical id.
    pub(super) fn resource(&self, id: &str) -> Option<&'template Node> {
        self.resources.iter().find(|(name, _)| name == id).map(|(_, node)| node)
    }

    /// The value of a node; `None` is `AWS::NoValue`.
    pub fn value(&self, node: &Node) -> Result<Option<Value>> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > DEEPEST_REFERENCE {
            bail!("line {}: this refers to itself", node.line);
        }
        let value = self.evaluate(node);
        self.depth.set(self.depth.get() - 1);
        value
    }

    fn evaluate(&self, node: &Node) -> Result<Option<Value>> {
        if let Some((name, argument)) = node.intrinsic() {
            return self.call(name, argument);
        }
        Ok(Some(match &node.kind {
            Kind::Scalar { text, plain } => scalar(text, *plain),
            Kind::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(self.value(item)?);
                }
                Value::Array(values)
            }
            Kind::Mapping(entries) => {
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

    /// The value of a node as text.
    pub fn text(&self, node: &Node) -> Result<String> {
        match self.value(node)? {
            Some(Value::String(text)) => Ok(text),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(flag)) => Ok(flag.to_string()),
            _ => bail!("line {}: this must be text", node.line),
        }
    }

    /// Whether the named condition holds.
    pub fn condition(&self, name: &str, line: usize) -> Result<bool> {
        let node = self
            .conditions
            .get(name)
            .with_context(|| format!("line {line}: there is no condition {name}"))?;
        self.truth(node)
    }

    fn truth(&self, node: &Node) -> Result<bool> {
        match self.value(node)? {
            Some(Value::Bool(flag)) => Ok(flag),
            _ => bail!("line {}: this is not a condition", node.line),
        }
    }

    fn call(&self, name: &str, argument: &Node) -> Result<Option<Value>> {
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
                    Value::String(resources::attribute(self, &resource, &attribute, line)?)
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
                        .with_context(|| format!("line {line}: If begins with a condition"))?;
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
                let Kind::Sequence(parts) = &argument.kind else {
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
            other => bail!("line {line}: the intrinsic function {other} is not understood here"),
        }))
    }

    fn reference(&self, target: &str, line: usize) -> Result<Value> {
        if let Some(pseudo) = names::pseudo_parameter(target) {
            return Ok(Value::String(pseudo));
        }
        if let Some(value) = self.parameters.get(target) {
            return Ok(value.clone());
        }
        Ok(Value::String(resources::reference(self, target, line)?))
    }

    /// `Fn::Sub` in both forms: text, or text and a mapping of further names.
    fn substitute(&self, argument: &Node) -> Result<String> {
        let (template, names) = match &argument.kind {
            Kind::Sequence(parts) => match parts.as_slice() {
                [template, names] => (template, Some(names)),
                _ => bail!("line {}: Sub takes text, or text and a mapping", argument.line),
            },
            Kind::Scalar { .. } | Kind::Mapping(_) => (argument, None),
        };
        let line = template.line;
        let mut rest = template.text().with_context(|| format!("line {line}: Sub takes text"))?;
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
                out.push_str(&resources::attribute(self, resource, attribute, line)?);
            } else {
                out.push_str(&plain_text(&self.reference(name, line)?));
            }
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn items<'node>(argument: &'node Node, count: usize, name: &str) -> Result<&'node [Node]> {
    match &argument.kind {
        Kind::Sequence(items) if items.len() == count => Ok(items),
        _ => bail!("line {}: {name} takes a list of {count}", argument.line),
    }
}

/// Text as CloudFormation passes it on: numbers and booleans lose their type.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Plain YAML scalars have the types of YAML 1.2's core schema.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.to_owned());
    }
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
