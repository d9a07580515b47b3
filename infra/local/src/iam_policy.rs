//! IAM policies of the template, and the permissions that a call requires.
//!
//! Supported are `Allow`, patterns in actions and resources, and the conditions `StringEquals`, `StringEqualsIfExists`,
//! `StringLike`, `ArnLike` and `ForAllValues:StringEquals` on the caller's role, on encryption contexts, on DynamoDB's leading keys, attributes and what a request
//! returns, on the prefix of a listing in S3, and on the service that a role is passed to. Anything else is an error in the template: a permission that is not enforced here
//! would never be tested.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// A permission that a request requires.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequiredPermission {
    /// `service:Operation`.
    pub action: String,
    /// ARN, or `*` for an operation without a resource.
    pub resource: String,
    /// Values by condition key.
    pub context: BTreeMap<String, Vec<String>>,
}

impl RequiredPermission {
    #[must_use]
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: BTreeMap::new() }
    }
}

#[derive(Clone, Debug, Default)]
pub struct IamPolicy {
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
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    /// The request has the key, and one of its values is listed.
    StringEquals,
    /// As `StringEquals`, but a request without the key is allowed.
    StringEqualsIfExists,
    /// The request has the key, and a pattern matches one of its values.
    StringLike,
    /// Every value of the request is listed. A request without the key is allowed.
    ForAllValuesStringEquals,
}

impl IamPolicy {
    /// Reads a policy document.
    pub fn parse(document: &Value) -> Result<Self> {
        let mut statements = Vec::new();
        for statement in one_or_many(&document["Statement"]) {
            statements.push(read_statement(statement)?);
        }
        Ok(Self { statements })
    }

    /// Adds the statements of another policy.
    pub fn extend(&mut self, other: Self) {
        self.statements.extend(other.statements);
    }

    #[must_use]
    pub fn allows(&self, permission: &RequiredPermission) -> bool {
        self.statements.iter().any(|statement| statement.allows(permission))
    }
}

impl Statement {
    fn allows(&self, permission: &RequiredPermission) -> bool {
        let action = permission.action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|pattern| matches(pattern, &permission.resource))
            && self.conditions.iter().all(|condition| condition.holds(permission))
    }
}

impl Condition {
    fn holds(&self, permission: &RequiredPermission) -> bool {
        let values = permission.context.get(&self.key).map(Vec::as_slice).unwrap_or_default();
        let listed = |value: &String| self.values.contains(value);
        match self.operator {
            Operator::StringEquals => values.iter().any(listed),
            Operator::StringLike => {
                values.iter().any(|value| self.values.iter().any(|pattern| matches(pattern, value)))
            }
            Operator::StringEqualsIfExists => values.is_empty() || values.iter().any(listed),
            Operator::ForAllValuesStringEquals => values.iter().all(listed),
        }
    }
}

/// The condition keys that `aws/permissions.rs` provides, beside those of encryption contexts.
const CONDITION_KEYS: [&str; 7] = [
    "aws:PrincipalArn",
    "dynamodb:LeadingKeys",
    "dynamodb:Attributes",
    "dynamodb:ReturnValues",
    "dynamodb:Select",
    "iam:PassedToService",
    "s3:prefix",
];

