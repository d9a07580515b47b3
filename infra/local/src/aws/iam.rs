//! The rights of the functions: the policies of the template, enforced as IAM would.
//!
//! Understood: `Allow`, patterns in actions and resources, and the conditions `StringEquals` and
//! `ForAllValues:StringEquals` on encryption contexts and DynamoDB's leading keys and attributes. Anything else is an
//! error of the template: a right that is not enforced here would be one that no test has seen.

use super::Refusal;
use super::rights::Need;
use crate::names;
use crate::template::Template;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// A policy document that is understood in full.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    key: String,
    values: Vec<String>,
    /// `ForAllValues`: every value of the request must be listed, and none at all is fine.
    for_all: bool,
}

impl Policy {
    /// Reads a document.
    pub fn parse(document: &Value) -> Result<Self> {
        let mut statements = Vec::new();
        for statement in one_or_many(&document["Statement"]) {
            statements.push(read_statement(statement)?);
        }
        Ok(Self { statements })
    }

    /// Whether a statement allows it.
    #[must_use]
    pub fn allows(&self, need: &Need) -> bool {
        self.statements.iter().any(|statement| statement.allows(need))
    }
}

impl Statement {
    fn allows(&self, need: &Need) -> bool {
        let action = need.action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| fits(&pattern.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|pattern| fits(pattern, &need.resource))
            && self.conditions.iter().all(|condition| condition.holds(need))
    }
}

impl Condition {
    fn holds(&self, need: &Need) -> bool {
        let values = need.context.get(&self.key).map(Vec::as_slice).unwrap_or_default();
        let listed = |value: &String| self.values.contains(value);
        if self.for_all { values.iter().all(listed) } else { !values.is_empty() && values.iter().any(listed) }
    }
}

/// What the functions may do.
#[derive(Clone, Debug, Default)]
pub struct Iam {
    roles: BTreeMap<String, (String, Policy)>,
    /// By ARN; a key policy restricts what the roles' policies can give.
    keys: BTreeMap<String, Policy>,
}

impl Iam {
    /// Reads the policies of the template.
    pub fn new(template: &Template) -> Result<Self> {
        let mut roles = BTreeMap::new();
        for function in &template.functions {
            let mut policy = Policy::default();
            for document in &function.policies {
                policy.statements.extend(Policy::parse(document)?.statements);
            }
            roles.insert(function.binary.clone(), (function.name.clone(), policy));
        }
        let mut keys = BTreeMap::new();
        for key in &template.keys {
            if let Some(document) = &key.policy {
                keys.insert(names::key_arn(&key.id), Policy::parse(document)?);
            }
        }
        Ok(Self { roles, keys })
    }

    /// Refuses what the role of a function does not allow.
    pub fn check(&self, function: &str, needs: &[Need]) -> Result<(), Refusal> {
        let Some((name, policy)) = self.roles.get(function) else {
            return Err(Refusal::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        };
        for need in needs {
            let (source, allowed) = if policy.allows(need) {
                let key = self.keys.get(&need.resource);
                ("resource-based", key.is_none_or(|policy| policy.allows(need)))
            } else {
                ("identity-based", false)
            };
            if !allowed {
                let message = format!(
                    "User: arn:aws:sts::{}:assumed-role/{name}-role/{name} is not authorized to perform: {} on \
                     resource: {} because no {source} policy allows the {} action",
                    names::ACCOUNT,
                    need.action,
                    need.resource,
                    need.action
                );
                let rest = need.action.starts_with("lambda:") || need.action.starts_with("scheduler:");
                return Err(Refusal::with_status(
                    if rest { 403 } else { 400 },
                    "AccessDeniedException",
                    message,
                ));
            }
        }
        Ok(())
    }
}

fn read_statement(statement: &Value) -> Result<Statement> {
    for (key, _) in statement.as_object().into_iter().flatten() {
        if !["Sid", "Effect", "Action", "Resource", "Condition", "Principal"].contains(&key.as_str()) {
            bail!("{key} in a policy is not understood by the local stack");
        }
    }
    if statement["Effect"] != "Allow" {
        bail!("a policy with the effect {} is not understood by the local stack", statement["Effect"]);
    }
    let texts = |key: &str| -> Result<Vec<String>> {
        let texts: Vec<String> =
            one_or_many(&statement[key]).filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.is_empty() { bail!("a policy statement has no {key}") } else { Ok(texts) }
    };
    let mut conditions = Vec::new();
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        let for_all = match operator.as_str() {
            "StringEquals" => false,
            "ForAllValues:StringEquals" => true,
            other => bail!("the condition {other} is not understood by the local stack"),
        };
        for (key, values) in keys.as_object().context("a condition has keys")? {
            let known = key.starts_with("kms:EncryptionContext:")
                || ["dynamodb:LeadingKeys", "dynamodb:Attributes"].contains(&key.as_str());
            if !known {
                bail!("a condition on {key} is not understood by the local stack");
            }
            let values = one_or_many(values)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            conditions.push(Condition { key: key.clone(), values, for_all });
        }
    }
    Ok(Statement { actions: texts("Action")?, resources: texts("Resource")?, conditions })
}