fn read_statement(statement: &Value) -> Result<Statement> {
    for (key, _) in statement.as_object().into_iter().flatten() {
        if !["Sid", "Effect", "Action", "Resource", "Condition", "Principal"].contains(&key.as_str()) {
            bail!("{key} in a policy is not supported by the local stack");
        }
    }
    if statement["Effect"] != "Allow" {
        bail!("a policy with the effect {} is not supported by the local stack", statement["Effect"]);
    }
    let texts = |key: &str| -> Result<Vec<String>> {
        let texts: Vec<String> =
            one_or_many(&statement[key]).filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.is_empty() { bail!("a policy statement has no {key}") } else { Ok(texts) }
    };
    let mut conditions = Vec::new();
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        let operator = match operator.as_str() {
            "StringEquals" => Operator::StringEquals,
            "StringEqualsIfExists" => Operator::StringEqualsIfExists,
            "StringLike" | "ArnLike" => Operator::StringLike,
            "ForAllValues:StringEquals" => Operator::ForAllValuesStringEquals,
            other => bail!("the condition {other} is not supported by the local stack"),
        };
        for (key, values) in keys.as_object().context("a condition has keys")? {
            let known = key.starts_with("kms:EncryptionContext:") || CONDITION_KEYS.contains(&key.as_str());
            if !known {
                bail!("a condition on {key} is not supported by the local stack");
            }
            let values = one_or_many(values)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            conditions.push(Condition { operator, key: key.clone(), values });
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

/// Matches a pattern with `*` (any text) and `?` (one character).
fn matches(pattern: &str, text: &str) -> bool {
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
    use super::{IamPolicy, RequiredPermission, matches};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn permission(action: &str, resource: &str, context: &[(&str, &[&str])]) -> RequiredPermission {
        let context: BTreeMap<String, Vec<String>> = context
            .iter()
            .map(|(key, values)| {
                ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        RequiredPermission { action: action.to_owned(), resource: resource.to_owned(), context }
    }

    fn policy(statement: &Value) -> IamPolicy {
        IamPolicy::parse(&json!({ "Statement": [statement] })).unwrap()
    }

    #[test]
    fn patterns_match_as_in_iam() {
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
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_encryption_context_must_be_an_allowed_one() {
        let policy = policy(&json!({
            "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "key",
            "Condition": { "StringEquals": { "kms:EncryptionContext:purpose": ["access", "webhook"] } },
        }));
        let context = "kms:EncryptionContext:purpose";
        assert!(policy.allows(&permission("kms:Decrypt", "key", &[(context, &["access"])])));
        assert!(!policy.allows(&permission("kms:Decrypt", "key", &[(context, &["refresh"])])));
        assert!(!policy.allows(&permission("kms:Decrypt", "key", &[])), "no context at all");
        assert!(!policy.allows(&permission("kms:Encrypt", "key", &[(context, &["access"])])));
        assert!(!policy.allows(&permission("kms:Decrypt", "other", &[(context, &["access"])])));
    }

    #[test]
    fn every_leading_key_must_be_allowed() {
        let policy = policy(&json!({
            "Effect": "Allow", "Action": "dynamodb:*", "Resource": "t",
            "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["a", "b"] } },
        }));
        let key = "dynamodb:LeadingKeys";
        assert!(policy.allows(&permission("dynamodb:BatchGetItem", "t", &[(key, &["a", "b"])])));
        assert!(!policy.allows(&permission("dynamodb:BatchGetItem", "t", &[(key, &["a", "c"])])));
    }

    #[test]
    fn a_condition_that_applies_if_the_key_exists_allows_requests_without_it() {
        let policy = policy(&json!({
            "Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": "t",
            "Condition": { "StringEqualsIfExists": { "dynamodb:ReturnValues": ["NONE", "UPDATED_NEW"] } },
        }));
        let key = "dynamodb:ReturnValues";
        assert!(policy.allows(&permission("dynamodb:UpdateItem", "t", &[])));
        assert!(policy.allows(&permission("dynamodb:UpdateItem", "t", &[(key, &["UPDATED_NEW"])])));
        assert!(!policy.allows(&permission("dynamodb:UpdateItem", "t", &[(key, &["ALL_OLD"])])));
    }

    #[test]
    fn unsupported_policy_elements_are_errors() {
        for statement in [
            json!({ "Effect": "Deny", "Action": "a:B", "Resource": "r" }),
            json!({ "Effect": "Allow", "NotAction": "a:B", "Resource": "r" }),
            json!({ "Effect": "Allow", "Action": "a:B" }),
            json!({ "Effect": "Allow", "Action": "a:B", "Resource": "r", "Condition": { "StringLike": { "x": "y" } } }),
            json!({ "Effect": "Allow", "Action": "a:B", "Resource": "r", "Condition": { "StringEquals": { "aws:SourceIp": "y" } } }),
        ] {
            assert!(IamPolicy::parse(&json!({ "Statement": [statement] })).is_err(), "{statement}");
        }
    }
}