fn one_or_many(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(values) => Box::new(values.iter()),
        Value::Null => Box::new(std::iter::empty()),
        one => Box::new(std::iter::once(one)),
    }
}

/// A pattern with `*` (any text) and `?` (one character).
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star, mut mark) = (0, 0, None, 0);
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*' {
            p += 1;
            t += 1;
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some(p);
            mark = t;
            p += 1;
        } else if let Some(last) = star {
            p = last + 1;
            mark += 1;
            t = mark;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::{Policy, fits};
    use crate::aws::rights::Need;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn need(action: &str, resource: &str, context: &[(&str, &[&str])]) -> Need {
        let context: BTreeMap<String, Vec<String>> = context
            .iter()
            .map(|(key, values)| {
                ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        Need { action: action.to_owned(), resource: resource.to_owned(), context }
    }

    fn policy(statement: &Value) -> Policy {
        Policy::parse(&json!({ "Statement": [statement] })).unwrap()
    }

    #[test]
    fn patterns_fit_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("dynamodb:Get*", "dynamodb:GetItem", true),
            ("dynamodb:Get*", "dynamodb:PutItem", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("table/x", "table/x/index/i", false),
            ("table/x/index/*", "table/x/index/i", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_encryption_context_must_be_the_one_that_is_allowed() {
        let policy = policy(&json!({
            "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "key",
            "Condition": { "StringEquals": { "kms:EncryptionContext:purpose": ["access", "webhook"] } },
        }));
        let context = "kms:EncryptionContext:purpose";
        assert!(policy.allows(&need("kms:Decrypt", "key", &[(context, &["access"])])));
        assert!(!policy.allows(&need("kms:Decrypt", "key", &[(context, &["refresh"])])));
        assert!(!policy.allows(&need("kms:Decrypt", "key", &[])), "no context at all");
        assert!(!policy.allows(&need("kms:Encrypt", "key", &[(context, &["access"])])));
        assert!(!policy.allows(&need("kms:Decrypt", "other", &[(context, &["access"])])));
    }

    #[test]
    fn every_leading_key_must_be_allowed() {
        let policy = policy(&json!({
            "Effect": "Allow", "Action": "dynamodb:*", "Resource": "t",
            "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["a", "b"] } },
        }));
        let key = "dynamodb:LeadingKeys";
        assert!(policy.allows(&need("dynamodb:BatchGetItem", "t", &[(key, &["a", "b"])])));
        assert!(!policy.allows(&need("dynamodb:BatchGetItem", "t", &[(key, &["a", "c"])])));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for statement in [
            json!({ "Effect": "Deny", "Action": "a:B", "Resource": "r" }),
            json!({ "Effect": "Allow", "NotAction": "a:B", "Resource": "r" }),
            json!({ "Effect": "Allow", "Action": "a:B" }),
            json!({ "Effect": "Allow", "Action": "a:B", "Resource": "r", "Condition": { "StringLike": { "x": "y" } } }),
            json!({ "Effect": "Allow", "Action": "a:B", "Resource": "r", "Condition": { "StringEquals": { "aws:SourceIp": "y" } } }),
        ] {
            assert!(Policy::parse(&json!({ "Statement": [statement] })).is_err(), "{statement}");
        }
    }
}
